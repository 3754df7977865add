"""Default initializers of the layers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1


def create_linear_initializer(input_size: int, dtype: Any = tf.float32) -> Any:
    """Returns the default initializer of a weight matrix: truncated normal, σ = 1/√input_size.

    Args:
        input_size: Number of input features.
        dtype: Floating-point type of the variable.

    Raises:
        ValueError: If `dtype` is not a floating-point type.
    """
    # Checked here: told the type, TensorFlow's initializer logs that it is deprecated to do so.
    if not tf.as_dtype(dtype).is_floating:
        raise ValueError(
            "Argument `dtype` is expected to be floating point for the default initializer, got "
            f"{tf.as_dtype(dtype).name}. Give an initializer of your own, or floating-point inputs."
        )
    return tf1.truncated_normal_initializer(stddev=1 / math.sqrt(max(input_size, 1)))


def create_weight_initializer(fan_in_shape: Iterable[int], dtype: Any = tf.float32) -> Any:
    """Returns the default initializer of weights that sum over axes of these sizes.

    Args:
        fan_in_shape: Sizes of the axes that are summed over; their product is the fan-in.
        dtype: Floating-point type of the variable.

    Raises:
        ValueError: If `dtype` is not a floating-point type.
    """
    return create_linear_initializer(math.prod(fan_in_shape), dtype)


def create_bias_initializer(unused_bias_shape: Any, dtype: Any = tf.float32) -> Any:
    """Returns the default initializer of a bias: zeros.

    Args:
        unused_bias_shape: Not used; every default initializer takes a shape and a type.
        dtype: Not used; an initializer is called with the type of its variable.
    """
    return tf1.zeros_initializer()
