"""The window of a convolution: what it covers, how it moves, and what lies beyond the ends."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from snt_core.errors import NotSupportedError
from snt_nets.conv.formats import (
    DATA_FORMAT_NCHW,
    DATA_FORMAT_NHWC,
    DataFormat,
    checked_data_format,
)
from snt_nets.conv.padding import (
    CONSTANT_PADDING,
    SAME,
    VALID,
    checked_padding_value,
    checked_paddings,
    padding_amounts,
)
from snt_nets.conv.sizes import checked_sizes, checked_stride


@dataclasses.dataclass(frozen=True)
class Window:
    """A window that moves over the spatial axes of a tensor.

    Attributes:
        data_format: Order of the axes of the tensor.
        kernel_shape: Number of elements that it looks at, along each spatial axis.
        stride: How far it moves.
        rate: Distance of the elements that it looks at.
        paddings: How far it may reach beyond the ends, by the names of `snt_nets.conv.padding`.
        padding_value: What it finds there, by the modes of `tf.pad`.
    """

    data_format: DataFormat
    kernel_shape: tuple[int, ...]
    stride: tuple[int, ...]
    rate: tuple[int, ...]
    paddings: tuple[str, ...]
    padding_value: str = CONSTANT_PADDING

    @functools.cached_property
    def op_padding(self) -> str:
        """Padding of the op: SAME if TensorFlow is to pad, VALID if `pad` has done so."""
        same = set(self.paddings) == {SAME} and self.padding_value == CONSTANT_PADDING
        return SAME if same else VALID

    @functools.cached_property
    def strides(self) -> tuple[int, ...]:
        """Strides of all axes, in the order of the data format."""
        return self.data_format.arrange(1, self.stride, 1)

    @functools.cached_property
    def _amounts(self) -> tuple[tuple[int, int], ...]:
        if self.op_padding == SAME:
            return ()
        amounts = [
            padding_amounts(padding, (size - 1) * rate + 1)
            for padding, size, rate in zip(self.paddings, self.kernel_shape, self.rate, strict=True)
        ]
        return self.data_format.arrange((0, 0), amounts, (0, 0)) if any(map(any, amounts)) else ()

    def pad(self, inputs: Any) -> Any:
        """Pads `inputs` with all that the op does not pad by itself."""
        if not self._amounts:
            return inputs
        return tf.pad(inputs, self._amounts, mode=self.padding_value)

    def lifted(self, height_stride: int = 1) -> Window:
        """Returns a window for ops that TensorFlow has in two dimensions, but not in one.

        A 1-D window becomes one on images of height 1, which need no further padding; another
        one stays what it is.

        Args:
            height_stride: The stride along the height.
        """
        if self.data_format.spatial_dims > 1:
            return self
        channels_first = self.data_format.channels_first
        return Window(
            DataFormat(DATA_FORMAT_NCHW if channels_first else DATA_FORMAT_NHWC),
            kernel_shape=(1, *self.kernel_shape),
            stride=(height_stride, *self.stride),
            rate=(1, *self.rate),
            paddings=(self.op_padding,) * 2,
        )

    def through_lifted(self, convolve: Callable[[Any], Any], inputs: Any) -> Any:
        """Convolves `inputs` by an op for the lifted window.

        Args:
            convolve: Calls the op; given images of height 1 where this is a 1-D window.
            inputs: Tensor in the data format of this window.

        Returns:
            Tensor in the same data format.
        """
        if self.data_format.spatial_dims > 1:
            return convolve(inputs)
        height_axis = 2 if self.data_format.channels_first else 1
        return tf.squeeze(convolve(tf.expand_dims(inputs, height_axis)), [height_axis])


def checked_window(
    module: str,
    spatial_dims: int,
    data_format: Any,
    kernel_shape: Any,
    stride: Any,
    rate: Any,
    padding: Any,
    padding_value: Any,
) -> Window:
    """Returns a window from the arguments of a module.

    Args:
        module: Name of the module.
        spatial_dims: Number of spatial axes.
        data_format: Name of the data format, or None for the one with the channels last.
        kernel_shape: One number for all axes, or an iterable of one for each.
        stride: Likewise; or strides of all axes, batch and channels included.
        rate: Likewise; 1 if a stride is not.
        padding: One of the five paddings, or an iterable of one for each axis.
        padding_value: One of the three padding values.

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        NotSupportedError: If the window neither moves by 1 nor looks at neighbours only.
        TypeError: If a padding is unknown.
    """
    order = checked_data_format(data_format, spatial_dims, module)
    kernel = checked_sizes("kernel", kernel_shape, spatial_dims, module)
    strides = checked_stride(stride, order, module)
    rates = checked_sizes("rate", rate, spatial_dims, module)
    if max(strides) > 1 and max(rates) > 1:
        raise NotSupportedError(
            f"{module}: Cannot have stride > 1 with rate > 1, got the stride {strides} and the "
            f"rate {rates}."
        )
    paddings = checked_paddings(padding, spatial_dims, module)
    value = checked_padding_value(padding_value, module)
    return Window(order, kernel, strides, rates, paddings, value)
