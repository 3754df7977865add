"""Counts of the operations that a module makes."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1


def new_ops(connect: Callable[[Any], Any], shape: Any) -> list[collections.Counter[str]]:
    """Counts the ops of the first and of the second connection by type.

    Args:
        connect: Called twice in one graph, each time with a float32 placeholder.
        shape: Static shape of the placeholders.
    """
    with tf.Graph().as_default() as graph:
        counts = []
        for _ in range(2):
            inputs = tf1.placeholder(tf.float32, shape)
            before = len(graph.get_operations())
            connect(inputs)
            counts.append(collections.Counter(op.type for op in graph.get_operations()[before:]))
        return counts
