"""The resampler from TensorFlow's own ops: for XLA, and where the compiled op is missing.

It keeps what the compiled op promises, to the word of its errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from snt_ops import xla

NO_SECOND_GRADIENT = (
    "snt.resampler has gradients of first order only: its gradient cannot be differentiated again. "
    "Take one of the gradients as constant (tf.stop_gradient), or interpolate with other ops."
)

_RANK = (
    "Only bilinear interpolation is currently supported: data should have the shape "
    "[batch, height, width, channels], but has {data}"
)
_MATRIX = "warp should be at least a matrix, [batch, ..., 2], but has the shape {warp}"
_PAIRS = (
    "Only bilinear interpolation is supported, warping coordinates should be pairs (x, y): the "
    "last dimension of warp should be 2, but its shape is {warp}"
)
_BATCH = "Batch size of data and warp tensor must be the same, but the shapes are {data} and {warp}"


class _Neighbour(NamedTuple):
    """One of the four pixels around each point; all of shape `[batch, points]`.

    Attributes:
        pixel: Its number in the image, or of another pixel where it lies outside.
        exists: Whether it lies in the image.
        weight: Its weight in the sample.
        by_x: The derivative of the weight by x.
        by_y: The derivative of the weight by y.
    """

    pixel: tf.Tensor
    exists: tf.Tensor
    weight: tf.Tensor
    by_x: tf.Tensor
    by_y: tf.Tensor


def resample(data: tf.Tensor, warp: tf.Tensor) -> tf.Tensor:
    """Samples images at points; see `snt_ops.resampler.resampler`.

    Args:
        data: Images `[batch, height, width, channels]`.
        warp: Points `[batch, d0, ..., dn, 2]`, of a type that goes with that of `data`.

    Returns:
        The samples `[batch, d0, ..., dn, channels]`.

    Raises:
        tf.errors.UnimplementedError: Eagerly, as `resampler` says.
        tf.errors.InvalidArgumentError: Eagerly, as `resampler` says.
    """
    shape = warp.shape[:-1] + data.shape[-1:]
    wrong = _wrong_shapes(data.shape, warp.shape)
    if wrong is not None:
        if tf.executing_eagerly():
            raise wrong
        samples = _fail_when_run(data, warp)
    else:
        with tf.control_dependencies(_checks(data, warp)):
            data = tf.ensure_shape(data, [None] * 4)
            sizes = tf.shape(data, tf.int64)
            points_shape = tf.shape(warp, tf.int64)[:-1]
            count = tf.reduce_prod(points_shape[1:])
            points = tf.reshape(warp, tf.stack([sizes[0], count, 2]))
            samples = _resample_flat(data, points)
            samples = tf.reshape(samples, tf.concat([points_shape, sizes[3:]], 0))
    samples = tf.identity(samples, name="Resampler")
    samples.set_shape(shape)
    return samples


def _resample_flat(data: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Samples `data` at points `[batch, points, 2]`; gives `[batch, points, channels]`."""
    batch, height, width, channels = tf.unstack(tf.shape(data, tf.int64))
    number = tf.float64 if data.dtype == tf.float64 else tf.float32

    # No function of another one's results: only its own arguments have gradients.
    @tf.custom_gradient
    def sample(data: tf.Tensor, points: tf.Tensor) -> Any:
        pixels = _pixels(data, batch, height * width, channels)
        samples = 0.0
        for near in _neighbours(tf.cast(points, number), height, width):
            counts = near.exists & (near.weight != 0)
            values = tf.cast(tf.gather(pixels, near.pixel, batch_dims=1), number)
            samples += tf.where(counts[..., None], near.weight[..., None] * values, 0)

        def gradients(grad: tf.Tensor) -> Any:
            return spread(data, points, grad)

        return tf.cast(samples, data.dtype), gradients

    @tf.custom_gradient
    def spread(data: tf.Tensor, points: tf.Tensor, grad: tf.Tensor) -> Any:
        pixels = _pixels(data, batch, height * width, channels)
        grads = tf.cast(grad, number)
        first = tf.range(batch)[:, None] * (height * width)
        targets, shares = [], []
        slope_x, slope_y = 0.0, 0.0
        for near in _neighbours(tf.cast(points, number), height, width):
            counts = near.exists & (near.weight != 0)
            targets.append(tf.where(counts, first + near.pixel, -1))  # -1: nowhere
            shares.append(near.weight[..., None] * grads)
            values = tf.cast(tf.gather(pixels, near.pixel, batch_dims=1), number)
            dot = tf.reduce_sum(grads * values, -1)
            slope_x += tf.where(near.exists & (near.by_x != 0), near.by_x * dot, 0)
            slope_y += tf.where(near.exists & (near.by_y != 0), near.by_y * dot, 0)
        sums = tf.math.unsorted_segment_sum(
            tf.reshape(tf.stack(shares), tf.stack([4 * tf.size(targets[0], tf.int64), channels])),
            tf.reshape(tf.stack(targets), [-1]),
            batch * height * width,
        )
        grad_data = tf.cast(tf.reshape(sums, tf.shape(data)), data.dtype)
        grad_points = tf.cast(tf.stack([slope_x, slope_y], -1), points.dtype)

        def refuse(*_: tf.Tensor) -> Any:
            raise NotImplementedError(NO_SECOND_GRADIENT)

        return (grad_data, grad_points), refuse

    return sample(data, points)


