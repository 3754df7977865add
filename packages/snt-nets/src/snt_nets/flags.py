"""Flags that may be known when a module is connected, or only when the graph is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def known_flag(flag: Any, name: str) -> Any:
    """Returns the value of a flag where it is known by now.

    Args:
        flag: A boolean, 0 or 1; or a tensor or variable of a boolean or integer type, without axes.
        name: What the flag is called, for the error.

    Returns:
        A Python boolean if the value is known, otherwise a boolean tensor.

    Raises:
        TypeError: If `flag` is anything else.
    """
    value = flag
    if tf.is_tensor(flag):
        tensor = tf.convert_to_tensor(flag)  # which reads a variable
        value = tf.get_static_value(tensor)
        if value is None and tensor.shape.rank in (0, None) and _is_countable(tensor.dtype):
            return tf.cast(tensor, tf.bool)
    value = np.asarray(value)
    if value.shape or value.dtype.kind not in "biu" or value not in (0, 1):
        raise TypeError(
            f"{name} must be a boolean, or a boolean tensor without axes, got {flag!r}."
        )
    return bool(value)


def _is_countable(dtype: Any) -> bool:
    return dtype.is_bool or dtype.is_integer


def either(first: Any, second: Any) -> Any:
    """Returns `first or second` for flags as `known_flag` returns them."""
    for flag, other in ((first, second), (second, first)):
        if isinstance(flag, bool):
            return flag or other
    return tf.logical_or(first, second)


def conditional(flag: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Calls one of two functions by a flag as `known_flag` returns it."""
    if isinstance(flag, bool):
        return true_fn() if flag else false_fn()
    return tf.cond(flag, true_fn, false_fn)
