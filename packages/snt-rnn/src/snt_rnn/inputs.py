"""What the cores that map vectors ask of their inputs and states."""

from __future__ import annotations

import numbers
from typing import Any

import tensorflow as tf

from snt_nets.norm.inputs import floating_tensor


def input_matrix(inputs: Any, core: str) -> Any:
    """Returns the inputs of one step as a tensor `[batch, input_size]`.

    Args:
        inputs: Tensor, or what can be converted to one.
        core: Name of the core that asks.

    Raises:
        ValueError: If the rank is not 2, or the last dimension is unknown.
        TypeError: If it is not of a floating-point type.
    """
    inputs = floating_tensor(inputs, core)
    shape = inputs.shape
    if shape.rank != 2:
        raise ValueError(
            f"{core}: Rank of shape must be 2 ([batch, features], one step), got the shape {shape}."
            " For whole sequences use snt.dynamic_unroll or tf.compat.v1.nn.dynamic_rnn."
        )
    if shape.as_list()[-1] is None:
        raise ValueError(
            f"{core}: the number of features must be known to make the variables, got the shape "
            f"{shape}. Use set_shape on the input."
        )
    return inputs


def state_tensor(state: Any, inputs: Any, core: str) -> Any:
    """Returns a part of the state as a tensor.

    Args:
        state: Tensor, or what can be converted to one.
        inputs: The inputs, as a tensor.
        core: Name of the core that asks.

    Raises:
        TypeError: If it is not of the type of the inputs.
    """
    state = tf.convert_to_tensor(state, dtype_hint=inputs.dtype)
    if state.dtype != inputs.dtype:
        raise TypeError(
            f"{core}: the state must be of the type of the inputs, {inputs.dtype.name}, got "
            f"{state.dtype.name}. Give the dtype to initial_state."
        )
    return state


def check_keep_prob(keep_prob: Any, core: str, may_be_zero: bool = False) -> None:
    """Checks a probability to keep something, unless it is a tensor.

    Args:
        keep_prob: The probability.
        core: Name of the core that asks.
        may_be_zero: Whether all may be lost.

    Raises:
        ValueError: If it is not in (0, 1], or in [0, 1].
    """
    if not isinstance(keep_prob, numbers.Real):
        return
    if not 0 <= float(keep_prob) <= 1 or (keep_prob == 0 and not may_be_zero):
        raise ValueError(
            f"{core}: a probability to keep must be in {'[' if may_be_zero else '('}0, 1], got "
            f"{keep_prob}."
        )
