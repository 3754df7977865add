"""How a core offers a form of its own for whole sequences, and how an unroll finds and calls it.

A core offers one by a method `_sequence_form(sequence)`, marked with `stands_for`. Given a
`WholeSequence`, it returns a function that takes the same `WholeSequence` and returns an
`Unrolled`, or None where it has no form for the options of the core or for such inputs. It makes
no variables and no ops. The function that it returns is called as `_build` is: in the variable
scope of the core, so that it gets the variables of an ordinary call, by the same `get_variable`,
whichever comes first.

What it computes is what the core would compute called step by step. A subclass that overrides what
the form stands for, `_build` above all, does not inherit it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from snt_core.module import AbstractModule

Method = TypeVar("Method", bound=Callable[..., Any])


class WholeSequence(NamedTuple):
    """What a core is to be applied to.

    Attributes:
        inputs: Tensor `[time, batch, ...]`, or a structure of them.
        initial_state: The state to begin with.
        sequence_length: Integers `[batch]`, or None.
        num_steps: Number of steps if it is known when the graph is built, otherwise None.
        static: Whether the graph is to hold each step by itself.
        return_all_states: Whether the states of all steps are wanted.
    """

    inputs: Any
    initial_state: Any
    sequence_length: Any
    num_steps: int | None
    static: bool
    return_all_states: bool


class Unrolled(NamedTuple):
    """What came of it.

    Attributes:
        outputs: Outputs `[time, batch, ...]`, zeros after the end of an example.
        final_state: The state of each example at its end.
        states: The states after each step, `[time, batch, ...]`, if they were wanted, or None.
    """

    outputs: Any
    final_state: Any
    states: Any


Form = Callable[[WholeSequence], Unrolled]


def stands_for(*methods: str) -> Callable[[Method], Method]:
    """Says which methods a whole-sequence form replaces.

    Args:
        *methods: Names of methods. A class that overrides one of them and not the form has none.

    Returns:
        A decorator for `_sequence_form`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Sum(snt.RNNCore):
        ...     state_size = output_size = tf.TensorShape([3])
        ...
        ...     def _build(self, inputs, prev_state):
        ...         return prev_state + inputs, prev_state + inputs
        ...
        ...     @stands_for("_build")
        ...     def _sequence_form(self, sequence):
        ...         return None if sequence.sequence_length is not None else self._sums
        ...
        ...     def _sums(self, sequence):
        ...         sums = sequence.initial_state + tf.cumsum(sequence.inputs)
        ...         return Unrolled(sums, sums[-1], sums)
        >>> outputs, _ = snt.dynamic_unroll(Sum(), tf.ones([5, 2, 3]))
        >>> outputs[:, 0, 0].numpy().tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0]
    """

    def mark(method: Method) -> Method:
        method._stands_for = ("__call__", *methods)  # type: ignore[attr-defined]
        return method

    return mark


def is_plain(sequence: WholeSequence, state_size: Any) -> bool:
    """Tells whether inputs and state are vectors of known sizes and of one type.

    Args:
        sequence: What a core is to be applied to.
        state_size: Sizes of the state of the core.
    """
    inputs, state = sequence.inputs, sequence.initial_state
    if not tf.is_tensor(inputs) or inputs.shape.rank != 3 or not inputs.dtype.is_floating:
        return False
    try:
        tf.nest.assert_same_structure(state_size, state)
    except (TypeError, ValueError):
        return False
    sizes = map(tf.TensorShape, tf.nest.flatten(state_size))
    expected = [tf.TensorShape([inputs.shape[1]]).concatenate(size) for size in sizes]
    return inputs.shape[2] is not None and all(
        part.dtype == inputs.dtype
        and part.shape.rank == 2
        and part.shape[1] is not None
        and part.shape.is_compatible_with(shape)
        for part, shape in zip(tf.nest.flatten(state), expected, strict=True)
    )


def find_form(core: Any, sequence: WholeSequence) -> Form | None:
    """Returns the whole-sequence form of a core, in the variable scope of the core, or None.

    Args:
        core: Any core.
        sequence: What it is to be applied to.
    """
    if not offers_form(core):
        return None
    form = core._sequence_form(sequence)
    return None if form is None else functools.partial(core._connect_by, form)


def offers_form(core: Any) -> bool:
    """Tells whether a core may have a whole-sequence form."""
    if not isinstance(core, AbstractModule) or core.defun_wrapped:
        return False
    method = inspect.getattr_static(type(core), "_sequence_form", None)
    replaced = getattr(method, "_stands_for", None)
    if replaced is None:
        return False
    definer = _index_of_definer(core, "_sequence_form")
    return all(_index_of_definer(core, name) >= definer for name in replaced)


def _index_of_definer(core: Any, name: str) -> int:
    """Tells how far up in its line of classes a core has a method from; -1 is its own."""
    # A module's own `__call__` is there for the sake of its signature.
    if name in core.__dict__ and name != "__call__":
        return -1
    line = type(core).__mro__
    return next(index for index, cls in enumerate(line) if name in cls.__dict__)
