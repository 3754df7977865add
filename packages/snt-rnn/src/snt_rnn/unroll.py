"""`dynamic_unroll` and `static_unroll`: a core applied to a whole sequence."""

from __future__ import annotations

import inspect
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_rnn.sequence.protocol import Unrolled, WholeSequence
from snt_rnn.sequence.steps import static_sizes, unroll


def dynamic_unroll(
    core: Any,
    inputs: Any,
    initial_state: Any = None,
    sequence_length: Any = None,
    time_major: bool = True,
    return_all_states: bool = False,
    parallel_iterations: int | None = None,
    swap_memory: bool = False,
    name: str = "dynamic_unroll",
) -> Any:
    """Applies a core to each step of a sequence, by a loop whose graph has one size for all.

    Works in graphs, eagerly and in `tf.function`, also with `jit_compile`. The number of steps and
    the batch size need not be known when the graph is built, and there may be no steps at all.

    A core that offers a whole-sequence form (`LSTM`, `GRU`, `VanillaRNN`, `HighwayCore`, and
    `DeepRNN`, `ResidualCore` and `SkipConnectionCore` of them; but for options that it does not
    cover: layer normalisation, clipping, projection) computes the same numbers faster, up
    to rounding. It keeps the activations of all steps and forms each weight gradient in one
    product. Any other core is called step by step: the first step outside the loop, so that its
    variables, losses and update ops are made where they can be used.

    Args:
        core: An `snt.RNNCore`, or anything that is called with `(inputs, state)` and returns
            `(outputs, next_state)`. Without `initial_state` it needs `initial_state`, `zero_state`
            or `get_initial_state`.
        inputs: Tensor `[time, batch, ...]`, or a structure of them.
        initial_state: The state to begin with, nested as the core returns it. Default: what
            `core.initial_state(batch_size, dtype)` returns, dtype being that of `inputs`.
        sequence_length: Integers `[batch]`: number of steps of each example. After its end an
            example's outputs are zeros and its state stays; a part of the state that has no axes
            belongs to no example and goes on. Default: all steps.
        time_major: Whether time is the first axis of inputs and outputs, and the batch the second.
            Default: True; otherwise they are `[batch, time, ...]`.
        return_all_states: Whether to return the state after each step too. Default: False.
        parallel_iterations: As for `tf.while_loop`. Default: 32.
        swap_memory: As for `tf.while_loop`. Default: False.
        name: Name scope of the ops. Default: "dynamic_unroll".

    Returns:
        A pair: outputs `[time, batch, ...]` in the structure that the core returns, and the final
        state; with `return_all_states` a third part, the states `[time, batch, ...]`.

    Raises:
        ValueError: If `inputs` has no tensors, one of them has an unknown rank or less than two
            axes, they differ in time or batch size, `sequence_length` is no vector or of another
            batch size, or the state of the core changes its structure or rank.
        TypeError: If `sequence_length` is not of integers, there is no `initial_state` and the
            core cannot make one, the core does not return a pair, or the state that it returns is
            of other types or dtypes than the one it was given.
        NotSupportedError: From a whole-sequence form, for gradients of gradients where TensorFlow
            has none: through loops of control flow v1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Sum(snt.RNNCore):
        ...     state_size = output_size = tf.TensorShape([3])
        ...
        ...     def _build(self, inputs, prev_state):
        ...         return prev_state + inputs, prev_state + inputs
        >>> outputs, state = dynamic_unroll(Sum(), tf.ones([5, 2, 3]), sequence_length=[5, 1])
        >>> outputs.shape, state.numpy().tolist()
        (TensorShape([5, 2, 3]), [[5.0, 5.0, 5.0], [1.0, 1.0, 1.0]])
    """
    options = {"parallel_iterations": parallel_iterations or 32, "swap_memory": swap_memory}
    return _unroll(
        core,
        inputs,
        initial_state,
        sequence_length,
        time_major,
        return_all_states,
        False,
        options,
        name,
    )


def static_unroll(
    core: Any,
    inputs: Any,
    initial_state: Any = None,
    sequence_length: Any = None,
    time_major: bool = True,
    return_all_states: bool = False,
    name: str = "static_unroll",
) -> Any:
    """Applies a core to each step of a sequence, in a graph that holds each step by itself.

    Short sequences run faster so, long ones take long to build. Everything else is as for
    `snt.dynamic_unroll`, but for update ops: those of all steps can be used.

    Args:
        core: As for `snt.dynamic_unroll`.
        inputs: Tensor `[time, batch, ...]`, or a structure of them; time is known when the graph
            is built.
        initial_state: As for `snt.dynamic_unroll`.
        sequence_length: As for `snt.dynamic_unroll`.
        time_major: As for `snt.dynamic_unroll`. Default: True.
        return_all_states: As for `snt.dynamic_unroll`. Default: False.
        name: Name scope of the ops. Default: "static_unroll".

    Returns:
        As for `snt.dynamic_unroll`.

    Raises:
        ValueError: If the number of steps is unknown; otherwise as `snt.dynamic_unroll`.
        TypeError: As `snt.dynamic_unroll`.
        NotSupportedError: As `snt.dynamic_unroll`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Sum(snt.RNNCore):
        ...     state_size = output_size = tf.TensorShape([3])
        ...
        ...     def _build(self, inputs, prev_state):
        ...         return prev_state + inputs, prev_state + inputs
        >>> outputs, state = static_unroll(Sum(), tf.ones([2, 5, 3]), time_major=False)
        >>> outputs.shape, state.shape
        (TensorShape([2, 5, 3]), TensorShape([2, 3]))
    """
    return _unroll(
        core,
        inputs,
        initial_state,
        sequence_length,
        time_major,
        return_all_states,
        True,
        {},
        name,
    )


