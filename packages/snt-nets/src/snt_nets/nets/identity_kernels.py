"""Initializers of convolution kernels that make the convolution hand on its input."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1


def identity_kernel_initializer(
    shape: Iterable[int], dtype: Any = tf.float32, partition_info: Any = None
) -> Any:
    """Initializer of the kernel of a 2-D convolution that gives back its input.

    The pixel in the centre is the identity matrix, all others are zeros. After Yu and Koltun,
    "Multi-scale context aggregation by dilated convolutions", ICLR 2016.

    Args:
        shape: `[size, size, channels, channels]`, with an odd size.
        dtype: Type of the kernel. Default: float32.
        partition_info: Not used; initializers are called with it.

    Returns:
        Tensor of that shape and type.

    Raises:
        ValueError: If the shape is not such.

    Example:
        >>> import sonnet as snt
        >>> snt.nets.identity_kernel_initializer([3, 3, 1, 1])[:, :, 0, 0].numpy().tolist()
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    sizes = _checked_sizes(shape)
    if sizes[2] != sizes[3]:
        raise ValueError(
            "identity_kernel_initializer: the numbers of input and output channels must be equal, "
            f"got the shape {sizes}."
        )
    inputs, outputs = _range_along_dimension(2, sizes), _range_along_dimension(3, sizes)
    return tf.cast(_is_centre(sizes) & tf.equal(inputs, outputs), dtype)


def noisy_identity_kernel_initializer(
    base_num_channels: int, stddev: float = 1e-08
) -> Callable[..., Any]:
    """Returns an initializer of kernels that give back their input where channels are multiplied.

    The channels fall into `base_num_channels` groups. In the centre each output channel is the mean
    of the input channels of its group, times the ratio of input to output channels; everywhere
    else there is a little noise, so that the channels of a group do not stay alike. After Yu and
    Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016.

    Args:
        base_num_channels: Number of groups.
        stddev: Standard deviation of the truncated normal noise. Default: 1e-8.

    Returns:
        A function of `shape`, `dtype` and `partition_info` as `identity_kernel_initializer`, but
        with numbers of channels that are multiples of `base_num_channels`. It raises ValueError if
        the shape is not such.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> initializer = snt.nets.noisy_identity_kernel_initializer(2)
        >>> kernel = initializer([3, 3, 2, 4])
        >>> tf.reduce_sum(kernel[1, 1], axis=-1).numpy().round(4).tolist()
        [1.0, 1.0]
    """

    def noisy_identity(
        shape: Iterable[int], dtype: Any = tf.float32, partition_info: Any = None
    ) -> Any:
        sizes = _checked_sizes(shape)
        if any(channels % base_num_channels for channels in sizes[2:]):
            raise ValueError(
                "noisy_identity_kernel_initializer: the numbers of input and output channels must "
                f"be multiples of base_num_channels, {base_num_channels}, got the shape {sizes}."
            )
        in_group, out_group = (
            _range_along_dimension(axis, sizes) * base_num_channels // max(sizes[axis], 1)
            for axis in (2, 3)
        )
        noise = tf1.truncated_normal_initializer(stddev=stddev)(sizes, dtype)
        value = tf.cast(base_num_channels / max(sizes[3], 1), dtype)
        return tf.where(_is_centre(sizes) & tf.equal(in_group, out_group), value, noise)

    return noisy_identity


def _checked_sizes(shape: Iterable[int]) -> tuple[int, ...]:
    sizes = tuple(map(tf1.dimension_value, shape))
    if len(sizes) != 4:
        raise ValueError(
            "The kernel must have rank 4, [height, width, input_channels, output_channels], got "
            f"the shape {sizes}."
        )
    if sizes[0] != sizes[1]:
        raise ValueError(f"The kernel must be square, got the shape {sizes}.")
    if sizes[0] % 2 == 0:
        raise ValueError(
            f"The kernel must have a pixel in its centre, an odd size, got the shape {sizes}."
        )
    return sizes


def _is_centre(sizes: tuple[int, ...]) -> Any:
    """Returns a boolean tensor of these sizes that says where the pixel in the centre is."""
    centre = sizes[0] // 2
    rows, columns = _range_along_dimension(0, sizes), _range_along_dimension(1, sizes)
    return tf.equal(rows, centre) & tf.equal(columns, centre)


def _range_along_dimension(range_dim: int, shape: Iterable[int]) -> Any:
    """Returns an integer tensor whose elements are their own indices along an axis.

    Args:
        range_dim: The axis.
        shape: Shape of the tensor.

    Raises:
        ValueError: If there is no such axis.
    """
    sizes = tuple(map(tf1.dimension_value, shape))
    if range_dim >= len(sizes):
        raise ValueError(
            f"Cannot calculate range along non-existent index {range_dim} of the shape {sizes}."
        )
    others = [size if axis == range_dim else 1 for axis, size in enumerate(sizes)]
    indices = np.arange(sizes[range_dim], dtype=np.int32).reshape(others)
    return tf.constant(np.broadcast_to(indices, sizes))
