"""Custom getters that change the arguments with which variables are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf1

# `tf1.get_variable` settles these before it calls a custom getter, so that a getter can't tell what
# was asked for from what was left open.
_ALWAYS_SETTLED = frozenset(
    ("aggregation", "dtype", "reuse", "synchronization", "trainable", "validate_shape")
)


def override_args(**overrides: Any) -> Callable[..., Any]:
    """Makes a custom getter whose arguments win over those of the request.

    Args:
        **overrides: Arguments of `tf.compat.v1.get_variable`, with the values to use instead.

    Returns:
        A custom getter.

    Example:
        >>> import tensorflow.compat.v1 as tf1
        >>> ones = override_args(initializer=tf1.ones_initializer())
        >>> with tf1.variable_scope("ones", custom_getter=ones):
        ...     tf1.get_variable("w", [2], initializer=tf1.zeros_initializer()).numpy()
        array([1., 1.], dtype=float32)
    """

    def override_getter(getter: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return getter(*args, **{**kwargs, **overrides})

    return override_getter


def override_default_args(**defaults: Any) -> Callable[..., Any]:
    """Makes a custom getter whose arguments fill what the request leaves open.

    An argument that is missing or `None` is left open. This suits `initializer`, `regularizer`,
    `collections`, `partitioner`, `caching_device` and `constraint`. TensorFlow itself fills in
    `trainable`, `dtype`, `reuse`, `validate_shape`, `synchronization` and `aggregation` before any
    getter sees the request: for these a warning is logged, and `override_args` is the one to use.

    Args:
        **defaults: Arguments of `tf.compat.v1.get_variable`, with the values to fill in.

    Returns:
        A custom getter.

    Example:
        >>> import tensorflow.compat.v1 as tf1
        >>> ones = override_default_args(initializer=tf1.ones_initializer())
        >>> with tf1.variable_scope("defaults", custom_getter=ones):
        ...     w = tf1.get_variable("w", [2])
        ...     b = tf1.get_variable("b", [2], initializer=tf1.zeros_initializer())
        >>> w.numpy(), b.numpy()
        (array([1., 1.], dtype=float32), array([0., 0.], dtype=float32))
    """
    ineffective = sorted(_ALWAYS_SETTLED.intersection(defaults))
    if ineffective:
        tf1.logging.warning(
            "override_default_args(%s) has no effect on variables that come from get_variable, "
            "which always settles these arguments itself; use override_args.",
            ", ".join(f"{key}={defaults[key]!r}" for key in ineffective),
        )

    def default_getter(getter: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for key, value in defaults.items():
            if kwargs.get(key) is None:
                kwargs[key] = value
        return getter(*args, **kwargs)

    return default_getter
