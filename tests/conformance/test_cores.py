"""A recurrent core does the same in every loop over time, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.descriptors import CORES, Descriptor
from tests.support.modes import Mode

STEPS = 3

each_core = pytest.mark.parametrize("descriptor", CORES, ids=lambda descriptor: descriptor.name)
each_repeatable_core = pytest.mark.parametrize(
    "descriptor", [d for d in CORES if not d.random], ids=lambda descriptor: descriptor.name
)


def by_hand(core: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
    outputs = []
    for step in tf.unstack(inputs):
        output, state = core(step, state)
        outputs.append(output)
    return tf.nest.map_structure(lambda *steps: tf.stack(steps), *outputs), state


def dynamic_rnn(core: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
    return tf1.nn.dynamic_rnn(
        core, inputs, initial_state=state, dtype=inputs.dtype, time_major=True
    )


def static_rnn(core: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
    outputs, state = tf1.nn.static_rnn(core, tf.unstack(inputs), state, dtype=inputs.dtype)
    return tf.nest.map_structure(lambda *steps: tf.stack(steps), *outputs), state


UNROLLERS = {
    "dynamic_rnn": dynamic_rnn,
    "static_rnn": static_rnn,
    "dynamic_unroll": lambda *args: snt.dynamic_unroll(*args),
    "static_unroll": lambda *args: snt.static_unroll(*args),
}


def sequence(descriptor: Descriptor) -> tuple[Any, ...]:
    """Returns random inputs with time as their first axis, and the parts of a state."""
    steps = [descriptor.inputs(seed=seed)[0] for seed in range(STEPS)]
    return np.stack(steps), *descriptor.inputs()[1:]


def unrolled(
    descriptor: Descriptor, core: Any, unroll: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    return lambda inputs, *parts: unroll(core, inputs, descriptor.state_of(list(parts)))


@each_core
def test_its_sizes_are_those_of_its_state_and_outputs(descriptor: Descriptor, mode: Mode) -> None:
    core = descriptor.make()
    state_size = core.state_size
    tf.nest.assert_same_structure(state_size, descriptor.state)
    for part, expected in zip(
        tf.nest.flatten(state_size), tf.nest.flatten(descriptor.state), strict=True
    ):
        assert isinstance(expected, tf.TensorSpec) or tf.TensorShape(part) == expected
    outputs, state = mode.run(lambda *x: descriptor.connect(core, *x), *descriptor.inputs())
    sizes = tf.nest.map_structure(tf.TensorShape, core.output_size)
    tf.nest.assert_same_structure(sizes, outputs)
    for array, size in zip(tf.nest.flatten(outputs), tf.nest.flatten(sizes), strict=True):
        assert list(array.shape[1:]) == size.as_list()
    tf.nest.assert_same_structure(state, descriptor.state)


@each_repeatable_core
def test_every_loop_computes_the_same(descriptor: Descriptor, mode: Mode) -> None:
    core = descriptor.make()
    arrays = sequence(descriptor)
    results = {
        name: mode.run(unrolled(descriptor, core, unroll), *arrays)
        for name, unroll in UNROLLERS.items()
    }
    expected_outputs, expected_state = mode.run(unrolled(descriptor, core, by_hand), *arrays)
    for name, (outputs, state) in results.items():
        tf.nest.assert_same_structure(state, expected_state)
        for actual, expected in zip(
            tf.nest.flatten([outputs, state]),
            tf.nest.flatten([expected_outputs, expected_state]),
            strict=True,
        ):
            np.testing.assert_allclose(actual, expected, 1e-5, 1e-6, err_msg=name)


@each_core
@pytest.mark.parametrize("loop", ["dynamic_rnn", "dynamic_unroll"])
def test_losses_of_the_weights_of_a_loop_are_usable_outside(
    descriptor: Descriptor, loop: str, mode: Mode
) -> None:
    with tf1.variable_scope("regularized", regularizer=snt.l2_regularizer(1.0)):
        core = descriptor.make()
    mode.run(unrolled(descriptor, core, UNROLLERS[loop]), *sequence(descriptor))
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    weights = mode.values(list(core.trainable_variables))
    assert len(losses) == len(weights)
    expected = sum(np.sum(np.square(w)) for w in weights) / 2
    np.testing.assert_allclose(mode.values(tf.add_n(losses)), expected, 1e-5)
