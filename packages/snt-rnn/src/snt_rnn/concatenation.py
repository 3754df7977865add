"""Joining the outputs of cores along their last axis, and the sizes that come of it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def concatenate(*structures: Any) -> Any:
    """Joins the tensors of structures along the last axis.

    Args:
        *structures: Structures of tensors, nested in the same way.

    Raises:
        ValueError: If they are nested in different ways.
        TypeError: If containers in them are of different types.
    """
    return tf.nest.map_structure(lambda *tensors: tf.concat(tensors, axis=-1), *structures)


def concatenated_size(*sizes: Any) -> Any:
    """Returns the sizes of what `concatenate` makes of structures of these sizes.

    Args:
        *sizes: Structures of integers and TensorShapes, without the batch.

    Raises:
        ValueError: If they are nested in different ways, or shapes that belong together differ in
            another axis than the last.
        TypeError: If containers in them are of different types.
    """
    return tf.nest.map_structure(_join, *sizes)


def _join(*sizes: Any) -> Any:
    shapes = [tf.TensorShape(size) for size in sizes]
    if not all(shape.rank for shape in shapes):
        raise ValueError(f"shapes without a last axis cannot be joined there, got {shapes}.")
    before = shapes[0][:-1]
    for shape in shapes[1:]:
        if not before.is_compatible_with(shape[:-1]):
            raise ValueError(f"all axes but the last must agree, got the shapes {shapes}.")
        before = before.merge_with(shape[:-1])
    depths = [shape.as_list()[-1] for shape in shapes]
    last = None if None in depths else sum(depths)
    return before.concatenate([last])
