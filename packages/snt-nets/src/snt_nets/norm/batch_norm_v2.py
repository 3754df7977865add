"""`BatchNormV2`: batch normalisation by data format, fused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_nets.conv.formats import DataFormat
from snt_nets.norm.batch_normalization import BatchNormalization
from snt_nets.norm.inputs import (
    SUPPORTED_DATA_FORMATS,
    check_data_format,
    find_data_format,
    floating_tensor,
)
from snt_nets.shapes import reshape


class BatchNormV2(BatchNormalization):
    """Batch normalisation of each channel: `y = gamma (x - mean) / √(variance + eps) + beta`.

    After Ioffe and Szegedy, "Batch normalization: Accelerating deep network training by reducing
    internal covariate shift", 2015, https://arxiv.org/abs/1502.03167.

    While training, mean and variance are those of the batch, and moving averages follow them:
    `m ← d m + (1 - d) mean`. Testing uses the moving averages, or with `test_local_stats=True` the
    batch.

    Variables, all `[channels]`, so that checkpoints do not depend on the data format: `moving_mean`
    and `moving_variance`, by default zeros and ones, in the dtype of the input, but float32 beside
    float16 and bfloat16; `beta` and `gamma`, by default zeros and ones, in the dtype of the input.

    Args:
        data_format: "NC", "NWC", "NCW", "NHWC", "NCHW", "NDHWC" or "NCDHW". Default: by the rank of
            the first input the one with the channels last.
        offset: Whether there is the learnt offset `beta`. Default: True.
        scale: Whether there is the learnt factor `gamma`. Default: False.
        decay_rate: The share d of a moving average that stays at an update. Default: 0.999.
        eps: Small number that is added to the variance. Default: 1e-3.
        initializers: Initializers by variable name. Optional.
        partitioners: Partitioners of "gamma" and "beta". Optional.
        regularizers: Regularizers of "gamma" and "beta". Optional.
        update_ops_collection: Name of a graph collection for the updates, for the program to run;
            see `snt.BatchNorm`. Default: none; they are made before the output can be used.
        fused: Whether to use TensorFlow's fused kernel. It is faster; `eps` is at least 1.001e-5
            then, both `beta` and `gamma` exist, trainable or not, in float32 beside float16, and
            the moving variance is that of the unbiased estimator, n / (n - 1) times as large for
            n elements a channel. With float64, which the kernel does not take, the formula is
            computed. Default: True.
        name: Name of the module. Default: "batch_norm".

    Raises:
        ValueError: If there is no such data format.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> batch_norm = snt.BatchNormV2(data_format="NCHW", scale=True)
        >>> batch_norm(tf.ones([8, 3, 28, 28]), is_training=True).shape
        TensorShape([8, 3, 28, 28])
        >>> [variable.shape for variable in batch_norm.trainable_variables]
        [TensorShape([3]), TensorShape([3])]
    """

    SUPPORTED_DATA_FORMATS: ClassVar[set[str]] = SUPPORTED_DATA_FORMATS

    def __init__(
        self,
        data_format: str | None = None,
        offset: bool = True,
        scale: bool = False,
        decay_rate: float = 0.999,
        eps: float = 1e-3,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        update_ops_collection: str | None = None,
        fused: bool = True,
        name: str = "batch_norm",
    ) -> None:
        super().__init__(
            offset,
            scale,
            decay_rate,
            eps,
            initializers,
            partitioners,
            regularizers,
            update_ops_collection,
            fused,
            name,
        )
        check_data_format(data_format, self.scope_name)
        self._data_format = data_format

    def _build(self, input_batch: Any, is_training: Any, test_local_stats: Any = False) -> Any:
        """Normalises `input_batch`.

        Args:
            input_batch: Tensor of a floating-point type, its axes as in the data format. Their
                sizes may be unknown, but for the channels.
            is_training: Whether to use the statistics of the batch and to update the moving
                averages: a boolean, or a boolean tensor.
            test_local_stats: Whether to use the statistics of the batch, and not the moving
                averages, also when `is_training` is False: likewise.

        Returns:
            Tensor of the shape and dtype of `input_batch`.

        Raises:
            IncompatibleShapeError: If the rank of the input is not that of the data format.
            UnderspecifiedError: If the number of channels is unknown.
            ValueError: If it is another one than before.
            NotSupportedError: With `fused`, if the input is of dtype bfloat16.
            TypeError: If the input is not of a floating-point type, or a flag not a boolean.
        """
        inputs = floating_tensor(input_batch, self.scope_name)
        data_format = find_data_format(self._data_format, inputs.shape, self.scope_name)
        self._data_format = data_format.name
        channel_axis = data_format.channel_axis
        axes = [axis for axis in range(inputs.shape.rank) if axis != channel_axis]
        shape = [inputs.shape.as_list()[channel_axis]]
        return self._normalised(inputs, is_training, test_local_stats, axes, shape)

    def _format(self) -> DataFormat:
        assert self._data_format is not None
        return DataFormat(self._data_format)

    def _broadcastable(self, parameter: Any) -> Any:
        data_format = self._format()
        if not data_format.channels_first or not data_format.spatial_dims:
            return tf.convert_to_tensor(parameter)
        return tf.reshape(parameter, [-1] + [1] * data_format.spatial_dims)

    def _exposed(self, variable: Any) -> Any:
        data_format = self._format()
        return tf.reshape(variable, data_format.arrange(1, [1] * data_format.spatial_dims, -1))

    def _as_images(self, inputs: Any) -> tuple[Any, str]:
        data_format = self._format()
        if data_format.spatial_dims == 2:
            return inputs, data_format.name
        sizes = inputs.shape.as_list()
        channels = sizes[data_format.channel_axis]
        pixels = tf.TensorShape(data_format.spatial(sizes)).num_elements()
        channels_first = data_format.channels_first and data_format.spatial_dims
        images = DataFormat("NCHW" if channels_first else "NHWC")

        def shape() -> Any:
            sizes = tf.shape(inputs)
            pixels = tf.reduce_prod(sizes[2:] if channels_first else sizes[1:-1])
            return tf.stack(images.arrange(sizes[0], (1, pixels), channels))

        wanted = list(images.arrange(sizes[0], (1, pixels), channels))
        return reshape(inputs, wanted, shape), images.name

    def _from_images(self, outputs: Any, inputs: Any) -> Any:
        if self._format().spatial_dims == 2:
            return outputs
        return reshape(outputs, inputs.shape.as_list(), lambda: tf.shape(inputs))
