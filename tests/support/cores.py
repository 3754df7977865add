"""Small recurrent cores, and what they compute, in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.recurrent import RNNCore

Array = np.ndarray[Any, Any]


class Plain(RNNCore):
    """The smallest core with a variable: `h' = tanh(x w + h)`, the output as well."""

    def __init__(self, size: int, name: str = "plain") -> None:
        super().__init__(name=name)
        self._size = size

    def _build(self, inputs: Any, prev_state: Any) -> Any:
        w = tf1.get_variable("w", [inputs.shape.as_list()[-1], self._size], dtype=inputs.dtype)
        state = tf.tanh(tf.matmul(inputs, w) + prev_state)
        return state, state

    @property
    def state_size(self) -> Any:
        return tf.TensorShape([self._size])

    output_size = state_size


def plain(x: Array, h: Array, w: Array) -> tuple[Array, Array]:
    """A step of `Plain`."""
    h = np.tanh(x @ w + h)
    return h, h


class Pair(NamedTuple):
    """A structure for states and outputs."""

    first: Any
    second: Any


class Nested(RNNCore):
    """A core of which inputs, outputs and state are nested: it adds and multiplies.

    Inputs and outputs are `Pair(vector, [image])`, the state is `(Pair(vector, image), [vector])`.
    """

    def __init__(self, size: int = 3, name: str = "nested") -> None:
        super().__init__(name=name)
        self._size = size

    def _build(self, inputs: Any, prev_state: Any, factor: Any = 1) -> Any:
        pair, [steps] = prev_state
        pair = Pair(pair.first + factor * inputs.first, pair.second * inputs.second[0])
        return Pair(pair.first, [pair.second]), (pair, [steps + 1])

    @property
    def state_size(self) -> Any:
        return Pair(self._size, tf.TensorShape([2, self._size])), [tf.TensorShape([1])]

    @property
    def output_size(self) -> Any:
        return Pair(self._size, [tf.TensorShape([2, self._size])])


class Short(RNNCore):
    """A core whose state is of several types, and which knows few ways to make it."""

    state_size = (tf.TensorShape([2]), tf.TensorShape([]))
    output_size = tf.TensorShape([2])

    def _build(self, inputs: Any, prev_state: Any) -> Any:
        total, step = prev_state
        return total + inputs, (total + inputs, step + 1)

    def initial_state(self, batch_size: Any) -> Any:  # type: ignore[override]
        return tf.ones([batch_size, 2]), tf.zeros([batch_size], tf.int32)

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        return tf.zeros([batch_size, 2], dtype), tf.zeros([batch_size], tf.int32)
