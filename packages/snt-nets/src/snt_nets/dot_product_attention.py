"""Attention by dot products in several heads: the steps that the attention modules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from snt_nets.batch_apply import merge_leading_dims, split_leading_dim
from snt_nets.flags import conditional
from snt_nets.shapes import reshape


def project_to_heads(linear: Callable[[Any], Any], inputs: Any, num_heads: int) -> Any:
    """Maps features, and deals the results out to heads.

    Args:
        linear: Maps `[batch, features]` to `[batch, num_heads * size]`.
        inputs: Tensor `[batch, time, features]`.
        num_heads: Number of heads.

    Returns:
        Tensor `[batch, num_heads, time, size]`.
    """
    outputs = linear(merge_leading_dims(inputs))
    sizes = [*inputs.shape.as_list()[:2], num_heads, outputs.shape.as_list()[-1] // num_heads]
    outputs = reshape(outputs, sizes, lambda: tf.concat([tf.shape(inputs)[:2], sizes[2:]], axis=0))
    return tf.transpose(outputs, [0, 2, 1, 3])


def project_from_heads(linear: Callable[[Any], Any], inputs: Any) -> Any:
    """Puts the heads side by side, and maps them.

    Args:
        linear: Maps `[batch, num_heads * size]` to `[batch, features]`.
        inputs: Tensor `[batch, num_heads, time, size]`.

    Returns:
        Tensor `[batch, time, features]`.
    """
    inputs = tf.transpose(inputs, [0, 2, 1, 3])
    batch, time, heads, size = inputs.shape.as_list()
    merged = [None if None in (batch, time) else batch * time, heads * size]
    flat = reshape(
        inputs, merged, lambda: tf.stack([tf.reduce_prod(tf.shape(inputs)[:2]), heads * size])
    )
    return split_leading_dim(linear(flat), inputs)


def attention_weights(logits: Any, dropout_rate: Any = 0.0, is_training: Any = False) -> Any:
    """Returns the softmax over the last axis of `logits`, computed in float32 for 16 bits.

    Args:
        logits: Tensor `[..., keys]`.
        dropout_rate: Probability that a weight is dropped while training.
        is_training: Whether dropout is active, as `known_flag` returns it.

    Returns:
        Tensor of the shape and dtype of `logits`.
    """
    if logits.dtype.size < 4:
        weights = tf.cast(tf.nn.softmax(tf.cast(logits, tf.float32)), logits.dtype)
    else:
        weights = tf.nn.softmax(logits)
    return conditional(
        is_training, lambda: tf.nn.dropout(weights, rate=dropout_rate), lambda: weights
    )
