"""`MovingAverage`: an exponential moving average of a tensor."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import UnderspecifiedError
from snt_core.module import AbstractModule
from snt_core.scoping import get_variable
from snt_nets.norm.inputs import floating_tensor


class MovingAverage(AbstractModule):
    """Exponential moving average of the values of a tensor: `m ← d m + (1 - d) x`.

    The first value starts the average. Each evaluation of each connection is an update, and gives
    the average after it. The gradient passes to the input as if the module were the identity, with
    the factor 1 and not 1 - d, and not at all to earlier values.

    Variables, which are not trainable: `moving_average`, of the shape and dtype of the input, by
    default zeros; `initialized` `[]`, boolean, whether there was an update.

    Args:
        decay: The share d of the average that stays at an update. Default: 0.99.
        local: Whether the variables belong to the collection of local variables, and not to that
            of global ones: they are neither saved nor shared between workers then. Default: False.
        name: Name of the module. Default: "moving_average".

    Raises:
        ValueError: If `decay` is not from 0 to 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> average = snt.MovingAverage(decay=0.75)
        >>> [average(tf.constant(x)).numpy().item() for x in (8.0, 16.0)]
        [8.0, 10.0]
    """

    def __init__(
        self, decay: float = 0.99, local: bool = False, name: str = "moving_average"
    ) -> None:
        super().__init__(name=name)
        if not 0 <= decay <= 1:
            raise ValueError(f"{self.scope_name}: Decay must be from 0 to 1, got {decay}.")
        self._decay = decay
        keys = tf1.GraphKeys
        self._collection = keys.LOCAL_VARIABLES if local else keys.GLOBAL_VARIABLES
        self._initialized: Any = None
        self._moving_average: Any = None

    def _build(self, inputs: Any) -> Any:
        """Updates the average.

        Args:
            inputs: Tensor of a floating-point type, of a known shape.

        Returns:
            Tensor of the shape and dtype of `inputs`: the average after the update.

        Raises:
            UnderspecifiedError: If the shape of the input is not fully known.
            TypeError: If it is not of a floating-point type.
        """
        inputs = floating_tensor(inputs, self.scope_name)
        if not inputs.shape.is_fully_defined():
            raise UnderspecifiedError(
                f"{self.scope_name}: the average needs a variable of the shape of the input, which "
                f"is not fully known: {inputs.shape}. Use set_shape."
            )
        self._make_variables(inputs.shape, inputs.dtype)
        # Of connections that run at once: whoever sees `initialized` finds the average stored.
        initialized = tf.convert_to_tensor(self._initialized)
        with tf.control_dependencies([initialized]):
            average = tf.convert_to_tensor(self._moving_average)
        # The first time m - (m - x), where m is zeros: exactly x.
        rate = tf.where(initialized, tf.constant(1 - self._decay, inputs.dtype), 1)
        updated = average - rate * (average - inputs)
        with tf.control_dependencies([updated]):
            stored = self._moving_average.assign(updated)
        with tf.control_dependencies([stored]):
            started = self._initialized.assign(True)
        with tf.control_dependencies([started]):
            return _pass_through_gradients(inputs, updated)

    def _make_variables(self, shape: Any, dtype: Any) -> None:
        make = functools.partial(
            get_variable,
            trainable=False,
            collections=[self._collection],
            use_resource=True,
            regularizer=tf1.no_regularizer,
            # Each replica of a distributed program has its own average; a checkpoint their mean.
            synchronization=tf.VariableSynchronization.ON_READ,
        )
        self._initialized = make(
            "initialized",
            shape=[],
            dtype=tf.bool,
            initializer=tf1.zeros_initializer(),
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._moving_average = make(
            "moving_average",
            shape=shape,
            dtype=dtype,
            initializer=tf1.zeros_initializer(),
            aggregation=tf.VariableAggregation.MEAN,
        )

    def reset(self) -> Any:
        """Puts the variables back to their initial values: the next update is like the first.

        Returns:
            In a graph an operation that does it.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        average = self._moving_average
        return tf.group(
            self._initialized.assign(False), average.assign(tf.zeros(average.shape, average.dtype))
        )


def _pass_through_gradients(x: Any, moving_avg: Any) -> Any:
    """Returns `moving_avg`; its gradient is passed on to `x` unchanged.

    Args:
        x: Tensor.
        moving_avg: Tensor of the same shape and dtype.

    Raises:
        TypeError: If the dtypes are not the same.
    """
    x, moving_avg = tf.convert_to_tensor(x), tf.convert_to_tensor(moving_avg)
    if x.dtype != moving_avg.dtype:
        raise TypeError(
            f"Gradients pass between tensors of the same dtype, got {x.dtype.name} and "
            f"{moving_avg.dtype.name}."
        )
    moving_avg = tf.stop_gradient(moving_avg)

    @tf.custom_gradient
    def average_of(x: Any) -> Any:
        return tf.identity(moving_avg), lambda gradient: gradient

    return average_of(x)
