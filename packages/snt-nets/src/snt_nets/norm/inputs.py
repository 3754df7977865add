"""What the normalisation layers ask of their inputs and axes."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from snt_core.errors import IncompatibleShapeError, UnderspecifiedError
from snt_nets.conv.formats import (
    SUPPORTED_1D_DATA_FORMATS,
    SUPPORTED_2D_DATA_FORMATS,
    SUPPORTED_3D_DATA_FORMATS,
    DataFormat,
)

SUPPORTED_DATA_FORMATS = {
    "NC",
    *SUPPORTED_1D_DATA_FORMATS,
    *SUPPORTED_2D_DATA_FORMATS,
    *SUPPORTED_3D_DATA_FORMATS,
}
_BY_RANK = {2: "NC", 3: "NWC", 4: "NHWC", 5: "NDHWC"}


def floating_tensor(inputs: Any, module: str) -> Any:
    """Returns the inputs as a tensor.

    Args:
        inputs: Tensor, or what can be converted to one.
        module: Name of the module that asks.

    Raises:
        TypeError: If it is not of a floating-point type.
    """
    inputs = tf.convert_to_tensor(inputs)
    if not inputs.dtype.is_floating:
        raise TypeError(
            f"{module}: inputs must be of a floating-point type, got {inputs.dtype.name}. Use "
            "tf.cast."
        )
    return inputs


def statistics_dtype(dtype: Any) -> Any:
    """Returns the type for statistics of inputs of `dtype`: float32 for those of 16 bits."""
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


def check_data_format(given: str | None, module: str) -> None:
    """Checks the name of a data format.

    Args:
        given: The name, or None.
        module: Name of the module that asks.

    Raises:
        ValueError: If there is no such format.
    """
    if given is not None and given not in SUPPORTED_DATA_FORMATS:
        raise ValueError(
            f"{module}: Invalid data_format {given!r}, must be one of "
            f"{sorted(SUPPORTED_DATA_FORMATS)}, or None to infer it from the rank of the input."
        )


def find_data_format(given: str | None, shape: Any, module: str) -> DataFormat:
    """Returns the data format of an input.

    Args:
        given: Name of the format, or None for the one of that rank with the channels last.
        shape: Static shape of the input.
        module: Name of the module that asks.

    Raises:
        IncompatibleShapeError: If the input is of another rank than the format.
        UnderspecifiedError: If the number of channels is unknown.
    """
    sizes = shape.as_list()
    rank = len(sizes)
    if given is None:
        if rank not in _BY_RANK:
            raise IncompatibleShapeError(
                f"{module}: the input has too many or too few dimensions to infer the data "
                f"format: must be 2 to 5, got the shape {shape}."
            )
        given = _BY_RANK[rank]
    if len(given) != rank:
        raise IncompatibleShapeError(
            f"{module}: Incorrect data format {given} for an input of rank {rank}: got the shape "
            f"{shape}."
        )
    data_format = DataFormat(given)
    if sizes[data_format.channel_axis] is None:
        raise UnderspecifiedError(
            f"{module}: the number of channels must be known to make the variables, got the shape "
            f"{shape} for the data format {given}. Use set_shape on the input."
        )
    return data_format


def checked_axes(axis: Any, module: str) -> tuple[int, ...] | None:
    """Returns the axes that `axis` names.

    Args:
        axis: An integer, an iterable of integers, or None.
        module: Name of the module that asks.

    Raises:
        ValueError: If `axis` is anything else.
    """
    if axis is None:
        return None
    axes = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    if not all(isinstance(a, numbers.Integral) and not isinstance(a, bool) for a in axes):
        raise ValueError(f"{module}: axis should be an int or an iterable of ints, got {axis!r}.")
    return tuple(map(int, axes))


def check_axes_exist(axes: Iterable[int], rank: int, module: str) -> None:
    """Checks that an input has the axes.

    Args:
        axes: The axes, negative ones counted from the last.
        rank: Rank of the input.
        module: Name of the module that asks.

    Raises:
        ValueError: If one is missing, or there twice.
    """
    axes = list(axes)
    missing = [axis for axis in axes if not -rank <= axis < rank]
    if missing or len({axis % rank for axis in axes}) < len(axes):
        raise ValueError(
            f"{module}: axis must name axes of the input, each once, got {axes} for an input of "
            f"rank {rank}."
        )
