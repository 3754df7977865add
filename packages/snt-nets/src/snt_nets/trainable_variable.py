"""`TrainableVariable`: a variable as a module."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_nets.initializers import create_weight_initializer
from snt_nets.layer import Layer


class TrainableVariable(Layer):
    """A variable `w` of a given shape, wrapped in a module.

    Args:
        shape: Shape of the variable.
        dtype: Type of the variable. Default: float32.
        initializers: An initializer for "w". Default: a truncated normal distribution of standard
            deviation 1/√n, where n is the number of elements.
        partitioners: A partitioner, likewise.
        regularizers: A regularizer, likewise.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "trainable_variable".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has another key than "w".

    Example:
        >>> import sonnet as snt
        >>> scale = snt.TrainableVariable([3])
        >>> scale().shape
        TensorShape([3])
    """

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {"w"}

    def __init__(
        self,
        shape: Iterable[int],
        dtype: Any = tf.float32,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "trainable_variable",
    ) -> None:
        keys = self.get_possible_initializer_keys()
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        self._shape = tuple(map(operator.index, shape))
        self._dtype = dtype
        self._w: Any = None

    def _build(self) -> Any:
        """Returns the variable, of the configured shape and dtype."""
        self._w = self._layer_variable(
            "w",
            self._shape,
            self._dtype,
            lambda: create_weight_initializer(self._shape, self._dtype),
        )
        return self._w

    @property
    def w(self) -> Any:
        """The variable.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._w
