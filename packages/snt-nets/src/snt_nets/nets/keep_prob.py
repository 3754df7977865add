"""The probability that dropout keeps a feature, which only training may have below 1."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from snt_nets.flags import known_flag


def checked_keep_prob(keep_prob: Any, is_training: Any, dtype: Any, module: str) -> Any:
    """Returns the probability, if it may have this value now.

    Args:
        keep_prob: A number, or a scalar tensor.
        is_training: Whether this is training: a boolean, or a boolean tensor.
        dtype: Type of the features.
        module: Name of the module that asks.

    Returns:
        A number, or a tensor of the type `dtype` if the value is not known by now.

    Raises:
        tf.errors.InvalidArgumentError: If it is not 1 and this is not training; when the graph is
            run, if that is known no sooner.
        TypeError: If `is_training` is not a boolean.
    """
    training = known_flag(is_training, f"{module}: is_training")
    value = tf.get_static_value(keep_prob) if tf.is_tensor(keep_prob) else keep_prob
    if training is True or value == 1:
        return tf.cast(keep_prob, dtype) if value is None else value
    message = (
        f"{module}: keep_prob must be None or 1 when is_training is False, for dropout is for "
        "training."
    )
    if training is False:
        if value is not None:
            raise tf.errors.InvalidArgumentError(None, None, f"{message} Got {value}.")
        allowed = tf.equal(keep_prob, 1)
    else:
        allowed = tf.logical_or(training, tf.equal(keep_prob, 1))
    with tf.control_dependencies([tf.debugging.Assert(allowed, [message, keep_prob])]):
        return tf.cast(tf.identity(keep_prob), dtype)
