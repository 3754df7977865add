"""`InPlaneConv2D`: one kernel for all channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from snt_nets.conv.formats import DATA_FORMAT_NHWC
from snt_nets.conv.padded import PaddedConvolution
from snt_nets.conv.padding import CONSTANT_PADDING, SAME
from snt_nets.conv.sizes import Sizes


class InPlaneConv2D(PaddedConvolution):
    """Convolution of each channel of images by itself, all with the same kernel.

    Variables, in the dtype of the input: `w` `[height, width, 1, 1]`, by default from a truncated
    normal distribution of standard deviation 1/√(height · width); `b` `[input_channels]`, by
    default zeros.

    Args:
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
        name: Name of the module. Default: "in_plane_conv2d".

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a padding is unknown, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> blur = snt.InPlaneConv2D(kernel_shape=5, use_bias=False)
        >>> blur(tf.ones([8, 28, 28, 3])).shape, blur.w.shape
        (TensorShape([8, 28, 28, 3]), TensorShape([5, 5, 1, 1]))
    """

    _SPATIAL_DIMS = 2
    _DEFAULT_NAME = "in_plane_conv2d"

    def __init__(
        self,
        kernel_shape: Sizes,
        stride: Sizes = 1,
        padding: Any = SAME,
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        data_format: str = DATA_FORMAT_NHWC,
        padding_value: str = CONSTANT_PADDING,
        custom_getter: Any = None,
        name: str = "in_plane_conv2d",
    ) -> None:
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

    def _convolve(self, inputs: Any, input_channels: Any) -> Any:
        window, kernel = self._window, self.kernel_shape
        self._w = self._weights("w", (*kernel, 1, 1), kernel, inputs.dtype)
        return tf.nn.depthwise_conv2d(
            window.pad(inputs),
            tf.tile(self._w, [1, 1, input_channels, 1]),
            strides=window.strides,
            padding=window.op_padding,
            data_format=self.data_format,
        )

    @property
    def output_channels(self) -> int:
        """Number of output channels, which is that of the input channels.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return self.input_channels
