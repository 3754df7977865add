"""Sizes of kernels, strides, rates and outputs: one number for each spatial axis."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow.compat.v1 as tf1

from snt_core.errors import IncompatibleShapeError
from snt_nets.conv.formats import DataFormat
from snt_nets.conv.padding import SAME

Sizes = int | Iterable[int]


def fill_shape(x: Any, n: int) -> tuple[int, ...]:
    """Returns `x` as one size for each of `n` axes.

    Args:
        x: A positive integer, for all axes, or an iterable of `n` of them. A `TensorShape` is such
            an iterable, and an entry of one is an integer.
        n: Number of axes.

    Raises:
        TypeError: If `x` is neither, or `n` is not a positive integer.

    Example:
        >>> fill_shape(3, n=2), fill_shape([3, 5], n=2)
        ((3, 3), (3, 5))
    """
    if not isinstance(n, numbers.Integral) or n < 1:
        raise TypeError(f"n must be a positive integer, got {n!r}.")
    size = _positive_integer(x)
    if size is not None:
        return (size,) * n
    if isinstance(x, Iterable):
        entries = [_positive_integer(entry) for entry in x]
        sizes = tuple(size for size in entries if size is not None)
        if len(sizes) == len(entries) == n:
            return sizes
    raise TypeError(
        f"x is {x}, must be either a positive integer or an iterable of positive integers of size "
        f"{n}"
    )


def _positive_integer(x: Any) -> int | None:
    try:
        size = operator.index(x)
    except TypeError:
        return None
    return size if size > 0 else None


def checked_sizes(what: str, given: Any, n: int, module: str) -> tuple[int, ...]:
    """Returns `given` as one size for each of `n` axes.

    Args:
        what: What the sizes are of, for the message.
        given: As for `fill_shape`.
        n: Number of axes.
        module: Name of the module that asks.

    Raises:
        IncompatibleShapeError: If they are not sizes, or not so many.
    """
    try:
        return fill_shape(given, n)
    except TypeError as error:
        raise IncompatibleShapeError(f"{module}: Invalid {what} shape: {error}.") from None


def checked_stride(given: Any, data_format: DataFormat, module: str) -> tuple[int, ...]:
    """Returns the strides of the spatial axes.

    Args:
        given: As for `fill_shape`; or strides of all axes, of which the batch and the channels
            have 1.
        data_format: Order of the axes.
        module: Name of the module that asks.

    Raises:
        IncompatibleShapeError: If they are not strides, or not so many.
    """
    n = data_format.spatial_dims
    if isinstance(given, Iterator):
        given = tuple(given)
    if isinstance(given, Iterable) and len(entries := tuple(given)) == n + 2:
        if entries[0] != 1 or entries[data_format.channel_axis] != 1:
            ones = "First and second" if data_format.channels_first else "First and last"
            raise IncompatibleShapeError(
                f"{module}: Invalid stride: {ones} element must be 1, those of the batch and the "
                f"channels of {data_format.name}, got {entries}."
            )
        given = data_format.spatial(entries)
    return checked_sizes("stride", given, n, module)


def default_transpose_size(
    input_shape: Iterable[Any], stride: Sizes, kernel_shape: Any = None, padding: str = SAME
) -> tuple[Any, ...]:
    """Returns the largest spatial size whose convolution has the size `input_shape`.

    Args:
        input_shape: Sizes of the spatial axes: integers, scalar tensors, or None where unknown.
        stride: Stride of the convolution; one number, or one for each axis.
        kernel_shape: Size of its kernel, likewise; needed with the padding VALID.
        padding: Its padding, SAME or VALID.

    Raises:
        TypeError: If there is no size, or the others are not sizes.

    Example:
        >>> default_transpose_size([5, None], stride=2, kernel_shape=3, padding="VALID")
        (12, None)
    """
    sizes = () if input_shape is None else tuple(map(tf1.dimension_value, input_shape))
    if not sizes:
        raise TypeError("input_shape is None: there must be at least one spatial size.")
    strides = fill_shape(stride, len(sizes))
    kernel = (1,) * len(sizes) if padding == SAME else fill_shape(kernel_shape, len(sizes))
    return tuple(
        None if size is None else _spread(size, s, k)
        for size, s, k in zip(sizes, strides, kernel, strict=True)
    )


def _spread(size: Any, stride: int, kernel: int) -> Any:
    # A tensor would not leave out what changes nothing.
    size = size if stride == 1 else size * stride
    return size if kernel == 1 else size + (kernel - 1)
