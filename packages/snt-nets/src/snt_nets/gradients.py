"""`scale_gradient` and `clip_gradient`: identities with a gradient of their own."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import tensorflow as tf


def scale_gradient(net: Any, scale: Any, name: str = "scale_gradient") -> Any:
    """Returns `net` unchanged; its gradient is multiplied by `scale`.

    Args:
        net: Tensor of a floating-point type, or of any type if `scale` is 0 or 1. Or a function
            of tensors, or a module, whose outputs are treated so.
        scale: Number, or scalar tensor. There is no gradient with respect to it. If it is the
            number 0, there is none with respect to `net` either.
        name: Name of the operation. Default: "scale_gradient".

    Returns:
        Tensor of the shape and dtype of `net`. For a function, a function with the same arguments;
        in eager mode it is a `tf.function`.

    Raises:
        ValueError: If `net` is not of a floating-point type, and `scale` is not 0 or 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> x = tf.constant(3.0)
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = snt.scale_gradient(x, 0.5) ** 2
        >>> y.numpy().item(), tape.gradient(y, x).numpy().item()
        (9.0, 3.0)
    """
    if callable(net):

        def scaled(*args: Any, **kwargs: Any) -> Any:
            outputs = net(*args, **kwargs)
            return tf.nest.map_structure(lambda x: scale_gradient(x, scale, name), outputs)

        return tf.function(scaled) if tf.executing_eagerly() else scaled

    net = tf.convert_to_tensor(net)
    if isinstance(scale, (numbers.Real, np.ndarray)):  # a tensor may not be known yet
        if scale == 0:
            return tf.stop_gradient(net, name=name)
        if scale == 1:
            return tf.identity(net, name=name)
    _check_floating(net, "scale_gradient")
    scale = _with_dtype(scale, net.dtype)

    @tf.custom_gradient
    def identity(x: Any) -> Any:
        return x, lambda gradient: tf.math.scalar_mul(scale, gradient)

    with tf.name_scope(name or "scale_gradient"):
        return identity(net)


def clip_gradient(
    net: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None
) -> Any:
    """Returns `net` unchanged; each element of its gradient is clipped.

    Args:
        net: Tensor of a floating-point type.
        clip_value_min: Number, or scalar tensor: the smallest value that an element may have.
        clip_value_max: Likewise the largest.
        name: Name of the operation. Default: "clip_gradient".

    Returns:
        Tensor of the shape and dtype of `net`.

    Raises:
        ValueError: If `net` is not of a floating-point type.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> x = tf.constant([1.0, 10.0])
        >>> with tf.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = snt.clip_gradient(x, -5, 5) ** 2
        >>> tape.gradient(y, x).numpy().tolist()
        [2.0, 5.0]
    """
    net = tf.convert_to_tensor(net)
    _check_floating(net, "clip_gradient")
    smallest = _with_dtype(clip_value_min, net.dtype)
    largest = _with_dtype(clip_value_max, net.dtype)

    @tf.custom_gradient
    def identity(x: Any) -> Any:
        def clipped(gradient: Any) -> Any:
            # Of slices, those of the same index are summed first.
            gradient = tf.clip_by_value(tf.convert_to_tensor(gradient), smallest, largest)
            gradient.set_shape(net.shape)
            return gradient

        return x, clipped

    with tf.name_scope(name or "clip_gradient"):
        return identity(net)


def _check_floating(net: Any, function: str) -> None:
    if not net.dtype.is_floating:
        raise ValueError(
            f"{function} does not support non-float `net`, got the dtype {net.dtype.name}."
        )


def _with_dtype(number: Any, dtype: Any) -> Any:
    """Returns a tensor as one of that dtype; a number is left to the op that takes it."""
    if not tf.is_tensor(number):
        return number
    # In the graph of `net`: the gradient of a branch finds tensors of the branch only.
    return tf.identity(tf.cast(number, dtype))
