"""`SeparableConv1D` and `SeparableConv2D`: convolutions of space, then of channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from snt_nets.conv.padded import PaddedConvolution, checked_channel_multiplier
from snt_nets.conv.padding import CONSTANT_PADDING, SAME
from snt_nets.conv.sizes import Sizes


class SeparableConvND(PaddedConvolution):
    """Base class of the separable convolutions; see `snt.SeparableConv2D`."""

    _WEIGHTS = {"w_dw", "w_pw"}  # noqa: RUF012

    def __init__(
        self,
        output_channels: int | Callable[[], int],
        channel_multiplier: int,
        kernel_shape: Sizes,
        stride: Sizes = 1,
        rate: Sizes = 1,
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
            output_channels,
            kernel_shape,
            stride,
            rate,
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
        lifted, kernel, dtype = self._lifted, self._lifted.kernel_shape, inputs.dtype
        inner_channels = input_channels * self._channel_multiplier
        w_dw = self._weights(
            "w_dw", (*kernel, input_channels, self._channel_multiplier), kernel, dtype
        )
        w_pw = self._weights(
            "w_pw", (1, 1, inner_channels, self.output_channels), (inner_channels,), dtype
        )
        self._w = (w_dw, w_pw)
        return self._window.through_lifted(
            lambda images: tf.nn.separable_conv2d(
                images,
                w_dw,
                w_pw,
                strides=lifted.strides,
                padding=lifted.op_padding,
                data_format=lifted.data_format.name,
                dilations=lifted.rate,
            ),
            self._window.pad(inputs),
        )

    @property
    def channel_multiplier(self) -> int:
        """Number of channels between the two convolutions for each input channel."""
        return self._channel_multiplier

    @property
    def w_dw(self) -> Any:
        """The weights of the depthwise convolution.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return self.w[0]

    @property
    def w_pw(self) -> Any:
        """The weights of the pointwise convolution.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return self.w[1]

    def _arguments(self) -> dict[str, Any]:
        return {
            **super()._arguments(),
            "output_channels": self.output_channels,
            "channel_multiplier": self._channel_multiplier,
            "rate": self.rate,
        }


class SeparableConv1D(SeparableConvND):
    """Separable convolution along one axis, for instance time.

    Each channel is convolved by itself, into `channel_multiplier` channels; a 1×1 convolution
    combines these.

    Variables, in the dtype of the input, by default from truncated normal distributions of
    standard deviation 1/√fan_in: `w_dw` `[1, width, input_channels, channel_multiplier]`, of
    fan_in width; `w_pw` `[1, 1, input_channels * channel_multiplier, output_channels]`, of fan_in
    input_channels · channel_multiplier; `b` `[output_channels]`, by default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        channel_multiplier: Number of channels between the two for each input channel.
        kernel_shape: Size of the kernel, `[width]`; or one number.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        rate: Dilation, likewise; 1 if a stride is not. Default: 1.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w_dw", "w_pw" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NWC" or "NCW". Default: "NWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "separable_conv1d".

    Raises:
        ValueError: If `channel_multiplier` is not a positive integer, or the data format or the
            padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        NotSupportedError: If a stride and a rate are both greater than 1.
        TypeError: If a padding is unknown, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.SeparableConv1D(output_channels=6, channel_multiplier=2, kernel_shape=3)
        >>> conv(tf.ones([8, 20, 5])).shape, conv.w_dw.shape, conv.w_pw.shape
        (TensorShape([8, 20, 6]), TensorShape([1, 3, 5, 2]), TensorShape([1, 1, 10, 6]))
    """

    _SPATIAL_DIMS = 1
    _DEFAULT_NAME = "separable_conv1d"


class SeparableConv2D(SeparableConvND):
    """Separable convolution of images.

    Each channel is convolved by itself, into `channel_multiplier` channels; a 1×1 convolution
    combines these.

    Variables, in the dtype of the input, by default from truncated normal distributions of
    standard deviation 1/√fan_in: `w_dw` `[height, width, input_channels, channel_multiplier]`, of
    fan_in height · width; `w_pw` `[1, 1, input_channels * channel_multiplier, output_channels]`, of
    fan_in input_channels · channel_multiplier; `b` `[output_channels]`, by default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        channel_multiplier: Number of channels between the two for each input channel.
        kernel_shape: Size of the kernel, `[height, width]`; or one number for both.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
            TensorFlow's op refuses strides that differ.
        rate: Dilation, likewise; 1 if a stride is not. Default: 1.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`; or one for each of the
            spatial axes. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w_dw", "w_pw" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NHWC" or "NCHW". Default: "NHWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "separable_conv2d".

    Raises:
        ValueError: If `channel_multiplier` is not a positive integer, or the data format or the
            padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        NotSupportedError: If a stride and a rate are both greater than 1.
        TypeError: If a padding is unknown, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.SeparableConv2D(output_channels=6, channel_multiplier=2, kernel_shape=3)
        >>> conv(tf.ones([8, 28, 28, 5])).shape, conv.w_dw.shape, conv.w_pw.shape
        (TensorShape([8, 28, 28, 6]), TensorShape([3, 3, 5, 2]), TensorShape([1, 1, 10, 6]))
    """

    _SPATIAL_DIMS = 2
    _DEFAULT_NAME = "separable_conv2d"
