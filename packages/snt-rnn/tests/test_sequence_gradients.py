"""Whole-sequence forms: values and all gradients, against the loop of TensorFlow itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_rnn.sequence import engine
from snt_rnn.sequence.protocol import WholeSequence, find_form
from tests.support.modes import Mode

TIME, BATCH, FEATURES, HIDDEN = 4, 3, 2, 4
LENGTHS = [4, 0, 2]

CORES: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: snt.LSTM(HIDDEN, forget_bias=0.5),
    "LSTM with peepholes": lambda: snt.LSTM(HIDDEN, use_peepholes=True),
    "GRU": lambda: snt.GRU(HIDDEN),
    "VanillaRNN": lambda: snt.VanillaRNN(HIDDEN),
    "VanillaRNN, relu": lambda: snt.VanillaRNN(HIDDEN, activation=tf.nn.relu),
    "VanillaRNN, sigmoid": lambda: snt.VanillaRNN(HIDDEN, activation=tf.sigmoid),
    "HighwayCore": lambda: snt.HighwayCore(HIDDEN, num_layers=3),
    "DeepRNN": lambda: snt.DeepRNN(
        [snt.LSTM(HIDDEN), snt.GRU(HIDDEN), snt.LSTM(3, use_layer_norm=True)]
    ),
    "DeepRNN without skip connections": lambda: snt.DeepRNN(
        [snt.LSTM(HIDDEN), snt.VanillaRNN(3)], skip_connections=False
    ),
    "SkipConnectionCore": lambda: snt.SkipConnectionCore(snt.LSTM(HIDDEN), [FEATURES]),
    "ResidualCore": lambda: snt.ResidualCore(snt.GRU(FEATURES)),
}


@pytest.fixture(params=["rows", "columns"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which way the matrices of a step lie; otherwise their sizes decide."""
    wide = 1 if request.param == "columns" else 1000
    monkeypatch.setattr(engine, "WIDE", wide)
    monkeypatch.setattr(engine, "FEW", 0)
    return request.param


def random_state(core: Any, seed: int = 2) -> Any:
    random = np.random.default_rng(seed)
    return tf.nest.map_structure(
        lambda size: tf.constant(random.normal(size=[BATCH, *tf.TensorShape(size)])),
        core.state_size,
    )


INPUTS = np.random.default_rng(1).normal(size=[TIME, BATCH, FEATURES])


def connected(make: Callable[[], Any]) -> Any:
    """Returns a core of float64 whose variables, eager ones, are not small."""
    core = make()
    core(tf.constant(INPUTS[0]), random_state(core))
    random = np.random.default_rng(3)
    for variable in core.variables:
        variable.assign(0.7 * random.normal(size=variable.shape))
    return core


def weighted(structure: Any) -> Any:
    """Returns a scalar that depends on each entry of each tensor in a way of its own."""
    terms = []
    for number, tensor in enumerate(tf.nest.flatten(structure)):
        weights = np.random.default_rng(number).normal(size=tensor.shape)
        terms.append(tf.reduce_sum(tf.sin(tensor) * weights))
    return tf.add_n(terms)


def values_and_gradients(core: Any, unroll: Callable[..., Any], lengths: Any) -> Any:
    inputs, state = tf.constant(INPUTS), random_state(core)
    with tf.GradientTape() as tape:
        tape.watch([inputs, state])
        results = unroll(core, inputs, state, lengths)
        loss = weighted(results)
    sources = [inputs, *tf.nest.flatten(state), *core.trainable_variables]
    return tf.nest.flatten(results), tape.gradient(loss, sources)


def dynamic_rnn(core: Any, inputs: Any, state: Any, lengths: Any) -> Any:
    return tf1.nn.dynamic_rnn(core, inputs, lengths, state, time_major=True)


def assert_all_close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    pairs = zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True)
    for number, (value, reference) in enumerate(pairs):
        np.testing.assert_allclose(value, reference, atol=tolerance, err_msg=f"number {number}")


