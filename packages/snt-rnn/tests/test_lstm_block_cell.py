"""`LSTMBlockCell`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[4, 5, 3]).astype(np.float32)  # [batch, time, features]
C, H = RANDOM.normal(size=[2, 4, 2]).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(x, c, h, weights, forget_bias=1.0, cell_clip=None):
    """One step in NumPy; `weights` by the last parts of their names."""
    gates = np.concatenate([x, h], axis=1) @ weights["kernel"] + weights["bias"]
    i, j, f, o = np.split(gates, 4, axis=1)
    w_i, w_f, w_o = (weights.get(f"w_{gate}_diag", 0) for gate in "ifo")
    c = sigmoid(f + forget_bias + w_f * c) * c + sigmoid(i + w_i * c) * np.tanh(j)
    if cell_clip is not None and cell_clip > 0:
        c = np.clip(c, -cell_clip, cell_clip)
    return c, sigmoid(o + w_o * c) * np.tanh(c)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_peephole": True, "forget_bias": 0.25},
        {"cell_clip": 0.5, "use_peephole": True},
        {"cell_clip": -1.0, "forget_bias": -2.0},
    ],
    ids=str,
)
def test_values(options, mode):
    core = snt.LSTMBlockCell(2, **options)

    def loop(x, c, h):
        state = type(core.state_size)(c, h)
        return tf1.nn.dynamic_rnn(core, x, initial_state=state)

    mode.run(loop, X, C, H, unknown_batch=True)
    variables = core.get_variables()
    parts = [name.rpartition("/")[2] for name in names(variables)]
    weights = dict(zip(parts, randomise(variables, mode), strict=True))
    outputs, state = mode.run(loop, X, C, H, unknown_batch=True)
    c, h = C, H
    forget_bias, cell_clip = options.get("forget_bias", 1.0), options.get("cell_clip")
    for t in range(5):
        c, h = step(X[:, t], c, h, weights, forget_bias, cell_clip)
        np.testing.assert_allclose(outputs[:, t], h, 1e-4, 1e-4)
    np.testing.assert_allclose(state.c, c, 1e-4, 1e-4)
    np.testing.assert_allclose(state.h, h, 1e-4, 1e-4)


def test_values_are_those_of_the_kernel_of_tensorflow():
    """The op that the cell of TensorFlow 1 called; it has no gradient."""
    core = snt.LSTMBlockCell(2, cell_clip=0.7, use_peephole=True, forget_bias=0.5)
    core(tf.constant(X[:, 0]), (C, H))
    kernel, bias, w_i, w_f, w_o = core.get_variables()
    for variable in core.get_variables():
        variable.assign(RANDOM.normal(size=variable.shape))
    output, state = core(tf.constant(X[:, 0]), (C, H))
    expected = tf.raw_ops.LSTMBlockCell(
        x=X[:, 0],
        cs_prev=C,
        h_prev=H,
        w=kernel,
        wci=w_i,
        wcf=w_f,
        wco=w_o,
        b=bias,
        forget_bias=0.5,
        cell_clip=0.7,
        use_peephole=True,
    )
    np.testing.assert_allclose(state.c, expected.cs, 1e-5, 1e-6)
    np.testing.assert_allclose(output, expected.h, 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("options", "scope"), [({}, "lstm_block_cell/lstm_cell"), ({"name": "n"}, "n/n")]
)
@pytest.mark.parametrize("use_peephole", [False, True])
def test_names_shapes_and_initial_values(options, scope, use_peephole, mode):
    core = snt.LSTMBlockCell(2, use_peephole=use_peephole, **options)
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        core.get_variables()
    mode.run(lambda x, c, h: core(x, (c, h)), X[:, 0], C, H)
    wanted = {"kernel": (5, 8), "bias": (8,)}
    if use_peephole:
        wanted |= {f"w_{gate}_diag": (2,) for gate in "ifo"}
    variables = core.get_variables()
    shapes = {n: tuple(v.shape) for n, v in zip(names(variables), variables, strict=True)}
    assert shapes == {f"{scope}/{name}": shape for name, shape in wanted.items()}
    assert list(shapes) == [f"{scope}/{name}" for name in wanted]
    kernel, bias, *diagonals = mode.values(list(variables))
    np.testing.assert_array_equal(bias, np.zeros(8))
    # Uniform after Glorot, whose standard deviation is √(2 / (fan in + fan out)).
    assert 0 < np.abs(kernel).max() <= np.sqrt(6 / (5 + 8))
    assert all(0 < np.abs(w).max() <= np.sqrt(6 / (2 + 2)) for w in diagonals)
    mode.run(lambda x, c, h: core(x, (c, h)), X[:, 1], C, H)
    assert len(core.variables) == len(wanted)


def test_the_initializer_of_the_scope_counts(mode):
    with tf1.variable_scope("scope", initializer=tf1.ones_initializer()):
        core = snt.LSTMBlockCell(2)
    mode.run(lambda x, c, h: core(x, (c, h)), X[:, 0], C, H)
    kernel, bias = mode.values(list(core.get_variables()))
    assert kernel.min() == 1
    assert bias.max() == 0


def test_sizes_and_states(mode):
    core = snt.LSTMBlockCell(2, name="n")
    assert core.state_size == (2, 2)
    assert core.state_size._fields == ("c", "h")
    assert [type(size) for size in (core.output_size, *core.state_size)] == [int] * 3
    state = core.initial_state(4, tf.float64, trainable=True)
    assert type(state) is type(core.state_size)
    assert [v.shape for v in mode.values(state)] == [(4, 2), (4, 2)]
    if mode.in_graph:
        assert names(tf1.trainable_variables()) == [f"n_initial_state_{part}/w" for part in "ch"]


@pytest.mark.parametrize("kind", [tuple, list])
def test_takes_any_pair_as_a_state(kind, mode):
    core = snt.LSTMBlockCell(2)
    output, state = mode.run(lambda x, *s: core(x, kind(s)), X[:, 0], C, H)
    assert type(state) is type(core.state_size)
    np.testing.assert_array_equal(state.h, output)


@pytest.mark.parametrize("state", [(C,), (C, H, H), C, None])
def test_what_is_no_state(state, mode):
    with pytest.raises(ValueError, match=r"tuple with length 2, \(c, h\), got"):
        mode.run(lambda x: snt.LSTMBlockCell(2)(x, state), X[:, 0])


@pytest.mark.parametrize("shape", [[4], [4, 3, 1], [4, None], None])
def test_what_are_no_inputs(shape):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=r"shape \[batch, features\]"):
        snt.LSTMBlockCell(2)(tf1.placeholder(tf.float32, shape), (C, H))


def test_dtypes(mode):
    doubles = [a.astype(np.float64) for a in (X[:, 0], C, H)]
    core = snt.LSTMBlockCell(2)
    output, _ = mode.run(lambda x, c, h: core(x, (c, h)), *doubles)
    assert output.dtype == np.float64
    assert {v.dtype.base_dtype for v in core.variables} == {tf.float64}
    core = snt.LSTMBlockCell(2, dtype=tf.float64)
    with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
        mode.run(lambda x, c, h: core(x, (c, h)), X[:, 0], C, H)


def test_custom_getters_and_regularizers_of_the_module(mode):
    def doubling(getter, name, *args, **kwargs):
        value = getter(name, *args, **kwargs)
        return 2 * value if name.endswith("kernel") else value

    core = snt.LSTMBlockCell(2, custom_getter=doubling)
    mode.run(lambda x, c, h: core(x, (c, h)), X[:, 0], C, H)
    kernel, bias = randomise(core.get_variables(), mode)
    output, _ = mode.run(lambda x, c, h: core(x, (c, h)), X[:, 0], C, H)
    _, expected = step(X[:, 0], C, H, {"kernel": 2 * kernel, "bias": bias})
    np.testing.assert_allclose(output, expected, 1e-4, 1e-5)


def test_gradients(mode):
    core = snt.LSTMBlockCell(2, use_peephole=True)
    x, c, h = (a.astype(np.float64) for a in (X[:, 0], C, H))
    direction = RANDOM.normal(size=x.shape)

    def loss(x):
        output, state = core(x, (c, h))
        return tf.reduce_sum(tf.sin(output)) + tf.reduce_sum(state.c)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return tape.gradient(value, x)

    slope = np.sum(mode.run(gradient, x) * direction)
    values = [mode.run(loss, x + s * 1e-6 * direction) for s in (1, -1)]
    np.testing.assert_allclose(slope, (values[0] - values[1]) / 2e-6, 1e-5, 1e-7)
