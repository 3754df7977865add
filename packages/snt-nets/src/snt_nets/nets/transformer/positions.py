"""Positions in time: their encodings, and logits that depend on the distance of two steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from snt_nets.shapes import reshape


def get_position_encodings(
    sequence_length: int,
    hidden_size: int,
    clamp_value: float,
    max_timescale: float = 10000.0,
    min_timescale: float = 2.0,
    dtype: Any = tf.float32,
) -> Any:
    """Returns encodings of positions by waves of many lengths, counted back from the newest step.

    After Vaswani et al., "Attention is all you need", 2017, https://arxiv.org/abs/1706.03762.

    Args:
        sequence_length: Number of steps.
        hidden_size: Number of features, an even one: first the sines, then the cosines.
        clamp_value: Largest position that is told from those beyond it; 0 for no such limit.
        max_timescale: The waves get longer up to 2π times this. Default: 10000.
        min_timescale: Step from one wave to the next, in features. Default: 2.
        dtype: Type of the encodings. Default: float32.

    Returns:
        Tensor `[1, sequence_length, hidden_size]`.

    Raises:
        ValueError: If the waves do not fill `hidden_size` features, as for an odd number.
    """
    positions = np.arange(sequence_length - 1, -1, -1, dtype=np.float64)
    if clamp_value > 0:
        positions = np.minimum(positions, clamp_value)
    exponents = np.arange(0, hidden_size, min_timescale) / max(hidden_size, 1)
    angles = np.outer(positions, max_timescale**-exponents)
    encodings = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    if encodings.shape[1] != hidden_size:
        raise ValueError(
            f"The position embedding dimension {encodings.shape[1]} does not match the number of "
            f"features, {hidden_size}, which must be even."
        )
    return tf.constant(encodings[np.newaxis], dtype)


def rel_shift(position_logits: Any) -> Any:
    """Turns logits by distance into logits by step, shifting each row by its own distance.

    After Dai et al., "Transformer-XL: Attentive language models beyond a fixed-length context",
    2019, https://arxiv.org/abs/1901.02860, appendix B. What stands to the right of the last step
    of each row, its future, has no meaning.

    Args:
        position_logits: Tensor `[batch, heads, queries, keys]`.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If the rank is not 4.
    """
    position_logits = tf.convert_to_tensor(position_logits)
    if position_logits.shape.rank != 4:
        raise ValueError(
            "Expected 4D position logits, [batch, heads, queries, keys], got the shape "
            f"{position_logits.shape}."
        )
    batch, heads, queries, keys = position_logits.shape.as_list()

    def turned_shape() -> Any:
        shape = tf.shape(position_logits)
        return tf.stack([shape[0], shape[1], shape[3] + 1, shape[2]])

    # Read with rows that are longer by one, each row begins one step later than the one above.
    padded = tf.pad(position_logits, [[0, 0], [0, 0], [0, 0], [1, 0]])
    turned = [batch, heads, None if keys is None else keys + 1, queries]
    padded = reshape(padded, turned, turned_shape)
    return reshape(
        padded[:, :, 1:], [batch, heads, queries, keys], lambda: tf.shape(position_logits)
    )
