"""What a transformer remembers: the steps before those of its input."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class CompressedMemoryState(NamedTuple):
    """The memory of one layer of a `CompressiveTransformer`.

    Attributes:
        episodic_memory: The latest steps, `[batch, episodic_memory_size, features]`.
        compressed_memory: What was made of steps before those, `[batch, compressed_memory_size,
            features]`.
        index: Number of connections so far, `[batch, 1]`.
    """

    episodic_memory: Any
    compressed_memory: Any
    index: Any


def memories_of(state: Any) -> list[Any]:
    """Returns the tensors that the state of one layer holds, from the oldest steps to the newest.

    Args:
        state: Tensor `[batch, memory, features]`, `CompressedMemoryState`, or None for no memory.
    """
    if state is None:
        return []
    if isinstance(state, CompressedMemoryState):
        return [state.compressed_memory, state.episodic_memory]
    return [state]


def memory_sizes(state: Any) -> list[int]:
    """Returns the number of steps of each of the memories of one layer, the oldest first.

    Args:
        state: As for `memories_of`; 0 steps for None.
    """
    return [static_length(memory, "memory") for memory in memories_of(state)] or [0]


def static_length(tensor: Any, name: str) -> int:
    """Returns the number of time steps of a tensor.

    Args:
        tensor: Tensor `[batch, time, ...]`.
        name: What it is called, for the error.

    Raises:
        ValueError: If the number is unknown, or there is no such axis.
    """
    shape = tf.convert_to_tensor(tensor).shape
    length = shape.as_list()[1] if shape.rank is not None and shape.rank > 1 else None
    if length is None:
        raise ValueError(
            f"The number of time steps of the {name} must be known, as axis 1 of [batch, time, "
            f"features], got the shape {shape}. Use set_shape."
        )
    return int(length)


def newest(tensor: Any, length: int) -> Any:
    """Returns the last `length` time steps of a tensor `[batch, time, ...]`, or all if fewer."""
    size = static_length(tensor, "memory")
    return tensor if size <= length else tensor[:, size - length :]
