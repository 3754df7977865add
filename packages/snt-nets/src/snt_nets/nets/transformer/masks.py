"""Masks: which steps a step may attend to."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from snt_nets.nets.transformer.memory import CompressedMemoryState, memory_sizes, static_length

# What is added to a logit to leave a step out of account.
_MASKED = -1e6


def future_mask(chunk_size: int, dtype: Any) -> Any:
    """Returns a mask that keeps each step from attending to later ones.

    Args:
        chunk_size: Number of steps.
        dtype: Type of the mask.

    Returns:
        Tensor `[1, 1, chunk_size, chunk_size]` to add to logits: -1e6 for the future (in float16,
        which does not reach so far, its lowest number), 0 elsewhere.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.nets.future_mask(3, tf.float32)[0, 0].numpy().tolist()
        [[0.0, -1000000.0, -1000000.0], [0.0, 0.0, -1000000.0], [0.0, 0.0, 0.0]]
    """
    size = int(chunk_size)
    return _as_mask(np.triu(np.full([size, size], _MASKED), k=1), dtype)


def create_mask(inputs: Any, state: Any, equal_window: bool) -> Any:
    """Returns a mask that keeps each step of a chunk from attending to later ones.

    Args:
        inputs: Tensor `[batch, time, features]`.
        state: The memory, all of which may be attended to: Tensor `[batch, memory, features]`,
            `CompressedMemoryState`, or a list of these, of which the largest one counts; or None.
        equal_window: Whether to mask as many of the oldest steps as there are later ones for each
            step, so that each attends to the same number.

    Returns:
        Tensor `[1, 1, time, memory + time]` of the dtype of `inputs`, to add to logits.

    Raises:
        ValueError: If a number of steps is unknown.
    """
    inputs = tf.convert_to_tensor(inputs)
    chunk_size = static_length(inputs, "input")
    is_list = isinstance(state, (list, tuple)) and not isinstance(state, CompressedMemoryState)
    memory_size = max((sum(memory_sizes(s)) for s in (state if is_list else [state])), default=0)
    mask = np.triu(np.full([chunk_size, memory_size + chunk_size], _MASKED), k=memory_size + 1)
    if equal_window:
        mask[:, :chunk_size] += np.tril(np.full([chunk_size, chunk_size], _MASKED), k=-1)
    return _as_mask(mask, inputs.dtype)


def _as_mask(mask: Any, dtype: Any) -> Any:
    dtype = tf.as_dtype(dtype)
    return tf.constant(np.maximum(mask, dtype.min)[np.newaxis, np.newaxis], dtype)