def _neighbours(points: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> list[_Neighbour]:
    x, y = points[..., 0], points[..., 1]
    inside = (x > -1) & (y > -1) & (x < tf.cast(width, x.dtype)) & (y < tf.cast(height, y.dtype))
    # Only what is surely small is converted to integers, or computed with at all.
    x, y = tf.where(inside, x, -1), tf.where(inside, y, -1)
    left, top = tf.floor(x), tf.floor(y)
    dx, dy = x - left, y - top
    neighbours = []
    for row, by_row, sign_y in ((top, 1 - dy, -1), (top + 1, dy, 1)):
        for column, by_column, sign_x in ((left, 1 - dx, -1), (left + 1, dx, 1)):
            i, j = tf.cast(row, tf.int64), tf.cast(column, tf.int64)
            exists = inside & (i >= 0) & (i < height) & (j >= 0) & (j < width)
            pixel = tf.where(exists, i * width + j, 0)
            weight = by_row * by_column
            neighbours.append(
                _Neighbour(pixel, exists, weight, sign_x * by_row, sign_y * by_column)
            )
    return neighbours


def _pixels(data: tf.Tensor, batch: tf.Tensor, count: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    """Returns the pixels `[batch, count, channels]`; one zero pixel where there are none."""
    pixels = tf.reshape(data, tf.stack([batch, count, channels]))
    if data.shape[1] and data.shape[2]:
        return pixels
    one_if_empty = tf.cast(tf.equal(count, 0), tf.int64)
    return tf.pad(pixels, [[0, 0], [0, one_if_empty], [0, 0]])


def _wrong_shapes(data: tf.TensorShape, warp: tf.TensorShape) -> tf.errors.OpError | None:
    """Returns the error for what the static shapes show to be wrong."""
    text = {"data": data, "warp": warp}
    if data.rank not in (None, 4):
        return tf.errors.UnimplementedError(None, None, _RANK.format(**text))
    if warp.rank is not None and warp.rank < 2:
        return tf.errors.InvalidArgumentError(None, None, _MATRIX.format(**text))
    if warp.rank is not None and warp[-1] not in (None, 2):
        return tf.errors.UnimplementedError(None, None, _PAIRS.format(**text))
    if data.rank and warp.rank and None not in (data[0], warp[0]) and data[0] != warp[0]:
        return tf.errors.InvalidArgumentError(None, None, _BATCH.format(**text))
    return None


def _checks(data: tf.Tensor, warp: tf.Tensor) -> Sequence[tf.Operation]:
    """Returns what must run first, for what the static shapes leave open."""
    ranks_known = data.shape.rank is not None and warp.shape.rank is not None
    if ranks_known and warp.shape[-1] is not None:
        if None not in (data.shape[0], warp.shape[0]):
            return []
        shapes = tf.shape(data, tf.int64), tf.shape(warp, tf.int64)
        same = tf.equal(shapes[0][0], shapes[1][0])
        return [tf.debugging.Assert(same, [_BATCH.format(data="", warp=""), *shapes])]
    return [] if xla.compiles_this() else [_fail_when_run(data, warp)]


def _fail_when_run(data: tf.Tensor, warp: tf.Tensor) -> tf.Tensor:
    """Returns a tensor that can be computed only if the shapes of both are right."""

    def check(data_shape: Any, warp_shape: Any, nothing: Any) -> Any:
        error = _wrong_shapes(tf.TensorShape(data_shape), tf.TensorShape(warp_shape))
        if isinstance(error, tf.errors.UnimplementedError):
            raise NotImplementedError(error.message)  # which TensorFlow translates back
        if error is not None:
            raise ValueError(error.message)
        return nothing

    shapes = [tf.shape(data, tf.int64), tf.shape(warp, tf.int64)]
    return tf.numpy_function(check, [*shapes, tf.zeros([], data.dtype)], data.dtype)
