"""`VanillaRNN`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.recurrent import differences, vanilla_step
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)
NAMES = ["in_to_hidden/w", "in_to_hidden/b", "hidden_to_hidden/w", "hidden_to_hidden/b"]


def arrays(batch=3, inputs=4, hidden=5, dtype="float64"):
    return [RNG.normal(size=(batch, size)).astype(dtype) for size in (inputs, hidden)]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float16", 0.01), ("bfloat16", 0.1)]
)
def test_computes_the_step(dtype, tolerance, mode):
    rnn = snt.VanillaRNN(5)
    x, h = arrays(dtype=tf.as_dtype(dtype).as_numpy_dtype)
    mode.run(rnn, x, h, unknown_batch=True)
    weights = weights_of(rnn, mode)
    outputs, state = mode.run(rnn, x, h, unknown_batch=True)
    expected, _ = vanilla_step(weights, x.astype("float64"), h.astype("float64"))
    assert outputs.dtype == x.dtype
    np.testing.assert_allclose(outputs.astype("float64"), expected, atol=tolerance)
    np.testing.assert_array_equal(outputs, state)


def test_activation(mode):
    rnn = snt.VanillaRNN(5, tf.identity)
    x, h = arrays()
    outputs, _ = mode.run(rnn, x, h)
    w_in, b_in, w_h, b_h = mode.values(list(rnn.get_variables()))
    np.testing.assert_allclose(outputs, x @ w_in + b_in + h @ w_h + b_h, 1e-9)


def test_gradients(mode):
    rnn = snt.VanillaRNN(2)
    x, h = arrays(2, 2, 2)
    mode.run(rnn, x, h)
    weights = weights_of(rnn, mode)
    factors = RNG.normal(size=(2, 2))

    def loss(x, h, *rest):
        return np.sum(factors * vanilla_step(dict(zip(weights, rest, strict=True)), x, h)[0])

    gradients = mode.gradients(
        lambda: tf.reduce_sum(factors * rnn(tf.constant(x), tf.constant(h))[0]),
        lambda: rnn.variables,
    )
    expected = differences(loss, [x, h, *weights.values()])[2:]
    for gradient, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, e, 1e-5, 1e-8)


def test_variables_and_linear_maps(mode):
    rnn = snt.VanillaRNN(50)
    for name in (
        "in_to_hidden_linear",
        "hidden_to_hidden_linear",
        "in_to_hidden_variables",
        "hidden_to_hidden_variables",
    ):
        with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
            getattr(rnn, name)
    for _ in range(2):
        mode.run(rnn, *arrays(inputs=20, hidden=50))
    variables = rnn.get_variables()
    assert [v.name for v in variables] == [f"vanilla_rnn/{name}:0" for name in NAMES]
    assert [v.shape.as_list() for v in variables] == [[20, 50], [50], [50, 50], [50]]
    assert rnn.in_to_hidden_variables == (rnn.in_to_hidden_linear.w, rnn.in_to_hidden_linear.b)
    for kind, expected in (("in_to_hidden", variables[:2]), ("hidden_to_hidden", variables[2:])):
        linear = getattr(rnn, f"{kind}_linear")
        assert isinstance(linear, snt.Linear)
        assert linear.w is expected[0]
        assert linear.b is expected[1]
        found = getattr(rnn, f"{kind}_variables")
        assert all(a is b for a, b in zip(found, expected, strict=True))
    w_in, b_in, w_h, b_h = mode.values(list(variables))
    assert not b_in.any()
    assert not b_h.any()
    np.testing.assert_allclose(w_in.std(), 0.8796 / 20**0.5, 0.1)
    np.testing.assert_allclose(w_h.std(), 0.8796 / 50**0.5, 0.1)


def test_options_by_linear_map(mode):
    def constants(w, b):
        return {"w": tf1.constant_initializer(w), "b": tf1.constant_initializer(b)}

    rnn = snt.VanillaRNN(
        5,
        initializers={"in_to_hidden": constants(0.1, 0.2), "hidden_to_hidden": constants(0.3, 0.4)},
        regularizers={"hidden_to_hidden": {"w": tf.reduce_sum}},
    )
    x, h = arrays()
    outputs, _ = mode.run(rnn, x, h)
    shapes = [(4, 5), (5,), (5, 5), (5,)]
    weights = {
        name: np.full(shape, 0.1 * (k + 1))
        for k, (name, shape) in enumerate(zip(NAMES, shapes, strict=True))
    }
    np.testing.assert_allclose(outputs, vanilla_step(weights, x, h)[0], 1e-6)
    if mode.in_graph:
        losses = mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES))
        np.testing.assert_allclose(losses, [0.3 * 25])


def test_partitioners():
    with tf.Graph().as_default(), tf1.Session() as session:
        split = dict.fromkeys("wb", tf1.fixed_size_partitioner(2))
        rnn = snt.VanillaRNN(
            4, partitioners=dict.fromkeys(["in_to_hidden", "hidden_to_hidden"], split)
        )
        x, h = arrays(hidden=4)
        outputs, _ = rnn(tf.constant(x), tf.constant(h))
        assert type(rnn.in_to_hidden_linear.w).__name__ == "PartitionedVariable"
        session.run(tf1.global_variables_initializer())
        values = session.run(list(rnn.get_variables()))
        weights = {name: np.concatenate(values[2 * k : 2 * k + 2]) for k, name in enumerate(NAMES)}
        np.testing.assert_allclose(session.run(outputs), vanilla_step(weights, x, h)[0], 1e-9)


@pytest.mark.parametrize("kind", ["initializers", "partitioners", "regularizers"])
def test_wrong_keys(kind):
    with pytest.raises(KeyError, match=f"Invalid {kind[:-1]} keys 'w'"):
        snt.VanillaRNN(3, **{kind: {"w": {}}})
    with pytest.raises(KeyError, match=f"Invalid {kind[:-1]} keys 'u'"):
        snt.VanillaRNN(3, **{kind: {"in_to_hidden": {"u": tf1.zeros_initializer()}}})
    with pytest.raises(TypeError, match=f"{kind[:-1].capitalize()} for 'w' is not a callable func"):
        snt.VanillaRNN(3, **{kind: {"in_to_hidden": {"w": 1}}})


def test_sizes():
    rnn = snt.VanillaRNN(3)
    assert rnn.state_size == rnn.output_size == tf.TensorShape([3])
    assert rnn.possible_keys == {snt.VanillaRNN.IN_TO_HIDDEN, snt.VanillaRNN.HIDDEN_TO_HIDDEN}
    assert rnn.possible_keys == snt.VanillaRNN.POSSIBLE_INITIALIZER_KEYS
    with pytest.raises(TypeError):
        snt.VanillaRNN(2.5)


def test_wrong_inputs(mode):
    rnn = snt.VanillaRNN(5)
    x, h = arrays()
    with pytest.raises(snt.IncompatibleShapeError, match="rank of shape must be 2"):
        mode.run(rnn, x[0], h)
    with pytest.raises(TypeError, match="state must be of the type of the inputs"):
        mode.run(rnn, x, h.astype("float32"))


def test_is_constructed_outside_the_graph_that_it_is_used_in():
    rnn = snt.VanillaRNN(5)
    with tf.Graph().as_default():
        rnn(tf.ones([2, 4]), rnn.initial_state(2))
        found = [v.name.removeprefix(f"{rnn.scope_name}/") for v in rnn.get_variables()]
        assert found == [f"{name}:0" for name in NAMES]
