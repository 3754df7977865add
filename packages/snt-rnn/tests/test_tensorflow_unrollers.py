"""The cores in the loops of TensorFlow, with which they are first connected."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support import recurrent
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=[6, 3, 2])
LENGTHS = [6, 2, 0]


def lstm_state(shape):
    return snt.LSTMState(np.zeros([3, 4]), np.zeros([3, 4]))


CORES = {
    "LSTM": (lambda: snt.LSTM(4), recurrent.lstm_step, lstm_state),
    "LSTM with all": (
        lambda: snt.LSTM(4, use_peepholes=True, use_layer_norm=True, projection_size=4),
        recurrent.lstm_step,
        lstm_state,
    ),
    "GRU": (lambda: snt.GRU(4), recurrent.gru_step, np.zeros),
    "VanillaRNN": (lambda: snt.VanillaRNN(4), recurrent.vanilla_step, np.zeros),
    "HighwayCore": (lambda: snt.HighwayCore(4, 2), recurrent.highway_step, np.zeros),
}
cores = pytest.mark.parametrize(("make", "step", "zeros"), CORES.values(), ids=CORES.keys())


def dynamic(core, x):
    return tf1.nn.dynamic_rnn(core, x, dtype=x.dtype, time_major=True)


def static(core, x):
    outputs, state = tf1.nn.static_rnn(core, tf.unstack(x), dtype=x.dtype)
    return tf.stack(outputs), state


def raw(core, x):
    """The loop that leaves the most to its user."""
    arrays = tf.TensorArray(x.dtype, len(X), clear_after_read=False).unstack(x)

    def step(time, output, state, loop_state):
        finished = tf.fill([3], time >= len(X))
        if output is None:
            state = core.zero_state(3, x.dtype)
        inputs = arrays.read(tf.minimum(time, len(X) - 1))
        inputs.set_shape([3, 2])
        return finished, inputs, state, output, loop_state

    outputs, state, _ = tf1.nn.raw_rnn(core, step)
    return outputs.stack(), state


@pytest.mark.parametrize("unroll", [dynamic, static, raw])
@cores
def test_unrolls(make, step, zeros, unroll, mode):
    core = make()

    def run(x):
        return unroll(core, x)

    mode.run(run, X)
    weights = weights_of(core, mode)
    outputs, state = mode.run(run, X)
    expected, expected_state = recurrent.unroll(step, weights, X, zeros([3, 4]))
    np.testing.assert_allclose(outputs, expected, 1e-7, 1e-10)
    flat = tf.nest.flatten(expected_state)
    for found, e in zip(tf.nest.flatten(state), flat, strict=True):
        np.testing.assert_allclose(found, e, 1e-7, 1e-10)
    # Alone it computes with the same weights.
    once, _ = mode.run(lambda x: core(x, core.zero_state(3, tf.float64)), X[0])
    np.testing.assert_allclose(once, expected[0], 1e-7, 1e-10)
    assert len(core.variables) == len(weights)


@cores
def test_unrolls_examples_of_different_lengths(make, step, zeros, mode):
    core = make()

    def run(x):
        return tf1.nn.dynamic_rnn(core, x, LENGTHS, dtype=x.dtype, time_major=True)[0]

    mode.run(run, X, unknown_batch=True)
    weights = weights_of(core, mode)
    outputs = mode.run(run, X, unknown_batch=True)
    expected, _ = recurrent.unroll(step, weights, X, zeros([3, 4]))
    mask = np.arange(6)[:, None, None] < np.array(LENGTHS)[:, None]
    np.testing.assert_allclose(outputs, expected * mask, 1e-7, 1e-10)


def test_both_directions(mode):
    forward, backward = snt.LSTM(4), snt.GRU(4)

    def run(x):
        return tf1.nn.bidirectional_dynamic_rnn(
            forward, backward, x, dtype=x.dtype, time_major=True
        )[0]

    mode.run(run, X)
    weights = weights_of(forward, mode), weights_of(backward, mode)
    outputs = mode.run(run, X)
    expected, _ = recurrent.unroll(recurrent.lstm_step, weights[0], X, lstm_state([3, 4]))
    np.testing.assert_allclose(outputs[0], expected, 1e-7, 1e-10)
    expected, _ = recurrent.unroll(recurrent.gru_step, weights[1], X[::-1], np.zeros([3, 4]))
    np.testing.assert_allclose(outputs[1], expected[::-1], 1e-7, 1e-10)


def test_gradients_through_time(mode):
    core = snt.LSTM(2)
    x = X[:3, :2]
    mode.run(lambda x: dynamic(core, x), x)
    weights = weights_of(core, mode)
    zeros = np.zeros([2, 2])

    def loss(*values):
        named = dict(zip(weights, values, strict=True))
        return np.sum(recurrent.unroll(recurrent.lstm_step, named, x, (zeros, zeros))[0] ** 2)

    gradients = mode.gradients(
        lambda: tf.reduce_sum(dynamic(core, tf.constant(x))[0] ** 2), lambda: core.variables
    )
    expected = recurrent.differences(loss, list(weights.values()))
    for gradient, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, e, 1e-5, 1e-8)


# What is made inside of a loop is of use outside.


@pytest.fixture(params=["new", "old"])
def control_flow(request):
    """Loops as functions, and as TensorFlow 1 had them."""
    if request.param == "old":
        tf1.disable_control_flow_v2()
    yield request.param
    tf1.enable_control_flow_v2()


@cores
def test_unrolls_with_both_kinds_of_control_flow(make, step, zeros, control_flow):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        core = make()
        outputs, _ = dynamic(core, tf.constant(X))
        kinds = {op.type for op in graph.get_operations()}
        assert ("Enter" in kinds) is (control_flow == "old")
        assert ("While" in kinds or "StatelessWhile" in kinds) is (control_flow == "new")
        gradients = tf1.gradients(outputs, core.variables)
        session.run(tf1.global_variables_initializer())
        prefix = f"{core.scope_name}/"
        names = [v.name.removeprefix(prefix)[:-2] for v in core.variables]
        weights = dict(zip(names, session.run(list(core.variables)), strict=True))
        expected, _ = recurrent.unroll(step, weights, X, zeros([3, 4]))
        np.testing.assert_allclose(session.run(outputs), expected, 1e-7, 1e-10)
        assert all(np.abs(gradient).max() > 0 for gradient in session.run(gradients))


@pytest.mark.usefixtures("control_flow")
@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda r: snt.LSTM(4, regularizers={"w_gates": r, "b_gates": r}), ["b_gates", "w_gates"]),
        (lambda r: snt.GRU(4, regularizers={"uz": r}), ["uz"]),
        (lambda r: snt.HighwayCore(4, 2, regularizers={"wt1": r}), ["wt1"]),
        (
            lambda r: snt.VanillaRNN(4, regularizers={"in_to_hidden": {"w": r}}),
            ["in_to_hidden/w"],
        ),
    ],
    ids=["LSTM", "GRU", "HighwayCore", "VanillaRNN"],
)
def test_losses_of_a_core_first_connected_in_a_loop(make, names):
    with tf.Graph().as_default(), tf1.Session() as session:
        core = make(lambda w: tf.reduce_sum(w**2))
        for _ in range(2):
            dynamic(core, tf.constant(X))
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        total = tf1.losses.get_regularization_loss()
        gradients = tf1.gradients(total, core.variables)
        session.run(tf1.global_variables_initializer())
        values = {v.name.removeprefix(f"{core.scope_name}/"): v for v in core.variables}
        values = {name: session.run(values[f"{name}:0"]) for name in names}
        expected = [np.sum(values[name] ** 2) for name in names]
        np.testing.assert_allclose(sorted(session.run(losses)), sorted(expected), 1e-9)
        np.testing.assert_allclose(session.run(total), sum(expected), 1e-9)
        found = [session.run(gradient) for gradient in gradients if gradient is not None]
        for gradient, name in zip(found, names, strict=True):
            np.testing.assert_allclose(gradient, 2 * values[name], 1e-9)


def test_partitioned_variables_in_a_loop():
    with tf.Graph().as_default(), tf1.Session() as session:
        split = tf1.fixed_size_partitioner(2)
        core = snt.LSTM(4, partitioners=dict.fromkeys(["w_gates", "b_gates"], split))
        outputs, _ = dynamic(core, tf.constant(X))
        session.run(tf1.global_variables_initializer())
        w, b = (session.run(tf.convert_to_tensor(v)) for v in (core._w_xh, core._b))
        weights = {"w_gates": w, "b_gates": b}
        expected, _ = recurrent.unroll(recurrent.lstm_step, weights, X, lstm_state([3, 4]))
        np.testing.assert_allclose(session.run(outputs), expected, 1e-7)


@pytest.mark.usefixtures("control_flow")
def test_unknown_sizes():
    with tf.Graph().as_default(), tf1.Session() as session:
        core = snt.LSTM(4)
        x = tf1.placeholder(tf.float64, [None, None, 2])
        outputs, state = dynamic(core, x)
        assert outputs.shape.as_list() == [None, None, 4]
        assert [part.shape.as_list() for part in state] == [[None, 4], [None, 4]]
        session.run(tf1.global_variables_initializer())
        for shape in ([6, 3, 2], [1, 5, 2]):
            assert session.run(outputs, {x: np.ones(shape)}).shape == (*shape[:2], 4)


def test_custom_getter_in_a_loop(mode):
    core = snt.GRU(4, custom_getter=lambda getter, *args, **kwargs: 2 * getter(*args, **kwargs))
    mode.run(lambda x: dynamic(core, x)[0], X)
    weights = {name: 2 * value for name, value in weights_of(core, mode).items()}
    outputs = mode.run(lambda x: dynamic(core, x)[0], X)
    expected, _ = recurrent.unroll(recurrent.gru_step, weights, X, np.zeros([3, 4]))
    np.testing.assert_allclose(outputs, expected, 1e-7, 1e-10)
