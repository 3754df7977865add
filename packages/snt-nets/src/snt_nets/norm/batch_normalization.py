"""`BatchNormalization`: what `BatchNorm` and `BatchNormV2` have in common."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import Error, NotSupportedError
from snt_nets.flags import conditional, either, known_flag
from snt_nets.layer import Layer
from snt_nets.norm.initializers import (
    create_beta_initializer,
    create_gamma_initializer,
    create_mean_initializer,
    create_variance_initializer,
)
from snt_nets.norm.inputs import statistics_dtype


class BatchNormalization(Layer):
    """Base class of modules that normalise by statistics of the batch, or by moving averages.

    Args:
        offset: Whether a learnt offset `beta` is added.
        scale: Whether there is a learnt factor `gamma`.
        decay_rate: How much of a moving average stays at an update.
        eps: Small number that is added to the variance.
        initializers: Initializers "gamma", "beta", "moving_mean" and "moving_variance".
        partitioners: Partitioners "gamma" and "beta".
        regularizers: Regularizers, likewise.
        update_ops_collection: Name of the graph collection for the updates of moving averages.
        fused: Whether to use TensorFlow's fused kernel.
        name: Name of the module.

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.
    """

    GAMMA = "gamma"
    BETA = "beta"
    MOVING_MEAN = "moving_mean"
    MOVING_VARIANCE = "moving_variance"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE}
    POSSIBLE_PARTITIONER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}
    POSSIBLE_REGULARIZER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}

    def __init__(
        self,
        offset: bool,
        scale: bool,
        decay_rate: float,
        eps: float,
        initializers: Mapping[str, Any] | None,
        partitioners: Mapping[str, Any] | None,
        regularizers: Mapping[str, Any] | None,
        update_ops_collection: str | None,
        fused: bool,
        name: str,
    ) -> None:
        super().__init__(
            self.POSSIBLE_REGULARIZER_KEYS,
            initializers,
            partitioners,
            regularizers,
            name=name,
            statistics=(self.MOVING_MEAN, self.MOVING_VARIANCE),
        )
        self._offset = offset
        self._scale = scale
        self._decay_rate = decay_rate
        self._eps = eps
        self._update_ops_collection = update_ops_collection
        self._fused = fused
        self._moving_mean: Any = None
        self._moving_variance: Any = None
        self._beta: Any = None
        self._gamma: Any = None

    def _normalised(
        self, inputs: Any, is_training: Any, test_local_stats: Any, axes: Any, shape: Any
    ) -> Any:
        """Normalises `inputs`, and updates the moving averages.

        Args:
            inputs: Tensor.
            is_training: As for `_build` of the subclasses.
            test_local_stats: Likewise.
            axes: The axes that the statistics are taken over.
            shape: Shape of the variables: of the rank of the inputs, or without `axes`.

        Returns:
            Tensor of the shape and dtype of `inputs`.
        """
        if self._fused and inputs.dtype == tf.bfloat16:
            raise NotSupportedError(
                f"{self.scope_name}: fused batch normalisation does not support bfloat16; "
                "construct with fused=False."
            )
        is_training = known_flag(is_training, f"{self.scope_name}: is_training")
        test_local_stats = known_flag(test_local_stats, f"{self.scope_name}: test_local_stats")
        use_batch = either(is_training, test_local_stats)
        self._make_variables(shape, inputs.dtype)
        if self._fused and inputs.dtype != tf.float64:  # which the kernel does not take
            outputs, mean, variance = self._by_kernel(inputs, use_batch)
        else:
            outputs, mean, variance = self._by_formula(inputs, use_batch, axes)
        return self._with_updates(outputs, mean, variance, is_training)

    def _make_variables(self, shape: Any, dtype: Any) -> None:
        moving_average = functools.partial(
            self._layer_variable,
            shape=shape,
            dtype=statistics_dtype(dtype),
            trainable=False,
            collections=[tf1.GraphKeys.MOVING_AVERAGE_VARIABLES, tf1.GraphKeys.GLOBAL_VARIABLES],
            # Each replica of a distributed program has its own; a checkpoint gets their mean.
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )
        self._moving_mean = moving_average(
            self.MOVING_MEAN, default_initializer=create_mean_initializer
        )
        self._moving_variance = moving_average(
            self.MOVING_VARIANCE, default_initializer=create_variance_initializer
        )
        if self._fused:  # the kernel wants both, and wants them in float32 beside float16
            dtype = statistics_dtype(dtype)
        if self._offset or self._fused:
            self._beta = self._layer_variable(
                self.BETA, shape, dtype, create_beta_initializer, trainable=bool(self._offset)
            )
        if self._scale or self._fused:
            self._gamma = self._layer_variable(
                self.GAMMA, shape, dtype, create_gamma_initializer, trainable=bool(self._scale)
            )

    def _by_formula(self, inputs: Any, use_batch: Any, axes: Any) -> tuple[Any, Any, Any]:
        """Returns the outputs, and the mean and variance of the batch where they were used."""

        def of_batch() -> tuple[Any, Any]:
            values = tf.cast(inputs, self._moving_mean.dtype)
            keepdims = self._moving_mean.shape.rank == inputs.shape.rank
            return tf.nn.moments(values, axes, keepdims=keepdims)

        averages = self._averages(use_batch)
        mean, variance = conditional(use_batch, of_batch, lambda: averages)
        outputs = tf.nn.batch_normalization(
            inputs,
            self._broadcastable(tf.cast(mean, inputs.dtype)),
            self._broadcastable(tf.cast(variance, inputs.dtype)),
            None if self._beta is None else self._broadcastable(self._beta),
            None if self._gamma is None else self._broadcastable(self._gamma),
            self._eps,
        )
        return outputs, mean, variance

    def _by_kernel(self, inputs: Any, use_batch: Any) -> tuple[Any, Any, Any]:
        """The same by the fused kernel, whose variance of the batch is the unbiased one."""
        images, data_format = self._as_images(inputs)
        kernel = functools.partial(
            tf1.nn.fused_batch_norm,
            images,
            _flat(self._gamma),
            _flat(self._beta),
            epsilon=self._eps,
            data_format=data_format,
        )
        averages = [_flat(average) for average in self._averages(use_batch)]

        def by_moving_averages() -> tuple[Any, Any, Any]:
            mean, variance = averages
            outputs, _, _ = kernel(mean=mean, variance=variance, is_training=False)
            return outputs, mean, variance

        outputs, mean, variance = conditional(use_batch, kernel, by_moving_averages)
        return self._from_images(outputs, inputs), mean, variance

    def _averages(self, use_batch: Any) -> tuple[Any, ...]:
        """Returns the values of the moving averages if they may be used, read outside branches."""
        averages = () if use_batch is True else (self._moving_mean, self._moving_variance)
        return tuple(map(tf.convert_to_tensor, averages))

    def _broadcastable(self, parameter: Any) -> Any:
        """Returns a tensor of the shape of the variables in one that broadcasts to the inputs."""
        return tf.convert_to_tensor(parameter)

    def _as_images(self, inputs: Any) -> tuple[Any, str]:
        """Returns the inputs as the kernel takes them, and their data format, NHWC or NCHW."""
        raise NotImplementedError

    def _from_images(self, outputs: Any, inputs: Any) -> Any:
        """Returns what comes from the kernel in the shape of the inputs."""
        return outputs

    def _with_updates(self, outputs: Any, mean: Any, variance: Any, is_training: Any) -> Any:
        if is_training is False:
            return outputs
        updates = [
            self._update(self._moving_mean, mean, is_training, "update_moving_mean"),
            self._update(self._moving_variance, variance, is_training, "update_moving_variance"),
        ]
        if tf.executing_eagerly():
            return outputs
        # Nobody can run what a function, or a branch or loop, has put into a collection.
        if self._update_ops_collection and not tf1.get_default_graph().building_function:
            for update in updates:
                tf1.add_to_collection(self._update_ops_collection, update)
            return outputs
        with tf.control_dependencies(updates):
            return tf.identity(outputs)

    def _update(self, average: Any, statistic: Any, is_training: Any, name: str) -> Any:
        """Moves an average towards a statistic of the batch."""
        if not hasattr(average, "assign_sub"):
            raise NotSupportedError(
                f"{self.scope_name}: a custom getter gave {average!r} for a moving average, which "
                "cannot be updated. Connect with is_training=False, or keep the getter from the "
                "variables moving_mean and moving_variance."
            )
        if statistic.shape.rank != average.shape.rank:  # from the kernel
            statistic = tf.reshape(statistic, average.shape)
        with tf.control_dependencies([statistic]):  # in a loop, after the last step's update
            current = tf.convert_to_tensor(average)
        change = (current - statistic) * (1 - self._decay_rate)
        if is_training is not True:
            change = tf.where(is_training, change, tf.zeros_like(change))
        if isinstance(average, tf.Variable):
            return average.assign_sub(change, name=name, read_value=False)
        return tf.group(average.assign_sub(change), name=name)  # the parts of a partitioned one

    def _exposed(self, variable: Any) -> Any:
        """Returns what the properties give for a variable."""
        return variable

    @property
    def moving_mean(self) -> Any:
        """The moving average of the means.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._exposed(self._moving_mean)

    @property
    def moving_variance(self) -> Any:
        """The moving average of the variances.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._exposed(self._moving_variance)

    @property
    def beta(self) -> Any:
        """The offset.

        Raises:
            NotConnectedError: If the module is not connected yet.
            Error: If there is none.
        """
        self._ensure_is_connected()
        if self._beta is None:
            raise Error(
                f"{self.scope_name}: Batch normalization doesn't have an offset, so no beta."
            )
        return self._exposed(self._beta)

    @property
    def gamma(self) -> Any:
        """The factor.

        Raises:
            NotConnectedError: If the module is not connected yet.
            Error: If there is none.
        """
        self._ensure_is_connected()
        if self._gamma is None:
            raise Error(
                f"{self.scope_name}: Batch normalization doesn't have a scale, so no gamma."
            )
        return self._exposed(self._gamma)


def _flat(parameter: Any) -> Any:
    if parameter.shape.rank == 1:
        return tf.convert_to_tensor(parameter)
    return tf.reshape(parameter, [-1])
