"""A core called step by step, in a loop of TensorFlow or of Python."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_rnn.sequence.protocol import Unrolled, WholeSequence, find_form


def static_sizes(inputs: Any, time_major: bool) -> tuple[int | None, int | None]:
    """Returns the number of steps and the batch size of inputs, as far as they are known.

    Args:
        inputs: A structure of tensors.
        time_major: Whether time is the first axis.

    Raises:
        ValueError: If there are no tensors, or they are not sequences of one length and batch size.
    """
    flat = tf.nest.flatten(inputs)
    if not flat:
        raise ValueError(f"An unroll needs inputs, got the structure {inputs!r} without tensors.")
    axes = "[time, batch, ...]" if time_major else "[batch, time, ...]"
    sizes = tf.TensorShape([None, None])
    for tensor in flat:
        shape = tensor.shape
        if shape.rank is None or shape.rank < 2:
            raise ValueError(
                f"The inputs of an unroll must be {axes}, got a tensor of the shape {shape} in "
                f"{inputs!r}."
            )
        if not sizes.is_compatible_with(shape[:2]):
            raise ValueError(
                f"The inputs of an unroll must have one number of steps and one batch size, as "
                f"{axes}; got the shapes {', '.join(str(t.shape) for t in flat)}."
            )
        sizes = sizes.merge_with(shape[:2])
    first, second = sizes.as_list()
    return (first, second) if time_major else (second, first)


def unroll(core: Any, sequence: WholeSequence, **loop_options: Any) -> Unrolled:
    """Applies a core to a sequence: by its whole-sequence form if it has one, else by steps.

    Args:
        core: The core.
        sequence: What to apply it to.
        **loop_options: Options of `tf.while_loop`, for steps.
    """
    form = None if sequence.num_steps == 0 else find_form(core, sequence)
    return unroll_by_steps(core, sequence, **loop_options) if form is None else form(sequence)


def unroll_by_steps(core: Any, sequence: WholeSequence, **loop_options: Any) -> Unrolled:
    """Calls a core once for each step of a sequence.

    In graphs the first step stands outside the loop. What the core makes when it is first
    connected, its variables, losses and update ops, can then be used like any other.

    Args:
        core: The core.
        sequence: What to apply it to.
        **loop_options: Options of `tf.while_loop`.
    """
    if sequence.num_steps == 0:
        return _no_steps(core, sequence)
    step = _Step(core, sequence)
    if tf.executing_eagerly() or sequence.static:
        return _python_loop(step, sequence)
    return _graph_loop(step, sequence, loop_options)


class _Step:
    """One step of the core, checked, and masked by the lengths of the examples."""

    def __init__(self, core: Any, sequence: WholeSequence) -> None:
        self._core = core
        self._length = sequence.sequence_length

    def __call__(self, time: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
        returned = self._core(inputs, state)
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise TypeError(
                f"A core must return a pair, (outputs, next state); {self._core!r} returned "
                f"{returned!r}."
            )
        outputs = tf.nest.map_structure(tf.convert_to_tensor, returned[0])
        next_state = tf.nest.map_structure(tf.convert_to_tensor, returned[1])
        self._check_state(state, next_state)
        if self._length is None:
            return outputs, next_state
        goes_on = tf.cast(time, self._length.dtype) < self._length
        outputs = tf.nest.map_structure(
            lambda output: _select(goes_on, output, tf.zeros_like(output)), outputs
        )
        return outputs, tf.nest.map_structure(
            lambda new, old: new if new.shape.rank == 0 else _select(goes_on, new, old),
            next_state,
            state,
        )

    def _check_state(self, state: Any, next_state: Any) -> None:
        try:
            tf.nest.assert_same_structure(state, next_state)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"The core {self._core!r} was given a state of the structure "
                f"{_structure(state)} and returned one of the structure {_structure(next_state)}: "
                "they must be nested in the same way, by the same types. Pass an initial_state "
                "such as core.initial_state(batch_size) returns."
            ) from None
        for old, new in zip(tf.nest.flatten(state), tf.nest.flatten(next_state), strict=True):
            if old.dtype != new.dtype:
                raise TypeError(
                    f"The core {self._core!r} was given a state of dtype {old.dtype.name} and "
                    f"returned one of dtype {new.dtype.name}: make the initial state with the "
                    "latter, or cast the inputs."
                )
            if not old.shape.rank == new.shape.rank:
                raise ValueError(
                    f"The core {self._core!r} was given a state of the shape {old.shape} and "
                    f"returned one of the shape {new.shape}: the number of axes must stay."
                )


def _structure(state: Any) -> str:
    return str(tf.nest.map_structure(lambda tensor: tensor.shape, state))


def _select(goes_on: Any, new: Any, old: Any) -> Any:
    """Returns rows of `new` for examples that go on, and of `old` for the others."""
    if new.shape.rank is None:
        ones = tf.ones([tf.rank(new) - 1], tf.int32)
        mask = tf.reshape(goes_on, tf.concat([tf.shape(goes_on), ones], axis=0))
    else:
        mask = tf.reshape(goes_on, [-1, *[1] * (new.shape.rank - 1)])
    selected = tf.where(mask, new, old)
    selected.set_shape(new.shape)
    return selected


def _no_steps(core: Any, sequence: WholeSequence) -> Unrolled:
    """Returns what comes of no steps; the core is not called, since it has no inputs."""
    flat = tf.nest.flatten(sequence.inputs)
    batch_size = tf.shape(flat[0])[1] if flat[0].shape[1] is None else flat[0].shape[1]
    dtypes = [tensor.dtype for tensor in flat if tensor.dtype.is_floating]

    def empty(size: Any) -> Any:
        sizes = tf.TensorShape(size).as_list()
        outputs = tf.zeros([0, batch_size, *sizes], dtypes[0] if dtypes else tf.float32)
        outputs.set_shape([0, flat[0].shape[1], *sizes])
        return outputs

    outputs = tf.nest.map_structure(empty, core.output_size)
    states = None
    if sequence.return_all_states:
        states = tf.nest.map_structure(lambda state: state[tf.newaxis][:0], sequence.initial_state)
    return Unrolled(outputs, sequence.initial_state, states)


def _python_loop(step: _Step, sequence: WholeSequence) -> Unrolled:
    assert sequence.num_steps is not None
    state = sequence.initial_state
    of_steps = []
    flat = [tf.unstack(tensor, sequence.num_steps) for tensor in tf.nest.flatten(sequence.inputs)]
    for time, inputs in enumerate(zip(*flat, strict=True)):
        outputs, state = step(time, tf.nest.pack_sequence_as(sequence.inputs, inputs), state)
        of_steps.append((outputs, state) if sequence.return_all_states else (outputs,))
        _check_same_outputs(of_steps[0], of_steps[-1])
    stacks = tf.nest.map_structure(lambda *steps: tf.stack(steps), *of_steps)
    return Unrolled(stacks[0], state, stacks[1] if sequence.return_all_states else None)


def _graph_loop(step: _Step, sequence: WholeSequence, loop_options: dict[str, Any]) -> Unrolled:
    flat_inputs = tf.nest.flatten(sequence.inputs)
    initial = sequence.initial_state
    if sequence.num_steps is None:
        num_steps, maximum_iterations = tf.shape(flat_inputs[0])[0], None
    else:
        num_steps, maximum_iterations = sequence.num_steps, sequence.num_steps - 1

    def inputs_at(time: Any) -> Any:
        return tf.nest.map_structure(lambda tensor: tensor[time], sequence.inputs)

    if sequence.num_steps is None:
        # There may be no first step; zeros stand in for it, and what comes of them is left out.
        first_inputs = tf.nest.map_structure(_first_or_zeros, sequence.inputs)
    else:
        first_inputs = inputs_at(0)
    outputs, state = step(0, first_inputs, initial)
    if sequence.num_steps is None:
        is_step = num_steps > 0
        state = tf.nest.map_structure(
            lambda new, old: _keep_shape(tf.where(is_step, new, old), new), state, initial
        )
    stacked = (outputs, state) if sequence.return_all_states else (outputs,)
    arrays = [
        tf.TensorArray(
            tensor.dtype,
            size=tf.maximum(num_steps, 1) if sequence.num_steps is None else num_steps,
            element_shape=tensor.shape,
        ).write(0, tensor)
        for tensor in tf.nest.flatten(stacked)
    ]
    flat_state = tf.nest.flatten(state)
    # The shapes that hold in all steps: the first may know more, or less, than the others.
    invariants = [
        new.shape.most_specific_compatible_shape(old.shape)
        for new, old in zip(flat_state, tf.nest.flatten(initial), strict=True)
    ]

    def body(time: Any, arrays: Any, flat_state: Any) -> Any:
        state = tf.nest.pack_sequence_as(initial, flat_state)
        outputs, state = step(time, inputs_at(time), state)
        at_time = (outputs, state) if sequence.return_all_states else (outputs,)
        _check_same_outputs(stacked, at_time)
        arrays = [
            array.write(time, tensor)
            for array, tensor in zip(arrays, tf.nest.flatten(at_time), strict=True)
        ]
        return time + 1, arrays, tf.nest.flatten(state)

    with _WithoutUpdateOps():
        _, arrays, flat_state = tf.while_loop(
            lambda time, *_: time < num_steps,
            body,
            (tf.constant(1), arrays, flat_state),
            shape_invariants=(
                tf.TensorShape([]),
                [tf.TensorShape(None)] * len(arrays),
                invariants,
            ),
            maximum_iterations=maximum_iterations,
            **loop_options,
        )
    stacks = [array.stack() for array in arrays]
    if sequence.num_steps is None:
        stacks = [stack[:num_steps] for stack in stacks]
    for stack, tensor in zip(stacks, tf.nest.flatten(stacked), strict=True):
        stack.set_shape(tf.TensorShape([sequence.num_steps]).concatenate(tensor.shape))
    for tensor, shape in zip(flat_state, invariants, strict=True):
        tensor.set_shape(shape)
    packed = tf.nest.pack_sequence_as(stacked, stacks)
    return Unrolled(
        packed[0],
        tf.nest.pack_sequence_as(initial, flat_state),
        packed[1] if sequence.return_all_states else None,
    )


def _first_or_zeros(tensor: Any) -> Any:
    shape = tf.concat([[1], tf.shape(tensor)[1:]], axis=0)
    first = tf.concat([tensor[:1], tf.zeros(shape, tensor.dtype)], axis=0)[0]
    return _keep_shape(first, tensor[0])


def _keep_shape(tensor: Any, like: Any) -> Any:
    tensor.set_shape(like.shape)
    return tensor


def _check_same_outputs(first: Any, later: Any) -> None:
    try:
        tf.nest.assert_same_structure(first, later)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"A core must return outputs of one structure; the first step returned "
            f"{_structure(first[0])} and a later one {_structure(later[0])}."
        ) from None


class _WithoutUpdateOps:
    """Keeps the update ops of the body of a loop, which nobody can run, out of the collection."""

    def __enter__(self) -> None:
        self._number = len(tf1.get_collection_ref(tf1.GraphKeys.UPDATE_OPS))

    def __exit__(self, *error: object) -> None:
        del tf1.get_collection_ref(tf1.GraphKeys.UPDATE_OPS)[self._number :]
