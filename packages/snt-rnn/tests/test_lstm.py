"""`LSTM`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt
from tests.support.recurrent import differences, lstm_step
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)
FULL = {
    "use_peepholes": True,
    "use_layer_norm": True,
    "projection_size": 2,
    "hidden_clip_value": 0.4,
    "cell_clip_value": 0.7,
    "forget_bias": 0.5,
}
OPTIONS = {
    "plain": {},
    "forget bias": {"forget_bias": -0.3},
    "peepholes": {"use_peepholes": True},
    "layer norm": {"use_layer_norm": True},
    "projection": {"projection_size": 2},
    "projection to 0": {"projection_size": 0},
    "clipped hidden state": {"hidden_clip_value": 0.4},
    "clipped cell": {"cell_clip_value": 0.3},
    "clipped to 0": {"hidden_clip_value": 0, "cell_clip_value": 0.0},
    "all": FULL,
}
BATCH, INPUTS, HIDDEN = 3, 4, 5


def arrays(lstm, batch=BATCH, inputs=INPUTS, dtype="float64"):
    sizes = lstm.state_size
    shapes = [(batch, inputs), (batch, *sizes.hidden), (batch, *sizes.cell)]
    return [RNG.normal(size=shape).astype(dtype) for shape in shapes]


def call(lstm):
    return lambda x, h, c: lstm(x, snt.LSTMState(h, c))


def of_step(options):
    names = ("forget_bias", "hidden_clip_value", "cell_clip_value")
    return {name: options[name] for name in names if name in options}


# Values.


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_computes_the_step(options, mode):
    lstm = snt.LSTM(HIDDEN, **options)
    values = arrays(lstm)
    mode.run(call(lstm), *values, unknown_batch=True)
    weights = weights_of(lstm, mode)
    outputs, state = mode.run(call(lstm), *values, unknown_batch=True)
    expected, (hidden, cell) = lstm_step(weights, values[0], tuple(values[1:]), **of_step(options))
    assert isinstance(state, snt.LSTMState)
    np.testing.assert_allclose(outputs, expected, 1e-9)
    np.testing.assert_allclose(state.hidden, hidden, 1e-9)
    np.testing.assert_allclose(state.cell, cell, 1e-9)


@given(
    batch=st.integers(0, 3),
    inputs=st.integers(1, 4),
    hidden=st.integers(1, 4),
    projection=st.none() | st.integers(1, 4),
    peepholes=st.booleans(),
    layer_norm=st.booleans(),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_computes_steps_of_any_size(batch, inputs, hidden, projection, peepholes, layer_norm):
    lstm = snt.LSTM(
        hidden,
        projection_size=projection,
        use_peepholes=peepholes,
        use_layer_norm=layer_norm,
    )
    x, h, c = arrays(lstm, batch, inputs)
    lstm(x, (h, c))
    weights = {}
    for variable in lstm.variables:
        name = variable.name.removeprefix(f"{lstm.scope_name}/").removesuffix(":0")
        variable.assign(RNG.normal(size=variable.shape))
        weights[name] = variable.numpy()
    outputs, state = lstm(x, [h, c])
    expected, (_, cell) = lstm_step(weights, x, (h, c))
    # Of a hidden size of 1 and with equal gates, layer normalisation divides by a small number.
    np.testing.assert_allclose(outputs, expected, 1e-6, 1e-8)
    np.testing.assert_allclose(state.cell, cell, 1e-6, 1e-8)
    assert outputs.shape == (batch, projection or hidden)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.02), ("bfloat16", 0.1)])
@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "all"])
def test_types_of_16_bits(dtype, tolerance, options, mode):
    dtype = tf.as_dtype(dtype)
    lstm = snt.LSTM(HIDDEN, **options)
    values = arrays(lstm, dtype=dtype.as_numpy_dtype)
    mode.run(call(lstm), *values)
    weights = weights_of(lstm, mode)
    for variable in lstm.variables:
        assert variable.dtype.base_dtype == (tf.float32 if "layer_norm" in variable.name else dtype)
    outputs, state = mode.run(call(lstm), *values)
    assert {outputs.dtype, state.hidden.dtype, state.cell.dtype} == {values[0].dtype}
    x, h, c = (value.astype("float64") for value in values)
    expected, (_, cell) = lstm_step(weights, x, (h, c), **of_step(options))
    np.testing.assert_allclose(outputs.astype("float64"), expected, atol=tolerance)
    np.testing.assert_allclose(state.cell.astype("float64"), cell, atol=tolerance)


def test_layer_normalisation_of_16_bits_is_computed_in_32():
    lstm = snt.LSTM(HIDDEN, use_layer_norm=True, initializers={"b_gates": tf1.zeros_initializer()})
    x = np.full([1, INPUTS], 6e4, "float16")  # of which the squares are beyond float16
    w = np.zeros([INPUTS + HIDDEN, 4 * HIDDEN], "float16")
    w[0] = np.linspace(-1, 1, 4 * HIDDEN)
    state = lstm.initial_state(1, tf.float16)
    lstm(x, state)
    lstm._w_xh.assign(w)
    outputs, _ = lstm(x, state)
    weights = {"w_gates": w.astype("float64"), "b_gates": 0, "layer_norm/gamma": 1}
    zeros = np.zeros([1, HIDDEN])
    expected, _ = lstm_step({**weights, "layer_norm/beta": 0}, x.astype("float64"), (zeros, zeros))
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(outputs, expected, atol=1e-3)


def test_gradients(mode):
    options = {**FULL, "hidden_clip_value": 5, "cell_clip_value": 5}  # without kinks near by
    lstm = snt.LSTM(2, **options)
    values = arrays(lstm, batch=2, inputs=2)
    mode.run(call(lstm), *values)
    weights = weights_of(lstm, mode, scale=0.8)
    factors = [RNG.normal(size=shape) for shape in [(2, 2)] * 3]

    def loss(*tensors):
        outputs, state = call(lstm)(*tensors)
        parts = zip([outputs, state.hidden, state.cell], factors, strict=True)
        return tf.add_n([tf.reduce_sum(part * factor) for part, factor in parts])

    def expected_loss(*arrays):
        x, h, c, *rest = arrays
        output, state = lstm_step(dict(zip(weights, rest, strict=True)), x, (h, c), 0.5)
        parts = zip([output, *state], factors, strict=True)
        return sum(np.sum(part * factor) for part, factor in parts)

    def compute(*tensors):
        if mode.in_graph:
            return tf1.gradients(loss(*tensors), [*tensors, *lstm.variables])
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = loss(*tensors)
        return tape.gradient(value, [*tensors, *lstm.variables])

    gradients = mode.run(compute, *values)
    expected = differences(expected_loss, [*values, *weights.values()])
    for gradient, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, e, 1e-5, 1e-7)


# Variables.


def test_variables_by_name_and_shape(mode):
    lstm = snt.LSTM(HIDDEN, **FULL)
    mode.run(call(lstm), *arrays(lstm))
    assert [(v.name, v.shape.as_list()) for v in lstm.get_variables()] == [
        ("lstm/w_gates:0", [INPUTS + 2, 4 * HIDDEN]),
        ("lstm/b_gates:0", [4 * HIDDEN]),
        ("lstm/w_h_projection:0", [HIDDEN, 2]),
        ("lstm/layer_norm/gamma:0", [4 * HIDDEN]),
        ("lstm/layer_norm/beta:0", [4 * HIDDEN]),
        ("lstm/w_f_diag:0", [HIDDEN]),
        ("lstm/w_i_diag:0", [HIDDEN]),
        ("lstm/w_o_diag:0", [HIDDEN]),
    ]
    w, b, w_h, _, _, w_f, w_i, w_o = lstm.get_variables()
    peeked = ("_w_xh", "_b", "_w_h_projection", "_w_f_diag", "_w_i_diag", "_w_o_diag")
    for name, variable in zip(peeked, (w, b, w_h, w_f, w_i, w_o), strict=True):
        assert getattr(lstm, name) is variable
    assert lstm._forget_bias == 0.5


def test_layer_norm_has_the_names_and_defaults_of_the_module(mode):
    lstm, other = snt.LSTM(HIDDEN, use_layer_norm=True), snt.LayerNorm()
    mode.run(call(lstm), *arrays(lstm))
    mode.run(other, np.ones([2, 4 * HIDDEN]))
    theirs = {v.name: mode.values(v) for v in other.get_variables()}
    ours = {v.name.removeprefix("lstm/"): mode.values(v) for v in lstm.get_variables()[2:]}
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_default_initializers(mode):
    lstm = snt.LSTM(500, use_peepholes=True, projection_size=100)
    mode.run(call(lstm), *arrays(lstm, 1, 60))
    values = {v.name.rpartition("/")[2][:-2]: mode.values(v) for v in lstm.get_variables()}
    # A normal distribution that is truncated at 2 standard deviations has 0.88 of its own.
    for name, size in (("w_gates", 160), ("b_gates", 160), ("w_h_projection", 500)):
        assert np.abs(values[name]).max() <= 2 / size**0.5
        np.testing.assert_allclose(values[name].std(), 0.8796 / size**0.5, 0.05)
    limit = (3 / 500) ** 0.5
    for name in ("w_f_diag", "w_i_diag", "w_o_diag"):
        assert 0.9 * limit < np.abs(values[name]).max() <= limit
        np.testing.assert_allclose(values[name].std(), limit / 3**0.5, 0.15)


def test_the_initializer_of_the_variable_scope_is_for_peepholes_only(mode):
    with tf1.variable_scope("outer", initializer=tf1.constant_initializer(7.0)):
        lstm = snt.LSTM(HIDDEN, use_peepholes=True)
    mode.run(call(lstm), *arrays(lstm))
    w, b, *peepholes = mode.values(lstm.get_variables())
    assert not (w == 7).any()
    assert not (b == 7).any()
    assert all((value == 7).all() for value in peepholes)


def test_given_initializers_and_regularizers(mode):
    keys = snt.LSTM.get_possible_initializer_keys(use_peepholes=True, use_projection=True)
    assert keys == snt.LSTM.POSSIBLE_INITIALIZER_KEYS
    lstm = snt.LSTM(
        HIDDEN,
        use_peepholes=True,
        projection_size=2,
        initializers={key: tf1.constant_initializer(n + 1.0) for n, key in enumerate(sorted(keys))},
        regularizers=dict.fromkeys(keys, tf.reduce_sum),
    )
    values = arrays(lstm)
    for _ in range(2):
        mode.run(call(lstm), *values)
    for n, key in enumerate(sorted(keys)):
        (variable,) = (v for v in lstm.get_variables() if v.name == f"lstm/{key}:0")
        assert (mode.values(variable) == n + 1).all()
    if mode.in_graph:
        found = mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES))
        sizes = {v.name.split("/")[1][:-2]: np.prod(v.shape) for v in lstm.get_variables()}
        expected = [(n + 1) * sizes[key] for n, key in enumerate(sorted(keys))]
        assert sorted(found) == sorted(map(float, expected))


def test_partitioners():
    with tf.Graph().as_default(), tf1.Session() as session:
        split = tf1.fixed_size_partitioner(2)
        keys = snt.LSTM.POSSIBLE_INITIALIZER_KEYS
        lstm = snt.LSTM(
            4, use_peepholes=True, projection_size=2, partitioners=dict.fromkeys(keys, split)
        )
        values = arrays(lstm)
        outputs, _ = call(lstm)(*map(tf.constant, values))
        assert len(lstm.get_variables()) == 2 * len(keys)
        session.run(tf1.global_variables_initializer())
        peeked = ("_w_xh", "_b", "_w_h_projection", "_w_f_diag", "_w_i_diag", "_w_o_diag")
        names = ("w_gates", "b_gates", "w_h_projection", "w_f_diag", "w_i_diag", "w_o_diag")
        weights = {
            name: session.run(tf.convert_to_tensor(getattr(lstm, attribute)))
            for name, attribute in zip(names, peeked, strict=True)
        }
        expected, _ = lstm_step(weights, values[0], tuple(values[1:]))
        np.testing.assert_allclose(session.run(outputs), expected, 1e-9)


def test_calls_share_the_variables(mode):
    lstm = snt.LSTM(HIDDEN)
    values = arrays(lstm)
    first, _ = mode.run(call(lstm), *values)
    second, _ = mode.run(call(lstm), *values)
    np.testing.assert_array_equal(first, second)
    outputs, _ = mode.run(call(lstm), *(value[:1] for value in values))
    np.testing.assert_allclose(outputs, first[:1], 1e-12)
    assert len(lstm.get_variables()) == 2
    with pytest.raises(ValueError, match=r"shape"):
        mode.run(call(lstm), np.ones([BATCH, INPUTS + 1]), *values[1:])


@pytest.mark.parametrize("use_layer_norm", [False, True])
def test_custom_getter(use_layer_norm, mode):
    names = []

    def doubling(getter, name, *args, **kwargs):
        names.append(name)
        return 2 * getter(name, *args, **kwargs)

    lstm = snt.LSTM(HIDDEN, use_layer_norm=use_layer_norm, custom_getter=doubling)
    values = arrays(lstm)
    mode.run(call(lstm), *values)
    weights = {name: 2 * value for name, value in weights_of(lstm, mode).items()}
    outputs, _ = mode.run(call(lstm), *values)
    expected, _ = lstm_step(weights, values[0], tuple(values[1:]))
    np.testing.assert_allclose(outputs, expected, 1e-9)
    assert sorted(set(names)) == sorted(f"lstm/{name}" for name in weights)
    traces = 2 if mode.name == "function" else 1  # of the first of the two calls
    assert len(names) == (traces + 1) * len(weights)


# What it is given.


@pytest.mark.parametrize("container", [list, tuple, lambda pair: snt.LSTMState(*pair)])
def test_the_state_is_any_pair(container, mode):
    lstm = snt.LSTM(HIDDEN)
    x, h, c = arrays(lstm)
    _, state = mode.run(lambda x, h, c: lstm(x, container([h, c])), x, h, c)
    assert type(state) is snt.LSTMState


def test_arrays_are_taken_eagerly():
    lstm = snt.LSTM(HIDDEN)
    x, h, c = arrays(lstm)
    np.testing.assert_array_equal(lstm(x, (h, c))[0], lstm(*map(tf.constant, (x,)), (h, c))[0])


@pytest.mark.parametrize("state", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_a_state_of_another_length_is_an_error(state):
    with pytest.raises(ValueError, match="unpack"):
        snt.LSTM(HIDDEN)(np.ones([2, 3]), state)


@pytest.mark.parametrize("shape", [(4,), (), (2, 3, 4)])
def test_the_rank_must_be_2(shape, mode):
    lstm = snt.LSTM(HIDDEN)
    with pytest.raises(ValueError, match="lstm: Rank of shape must be 2"):
        mode.run(lambda x: lstm(x, lstm.zero_state(2, tf.float32)), np.ones(shape, "float32"))


def test_unknown_shapes_are_errors():
    with tf.Graph().as_default():
        lstm = snt.LSTM(HIDDEN)
        state = lstm.zero_state(2, tf.float32)
        with pytest.raises(ValueError, match="number of features must be known"):
            lstm(tf1.placeholder(tf.float32, [2, None]), state)
        with pytest.raises(ValueError, match="Rank of shape must be 2"):
            lstm(tf1.placeholder(tf.float32), state)


def test_types_must_agree(mode):
    lstm = snt.LSTM(HIDDEN)
    x, h, c = arrays(lstm)
    with pytest.raises(TypeError, match="state must be of the type of the inputs, float32, got f"):
        mode.run(call(lstm), x.astype("float32"), h.astype("float32"), c)
    with pytest.raises(TypeError, match="floating-point type, got int"):
        mode.run(call(lstm), x.astype("int32"), h, c)


# Sizes.


def test_static_shapes_with_an_unknown_batch_size():
    with tf.Graph().as_default():
        lstm = snt.LSTM(HIDDEN, **FULL)
        x = tf1.placeholder(tf.float32, [None, INPUTS])
        outputs, state = lstm(x, lstm.initial_state(tf.shape(x)[0]))
        assert outputs.shape.as_list() == [None, 2]
        assert [part.shape.as_list() for part in state] == [[None, 2], [None, HIDDEN]]


@pytest.mark.parametrize("size", [5, np.int64(5), tf1.Dimension(5)])
def test_properties(size):
    lstm = snt.LSTM(size)
    assert lstm.state_size == snt.LSTMState(tf.TensorShape([5]), tf.TensorShape([5]))
    assert type(lstm.state_size) is snt.LSTMState
    assert lstm.output_size == tf.TensorShape([5])
    assert (lstm.use_peepholes, lstm.use_layer_norm) == (False, False)
    projected = snt.LSTM(size, projection_size=size - 2, use_peepholes=True, use_layer_norm=True)
    assert projected.state_size == snt.LSTMState(tf.TensorShape([3]), tf.TensorShape([5]))
    assert projected.output_size == tf.TensorShape([3])
    assert (projected.use_peepholes, projected.use_layer_norm) == (True, True)
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        lstm.get_variables()


def test_a_projection_to_0_is_one_to_the_hidden_size():
    lstm = snt.LSTM(5, projection_size=0)
    assert lstm.output_size == tf.TensorShape([5])
    lstm(np.ones([2, 3], "float32"), lstm.initial_state(2))
    assert lstm._w_h_projection.shape == (5, 5)


@pytest.mark.parametrize("kind", ["initializers", "partitioners", "regularizers"])
def test_wrong_keys(kind):
    for key in ("w", "w_f_diag", "w_i_diag", "w_o_diag", "w_h_projection", "layer_norm/gamma"):
        with pytest.raises(KeyError, match=f"Invalid {kind[:-1]} keys '{key}'"):
            snt.LSTM(5, **{kind: {key: tf1.zeros_initializer()}})
    with pytest.raises(TypeError, match=f"{kind[:-1].capitalize()} for 'w_gates' is not a call"):
        snt.LSTM(5, **{kind: {"w_gates": 1}})


def test_possible_keys():
    keys = snt.LSTM.get_possible_initializer_keys
    assert keys() == {"w_gates", "b_gates"} == snt.LSTM(5).possible_keys
    peepholes = {"w_f_diag", "w_i_diag", "w_o_diag"}
    assert keys(use_peepholes=True) - keys() == peepholes
    assert keys(use_projection=True) - keys() == {"w_h_projection"}
    assert snt.LSTM(5, use_peepholes=True).possible_keys == keys() | peepholes


@pytest.mark.parametrize("option", ["hidden_clip_value", "cell_clip_value"])
def test_negative_clip_values_are_errors(option):
    with pytest.raises(ValueError, match=f"{option} should be nonnegative, got -0.1"):
        snt.LSTM(5, **{option: -0.1})


@pytest.mark.parametrize("size", [2.5, "3", None])
def test_sizes_are_integers(size):
    with pytest.raises(TypeError):
        snt.LSTM(size)
    if size is not None:
        with pytest.raises(TypeError):
            snt.LSTM(5, projection_size=size)


def test_clipping_is_of_the_state_that_comes_in():
    lstm = snt.LSTM(HIDDEN, hidden_clip_value=0.01, cell_clip_value=0.01)
    _, state = lstm(RNG.normal(size=[4, 50]), lstm.initial_state(4, tf.float64))
    assert np.abs(state.hidden).max() > 0.01
    assert np.abs(state.cell).max() > 0.01
