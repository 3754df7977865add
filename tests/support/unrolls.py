"""Cores in the loops of TensorFlow, beside plain steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from tests.support.modes import Mode

Array = np.ndarray[Any, Any]


@contextlib.contextmanager
def old_control_flow() -> Iterator[Mode]:
    """Graph mode as TensorFlow 1 had it: loops in the graph itself, reference variables."""
    tf1.disable_control_flow_v2()
    tf1.disable_resource_variables()
    mode = Mode("graph")
    try:
        with tf.Graph().as_default(), tf1.Session() as session:
            mode._session = session
            yield mode
    finally:
        tf1.enable_resource_variables()
        tf1.enable_control_flow_v2()


def by_steps(core: Any, x: Any, state: Any) -> Any:
    """Calls a core step by step on `[batch, time, ...]`; returns outputs `[batch, time, ...]`."""
    outputs = []
    for t in range(x.shape[1]):
        output, state = core(x[:, t], state)
        outputs.append(output)
    return tf.nest.map_structure(lambda *o: tf.stack(o, axis=1), *outputs), state


def by_static_rnn(core: Any, x: Any, state: Any) -> Any:
    outputs, state = tf1.nn.static_rnn(core, tf.unstack(x, axis=1), initial_state=state)
    return tf.nest.map_structure(lambda *o: tf.stack(o, axis=1), *outputs), state


def by_dynamic_rnn(core: Any, x: Any, state: Any) -> Any:
    return tf1.nn.dynamic_rnn(core, x, initial_state=state, dtype=x.dtype)


def by_dynamic_rnn_over_time(core: Any, x: Any, state: Any) -> Any:
    """The same for `[time, batch, ...]`, inputs and outputs."""
    return tf1.nn.dynamic_rnn(core, x, initial_state=state, dtype=x.dtype, time_major=True)


def check_unrolls(core: Any, x: Array, mode: Mode, rtol: float = 1e-5, atol: float = 1e-6) -> Any:
    """Checks that all ways to unroll a core over `[batch, time, ...]` give the same.

    The core is first connected inside the body of a loop, if it was not before. Batch and time are
    unknown where the graph is built, each in its turn.

    Returns:
        Outputs `[batch, time, ...]`, and the last state.
    """

    def run(unroll: Any, x: Array, batch_axis: int, unknown_batch: bool) -> Any:
        def compute(x: Any) -> Any:
            batch = tf.shape(x)[batch_axis]
            return unroll(core, x, core.initial_state(batch, dtype=x.dtype))

        return mode.run(compute, x, unknown_batch=unknown_batch)

    found = [
        run(by_dynamic_rnn, x, 0, True),
        run(by_static_rnn, x, 0, True),
        run(by_steps, x, 0, False),
    ]
    outputs, state = run(by_dynamic_rnn_over_time, np.swapaxes(x, 0, 1), 1, True)
    found.append((tf.nest.map_structure(lambda o: np.swapaxes(o, 0, 1), outputs), state))
    for other in found[1:]:
        tf.nest.assert_same_structure(found[0], other)
        for one, two in zip(tf.nest.flatten(found[0]), tf.nest.flatten(other), strict=True):
            np.testing.assert_allclose(one, two, rtol, atol)
    return found[0]


def check_gradients(
    loss: Callable[[], Any], variables: list[Any], mode: Mode, rtol: float = 1e-5
) -> None:
    """Checks gradients against finite differences, each variable along one random direction.

    Args:
        loss: Computes a scalar in double precision.
        variables: The variables, which exist already.
        mode: The mode.
        rtol: Relative tolerance.
    """
    random = np.random.default_rng(5)
    found = mode.gradients(loss, lambda: variables)
    value = loss() if mode.in_graph else None
    function = tf.function(loss) if mode.name == "function" else loss
    for variable, gradient in zip(variables, found, strict=True):
        direction = random.normal(size=variable.shape)
        start, values = mode.values(variable), []
        for step in (1e-5, -1e-5):
            mode.assign(variable, start + step * direction)
            values.append(mode.values(value if mode.in_graph else function()))
        mode.assign(variable, start)
        slope = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol, 1e-7)