@pytest.mark.filterwarnings("ignore:.*dynamic_rnn.*")
@pytest.mark.parametrize("name", CORES)
def test_same_as_loop_of_tensorflow(name: str, layout: str) -> None:
    core = connected(CORES[name])
    expected = values_and_gradients(core, dynamic_rnn, LENGTHS)
    assert_all_close(values_and_gradients(core, snt.dynamic_unroll, LENGTHS), expected)
    in_function = tf.function(values_and_gradients, autograph=False)
    assert_all_close(in_function(core, snt.dynamic_unroll, LENGTHS), expected)


@pytest.mark.parametrize("name", ["LSTM", "LSTM with layer norm"])
def test_padding_may_be_anything(name: str, layout: str) -> None:
    core = connected(CORES.get(name) or (lambda: snt.LSTM(HIDDEN, use_layer_norm=True)))
    expected = values_and_gradients(core, dynamic_rnn, LENGTHS)
    nan = tf.constant(np.nan, tf.float64)
    padding = np.arange(TIME)[:, np.newaxis, np.newaxis] >= np.array(LENGTHS)[:, np.newaxis]

    def unroll(core: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        return snt.dynamic_unroll(core, tf.where(padding, nan, inputs), state, lengths)

    assert_all_close(values_and_gradients(core, unroll, LENGTHS), expected)
    in_function = tf.function(values_and_gradients, autograph=False)
    assert_all_close(in_function(core, unroll, LENGTHS), expected)


@pytest.mark.parametrize("name", ["LSTM", "LSTM with peepholes", "DeepRNN", "SkipConnectionCore"])
def test_offers_a_form(name: str) -> None:
    core = connected(CORES[name])
    state = random_state(core)
    sequence = WholeSequence(tf.constant(INPUTS), state, None, TIME, False, False)
    assert find_form(core, sequence) is not None


@pytest.mark.parametrize("unroll", [snt.dynamic_unroll, snt.static_unroll])
def test_compiled(unroll: Callable[..., Any], layout: str) -> None:
    core = connected(CORES["LSTM"])
    compiled = tf.function(values_and_gradients, autograph=False, jit_compile=True)
    expected = values_and_gradients(core, dynamic_rnn, None)
    assert_all_close(compiled(core, unroll, None), expected)


def test_gradient_taken_outside_of_what_is_compiled() -> None:
    core = connected(CORES["LSTM"])
    inputs, state = tf.constant(INPUTS), random_state(core)
    compiled = tf.function(snt.dynamic_unroll, autograph=False, jit_compile=True)
    with tf.GradientTape() as tape:
        loss = weighted(compiled(core, inputs, state))
    _, expected = values_and_gradients(core, dynamic_rnn, None)
    assert_all_close(tape.gradient(loss, core.trainable_variables), expected[3:])


@pytest.mark.parametrize("name", CORES)
def test_gradients_through_all_states(name: str, layout: str) -> None:
    core = connected(CORES[name])

    def all_states(core: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        return snt.dynamic_unroll(core, inputs, state, lengths, return_all_states=True)

    def by_steps(core: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        outputs, states = [], []
        for time in range(TIME):
            output, state = core(inputs[time], state)
            outputs.append(output)
            states.append(state)
        stacked = tf.nest.map_structure(lambda *steps: tf.stack(steps), *states)
        return tf.stack(outputs), state, stacked

    found = values_and_gradients(core, all_states, None)
    expected = values_and_gradients(core, by_steps, None)
    assert_all_close(found, expected)


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_gradients_of_gradients(name: str, way: str) -> None:
    core = connected(CORES[name])
    state = random_state(core)

    def second(unroll: Callable[..., Any]) -> Any:
        inputs = tf.constant(INPUTS)
        sources = [inputs, *core.trainable_variables]
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = weighted(unroll(core, inputs, state, LENGTHS))
            size = weighted(inner.gradient(loss, sources))
        return outer.gradient(size, sources)

    def by_steps(core: Any, inputs: Any, state: Any, lengths: Any) -> Any:
        outputs, final = tf1.nn.static_rnn(core, tf.unstack(inputs), state, sequence_length=lengths)
        return tf.stack(outputs), final

    compute = tf.function(second, autograph=False) if way == "function" else second
    expected = second(by_steps)
    assert_all_close(compute(snt.dynamic_unroll), expected, 1e-11)


def test_two_tapes_around_a_function() -> None:
    core = connected(CORES["LSTM"])

    @tf.function(autograph=False)
    def loss() -> Any:
        return weighted(snt.dynamic_unroll(core, tf.constant(INPUTS), random_state(core)))

    with tf.GradientTape() as first, tf.GradientTape() as second:
        value = loss()
    for one, other in zip(
        first.gradient(value, core.trainable_variables),
        second.gradient(value, core.trainable_variables),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("control_flow", "use_resource"), [("v1", False), ("v2", True)], ids=["v1", "v2"]
)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "VanillaRNN", "HighwayCore", "DeepRNN"])
def test_graph_with_unknown_sizes(name: str, use_resource: bool, control_flow: str) -> None:
    was_enabled = tf1.control_flow_v2_enabled()
    (tf1.enable_control_flow_v2 if control_flow == "v2" else tf1.disable_control_flow_v2)()
    try:
        with tf.Graph().as_default(), tf1.Session() as session:
            with tf1.variable_scope("outer", use_resource=use_resource):
                core = CORES[name]()
            inputs = tf1.placeholder(tf.float64, [None, None, FEATURES])
            lengths = tf1.placeholder(tf.int32, [None])
            outputs, state = snt.dynamic_unroll(core, inputs, sequence_length=lengths)
            initial = core.initial_state(tf.shape(inputs)[1], tf.float64)
            reference = tf1.nn.dynamic_rnn(core, inputs, lengths, initial, time_major=True)
            gradients = [
                tf1.gradients(
                    tf.add_n([tf.reduce_sum(tf.sin(t)) for t in tf.nest.flatten(result)]),
                    [inputs, *core.trainable_variables],
                )
                for result in ((outputs, state), reference)
            ]
            assert outputs.shape.as_list()[:2] == [None, None]
            assert outputs.shape[2] is not None
            session.run(tf1.global_variables_initializer())
            feed = {inputs: INPUTS, lengths: LENGTHS}
            found, expected = session.run(
                [((outputs, state), gradients[0]), (reference, gradients[1])], feed
            )
            assert_all_close(found, expected)
            empty = session.run(outputs, {inputs: INPUTS[:0], lengths: [0] * BATCH})
            assert empty.shape[:2] == (0, BATCH)
            final = session.run(state, {inputs: INPUTS[:0], lengths: [0] * BATCH})
            assert all(not part.any() for part in tf.nest.flatten(final))
    finally:
        (tf1.enable_control_flow_v2 if was_enabled else tf1.disable_control_flow_v2)()


def test_second_order_refused_in_loops_of_control_flow_v1() -> None:
    was_enabled = tf1.control_flow_v2_enabled()
    tf1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default():
            core = snt.LSTM(HIDDEN)
            inputs = tf.constant(INPUTS)
            outputs, _ = snt.dynamic_unroll(core, inputs)
            (gradient,) = tf1.gradients(tf.reduce_sum(outputs), inputs)
            with pytest.raises(snt.NotSupportedError, match="control flow v1"):
                tf1.gradients(tf.reduce_sum(gradient), inputs)
    finally:
        if was_enabled:
            tf1.enable_control_flow_v2()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "VanillaRNN", "HighwayCore"])
def test_dtypes(name: str, dtype: str, mode: Mode) -> None:
    core = CORES[name]()

    def unrolled(inputs: Any) -> Any:
        inputs = tf.cast(inputs, dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs, _ = snt.dynamic_unroll(core, inputs, sequence_length=LENGTHS)
            loss = tf.reduce_sum(outputs)
        gradient = tape.gradient(loss, inputs)
        assert gradient.dtype == outputs.dtype == dtype
        return tf.cast(outputs, tf.float32), tf.cast(gradient, tf.float32)

    for value in mode.run(unrolled, INPUTS):
        assert np.isfinite(value).all()
        assert value[0].any()
    assert all(variable.dtype == dtype for variable in core.variables)
