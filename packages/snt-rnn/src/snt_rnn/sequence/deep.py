"""The whole-sequence form of `snt.DeepRNN`: layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from snt_rnn.sequence.protocol import Unrolled, WholeSequence
from snt_rnn.sequence.steps import unroll


def deep_sequence(
    cores: Sequence[Any], join_inputs: Callable[..., Any] | None, sequence: WholeSequence
) -> tuple[list[Any], Unrolled]:
    """Applies one core after the other to a whole sequence.

    Args:
        cores: The cores, all of them recurrent.
        join_inputs: Given the inputs of the first core and the outputs of another one, returns the
            inputs of the next one. None if those are just the outputs.
        sequence: What to apply them to; its state is the tuple of the states of the cores.

    Returns:
        The outputs of all cores, and what came of it, with the outputs of the last one.
    """
    outputs: list[Any] = []
    final_states, states = [], []
    current = sequence.inputs
    for core, state in zip(cores, sequence.initial_state, strict=True):
        if join_inputs is not None and outputs:
            current = join_inputs(sequence.inputs, current)
        unrolled = unroll(core, sequence._replace(inputs=current, initial_state=state))
        current = unrolled.outputs
        outputs.append(current)
        final_states.append(unrolled.final_state)
        states.append(unrolled.states)
    all_states = tuple(states) if sequence.return_all_states else None
    return outputs, Unrolled(current, tuple(final_states), all_states)
