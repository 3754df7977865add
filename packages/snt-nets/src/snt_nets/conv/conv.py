"""`Conv1D`, `Conv2D` and `Conv3D`: convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from snt_core.errors import NotSupportedError
from snt_core.transposable import Transposable
from snt_nets.conv.mask import Mask
from snt_nets.conv.padded import PaddedConvolution
from snt_nets.conv.padding import CONSTANT_PADDING, SAME
from snt_nets.conv.sizes import Sizes
from snt_nets.conv.transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose

_TRANSPOSES: dict[int, Any] = {1: Conv1DTranspose, 2: Conv2DTranspose, 3: Conv3DTranspose}


class ConvND(PaddedConvolution):
    """Base class of the convolutions that combine all input channels; see `snt.Conv2D`."""

    def __init__(
        self,
        output_channels: int | Callable[[], int],
        kernel_shape: Sizes,
        stride: Sizes = 1,
        rate: Sizes = 1,
        padding: Any = SAME,
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        mask: Any = None,
        data_format: str | None = None,
        padding_value: str = CONSTANT_PADDING,
        custom_getter: Any = None,
        name: str | None = None,
    ) -> None:
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
        self._mask = None if mask is None else Mask(mask, self.scope_name)

    def _convolve(self, inputs: Any, input_channels: Any) -> Any:
        window = self._window
        fan_in_shape = (*window.kernel_shape, input_channels)
        shape = (*fan_in_shape, self.output_channels)
        self._w = weights = self._weights("w", shape, fan_in_shape, inputs.dtype)
        if self._mask is not None:
            weights = self._mask.apply(weights, shape, inputs.dtype)
        return tf.nn.convolution(
            window.pad(inputs),
            weights,
            strides=window.stride,
            padding=window.op_padding,
            data_format=self.data_format,
            dilations=window.rate,
        )

    @property
    def mask(self) -> Any:
        """The mask of the weights as a tensor, as it was given, or None."""
        return None if self._mask is None else self._mask.tensor()

    def _arguments(self) -> dict[str, Any]:
        return {
            **super()._arguments(),
            "output_channels": self.output_channels,
            "rate": self.rate,
            "mask": None if self._mask is None else self._mask.given,
        }


class _TransposableConvND(ConvND, Transposable):
    """Base class of those that have a transpose."""

    def transpose(self, name: str | None = None) -> Any:  # type: ignore[override]
        """Returns a new transposed convolution, from the output of this one to its input.

        It may be made before this module is connected, and connected after. Its outputs are of
        the size of the last input of this module before that; where the size was unknown, the
        default of transposed convolutions holds. A mask and a padding value are not passed on.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.

        Raises:
            NotSupportedError: If this is a dilated convolution, or one whose padding is not SAME
                or VALID throughout, with zeros for SAME.
        """
        window = self._window
        if max(window.rate) > 1:
            raise NotSupportedError(
                f"{self.scope_name}: Cannot transpose a dilated convolution, got the rate "
                f"{window.rate}."
            )
        if set(window.paddings) != {window.op_padding}:
            raise NotSupportedError(
                f"{self.scope_name}: Cannot transpose a convolution with mixed paddings or "
                f"paddings other than SAME or VALID, got {window.paddings} with the padding value "
                f"{window.padding_value}."
            )
        return _TRANSPOSES[self._SPATIAL_DIMS](
            output_channels=lambda: self.input_channels,
            output_shape=lambda: window.data_format.spatial(self.input_shape),
            padding=window.op_padding,
            name=name or f"{self.module_name}_transpose",
            **self._shared_arguments(),
        )


class Conv1D(_TransposableConvND):
    """Convolution along one axis, for instance time.

    Variables, in the dtype of the input: `w` `[width, input_channels, output_channels]`, by
    default from a truncated normal distribution of standard deviation 1/√fan_in, where fan_in is
    width · input_channels; `b` `[output_channels]`, by default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        kernel_shape: Size of the kernel, `[width]`; or one number.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        rate: Dilation, likewise; 1 if a stride is not. Default: 1.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`; or one for each of the
            spatial axes. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        mask: Tensor, array or list that the weights are multiplied by at each connection, of the
            shape of `w` or of its first axes. Optional.
        data_format: "NWC" or "NCW". Default: "NWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_1d".

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many, or the shape
            of the mask is unknown.
        NotSupportedError: If a stride and a rate are both greater than 1.
        TypeError: If a padding is unknown, the mask is not one, a dictionary is not one, or a
            value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.Conv1D(output_channels=4, kernel_shape=3, padding=snt.CAUSAL)
        >>> conv(tf.ones([8, 20, 2])).shape, conv.w.shape
        (TensorShape([8, 20, 4]), TensorShape([3, 2, 4]))
    """

    _SPATIAL_DIMS = 1
    _DEFAULT_NAME = "conv_1d"


class Conv2D(_TransposableConvND):
    """Convolution of images.

    Variables, in the dtype of the input: `w` `[height, width, input_channels, output_channels]`, by
    default from a truncated normal distribution of standard deviation 1/√fan_in, where fan_in is
    height · width · input_channels; `b` `[output_channels]`, by default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        kernel_shape: Size of the kernel, `[height, width]`; or one number for both.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        rate: Dilation, likewise; 1 if a stride is not. Default: 1.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`; or one for each of the
            spatial axes. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        mask: Tensor, array or list that the weights are multiplied by at each connection, of the
            shape of `w` or of its first axes. Optional.
        data_format: "NHWC" or "NCHW". Default: "NHWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_2d".

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many, or the shape
            of the mask is unknown.
        NotSupportedError: If a stride and a rate are both greater than 1.
        TypeError: If a padding is unknown, the mask is not one, a dictionary is not one, or a
            value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.Conv2D(output_channels=16, kernel_shape=3, stride=2)
        >>> conv(tf.ones([8, 28, 28, 3])).shape, conv.w.shape
        (TensorShape([8, 14, 14, 16]), TensorShape([3, 3, 3, 16]))
    """

    _SPATIAL_DIMS = 2
    _DEFAULT_NAME = "conv_2d"


class Conv3D(_TransposableConvND):
    """Convolution of volumes.

    Variables, in the dtype of the input: `w` `[depth, height, width, input_channels,
    output_channels]`, by default from a truncated normal distribution of standard deviation
    1/√fan_in, where fan_in is depth · height · width · input_channels; `b` `[output_channels]`, by
    default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        kernel_shape: Size of the kernel, `[depth, height, width]`; or one number for all.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        rate: Dilation, likewise; 1 if a stride is not. Default: 1.
        padding: `snt.SAME`, `VALID`, `FULL`, `CAUSAL` or `REVERSE_CAUSAL`; or one for each of the
            spatial axes. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        mask: Tensor, array or list that the weights are multiplied by at each connection, of the
            shape of `w` or of its first axes. Optional.
        data_format: "NDHWC" or "NCDHW". Default: "NDHWC".
        padding_value: What is padded, as in `tf.pad`: `snt.CONSTANT_PADDING` (zeros),
            `REFLECT_PADDING` or `SYMMETRIC_PADDING`. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_3d".

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many, or the shape
            of the mask is unknown.
        NotSupportedError: If a stride and a rate are both greater than 1.
        TypeError: If a padding is unknown, the mask is not one, a dictionary is not one, or a
            value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.Conv3D(output_channels=4, kernel_shape=[1, 3, 3], padding=snt.VALID)
        >>> conv(tf.ones([2, 8, 10, 10, 3])).shape, conv.w.shape
        (TensorShape([2, 8, 8, 8, 4]), TensorShape([1, 3, 3, 3, 4]))
    """

    _SPATIAL_DIMS = 3
    _DEFAULT_NAME = "conv_3d"
