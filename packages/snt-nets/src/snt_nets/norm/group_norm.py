"""`GroupNorm` and `InstanceNorm`: normalisation of each image, some channels at a time."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_core.errors import IncompatibleShapeError
from snt_nets.conv.formats import DataFormat
from snt_nets.layer import Layer
from snt_nets.norm.initializers import create_beta_initializer, create_gamma_initializer
from snt_nets.norm.inputs import (
    check_data_format,
    find_data_format,
    floating_tensor,
    statistics_dtype,
)
from snt_nets.shapes import reshape


class _ChannelNorm(Layer):
    """Normalises groups of channels of each example; one channel a group is the simple case."""

    GAMMA = "gamma"
    BETA = "beta"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}
    POSSIBLE_PARTITIONER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}
    POSSIBLE_REGULARIZER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}

    def __init__(
        self,
        data_format: str | None,
        offset: bool,
        scale: bool,
        eps: float,
        initializers: Mapping[str, Any] | None,
        partitioners: Mapping[str, Any] | None,
        regularizers: Mapping[str, Any] | None,
        name: str,
    ) -> None:
        keys = self.get_possible_initializer_keys()
        super().__init__(keys, initializers, partitioners, regularizers, name=name)
        check_data_format(data_format, self.scope_name)
        self._data_format = data_format
        self._offset = offset
        self._scale = scale
        self._eps = eps
        self._gamma: Any = None
        self._beta: Any = None

    def _make_variables(self, data_format: DataFormat, channels: int, dtype: Any) -> None:
        self._data_format = data_format.name
        if self._scale:
            self._gamma = self._layer_variable(
                self.GAMMA, [channels], dtype, create_gamma_initializer
            )
        if self._offset:
            self._beta = self._layer_variable(self.BETA, [channels], dtype, create_beta_initializer)

    def _normalised(self, values: Any, axes: Any, shape: list[int]) -> Any:
        """Normalises `values` over `axes`; `shape` is that in which the variables broadcast."""

        def broadcastable(variable: Any) -> Any:
            if variable is None or len(shape) == 1:
                return variable
            return tf.reshape(variable, shape)

        mean, variance = tf.nn.moments(values, axes, keepdims=True)
        return tf.nn.batch_normalization(
            values, mean, variance, broadcastable(self._beta), broadcastable(self._gamma), self._eps
        )

    @property
    def gamma(self) -> Any:
        """The factor, `[channels]`, or None if there is none.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._gamma

    @property
    def beta(self) -> Any:
        """The offset, `[channels]`, or None if there is none.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._beta


class GroupNorm(_ChannelNorm):
    """Group normalisation: by mean and variance of groups of channels of each example.

    After Wu and He, "Group normalization", 2018, https://arxiv.org/abs/1803.08494. Unlike batch
    normalisation it does the same in training and testing, and minds no small batches. It computes
    `y = gamma (x - mean) / √(variance + eps) + beta`.

    Variables, both `[channels]`, in the dtype of the input, but float32 beside float16 and
    bfloat16: `gamma`, by default ones, and `beta`, by default zeros. Inputs of 16 bits are computed
    with in float32.

    Args:
        groups: Number of groups, into which the channels are divided in order. One group gives
            layer normalisation over all axes but the batch. Default: 32.
        data_format: "NC", "NWC", "NCW", "NHWC", "NCHW", "NDHWC" or "NCDHW". Default: by the rank of
            the first input the one with the channels last.
        offset: Whether there is the learnt offset `beta`. Default: True.
        scale: Whether there is the learnt factor `gamma`. Default: True.
        eps: Small number that is added to the variance. Default: 1e-5.
        initializers: Initializers "gamma" and "beta". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        name: Name of the module. Default: "group_norm".

    Raises:
        ValueError: If `groups` is less than 1, or there is no such data format.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> group_norm = snt.GroupNorm(groups=4)
        >>> group_norm(tf.ones([8, 28, 28, 16])).shape, group_norm.gamma.shape
        (TensorShape([8, 28, 28, 16]), TensorShape([16]))
    """

    def __init__(
        self,
        groups: int = 32,
        data_format: str | None = None,
        offset: bool = True,
        scale: bool = True,
        eps: float = 1e-5,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        name: str = "group_norm",
    ) -> None:
        super().__init__(
            data_format, offset, scale, eps, initializers, partitioners, regularizers, name
        )
        self._groups = operator.index(groups)
        if self._groups < 1:
            raise ValueError(f"{self.scope_name}: groups must be at least 1, got {groups}.")

    def _build(self, inputs: Any) -> Any:
        """Normalises `inputs`.

        Args:
            inputs: Tensor of a floating-point type, its axes as in the data format. Their sizes may
                be unknown, but for the channels.

        Returns:
            Tensor of the shape and dtype of `inputs`.

        Raises:
            IncompatibleShapeError: If the rank of the input is not that of the data format, or the
                channels cannot be divided into groups of the same size.
            UnderspecifiedError: If the number of channels is unknown.
            ValueError: If it is another one than before.
            TypeError: If the input is not of a floating-point type.
        """
        inputs = floating_tensor(inputs, self.scope_name)
        data_format = find_data_format(self._data_format, inputs.shape, self.scope_name)
        sizes = inputs.shape.as_list()
        rank, channel_axis = len(sizes), data_format.channel_axis
        channels = sizes[channel_axis]
        if channels % self._groups:
            raise IncompatibleShapeError(
                f"{self.scope_name}: {channels} channels cannot be divided into {self._groups} "
                f"groups of the same size: got the shape {sizes}."
            )
        dtype = statistics_dtype(inputs.dtype)
        self._make_variables(data_format, channels, dtype)
        split = [self._groups, channels // self._groups]

        def shape() -> Any:
            sizes = tf.shape(inputs)
            return tf.concat([sizes[:channel_axis], split, sizes[channel_axis + 1 :]], axis=0)

        values = reshape(
            tf.cast(inputs, dtype),
            [*sizes[:channel_axis], *split, *sizes[channel_axis + 1 :]],
            shape,
        )
        # The axis of the groups now stands where the channels were, and their members after it.
        axes = [axis for axis in range(1, rank + 1) if axis != channel_axis]
        outputs = self._normalised(values, axes, split + [1] * (rank - 1 - channel_axis))
        return tf.cast(reshape(outputs, sizes, lambda: tf.shape(inputs)), inputs.dtype)


class InstanceNorm(_ChannelNorm):
    """Instance normalisation: by mean and variance of each channel of each example.

    After Ulyanov, Vedaldi and Lempitsky, "Instance normalization: The missing ingredient for fast
    stylization", 2016, https://arxiv.org/abs/1607.08022. It computes
    `y = gamma (x - mean) / √(variance + eps) + beta`.

    Variables, both `[channels]`, in the dtype of the input, but float32 beside float16 and
    bfloat16: `gamma`, by default ones, and `beta`, by default zeros. Inputs of 16 bits are computed
    with in float32.

    Args:
        data_format: "NWC", "NCW", "NHWC", "NCHW", "NDHWC" or "NCDHW". Default: by the rank of the
            first input the one with the channels last.
        offset: Whether there is the learnt offset `beta`. Default: True.
        scale: Whether there is the learnt factor `gamma`. Default: True.
        eps: Small number that is added to the variance. Default: 1e-5.
        initializers: Initializers "gamma" and "beta". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        name: Name of the module. Default: "instance_norm".

    Raises:
        ValueError: If there is no such data format.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> instance_norm = snt.InstanceNorm(data_format="NCW")
        >>> instance_norm(tf.constant([[[1.0, 2.0, 3.0]]])).numpy().round(2)
        array([[[-1.22,  0.  ,  1.22]]], dtype=float32)
    """

    def __init__(
        self,
        data_format: str | None = None,
        offset: bool = True,
        scale: bool = True,
        eps: float = 1e-5,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        name: str = "instance_norm",
    ) -> None:
        super().__init__(
            data_format, offset, scale, eps, initializers, partitioners, regularizers, name
        )

    def _build(self, inputs: Any) -> Any:
        """Normalises `inputs`.

        Args:
            inputs: Tensor of a floating-point type, its axes as in the data format. Their sizes may
                be unknown, but for the channels.

        Returns:
            Tensor of the shape and dtype of `inputs`.

        Raises:
            IncompatibleShapeError: If the rank of the input is not that of the data format, or
                there are no axes besides the batch and the channels.
            UnderspecifiedError: If the number of channels is unknown.
            ValueError: If it is another one than before.
            TypeError: If the input is not of a floating-point type.
        """
        inputs = floating_tensor(inputs, self.scope_name)
        data_format = find_data_format(self._data_format, inputs.shape, self.scope_name)
        sizes = inputs.shape.as_list()
        axes = data_format.spatial(range(len(sizes)))
        if not axes:
            raise IncompatibleShapeError(
                f"{self.scope_name}: instance normalisation needs axes besides the batch and the "
                f"channels, got the shape {sizes}."
            )
        channels = sizes[data_format.channel_axis]
        dtype = statistics_dtype(inputs.dtype)
        self._make_variables(data_format, channels, dtype)
        shape = [channels] + [1] * len(axes) if data_format.channels_first else [channels]
        return tf.cast(self._normalised(tf.cast(inputs, dtype), axes, shape), inputs.dtype)
