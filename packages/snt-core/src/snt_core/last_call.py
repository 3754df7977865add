"""What a module remembers of its calls: the shapes, and the modules that it called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class LastCall(NamedTuple):
    """The last call of a module.

    Attributes:
        inputs: Shapes of the arguments, in a structure like theirs; None for what has no shape.
        outputs: Shapes of the results, likewise.
    """

    inputs: Any
    outputs: Any


class Called(NamedTuple):
    """A module that was called inside another one, which may be gone by now.

    Attributes:
        construction: How it was constructed.
        state: What its base class knows of it.
    """

    construction: Any
    state: Any


def shapes_of(values: Any) -> Any:
    """Returns the shapes of tensors, in the structure in which they are nested.

    Shapes and not the tensors are kept: these may be large, or of a graph that is to go.
    """
    if isinstance(values, np.ndarray):
        return tf.TensorShape(values.shape)
    shape = getattr(values, "shape", None)
    if isinstance(shape, tf.TensorShape):
        return shape
    if isinstance(values, (list, tuple)):
        return tuple([shapes_of(value) for value in values])
    if isinstance(values, Mapping):
        return {key: shapes_of(value) for key, value in values.items()}
    return None
