"""The interface of modules that can be transposed."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any


class Transposable(abc.ABC):
    """Interface of modules that can make a module of transposed specification.

    What a transpose is depends on the module: for a linear map from A to B features it is one
    from B to A, for a convolution it is a transposed convolution. No variables are shared. By
    convention, the transpose of a transpose has the specification of the original, and
    `transpose` can be called before the original is connected: what depends on the shape of the
    original's input is handed on as a function, which is called when the transpose is connected.
    """

    @abc.abstractmethod
    def transpose(self, name: str | None = None, **kwargs: Any) -> Any:
        """Returns a new module of transposed specification.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
            **kwargs: Options of the implementing class.
        """

    if TYPE_CHECKING:  # it is a method here, as in Sonnet 1, and a property in each implementation

        @property
        def input_shape(self) -> Any:
            """Shape of the input of the last connection."""

    else:

        @abc.abstractmethod
        def input_shape(self) -> Any:
            """Shape of the input of the last connection; implemented as a property.

            Raises:
                NotConnectedError: If the module is not connected yet.
            """
