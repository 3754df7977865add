"""`dynamic_unroll` and `static_unroll`: any core, any structure, every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_rnn.sequence.protocol import Unrolled, WholeSequence, stands_for
from tests.support.modes import Mode

TIME, BATCH = 4, 3
LENGTHS = [4, 0, 2]
INPUTS = np.random.default_rng(1).normal(size=[TIME, BATCH, 2]).astype(np.float32)

UNROLLS = [snt.dynamic_unroll, snt.static_unroll]
both = pytest.mark.parametrize("unroll", UNROLLS)


class State(NamedTuple):
    total: Any
    parts: Any


class Sums(snt.RNNCore):
    """Nested inputs, outputs and state, one part of which belongs to no example."""

    @property
    def state_size(self) -> Any:
        return State(tf.TensorShape([2]), [tf.TensorShape([2]), tf.TensorShape([])])

    @property
    def output_size(self) -> Any:
        return {"sum": tf.TensorShape([2]), "difference": (tf.TensorShape([2]),)}

    def initial_state(self, batch_size: Any) -> Any:  # type: ignore[override]
        zeros = tf.zeros([batch_size, 2])
        return State(zeros, [zeros + 1, tf.constant(0)])

    def _build(self, inputs: Any, prev_state: Any) -> Any:
        weight = tf1.get_variable(
            "weight",
            [],
            initializer=tf1.constant_initializer(2.0),
            regularizer=lambda variable: 3 * variable,
        )
        first, (second,) = inputs
        total = prev_state.total + weight * first
        counted, steps = prev_state.parts
        outputs = {"sum": total, "difference": (first - second,)}
        return outputs, State(total, [counted + 1, steps + 1])


def expected_sums(lengths: list[int]) -> Any:
    goes_on = (np.arange(TIME)[:, None] < np.array(lengths))[:, :, None]
    totals = np.cumsum(np.where(goes_on, 2 * INPUTS, 0), axis=0)
    counted = 1 + np.cumsum(goes_on * np.ones([1, 1, 2]), axis=0)
    outputs = {
        "sum": np.where(goes_on, totals, 0),
        "difference": (np.where(goes_on, INPUTS - 1, 0),),
    }
    states = State(totals, [counted, np.arange(1, TIME + 1)])
    final = State(totals[-1], [counted[-1], np.array(TIME)])
    return outputs, final, states


def assert_same(found: Any, expected: Any) -> None:
    tf.nest.assert_same_structure(found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert np.shape(one) == np.shape(other)


@both
@pytest.mark.parametrize("time_major", [True, False], ids=["time first", "batch first"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
def test_structures(unroll: Any, time_major: bool, lengths: Any, mode: Mode) -> None:
    core = Sums()

    def unrolled(inputs: Any) -> Any:
        if not time_major:
            inputs = tf.transpose(inputs, [1, 0, 2])
        nested = (inputs, [tf.ones_like(inputs)])
        result = unroll(
            core,
            nested,
            sequence_length=lengths,
            time_major=time_major,
            return_all_states=True,
        )
        assert result[1].total.shape == [BATCH, 2]
        assert result[0]["sum"].shape == ([TIME, BATCH, 2] if time_major else [BATCH, TIME, 2])
        return result

    outputs, final, states = mode.run(unrolled, INPUTS)

    expected = expected_sums(lengths or [TIME] * BATCH)
    if not time_major:
        swap = lambda x: np.swapaxes(x, 0, 1) if x.ndim > 1 else x  # noqa: E731
        outputs, states = tf.nest.map_structure(swap, (outputs, states))
    assert_same((outputs, final, states), expected)


def test_unknown_sizes(mode: Mode) -> None:
    core = Sums()
    if mode.name == "eager":
        return
    spec = tf.TensorSpec([None, None, 2], tf.float32)

    def unrolled(inputs: Any) -> Any:
        nested = (inputs, [tf.ones_like(inputs)])
        outputs, final = snt.dynamic_unroll(core, nested)
        assert outputs["sum"].shape.as_list() == [None, None, 2]
        return outputs["sum"], final.total

    if mode.in_graph:
        inputs = tf1.placeholder(tf.float32, spec.shape)
        tensors = unrolled(inputs)
        run = lambda array: mode.values(tensors, [(inputs, array)])  # noqa: E731
    else:
        run = tf.function(unrolled, input_signature=[spec], autograph=False)
    expected, _, _ = expected_sums([TIME] * BATCH)
    outputs, final = run(INPUTS)
    np.testing.assert_allclose(outputs, expected["sum"], atol=1e-5)
    np.testing.assert_allclose(final, expected["sum"][-1], atol=1e-5)
    outputs, final = run(INPUTS[:0])
    assert np.shape(outputs) == (0, BATCH, 2)
    np.testing.assert_array_equal(final, np.zeros([BATCH, 2]))
    outputs, final = run(INPUTS[:1])
    np.testing.assert_allclose(outputs, expected["sum"][:1], atol=1e-5)


@both
@pytest.mark.parametrize("make", [lambda: snt.LSTM(2), Sums])
def test_no_steps(unroll: Any, make: Any, mode: Mode) -> None:
    core = make()

    def unrolled(inputs: Any) -> Any:
        nested = (inputs, [inputs]) if isinstance(core, Sums) else inputs
        outputs, state, states = unroll(core, nested, return_all_states=True)
        return tf.nest.flatten(outputs)[0], tf.nest.flatten(state)[0], tf.nest.flatten(states)[0]

    outputs, state, states = mode.run(unrolled, INPUTS[:0])
    assert outputs.shape == states.shape == (0, BATCH, 2)
    np.testing.assert_array_equal(state, np.zeros([BATCH, 2]))


def test_losses_and_update_ops_can_be_used_outside_of_the_loop() -> None:
    class Counts(snt.RNNCore):
        state_size = output_size = tf.TensorShape([2])

        def _build(self, inputs: Any, prev_state: Any) -> Any:
            zeros = tf1.zeros_initializer()
            count = tf1.get_variable("count", [], initializer=zeros, trainable=False)
            tf1.add_to_collection(tf1.GraphKeys.UPDATE_OPS, tf1.assign_add(count, 1.0))
            return inputs, prev_state

    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, [None, BATCH, 2])
        snt.dynamic_unroll(Sums(), (inputs, [inputs]))
        core = Counts()
        snt.dynamic_unroll(core, inputs)
        (loss,) = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        (update,) = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        session.run(tf1.global_variables_initializer())
        assert session.run(tf.identity(loss)) == 6
        session.run(update, {inputs: INPUTS})
        assert session.run(core.variables[0]) == 1


@pytest.mark.parametrize("make", [lambda: snt.LSTM(2), lambda: snt.LSTM(2, use_layer_norm=True)])
def test_size_of_graph_does_not_depend_on_number_of_steps(make: Callable[[], Any]) -> None:
    def number_of_ops(num_steps: int) -> int:
        @tf.function(autograph=False)
        def unrolled(inputs: Any) -> Any:
            return snt.dynamic_unroll(make_core, inputs)

        make_core = make()
        graph_def = (
            unrolled.get_concrete_function(tf.TensorSpec([num_steps, 3, 2]))
        ).graph.as_graph_def()
        return len(graph_def.node) + sum(len(f.node_def) for f in graph_def.library.function)

    assert number_of_ops(3) == number_of_ops(50)


@both
@pytest.mark.parametrize("first", ["call", "unroll"])
@pytest.mark.parametrize("make", [snt.LSTM, snt.GRU, snt.VanillaRNN])
def test_shares_variables_with_calls(unroll: Any, first: str, make: Any, mode: Mode) -> None:
    core = make(2)

    def both_ways(inputs: Any) -> Any:
        state = core.initial_state(BATCH)
        if first == "call":
            called = core(inputs[0], state)
            unrolled = unroll(core, inputs[:1])
        else:
            unrolled = unroll(core, inputs[:1])
            called = core(inputs[0], state)
        return called[0], unrolled[0][0]

    called, unrolled = mode.run(both_ways, INPUTS)
    np.testing.assert_allclose(called, unrolled, atol=1e-6)
    expected = [f"{core.scope_name}/{name}:0" for name in VARIABLES[make]]
    assert sorted(variable.name for variable in core.variables) == sorted(expected)


VARIABLES = {
    snt.LSTM: ["w_gates", "b_gates"],
    snt.GRU: ["wz", "uz", "bz", "wr", "ur", "br", "wh", "uh", "bh"],
    snt.VanillaRNN: [f"{f}_to_hidden/{v}" for f in ("in", "hidden") for v in ("w", "b")],
}


def test_custom_getter_partitioner_and_regularizer_in_whole_sequence_form() -> None:
    def double(getter: Any, *args: Any, **kwargs: Any) -> Any:
        return 2.0 * tf.convert_to_tensor(getter(*args, **kwargs))

    partitioner = tf1.fixed_size_partitioner(2)
    with tf.Graph().as_default(), tf1.Session() as session:
        core = snt.LSTM(
            4,
            partitioners={"w_gates": partitioner},
            regularizers={"w_gates": tf.nn.l2_loss},
            custom_getter=double,
        )
        outputs, _ = snt.dynamic_unroll(core, tf.constant(INPUTS))
        output, _ = core(tf.constant(INPUTS[0]), core.initial_state(BATCH))
        session.run(tf1.global_variables_initializer())
        found, expected = session.run([outputs[0], output])
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert len(core.get_variables()) == 3
        assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) > 0


class Doubled(snt.LSTM):
    def _build(self, inputs: Any, prev_state: Any) -> Any:
        outputs, state = super()._build(inputs, prev_state)
        return 2 * outputs, state


class WithoutForgetting(snt.LSTM):
    def _step(self, weights: Any, inputs: Any, state: Any) -> Any:
        return super()._step(weights, inputs, snt.LSTMState(state.hidden, 0 * state.cell))


class CalledOtherwise(snt.GRU):
    def __call__(self, inputs: Any, state: Any) -> Any:
        outputs, state = super().__call__(inputs, state)
        return outputs + 1, state


@pytest.mark.parametrize(
    "make",
    [
        lambda: Doubled(2),
        lambda: WithoutForgetting(2),
        lambda: CalledOtherwise(2),
        lambda: snt.LSTM(2, use_layer_norm=True),
        lambda: snt.LSTM(2, use_peepholes=True),
        lambda: snt.LSTM(2, projection_size=3),
        lambda: snt.LSTM(2, cell_clip_value=0.1, hidden_clip_value=0.05),
        lambda: snt.VanillaRNN(2, activation=lambda x: x / 2),
        lambda: snt.DeepRNN([snt.LSTM(2), snt.Linear(3), tf.nn.relu], skip_connections=False),
        lambda: snt.ResidualCore(snt.GRU(2)),
        lambda: snt.RelationalMemory(2, 2),
        lambda: snt.LSTM(2),
        lambda: snt.HighwayCore(2, 2),
    ],
)
def test_same_as_calls(make: Callable[[], Any], mode: Mode) -> None:
    core = make()

    def both_ways(inputs: Any) -> Any:
        state = core.initial_state(BATCH)
        outputs = []
        for time in range(TIME):
            output, state = core(inputs[time], state)
            outputs.append(output)
        return (tf.stack(outputs), state), snt.dynamic_unroll(core, inputs)

    expected, found = mode.run(both_ways, INPUTS)
    assert_same(found, expected)


def test_core_with_a_form_of_its_own(mode: Mode) -> None:
    class Mine(snt.RNNCore):
        state_size = output_size = tf.TensorShape([2])

        def _build(self, inputs: Any, prev_state: Any) -> Any:
            raise AssertionError("called by steps")

        @stands_for("_build")
        def _sequence_form(self, sequence: WholeSequence) -> Any:
            return self._all_at_once

        def _all_at_once(self, sequence: WholeSequence) -> Unrolled:
            weight = tf1.get_variable("weight", [], initializer=tf1.constant_initializer(2.0))
            sums = sequence.initial_state + weight * tf.cumsum(sequence.inputs)
            return Unrolled(sums, sums[-1], sums)

    core = Mine(name="mine")
    outputs, state = mode.run(lambda inputs: snt.dynamic_unroll(core, inputs), INPUTS)
    np.testing.assert_allclose(outputs, 2 * np.cumsum(INPUTS, axis=0), atol=1e-5)
    np.testing.assert_allclose(state, outputs[-1])
    assert [variable.name for variable in core.variables] == ["mine/weight:0"]


class Returns(snt.RNNCore):
    state_size = output_size = tf.TensorShape([2])

    def __init__(self, result: Callable[[Any, Any], Any]) -> None:
        super().__init__(name="returns")
        self._result = result

    def _build(self, inputs: Any, prev_state: Any) -> Any:
        return self._result(inputs, prev_state)


@both
@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "without tensors", {"inputs": ()}),
        (ValueError, r"must be \[time, batch, ...\]", {"inputs": np.ones([3], np.float32)}),
        (
            ValueError,
            "one number of steps and one batch size",
            {"inputs": (np.ones([3, 2]), np.ones([4, 2]))},
        ),
        (ValueError, "one entry for each example", {"sequence_length": [1, 2]}),
        (ValueError, "one entry for each example", {"sequence_length": 2}),
        (TypeError, "must be of integers", {"sequence_length": [1.0, 2.0, 3.0]}),
        (TypeError, "that makes one", {"core": lambda inputs, state: (inputs, state)}),
        (TypeError, "must return a pair", {"core": Returns(lambda x, s: x[0])}),
        (ValueError, "nested in the same way", {"core": Returns(lambda x, s: (x, (s,)))}),
        (
            TypeError,
            "nested in the same way",
            {
                "core": Returns(lambda x, s: (x, list(s))),
                "initial_state": (np.ones([BATCH, 2], np.float32),),
            },
        ),
        (
            TypeError,
            "dtype float32 and returned one of dtype int32",
            {"core": Returns(lambda x, s: (x, tf.cast(s, tf.int32)))},
        ),
        (ValueError, "number of axes", {"core": Returns(lambda x, s: (x, s[0]))}),
        (
            TypeError,
            "nested in the same way",
            {"core": snt.LSTM(2), "initial_state": (np.ones([BATCH, 2], np.float32),) * 2},
        ),
    ],
)
def test_errors(unroll: Any, error: Any, message: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        unroll(**{"core": snt.LSTM(2), "inputs": INPUTS, **arguments})


def test_unknown_number_of_steps_in_static_unroll() -> None:
    with tf.Graph().as_default():
        inputs = tf1.placeholder(tf.float32, [None, BATCH, 2])
        with pytest.raises(ValueError, match="needs a number of steps that is known"):
            snt.static_unroll(snt.LSTM(2), inputs)
