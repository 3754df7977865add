"""`GridWarper`: base class of modules that warp a grid."""

from __future__ import annotations

import abc
import operator
from collections.abc import Iterable
from typing import Any

from snt_core.errors import Error
from snt_core.module import AbstractModule


class GridWarper(AbstractModule):
    """Base class of modules that map the points of a regular grid by a parametric function.

    A subclass says in `_create_features` what can be computed of the grid beforehand, and in
    `_build` how parameters make warped points of it. The module has no variables.

    Args:
        source_shape: Sizes of the domain where the points lie, for instance `[height, width]`.
        output_shape: Sizes of the grid, which has at most as many axes.
        num_coeff: Number of parameters of the function.
        name: Name of the module.
        **kwargs: Handed on to `_create_features`.

    Raises:
        Error: If the grid has more axes than the source.
        TypeError: If a shape is not an iterable of integers.
        ValueError: If a size is less than 1.
    """

    def __init__(
        self,
        source_shape: Iterable[int],
        output_shape: Iterable[int],
        num_coeff: int,
        name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        self._source_shape = self._checked_sizes(source_shape, "source_shape")
        self._output_shape = self._checked_sizes(output_shape, "output_shape")
        if len(self._output_shape) > len(self._source_shape):
            raise Error(
                f"{self.scope_name}: Output domain dimensionality ({len(self._output_shape)}) must "
                f"not be larger than that of the source ({len(self._source_shape)}): got the "
                f"shapes {self._output_shape} and {self._source_shape}."
            )
        self._num_coeff = num_coeff
        self._psi = self._create_features(**kwargs)

    def _checked_sizes(self, shape: Any, role: str) -> tuple[int, ...]:
        try:
            sizes = tuple(map(operator.index, shape))
        except TypeError:
            raise TypeError(
                f"{self.scope_name}: {role} must be an iterable of integers, got {shape!r}."
            ) from None
        if any(size < 1 for size in sizes):
            raise ValueError(f"{self.scope_name}: {role} must have positive sizes, got {sizes}.")
        return sizes

    @abc.abstractmethod
    def _create_features(self, **kwargs: Any) -> Any:
        """Returns what `_build` needs of the grid; it is kept as `psi`."""

    @property
    def psi(self) -> Any:
        """What `_create_features` returned."""
        return self._psi

    @property
    def source_shape(self) -> tuple[int, ...]:
        """Sizes of the domain where the points lie."""
        return self._source_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Sizes of the grid."""
        return self._output_shape

    @property
    def n_coeff(self) -> int:
        """Number of parameters of the function."""
        return self._num_coeff
