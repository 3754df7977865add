"""Reshaping where not all sizes are known before the graph is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def reshape(tensor: Any, sizes: list[int | None], shape: Callable[[], Any]) -> Any:
    """Reshapes a tensor, by a constant shape where that can be.

    Args:
        tensor: Tensor.
        sizes: The wanted sizes, as far as they are known; None for an unknown one.
        shape: Returns the wanted shape as a tensor; called where the constant would not do.

    Returns:
        Tensor whose static shape is `sizes`.
    """
    # -1 can stand for one unknown size only, and for none where the others make 0 elements.
    if None not in sizes or (sizes.count(None) == 1 and 0 not in sizes):
        return tf.reshape(tensor, [-1 if size is None else size for size in sizes])
    outputs = tf.reshape(tensor, shape())
    outputs.set_shape(sizes)
    return outputs
