"""`Sequential`: one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_core.variable_store import TRAINABLE_VARIABLES


class Sequential(AbstractModule):
    """Applies modules and functions one after the other.

    The first one gets the inputs; each output is the input of the next. An output that is a tuple,
    a namedtuple included, is unpacked into several arguments.

    Args:
        layers: Modules, ops or other functions.
        name: Name of the module. Default: "sequential".

    Raises:
        TypeError: If `layers` is not iterable, or something in it cannot be called.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> net = snt.Sequential([snt.BatchFlatten(), snt.Linear(16), tf.nn.relu, snt.Linear(2)])
        >>> net(tf.ones([8, 4, 4])).shape
        TensorShape([8, 2])
    """

    def __init__(self, layers: Iterable[Callable[..., Any]], name: str = "sequential") -> None:
        super().__init__(name=name)
        self._layers = tuple(layers)
        odd = [
            (i, type(layer).__name__) for i, layer in enumerate(self._layers) if not callable(layer)
        ]
        if odd:
            indices = ", ".join(str(index) for index, _ in odd)
            types = ", ".join(kind for _, kind in odd)
            raise TypeError(f"Items {indices} not callable with types: {types}")

    def _build(self, *args: Any) -> Any:
        """Applies the layers.

        Args:
            *args: Inputs of the first layer.

        Returns:
            Output of the last layer. Without layers: the input, or several as a tuple.
        """
        outputs: Any = args
        for layer in self._layers:
            outputs = layer(*outputs) if isinstance(outputs, tuple) else layer(outputs)
        if not self._layers and len(args) == 1:
            return args[0]
        return outputs

    def get_variables(self, collection: str = TRAINABLE_VARIABLES) -> tuple[Any, ...]:
        """Returns the variables in the scope of this module, of which there are none.

        The layers were constructed outside: see `variables` and `get_all_variables`.

        Args:
            collection: As for `snt.AbstractModule`.
        """
        tf1.logging.warning(
            "Sequential %s: get_variables() will always return an empty tuple, since the layers "
            "have scopes of their own. Use `variables` or get_all_variables().",
            self.scope_name,
        )
        return super().get_variables(collection)

    @property
    def layers(self) -> tuple[Callable[..., Any], ...]:
        """The layers."""
        return tuple(self._layers)  # not the wrapper that a tf.Module makes of it
