"""`Conv1DLSTM`, `Conv2DLSTM` and their base class."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt
from snt_rnn.conv_lstm import ConvLSTM
from tests.support.correlation import correlate, covered, tensorflow_same
from tests.support.transformers import layer_norm, weights_of
from tests.support.unrolls import (
    by_dynamic_rnn,
    check_gradients,
    check_unrolls,
    old_control_flow,
)
from tests.support.variables import names

RNG = np.random.default_rng(0)
CLASSES = {1: snt.Conv1DLSTM, 2: snt.Conv2DLSTM}
SPATIAL = {1: (6,), 2: (4, 3), 3: (3, 2, 2)}
C_IN, C = 2, 3


def array(*shape, dtype="float64"):
    return RNG.normal(size=shape).astype(dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make(ndims=2, **options):
    options = {"input_shape": (*SPATIAL[ndims], C_IN), "kernel_shape": 3, **options}
    if ndims == 3:
        return ConvLSTM(3, output_channels=C, **options)
    return CLASSES[ndims](output_channels=C, **options)


def reference(x, h, c, weights, rate=1, forget_bias=1.0, causal=False):
    gates = 0
    for values, scope in ((x, "conv"), (h, "conv_1")):
        w = weights[f"{scope}/w"]
        ndims = w.ndim - 2
        sizes = [covered(size, rate) for size in w.shape[:-2]]
        amounts = [
            (size - 1, 0) if causal else tensorflow_same(n, size, 1)
            for n, size in zip(values.shape[1:-1], sizes, strict=True)
        ]
        gates = gates + correlate(values, w, (1,) * ndims, (rate,) * ndims, amounts)
        gates = gates + weights.get(f"{scope}/b", 0)
    if "layer_norm/gamma" in weights:
        flat = layer_norm(gates.reshape([len(gates), -1]), weights, "layer_norm")
        gates = flat.reshape(gates.shape)
    i, j, f, o = np.split(gates, 4, axis=-1)
    c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(j)
    h = np.tanh(c) * sigmoid(o)
    return h, (h, c)


@pytest.mark.parametrize("ndims", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_layer_norm": True, "forget_bias": 0.3},
        {"legacy_bias_behaviour": False, "rate": 2},
        {"use_bias": False, "padding": snt.CAUSAL},
    ],
    ids=["default", "norm", "dilated", "causal"],
)
def test_computes_the_definition(ndims, options, mode):
    core = make(ndims, **options)
    x, h, c = (array(2, *SPATIAL[ndims], channels) for channels in (C_IN, C, C))

    def connect(x, h, c):
        return core(x, (h, c))

    mode.run(connect, x, h, c, unknown_batch=True)
    weights = weights_of(core, mode)
    output, state = mode.run(connect, x, h, c, unknown_batch=True)
    expected = reference(
        x,
        h,
        c,
        weights,
        options.get("rate", 1),
        options.get("forget_bias", 1.0),
        causal="padding" in options,
    )
    assert type(state) is tuple
    np.testing.assert_allclose(output, expected[0], 1e-8, 1e-9)
    for found, value in zip(state, expected[1], strict=True):
        np.testing.assert_allclose(found, value, 1e-8, 1e-9)


@settings(max_examples=10, deadline=None)
@given(
    batch=st.integers(0, 3),
    spatial=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    kernel=st.integers(1, 4),
    rate=st.integers(1, 2),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_sizes(batch, spatial, kernel, rate, channels):
    tf1.reset_default_graph()
    c_in, c_out = channels
    core = CLASSES[len(spatial)](
        input_shape=(*spatial, c_in), output_channels=c_out, kernel_shape=kernel, rate=rate
    )
    x, h, c = (array(batch, *spatial, n) for n in (c_in, c_out, c_out))
    output, _ = core(tf.constant(x), (tf.constant(h), tf.constant(c)))
    weights = {v.name.removeprefix(f"{core.scope_name}/")[:-2]: v.numpy() for v in core.variables}
    np.testing.assert_allclose(output, reference(x, h, c, weights, rate)[0], 1e-7, 1e-8)
    assert core.output_size == output.shape[1:]
    assert core.state_size == (core.output_size, core.output_size)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("ndims", [1, 2])
def test_variables(ndims, legacy, use_bias, mode):
    core = make(ndims, use_bias=use_bias, legacy_bias_behaviour=legacy, use_layer_norm=True)
    spatial = SPATIAL[ndims]
    assert core.convolutions == {}
    for batch in (2, 3):
        mode.run(
            lambda x: core(x, core.zero_state(tf.shape(x)[0], x.dtype)),
            array(batch, *spatial, C_IN),
        )
    scope = f"conv_{ndims}d_lstm"
    size = int(np.prod(spatial)) * 4 * C
    shapes = {
        f"{scope}/conv/w": (*[3] * ndims, C_IN, 4 * C),
        f"{scope}/conv_1/w": (*[3] * ndims, C, 4 * C),
        f"{scope}/layer_norm/gamma": (size,),
        f"{scope}/layer_norm/beta": (size,),
    }
    if use_bias:
        shapes[f"{scope}/conv/b"] = (4 * C,)
    if use_bias and legacy:
        shapes[f"{scope}/conv_1/b"] = (4 * C,)
    found = {n: tuple(v.shape) for n, v in zip(names(core.variables), core.variables, strict=True)}
    assert found == shapes
    assert len(core.get_variables()) == len(shapes)
    assert set(core.convolutions) == {"input", "hidden"}
    assert hasattr(core.convolutions["input"], "b") is use_bias
    assert hasattr(core.convolutions["hidden"], "b") is (use_bias and legacy)
    for kind, fan_in in (("input", C_IN), ("hidden", C)):
        w = mode.values(core.convolutions[kind].w)
        assert 0 < np.abs(w).max() <= 2 / np.sqrt(3**ndims * fan_in)


@pytest.mark.parametrize("legacy", [True, False])
def test_options_reach_both_convolutions(legacy, mode):
    core = make(
        1,
        legacy_bias_behaviour=legacy,
        initializers={"w": tf1.ones_initializer(), "b": tf1.constant_initializer(2)},
        regularizers={"w": snt.l2_regularizer(0.1), "b": snt.l2_regularizer(0.1)},
        custom_getter={"conv_1/w": lambda getter, *a, **k: 0 * getter(*a, **k)},
    )
    x, h, c = (array(2, *SPATIAL[1], channels) for channels in (C_IN, C, C))
    output, _ = mode.run(lambda x, h, c: core(x, (h, c)), x, h, c)
    weights = {"conv/w": np.ones([3, C_IN, 4 * C]), "conv_1/w": np.zeros([3, C, 4 * C])}
    weights |= {"conv/b": 2, "conv_1/b": 2 if legacy else 0}
    np.testing.assert_allclose(output, reference(x, h, c, weights)[0], 1e-8)
    if mode.in_graph:
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        assert len(losses) == (4 if legacy else 3)


def test_dictionaries_are_checked_at_the_first_connection(mode):
    def connect(core):
        mode.run(lambda x: core(x, core.zero_state(2, x.dtype)), array(2, *SPATIAL[1], C_IN))

    with pytest.raises(KeyError, match="Invalid initializer keys"):
        connect(make(1, initializers={"v": tf1.ones_initializer()}))
    with pytest.raises(TypeError, match="not a callable"):
        connect(make(1, regularizers={"w": 3}))
    connect(make(1, use_bias=False, initializers={"b": tf1.ones_initializer()}))  # of no effect


def test_in_loops(mode):
    core = make(2)
    x = array(2, 3, *SPATIAL[2], C_IN)
    outputs, _ = check_unrolls(core, x, mode, 1e-9, 1e-9)
    prefix = f"{core.scope_name}/"
    values = mode.values(list(core.variables))
    weights = dict(zip(names(core.variables), values, strict=True))
    weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    h = c = np.zeros([2, *SPATIAL[2], C])
    for t in range(3):
        output, (h, c) = reference(x[:, t], h, c, weights)
        np.testing.assert_allclose(outputs[:, t], output, 1e-8, 1e-9)


def test_in_the_loops_of_tensorflow_1():
    with old_control_flow() as mode:
        core = make(1, use_layer_norm=True)
        check_unrolls(core, array(2, 3, *SPATIAL[1], C_IN), mode, 1e-9)


def test_from_a_state_that_is_learnt(mode):
    core = make(1, name="core")
    x = array(2, 3, *SPATIAL[1], C_IN)
    start = core.initial_state(
        2, tf.float64, trainable=True, trainable_initializers=(tf.ones, tf.zeros)
    )
    assert [s.shape.as_list() for s in start] == [[2, 6, C]] * 2
    start = mode.values(start)
    assert [np.unique(s) for s in start] == [1, 0]
    outputs, _ = mode.run(lambda x, h, c: by_dynamic_rnn(core, x, (h, c)), x, *start)
    assert outputs.shape == (2, 3, 6, C)


def test_gradients(mode):
    core = make(1, use_layer_norm=True)
    x, factor = array(2, 2, *SPATIAL[1], C_IN), array(2, 2, *SPATIAL[1], C)

    def loss():
        outputs, _ = by_dynamic_rnn(core, tf.constant(x), core.zero_state(2, tf.float64))
        return tf.reduce_sum(outputs * factor)

    mode.run(loss)
    weights_of(core, mode)
    check_gradients(loss, list(core.variables), mode)


# Arguments.


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"stride": [1, 2]},
        {"padding": snt.VALID},
        {"padding": snt.FULL},
        {"padding": [snt.SAME, snt.VALID]},
        {"padding": snt.VALID, "kernel_shape": [1, 3]},
    ],
)
def test_the_state_must_keep_its_size(options):
    with pytest.raises(ValueError, match="state must keep its spatial size"):
        make(2, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": [1, 1, 1, 1]},
        {"padding": snt.REVERSE_CAUSAL},
        {"padding": [snt.SAME, snt.CAUSAL]},
        {"padding": snt.VALID, "kernel_shape": 1},
        {"input_shape": tf.TensorShape([4, 3, C_IN])},
    ],
)
def test_what_keeps_the_size(options, mode):
    core = make(2, **options)
    x = array(2, *SPATIAL[2], C_IN)
    output, _ = mode.run(lambda x: core(x, core.zero_state(2, x.dtype)), x)
    assert output.shape == (2, *SPATIAL[2], C)


def test_arguments_are_checked():
    for ndims in (0, 4):
        with pytest.raises(ValueError, match="Invalid convolution dimensionality"):
            ConvLSTM(ndims, (4, 4, 1), 3, 3)
    for shape in ((4, 1), (4, 4, 4, 1)):
        with pytest.raises(ValueError, match="Invalid input_shape"):
            make(2, input_shape=shape)
    with pytest.raises(TypeError):
        snt.Conv2DLSTM((8, 8, 3), output_channels=3, kernel_shape=3)
    with pytest.raises(TypeError):
        snt.Conv2DLSTM(output_channels=3, kernel_shape=3)
    assert ConvLSTM.get_possible_initializer_keys() == {"w", "b"}
    assert ConvLSTM.get_possible_initializer_keys(use_bias=False) == {"w"}
    assert not make(1).use_layer_norm
    assert make(1, use_layer_norm=True).use_layer_norm


def test_the_second_bias_is_told_of(monkeypatch):
    logged = []
    monkeypatch.setattr(tf1.logging, "warning", lambda *message: logged.append(message))
    make(1, legacy_bias_behaviour=False)
    make(1, use_bias=False)
    assert not logged
    make(1)
    assert "legacy_bias_behaviour=False" in logged[0][0]
