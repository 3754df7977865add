"""Penalties on the size of weights, in place of those of `tf.contrib.layers`.

They are for the `regularizers` argument of modules and the `regularizer` argument of
`tf.compat.v1.get_variable`, which adds their result to the collection `REGULARIZATION_LOSSES`.
Those of Keras are others: its L2 lacks the factor one half.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

Regularizer = Callable[[Any], tf.Tensor | None]


def l1_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """Makes a regulariser that gives `scale` times the sum of the absolute weights.

    Args:
        scale: Weight of the penalty, not negative. With 0 the regulariser returns `None`, which
            adds no loss.
        scope: Name scope of the ops. Default `None`: `l1_regularizer`.

    Returns:
        A function from weights of any shape to a scalar of their dtype.

    Raises:
        ValueError: If `scale` is not a finite number that is 0 or more.

    Example:
        >>> import tensorflow as tf
        >>> l1_regularizer(0.5)(tf.constant([1.0, -3.0])).numpy()
        np.float32(2.0)
    """
    scale = _checked_scale("l1_regularizer", scale)
    return _regularizer(scope or "l1_regularizer", scale, lambda w: tf.reduce_sum(tf.abs(w)))


def l2_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """Makes a regulariser that gives `scale` times half the sum of the squared weights.

    Args:
        scale: Weight of the penalty, not negative. With 0 the regulariser returns `None`, which
            adds no loss.
        scope: Name scope of the ops. Default `None`: `l2_regularizer`.

    Returns:
        A function from weights of any shape to a scalar of their dtype.

    Raises:
        ValueError: If `scale` is not a finite number that is 0 or more.

    Example:
        >>> import tensorflow as tf
        >>> l2_regularizer(0.5)(tf.constant([1.0, -3.0])).numpy()
        np.float32(2.5)
    """
    scale = _checked_scale("l2_regularizer", scale)
    return _regularizer(scope or "l2_regularizer", scale, tf.nn.l2_loss)


def sum_regularizer(
    regularizer_list: Iterable[Regularizer | None], scope: str | None = None
) -> Regularizer | None:
    """Makes a regulariser that gives the sum of several.

    Args:
        regularizer_list: The regularisers; `None` among them is skipped.
        scope: Name scope of the ops. Default `None`: `sum_regularizer`.

    Returns:
        A function from weights to the sum of what the regularisers give, which is `None` when all
        give `None`. `None`, for no regulariser, when the list holds none.

    Raises:
        TypeError: If one of the regularisers is not callable.

    Example:
        >>> import tensorflow as tf
        >>> both = sum_regularizer([l1_regularizer(0.5), l2_regularizer(0.5)])
        >>> both(tf.constant([1.0, -3.0])).numpy()
        np.float32(4.5)
    """
    regularizers = [regularizer for regularizer in regularizer_list if regularizer is not None]
    for regularizer in regularizers:
        if not callable(regularizer):
            raise TypeError(
                "sum_regularizer: expected functions from weights to a scalar, "
                f"but {regularizer!r} is not callable."
            )
    if not regularizers:
        return None

    def sum_of_regularizers(weights: Any) -> tf.Tensor | None:
        with tf1.name_scope(scope or "sum_regularizer"):
            penalties = [regularizer(weights) for regularizer in regularizers]
            penalties = [penalty for penalty in penalties if penalty is not None]
            return tf.add_n(penalties) if penalties else None

    return sum_of_regularizers


def _checked_scale(name: str, scale: float) -> float:
    # `bool` is a number to Python, but `l2_regularizer(True)` is a slip.
    is_number = isinstance(scale, numbers.Real) and not isinstance(scale, bool)
    if not is_number or not math.isfinite(scale) or scale < 0:
        raise ValueError(
            f"{name}: scale must be a finite number that is 0 or more, not {scale!r}; "
            "it multiplies the penalty, and 0 switches it off."
        )
    return float(scale)


def _regularizer(scope: str, scale: float, penalty: Callable[[Any], tf.Tensor]) -> Regularizer:
    def scaled_penalty(weights: Any) -> tf.Tensor | None:
        if not scale:
            return None
        with tf1.name_scope(scope):
            value = penalty(tf.convert_to_tensor(weights))
            return tf.multiply(tf.cast(scale, value.dtype), value)

    return scaled_penalty
