"""The resampler: samples images at points, by bilinear interpolation."""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf

from snt_ops import composite, xla
from snt_ops.library import library

_HALF_TYPES = frozenset((tf.float16, tf.bfloat16))
_TYPES = _HALF_TYPES | {tf.float32, tf.float64}


def resampler(data: Any, warp: Any, name: str = "resampler") -> tf.Tensor:
    """Samples images at points by bilinear interpolation.

    An image is surrounded by zeros: a sample fades to 0 over one pixel outside of the border, and
    is 0 at x <= -1, y <= -1, x >= width or y >= height, and at points that are not finite. A pixel
    whose weight is 0 does not contribute, so that a NaN in it does not matter. Gradients flow to
    both inputs; at an integer coordinate the one to `warp` is that of the cell to the right and
    below. Gradients of gradients are refused.

    A compiled op computes this; where it is missing, and under XLA, TensorFlow's own ops do. The
    environment variable `SNT_RESAMPLER`, "compiled" or "composite", forces one of them. XLA is
    noticed where it compiles the function in which this is called; a function that was traced
    without XLA and is compiled later needs the composite to be forced.

    Args:
        data: Images `[batch, height, width, channels]`, of float16, bfloat16, float32 or float64.
        warp: Points `[batch, d0, ..., dn, 2]`, x (along width) before y, in pixels; of the type of
            `data`, or float32 where that is a half type.
        name: Name scope of the op.

    Returns:
        The samples `[batch, d0, ..., dn, channels]`, of the type of `data`.

    Raises:
        tf.errors.UnimplementedError: If the rank of `data` is not 4 or the last dimension of
            `warp` is not 2; when the op runs, in a graph.
        tf.errors.InvalidArgumentError: If the rank of `warp` is below 2 or the batch sizes differ;
            when the op runs, in a graph.
        TypeError: If the types are others.

    Paper: Jaderberg et al., "Spatial Transformer Networks", https://arxiv.org/abs/1506.02025

    Example:
        >>> import tensorflow as tf
        >>> import sonnet as snt
        >>> image = tf.reshape(tf.range(6.0), [1, 2, 3, 1])
        >>> points = tf.constant([[[0.5, 0.0], [2.0, 1.0], [2.5, 1.0]]])
        >>> snt.resampler(image, points)[0, :, 0].numpy()
        array([0.5, 5. , 2.5], dtype=float32)
    """
    # Here and below: a small image is sampled in the time of a few calls in Python.
    is_eager = tf.executing_eagerly()
    with contextlib.nullcontext() if is_eager else tf.name_scope(name):  # eagerly it names nothing
        data, warp, have_one_type = _as_tensors(data, warp)
        ops = library.choose()
        if ops is None or (not is_eager and xla.compiles_this()):
            return composite.resample(data, warp)
        if have_one_type:
            return ops.resampler(data, warp)
        return ops.resampler_float_warp(data, warp)


def resampler_is_available() -> bool:
    """Tells whether the compiled op is there and fits the running TensorFlow.

    Returns:
        True if `resampler` can use the compiled op, False if it computes with TensorFlow's own ops.
    """
    return library.ops() is not None


def _as_tensors(data: Any, warp: Any) -> tuple[tf.Tensor, tf.Tensor, bool]:
    """Converts both, and tells if they have one type; if only one has one, the other takes it."""
    if isinstance(data, tf.Tensor) and isinstance(warp, tf.Tensor):
        pass
    elif not hasattr(data, "dtype") and hasattr(warp, "dtype"):
        warp = tf.convert_to_tensor(warp, name="warp")
        data = tf.convert_to_tensor(data, dtype_hint=warp.dtype, name="data")
    else:
        data = tf.convert_to_tensor(data, name="data")
        warp = tf.convert_to_tensor(warp, dtype_hint=data.dtype, name="warp")
    data_type, warp_type = data.dtype, warp.dtype
    have_one_type = data_type is warp_type or data_type == warp_type
    if data_type not in _TYPES:
        raise TypeError(
            f"data is of type {data_type.name}, but should be float16, bfloat16, float32 or "
            "float64; convert it by tf.cast."
        )
    if not (have_one_type or (data_type in _HALF_TYPES and warp_type == tf.float32)):
        raise TypeError(
            f"warp is of type {warp_type.name}, but should be of that of data, "
            f"{data_type.name}{', or float32' if data_type in _HALF_TYPES else ''}; convert it "
            "by tf.cast."
        )
    return data, warp, have_one_type


@tf.RegisterGradient("Resampler")
def _resampler_gradient(op: tf.Operation, grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    data, warp = op.inputs
    # XLA compiles no gradient of the compiled op either, but never meets it: the composite is used.
    gradients = library.ops().resampler_grad(data, warp, grad)
    return gradients.grad_data, gradients.grad_warp


@tf.RegisterGradient("ResamplerFloatWarp")
def _float_warp_gradient(op: tf.Operation, grad: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    data, warp = op.inputs
    gradients = library.ops().resampler_float_warp_grad(data, warp, grad)
    return gradients.grad_data, gradients.grad_warp


@tf.RegisterGradient("ResamplerGrad")
@tf.RegisterGradient("ResamplerFloatWarpGrad")
def _no_second_gradient(op: tf.Operation, *grads: tf.Tensor) -> None:
    raise NotImplementedError(composite.NO_SECOND_GRADIENT)