def _unroll(
    core: Any,
    inputs: Any,
    initial_state: Any,
    sequence_length: Any,
    time_major: bool,
    return_all_states: bool,
    static: bool,
    loop_options: dict[str, Any],
    name: str,
) -> Any:
    with tf1.name_scope(name):
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        num_steps, batch_size = static_sizes(inputs, time_major)
        if static and num_steps is None:
            raise ValueError(
                "static_unroll needs a number of steps that is known when the graph is built, got "
                f"inputs of the shapes {_shapes(inputs)}. Use set_shape, or snt.dynamic_unroll."
            )
        if not time_major:
            inputs = tf.nest.map_structure(_swap_time_and_batch, inputs)
        if batch_size is None:
            batch_size = tf.shape(tf.nest.flatten(inputs)[0])[1]
        if initial_state is None:
            initial_state = _initial_state(core, batch_size, _dtype(inputs))
        else:
            initial_state = tf.nest.map_structure(tf.convert_to_tensor, initial_state)
        if sequence_length is not None:
            sequence_length = _checked_length(sequence_length, batch_size)
            inputs = tf.nest.map_structure(
                lambda tensor: _without_padding(tensor, sequence_length), inputs
            )
        sequence = WholeSequence(
            inputs, initial_state, sequence_length, num_steps, static, return_all_states
        )
        unrolled = unroll(core, sequence, **loop_options)
        return _returned(unrolled, time_major, return_all_states)


def _returned(unrolled: Unrolled, time_major: bool, return_all_states: bool) -> Any:
    outputs, final_state, states = unrolled
    if not time_major:
        outputs = tf.nest.map_structure(_swap_time_and_batch, outputs)
        states = tf.nest.map_structure(_swap_time_and_batch, states) if return_all_states else None
    return (outputs, final_state, states) if return_all_states else (outputs, final_state)


def _without_padding(tensor: Any, sequence_length: Any) -> Any:
    """Puts zeros after the end of each example: a NaN there would spoil weight gradients."""
    times = tf.range(tf.shape(tensor, sequence_length.dtype)[0])
    is_step = times[:, tf.newaxis] < sequence_length
    is_step = tf.reshape(is_step, tf.concat([tf.shape(is_step), [1] * (len(tensor.shape) - 2)], 0))
    return _with_shape(tf.where(is_step, tensor, tf.zeros_like(tensor)), tensor.shape)


def _with_shape(tensor: Any, shape: Any) -> Any:
    tensor.set_shape(shape)
    return tensor


def _swap_time_and_batch(tensor: Any) -> Any:
    rank = tensor.shape.rank
    if rank == 1:  # the states of a part without axes
        return tensor
    if rank is not None:
        return tf.transpose(tensor, [1, 0, *range(2, rank)])
    swapped = tf.concat([[1, 0], tf.range(2, tf.rank(tensor))], axis=0)
    return tf.transpose(tensor, swapped)


def _shapes(inputs: Any) -> str:
    return ", ".join(str(tensor.shape) for tensor in tf.nest.flatten(inputs))


def _dtype(inputs: Any) -> Any:
    """Returns the type of the state for these inputs."""
    dtypes = [tensor.dtype for tensor in tf.nest.flatten(inputs)]
    return next((dtype for dtype in dtypes if dtype.is_floating), tf.float32)


def _initial_state(core: Any, batch_size: Any, dtype: Any) -> Any:
    make = getattr(core, "initial_state", None)
    if make is not None:
        # The signature of a core's own method is free; most know `dtype`.
        parameters = inspect.signature(make).parameters.values()
        knows_dtype = any(p.name == "dtype" or p.kind is p.VAR_KEYWORD for p in parameters)
        return make(batch_size, **({"dtype": dtype} if knows_dtype else {}))
    make = getattr(core, "get_initial_state", None)
    if make is not None:
        return make(batch_size=batch_size, dtype=dtype)
    make = getattr(core, "zero_state", None)
    if make is not None:
        return make(batch_size, dtype)
    raise TypeError(
        f"An unroll without initial_state needs a core that makes one, by `initial_state`, "
        f"`get_initial_state` or `zero_state`, got {core!r}. Pass initial_state."
    )


def _checked_length(sequence_length: Any, batch_size: Any) -> Any:
    sequence_length = tf.convert_to_tensor(sequence_length)
    if not sequence_length.dtype.is_integer:
        raise TypeError(
            f"sequence_length must be of integers, got {sequence_length.dtype.name}: it counts "
            "the steps of each example."
        )
    expected = tf.TensorShape([None if tf.is_tensor(batch_size) else batch_size])
    if not sequence_length.shape.is_compatible_with(expected):
        raise ValueError(
            f"sequence_length must have one entry for each example, [{expected[0]}], got the shape "
            f"{sequence_length.shape}."
        )
    return sequence_length
