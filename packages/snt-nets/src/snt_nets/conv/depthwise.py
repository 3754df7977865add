"""`DepthwiseConv1D` and `DepthwiseConv2D`: convolutions of each channel by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from snt_nets.conv.padded import PaddedConvolution, checked_channel_multiplier
from snt_nets.conv.padding import CONSTANT_PADDING, SAME
from snt_nets.conv.sizes import Sizes


class DepthwiseConvND(PaddedConvolution):
    """Base class of the depthwise convolutions; see `snt.DepthwiseConv2D`."""

    def __init__(
        self,
        channel_multiplier: int,
        kernel_shape: Sizes,
        stride: Sizes = 1,
        padding: Any = SAME,
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        data_format: str | None = None,
        padding_value: str = CONSTANT_PADDING,
        custom_getter: Any = None,
        name: str | None = None,
    ) -> None:
        multiplier = checked_channel_multiplier(channel_multiplier)
        super().__init__(
            None,
            kernel_shape,
            stride,
            1,
            padding,
            use_bias,
            initializers,
            partitioners,
            regularizers,
            data_format,
            padding_value,
            custom_getter,
            name,
        )
        self._channel_multiplier = multiplier
        # TensorFlow's kernel wants equal strides; along a height of 1 any will do.
        self._lifted = self._window.lifted(height_stride=self._window.stride[0])

    def _convolve(self, inputs: Any, input_channels: Any) -> Any:
        lifted, kernel = self._lifted, self._lifted.kernel_shape
        self._w = self._weights(
            "w", (*kernel, input_channels, self._channel_multiplier), kernel, inputs.dtype
        )
        return self._window.through_lifted(
            lambda images: tf.nn.depthwise_conv2d(
                images,
                self._w,
                strides=lifted.strides,
                padding=lifted.op_padding,
                data_format=lifted.data_format.name,
            ),
            self._window.pad(inputs),
        )

    @property
    def channel_multiplier(self) -> int:
        """Number of outputs of each input channel."""
        return self._channel_multiplier

    @property
    def output_channels(self) -> int:
        """Number of output channels.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return self.input_channels * self._channel_multiplier

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "channel_multiplier": self._channel_multiplier}


class DepthwiseConv1D(DepthwiseConvND):
    """Convolution of each channel by itself along one axis, with kernels of its own.

    Output channel `q * channel_multiplier + j` is the convolution of input channel `q` with the
    kernel `[:, :, q, j]`.

    Variables, in the dtype of the input: `w` `[1, width, input_channels, channel_multiplier]`,
    like `w_dw` of `snt.SeparableConv1D`, by default from a truncated normal distribution of
    standard deviation 1/√width; `b` `[input_channels * channel_multiplier]`, by default zeros.

    Args:
        channel_multiplier: Number of outputs of each input channel.
        kernel_shape: Size of the kernel, `[width]`; or one number.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NWC" or "NCW". Default: "NWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_1d_depthwise".

    Raises:
        ValueError: If `channel_multiplier` is not a positive integer, or the data format or the
            padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a padding is unknown, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.DepthwiseConv1D(channel_multiplier=2, kernel_shape=3, padding=snt.CAUSAL)
        >>> conv(tf.ones([8, 20, 5])).shape, conv.w.shape
        (TensorShape([8, 20, 10]), TensorShape([1, 3, 5, 2]))
    """

    _SPATIAL_DIMS = 1
    _DEFAULT_NAME = "conv_1d_depthwise"


class DepthwiseConv2D(DepthwiseConvND):
    """Convolution of each channel of images by itself, with kernels of its own.

    Output channel `q * channel_multiplier + j` is the convolution of input channel `q` with the
    kernel `[:, :, q, j]`.

    Variables, in the dtype of the input: `w` `[height, width, input_channels,
    channel_multiplier]`, by default from a truncated normal distribution of standard deviation
    1/√(height · width); `b` `[input_channels * channel_multiplier]`, by default zeros.

    Args:
        channel_multiplier: Number of outputs of each input channel.
        kernel_shape: Size of the kernel, `[height, width]`; or one number for both.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
            TensorFlow's op refuses strides that differ.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`; or one for each of the
            spatial axes. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NHWC" or "NCHW". Default: "NHWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_2d_depthwise".

    Raises:
        ValueError: If `channel_multiplier` is not a positive integer, or the data format or the
            padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a padding is unknown, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.DepthwiseConv2D(channel_multiplier=2, kernel_shape=3, stride=2)
        >>> conv(tf.ones([8, 28, 28, 5])).shape, conv.w.shape
        (TensorShape([8, 14, 14, 10]), TensorShape([3, 3, 5, 2]))
    """

    _SPATIAL_DIMS = 2
    _DEFAULT_NAME = "conv_2d_depthwise"
