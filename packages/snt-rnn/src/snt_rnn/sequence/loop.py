"""A loop over time: of TensorFlow where a graph is built, otherwise of Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensors = list[Any]
Body = Callable[[Any, Tensors], tuple[Tensors, Tensors]]


def loop(
    body: Body,
    num_steps: Any,
    carried: Tensors,
    shapes: list[Any],
    dtype: Any,
    reverse: bool = False,
    static: bool = False,
) -> tuple[Tensors, Tensors]:
    """Calls `body` for each step.

    Args:
        body: `f(time, carried)`, returns what is carried to the next call and what is kept.
        num_steps: Number of steps, at least 1: an integer or a tensor.
        carried: What the first call is given.
        shapes: Static shapes of what is kept of a step.
        dtype: Its type.
        reverse: Whether to begin with the last step. What is kept has its place by time anyway.
        static: Whether a graph is to hold each step by itself.

    Returns:
        What the last call returned to carry, and what all calls returned to keep, stacked.
    """
    if static or tf.executing_eagerly():
        return _python_loop(body, num_steps, carried, reverse)
    arrays = [tf.TensorArray(dtype, size=num_steps, element_shape=shape) for shape in shapes]
    known = not tf.is_tensor(num_steps)

    def step(count: Any, carried: Tensors, arrays: Tensors) -> Any:
        time = num_steps - 1 - count if reverse else count
        carried, kept = body(time, carried)
        arrays = [array.write(time, tensor) for array, tensor in zip(arrays, kept, strict=True)]
        return count + 1, carried, arrays

    _, carried, arrays = tf.while_loop(
        lambda count, *_: count < num_steps,
        step,
        (tf.constant(0), carried, arrays),
        maximum_iterations=num_steps if known else None,
        parallel_iterations=32,
    )
    stacks = [array.stack() for array in arrays]
    for stack, shape in zip(stacks, shapes, strict=True):
        stack.set_shape([num_steps if known else None, *shape])
    return carried, stacks


def _python_loop(
    body: Body, num_steps: int, carried: Tensors, reverse: bool
) -> tuple[Tensors, Tensors]:
    kept = []
    times = range(int(num_steps))
    for time in reversed(times) if reverse else times:
        carried, of_step = body(time, carried)
        kept.append(of_step)
    if reverse:
        kept.reverse()
    return carried, [tf.stack(steps) for steps in zip(*kept, strict=True)]
