"""`Conv1DTranspose`, `Conv2DTranspose` and `Conv3DTranspose`: transposed convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import IncompatibleShapeError
from snt_core.transposable import Transposable
from snt_nets.conv.base import Convolution
from snt_nets.conv.formats import checked_data_format
from snt_nets.conv.padding import SAME, checked_transpose_padding
from snt_nets.conv.sizes import Sizes, checked_sizes, checked_stride, default_transpose_size
from snt_nets.conv.window import Window


class ConvNDTranspose(Convolution, Transposable):
    """Base class of the transposed convolutions; see `snt.Conv2DTranspose`."""

    def __init__(
        self,
        output_channels: int | Callable[[], int],
        output_shape: Sizes | Callable[[], Iterable[int | None]] | None = None,
        kernel_shape: Sizes | None = None,
        stride: Sizes = 1,
        padding: str = SAME,
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        data_format: str | None = None,
        custom_getter: Any = None,
        name: str | None = None,
    ) -> None:
        module, n = self._DEFAULT_NAME if name is None else name, self._SPATIAL_DIMS
        order = checked_data_format(data_format, n, module)
        if kernel_shape is None:
            raise ValueError(f"{module}: `kernel_shape` cannot be None.")
        window = Window(
            order,
            checked_sizes("kernel", kernel_shape, n, module),
            checked_stride(stride, order, module),
            rate=(1,) * n,
            paddings=(checked_transpose_padding(padding, module),) * n,
        )
        if output_shape is not None and not callable(output_shape):
            output_shape = checked_sizes("output_shape", output_shape, n, module)
        super().__init__(
            window,
            output_channels,
            use_bias,
            initializers,
            partitioners,
            regularizers,
            custom_getter,
            name,
        )
        self._lifted = window.lifted()
        self._output_shape = output_shape
        self._last_size: tuple[int | None, ...] | None = None

    def _convolve(self, inputs: Any, input_channels: Any) -> Any:
        window, lifted = self._window, self._lifted
        input_shape = inputs.shape.as_list()
        size = self._static_size(window.data_format.spatial(input_shape))
        channels = self.output_channels
        self._w = self._weights(
            "w",
            (*lifted.kernel_shape, channels, input_channels),
            (*lifted.kernel_shape, input_channels),
            inputs.dtype,
        )
        batch, dynamic_size = input_shape[0], size
        if batch is None or None in size:
            batch, dynamic_size = self._dynamic_sizes(inputs, size)
        height = (1,) * (len(lifted.kernel_shape) - len(size))  # of images, for a 1-D window
        output_shape = lifted.data_format.arrange(batch, height + dynamic_size, channels)
        convolve = tf.nn.conv3d_transpose if len(size) == 3 else tf.nn.conv2d_transpose
        outputs = window.through_lifted(
            lambda tensor: convolve(
                tensor,
                self._w,
                output_shape=output_shape,
                strides=lifted.strides,
                padding=window.op_padding,
                data_format=lifted.data_format.name,
            ),
            inputs,
        )
        outputs.set_shape(window.data_format.arrange(input_shape[0], size, channels))
        self._last_size = size
        return outputs

    def _static_size(self, input_size: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the spatial size of the outputs, with None where it is not known."""
        default, wanted = self._default_size(input_size), self._wanted_size()
        if wanted is None:
            return default
        if len(wanted) != self._SPATIAL_DIMS:
            raise IncompatibleShapeError(
                f"{self.scope_name}: Output shape must have rank {self._SPATIAL_DIMS}, one size "
                f"for each spatial axis, got {wanted}."
            )
        return tuple(d if w is None else w for w, d in zip(wanted, default, strict=True))

    def _wanted_size(self) -> tuple[int | None, ...] | None:
        """Returns the size that was asked for; None, or None in it, asks for the default."""
        if callable(self._output_shape):
            wanted = tuple(map(tf1.dimension_value, self._output_shape()))
            if None in wanted:  # which may become known
                return wanted
            self._output_shape = wanted
        return self._output_shape

    def _dynamic_sizes(
        self, inputs: Any, size: tuple[int | None, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns batch and spatial size of the outputs, as tensors where they are not known."""
        static_batch, shape = inputs.shape.as_list()[0], tf.shape(inputs)
        axes = self._window.data_format.spatial(range(inputs.shape.rank))
        # Those that are known already need no ops.
        input_size = [1 if s is not None else shape[a] for s, a in zip(size, axes, strict=True)]
        default = self._default_size(input_size)
        return (
            shape[0] if static_batch is None else static_batch,
            tuple(d if s is None else s for s, d in zip(size, default, strict=True)),
        )

    def _default_size(self, input_size: Iterable[Any]) -> tuple[Any, ...]:
        window = self._window
        return default_transpose_size(
            input_size, window.stride, window.kernel_shape, window.op_padding
        )

    @property
    def padding(self) -> str:
        """The padding, SAME or VALID."""
        return self._window.op_padding

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Spatial size of the outputs: as it was given, or that of the last connection.

        Raises:
            NotConnectedError: If it was not given, and the module is not connected yet.
        """
        if self._output_shape is not None:
            wanted = self._wanted_size()
        else:
            self._ensure_is_connected()
            wanted = self._last_size
        assert wanted is not None
        return wanted

    def _arguments(self) -> dict[str, Any]:
        return {
            **self._shared_arguments(),
            "output_channels": self.output_channels,
            "output_shape": self._output_shape,
            "padding": self.padding,
        }

    def transpose(self, name: str | None = None) -> Any:  # type: ignore[override]
        """Returns a new convolution, from the output channels of this one to its input channels.

        It may be made before this module is connected, and connected after.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
        """
        from snt_nets.conv.conv import Conv1D, Conv2D, Conv3D  # which import this module

        convolution: Any = {1: Conv1D, 2: Conv2D, 3: Conv3D}[self._SPATIAL_DIMS]
        return convolution(
            output_channels=lambda: self.input_channels,
            padding=self.padding,
            name=name or f"{self.module_name}_transpose",
            **self._shared_arguments(),
        )


class Conv1DTranspose(ConvNDTranspose):
    """Transposed convolution along one axis, for instance time.

    It does what the gradient of `snt.Conv1D` does to gradients, and so undoes its change of
    size.

    Variables, in the dtype of the input: `w` `[1, width, output_channels, input_channels]`, by
    default from a truncated normal distribution of standard deviation 1/√fan_in, where fan_in is
    width · input_channels; `b` `[output_channels]`, by default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        output_shape: Spatial size of the outputs, `[width]`; or one number;
            or a function without arguments that returns an iterable of them, called when they are
            first needed. Default: the largest size whose convolution has the size of the input,
            `n * stride` for SAME and `n * stride + kernel - 1` for VALID.
        kernel_shape: Size of the kernel, `[width]`; or one number.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        padding: `snt.SAME` or `VALID`. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NWC" or "NCW". Default: "NWC".
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_1d_transpose".

    Raises:
        ValueError: If the data format or the padding is unknown, or there is no `kernel_shape`.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.Conv1DTranspose(output_channels=4, kernel_shape=3, stride=2)
        >>> conv(tf.ones([8, 10, 2])).shape, conv.w.shape
        (TensorShape([8, 20, 4]), TensorShape([1, 3, 4, 2]))
    """

    _SPATIAL_DIMS = 1
    _DEFAULT_NAME = "conv_1d_transpose"


class Conv2DTranspose(ConvNDTranspose):
    """Transposed convolution of images.

    It does what the gradient of `snt.Conv2D` does to gradients, and so undoes its change of
    size.

    Variables, in the dtype of the input: `w` `[height, width, output_channels, input_channels]`, by
    default from a truncated normal distribution of standard deviation 1/√fan_in, where fan_in is
    height · width · input_channels; `b` `[output_channels]`, by default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        output_shape: Spatial size of the outputs, `[height, width]`; or one number for both;
            or a function without arguments that returns an iterable of them, called when they are
            first needed. Default: the largest size whose convolution has the size of the input,
            `n * stride` for SAME and `n * stride + kernel - 1` for VALID.
        kernel_shape: Size of the kernel, `[height, width]`; or one number for both.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        padding: `snt.SAME` or `VALID`. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NHWC" or "NCHW". Default: "NHWC".
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_2d_transpose".

    Raises:
        ValueError: If the data format or the padding is unknown, or there is no `kernel_shape`.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.Conv2DTranspose(output_channels=3, kernel_shape=3, stride=2)
        >>> conv(tf.ones([8, 14, 14, 16])).shape, conv.w.shape
        (TensorShape([8, 28, 28, 3]), TensorShape([3, 3, 3, 16]))
    """

    _SPATIAL_DIMS = 2
    _DEFAULT_NAME = "conv_2d_transpose"


class Conv3DTranspose(ConvNDTranspose):
    """Transposed convolution of volumes.

    It does what the gradient of `snt.Conv3D` does to gradients, and so undoes its change of
    size.

    Variables, in the dtype of the input: `w` `[depth, height, width, output_channels,
    input_channels]`, by default from a truncated normal distribution of standard deviation
    1/√fan_in, where fan_in is depth · height · width · input_channels; `b` `[output_channels]`, by
    default zeros.

    Args:
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed.
        output_shape: Spatial size of the outputs, `[depth, height, width]`; or one number for all;
            or a function without arguments that returns an iterable of them, called when they are
            first needed. Default: the largest size whose convolution has the size of the input,
            `n * stride` for SAME and `n * stride + kernel - 1` for VALID.
        kernel_shape: Size of the kernel, `[depth, height, width]`; or one number for all.
        stride: Stride, likewise; or strides of all axes, batch and channels included. Default: 1.
        padding: `snt.SAME` or `VALID`. Default: SAME.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: "NDHWC" or "NCDHW". Default: "NDHWC".
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_3d_transpose".

    Raises:
        ValueError: If the data format or the padding is unknown, or there is no `kernel_shape`.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.Conv3DTranspose(output_channels=3, kernel_shape=2, padding=snt.VALID)
        >>> conv(tf.ones([2, 4, 4, 4, 5])).shape, conv.w.shape
        (TensorShape([2, 5, 5, 5, 3]), TensorShape([2, 2, 2, 3, 5]))
    """

    _SPATIAL_DIMS = 3
    _DEFAULT_NAME = "conv_3d_transpose"
