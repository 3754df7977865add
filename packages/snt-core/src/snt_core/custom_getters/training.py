"""Custom getters that keep an optimiser away from variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def non_trainable(getter: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Makes every variable with `trainable=False`, whatever was asked for.

    The variable is then in the collection `GLOBAL_VARIABLES` and not in `TRAINABLE_VARIABLES`. Only
    the creation of a variable is changed; a variable that exists stays as it is.

    Args:
        getter: The getter of the variable.
        *args: Positional arguments of the request, the variable's name among them.
        **kwargs: Keyword arguments of the request.

    Returns:
        The variable.

    Example:
        >>> import tensorflow.compat.v1 as tf1
        >>> with tf1.variable_scope("frozen", custom_getter=non_trainable):
        ...     tf1.get_variable("w", [2]).trainable
        False
    """
    kwargs["trainable"] = False
    return getter(*args, **kwargs)


def stop_gradient(getter: Callable[..., Any], *args: Any, **kwargs: Any) -> tf.Tensor:
    """Gives the value of the variable, through which no gradient flows.

    The variable itself stays trainable and among the variables of its module: another connection,
    without this getter, can still train it.

    Args:
        getter: The getter of the variable.
        *args: Positional arguments of the request, the variable's name among them.
        **kwargs: Keyword arguments of the request.

    Returns:
        A tensor with the shape and dtype of the variable.

    Example:
        >>> import tensorflow as tf
        >>> import tensorflow.compat.v1 as tf1
        >>> with tf.Graph().as_default():
        ...     with tf1.variable_scope("target", custom_getter=stop_gradient):
        ...         w = tf1.get_variable("w", [2])
        ...     tf1.gradients(w * 2.0, tf1.trainable_variables())
        [None]
    """
    return tf.stop_gradient(getter(*args, **kwargs))
