"""`RecurrentModule`: what TensorFlow's loops over time ask of a module."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import NotSupportedError
from snt_core.module import AbstractModule


class RecurrentModule(AbstractModule):
    """Base class of modules that carry a state from one call to the next.

    Called with `(inputs, prev_state)`, such a module returns `(outputs, next_state)`. With that,
    `state_size`, `output_size` and `zero_state` it is all that `tf.compat.v1.nn.dynamic_rnn` and
    its like ask for. States of which the start is learnt are the business of `snt.RNNCore`.
    """

    @property
    def state_size(self) -> Any:
        """Shapes of the state without the batch: a structure of integers and TensorShapes."""
        raise NotImplementedError(f"{type(self).__name__} has no state_size: define it.")

    @property
    def output_size(self) -> Any:
        """Shapes of the output without the batch, likewise."""
        raise NotImplementedError(f"{type(self).__name__} has no output_size: define it.")

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Returns a state of zeros.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state.

        Returns:
            Tensors `[batch_size, ...]` in the structure of `state_size`.
        """
        with tf1.name_scope(f"{type(self).__name__}ZeroState"):
            return tf.nest.map_structure(
                lambda size: _zeros(batch_size, size, dtype), self.state_size
            )

    def initial_state(
        self,
        batch_size: Any,
        dtype: Any = tf.float32,
        trainable: bool = False,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
        **unused_kwargs: Any,
    ) -> Any:
        """Returns the state to begin with: zeros.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state. Default: float32.
            trainable: Whether the state is learnt. Default: False.
            trainable_initializers: Of a state that is learnt.
            trainable_regularizers: Likewise.
            name: Name scope of the ops. Default: the name of the module with "_initial_state".
            **unused_kwargs: Not used.

        Returns:
            Tensors `[batch_size, ...]` in the structure of `state_size`.

        Raises:
            NotSupportedError: If `trainable` is set and the class does not support it.
        """
        with tf1.name_scope(name or f"{self.scope_name}_initial_state"):
            if not trainable:
                return self.zero_state(batch_size, dtype)
        raise NotSupportedError(
            f"{self.scope_name}: the initial state of {type(self).__name__} cannot be trainable "
            "here. Make one with snt.trainable_initial_state(batch_size, core.state_size, dtype)."
        )


def _zeros(batch_size: Any, size: Any, dtype: Any) -> Any:
    sizes = tf.TensorShape(size).as_list()
    static_batch_size = batch_size
    if tf.is_tensor(batch_size):
        static_batch_size = tf.get_static_value(batch_size)
        if static_batch_size is None:
            shape = tf.concat([tf.reshape(batch_size, [1]), tf.cast(sizes, batch_size.dtype)], 0)
            zeros = tf.zeros(shape, dtype)
            zeros.set_shape([None, *sizes])
            return zeros
        static_batch_size = static_batch_size.item()
    return tf.zeros([int(static_batch_size), *sizes], dtype)
