"""`GRU`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt
from tests.support.recurrent import differences, gru_step
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)
NAMES = ["wz", "uz", "bz", "wr", "ur", "br", "wh", "uh", "bh"]


def arrays(batch=3, inputs=4, hidden=5, dtype="float64"):
    return [RNG.normal(size=(batch, size)).astype(dtype) for size in (inputs, hidden)]


def test_computes_the_step(mode):
    gru = snt.GRU(5)
    x, h = arrays()
    mode.run(gru, x, h, unknown_batch=True)
    weights = weights_of(gru, mode)
    outputs, state = mode.run(gru, x, h, unknown_batch=True)
    np.testing.assert_allclose(outputs, gru_step(weights, x, h)[0], 1e-9)
    np.testing.assert_array_equal(outputs, state)


@given(batch=st.integers(0, 3), inputs=st.integers(1, 4), hidden=st.integers(1, 4))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_computes_steps_of_any_size(batch, inputs, hidden):
    gru = snt.GRU(hidden)
    x, h = arrays(batch, inputs, hidden)
    outputs, _ = gru(x, h)
    weights = {name: getattr(gru, f"_{name}").numpy() for name in NAMES}
    np.testing.assert_allclose(outputs, gru_step(weights, x, h)[0], 1e-9, 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.01), ("bfloat16", 0.06)])
def test_types_of_16_bits(dtype, tolerance, mode):
    gru = snt.GRU(5)
    x, h = arrays(dtype=tf.as_dtype(dtype).as_numpy_dtype)
    mode.run(gru, x, h)
    weights = weights_of(gru, mode)
    outputs, _ = mode.run(gru, x, h)
    assert outputs.dtype == x.dtype
    expected, _ = gru_step(weights, x.astype("float64"), h.astype("float64"))
    np.testing.assert_allclose(outputs.astype("float64"), expected, atol=tolerance)


def test_gradients(mode):
    gru = snt.GRU(2)
    x, h = arrays(2, 2, 2)
    mode.run(gru, x, h)
    weights = weights_of(gru, mode)
    factors = RNG.normal(size=(2, 2))

    def loss(x, h, *rest):
        return np.sum(factors * gru_step(dict(zip(weights, rest, strict=True)), x, h)[0])

    gradients = mode.gradients(
        lambda: tf.reduce_sum(factors * gru(tf.constant(x), tf.constant(h))[0]),
        lambda: gru.variables,
    )
    expected = differences(loss, [x, h, *weights.values()])[2:]
    for gradient, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, e, 1e-5, 1e-8)


def test_variables_in_order_of_creation(mode):
    gru = snt.GRU(5)
    for _ in range(2):
        mode.run(gru, *arrays())
    shapes = {"w": [4, 5], "u": [5, 5], "b": [5]}
    assert [(v.name, v.shape.as_list()) for v in gru.get_variables()] == [
        (f"gru/{name}:0", shapes[name[0]]) for name in NAMES
    ]
    for name, variable in zip(NAMES, gru.get_variables(), strict=True):
        assert getattr(gru, f"_{name}") is variable
    with pytest.raises(ValueError, match="shape"):
        mode.run(gru, *arrays(inputs=3))


def test_initializers_default_to_that_of_the_scope_or_glorot_s(mode):
    gru = snt.GRU(60)
    with tf1.variable_scope("outer", initializer=tf1.constant_initializer(7.0)):
        other = snt.GRU(5)
    mode.run(gru, *arrays(inputs=40, hidden=60))
    mode.run(other, *arrays())
    for name in NAMES:
        assert (mode.values(getattr(other, f"_{name}")) == 7).all()
        value = mode.values(getattr(gru, f"_{name}"))
        limit = (6 / {"w": 100, "u": 120, "b": 120}[name[0]]) ** 0.5
        assert 0.8 * limit < np.abs(value).max() <= limit


def test_options_by_variable_name(mode):
    gru = snt.GRU(
        4,
        {name: tf1.constant_initializer(k + 1.0) for k, name in enumerate(NAMES)},
        regularizers={"uz": tf.reduce_sum, "bh": tf.reduce_sum},
        custom_getter=lambda getter, *args, **kwargs: 0.1 * getter(*args, **kwargs),
    )
    x, h = arrays(hidden=4)
    outputs, _ = mode.run(gru, x, h)
    shapes = {"w": [4, 4], "u": [4, 4], "b": [4]}
    weights = {name: np.full(shapes[name[0]], 0.1 * (k + 1)) for k, name in enumerate(NAMES)}
    np.testing.assert_allclose(outputs, gru_step(weights, x, h)[0], 1e-6)
    if mode.in_graph:
        losses = mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES))
        np.testing.assert_allclose(losses, [2 * 16, 9 * 4])


def test_partitioners():
    with tf.Graph().as_default(), tf1.Session() as session:
        gru = snt.GRU(4, partitioners=dict.fromkeys(NAMES, tf1.fixed_size_partitioner(2)))
        x, h = arrays(hidden=4)
        outputs, _ = gru(tf.constant(x), tf.constant(h))
        assert len(gru.get_variables()) == 18
        session.run(tf1.global_variables_initializer())
        weights = {
            name: session.run(tf.convert_to_tensor(getattr(gru, f"_{name}"))) for name in NAMES
        }
        np.testing.assert_allclose(session.run(outputs), gru_step(weights, x, h)[0], 1e-9)


def test_keys_and_sizes():
    assert snt.GRU.get_possible_initializer_keys() == set(NAMES) == snt.GRU(3).possible_keys
    assert {getattr(snt.GRU, name.upper()) for name in NAMES} == set(NAMES)
    assert snt.GRU(3).state_size == snt.GRU(3).output_size == tf.TensorShape([3])
    for kind in ("initializers", "partitioners", "regularizers"):
        with pytest.raises(KeyError, match=f"Invalid {kind[:-1]} keys 'w'"):
            snt.GRU(3, **{kind: {"w": tf1.zeros_initializer()}})
        with pytest.raises(TypeError, match="'wz' is not a callable function"):
            snt.GRU(3, **{kind: {"wz": 1}})


def test_wrong_inputs(mode):
    gru = snt.GRU(5)
    x, h = arrays()
    with pytest.raises(ValueError, match="gru: Rank of shape must be 2"):
        mode.run(gru, x[0], h)
    with pytest.raises(TypeError, match="state must be of the type of the inputs"):
        mode.run(gru, x, h.astype("float32"))


def test_static_shapes_with_an_unknown_batch_size():
    with tf.Graph().as_default():
        gru = snt.GRU(5)
        x = tf1.placeholder(tf.float32, [None, 4])
        assert gru(x, gru.initial_state(tf.shape(x)[0]))[0].shape.as_list() == [None, 5]
