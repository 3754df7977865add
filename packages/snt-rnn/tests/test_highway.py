"""`HighwayCore`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt
from tests.support.recurrent import differences, highway_step
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)
NAMES = ["wt", "wh", "wt0", "bt0", "wh0", "bh0", "wt1", "bt1", "wh1", "bh1"]
SHAPES = [[4, 5], [4, 5], *[[5, 5], [5]] * 4]


def arrays(batch=3, inputs=4, hidden=5, dtype="float64"):
    return [RNG.normal(size=(batch, size)).astype(dtype) for size in (inputs, hidden)]


def by_name(core, values):
    names = [v.name.removeprefix(f"{core.scope_name}/")[:-2] for v in core.variables]
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("num_layers", [1, 3])
def test_computes_the_step(num_layers, mode):
    core = snt.HighwayCore(5, num_layers)
    x, s = arrays()
    mode.run(core, x, s, unknown_batch=True)
    weights = weights_of(core, mode)
    assert len(weights) == 2 + 4 * num_layers
    outputs, state = mode.run(core, x, s, unknown_batch=True)
    np.testing.assert_allclose(outputs, highway_step(weights, x, s)[0], 1e-9)
    np.testing.assert_array_equal(outputs, state)


@given(
    batch=st.integers(0, 3),
    inputs=st.integers(1, 4),
    hidden=st.integers(1, 4),
    num_layers=st.integers(1, 3),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_computes_steps_of_any_size(batch, inputs, hidden, num_layers):
    core = snt.HighwayCore(hidden, num_layers)
    x, s = arrays(batch, inputs, hidden)
    outputs, _ = core(x, s)
    weights = by_name(core, [v.numpy() for v in core.variables])
    np.testing.assert_allclose(outputs, highway_step(weights, x, s)[0], 1e-9, 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.01), ("bfloat16", 0.06)])
def test_types_of_16_bits(dtype, tolerance, mode):
    core = snt.HighwayCore(5, 2)
    x, s = arrays(dtype=tf.as_dtype(dtype).as_numpy_dtype)
    mode.run(core, x, s)
    weights = weights_of(core, mode)
    outputs, _ = mode.run(core, x, s)
    assert outputs.dtype == x.dtype
    expected, _ = highway_step(weights, x.astype("float64"), s.astype("float64"))
    np.testing.assert_allclose(outputs.astype("float64"), expected, atol=tolerance)


def test_gradients(mode):
    core = snt.HighwayCore(2, 2)
    x, s = arrays(2, 2, 2)
    mode.run(core, x, s)
    weights = weights_of(core, mode)
    factors = RNG.normal(size=(2, 2))

    def loss(x, s, *rest):
        return np.sum(factors * highway_step(dict(zip(weights, rest, strict=True)), x, s)[0])

    gradients = mode.gradients(
        lambda: tf.reduce_sum(factors * core(tf.constant(x), tf.constant(s))[0]),
        lambda: core.variables,
    )
    expected = differences(loss, [x, s, *weights.values()])[2:]
    for gradient, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, e, 1e-5, 1e-8)


def test_variables_in_order_of_creation(mode):
    core = snt.HighwayCore(5, 2)
    for _ in range(2):
        mode.run(core, *arrays())
    assert [(v.name, v.shape.as_list()) for v in core.get_variables()] == [
        (f"highwaycore/{name}:0", shape) for name, shape in zip(NAMES, SHAPES, strict=True)
    ]
    with pytest.raises(ValueError, match="shape"):
        mode.run(core, *arrays(inputs=3))


def test_initializers_default_to_that_of_the_scope_or_glorot_s(mode):
    core = snt.HighwayCore(60, 1)
    with tf1.variable_scope("outer", initializer=tf1.constant_initializer(7.0)):
        other = snt.HighwayCore(5, 2)
    mode.run(core, *arrays(inputs=40, hidden=60))
    mode.run(other, *arrays())
    assert all((value == 7).all() for value in mode.values(list(other.variables)))
    for value, size in zip(
        mode.values(list(core.get_variables())), [100, 100, *[120] * 4], strict=True
    ):
        assert 0.8 * (6 / size) ** 0.5 < np.abs(value).max() <= (6 / size) ** 0.5


def test_options_by_variable_name(mode):
    core = snt.HighwayCore(
        4,
        2,
        {name: tf1.constant_initializer(k + 1.0) for k, name in enumerate(NAMES)},
        regularizers={"wh1": tf.reduce_sum, "bt0": tf.reduce_sum},
        custom_getter=lambda getter, *args, **kwargs: 0.01 * getter(*args, **kwargs),
    )
    x, s = arrays(hidden=4)
    outputs, _ = mode.run(core, x, s)
    weights = {
        name: np.full([4] if name[0] == "b" else [4, 4], 0.01 * (k + 1))
        for k, name in enumerate(NAMES)
    }
    np.testing.assert_allclose(outputs, highway_step(weights, x, s)[0], 1e-6)
    if mode.in_graph:
        losses = mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES))
        np.testing.assert_allclose(losses, [4 * 4, 9 * 16])


def test_partitioners():
    with tf.Graph().as_default(), tf1.Session() as session:
        split = dict.fromkeys(NAMES, tf1.fixed_size_partitioner(2))
        core = snt.HighwayCore(4, 2, partitioners=split)
        x, s = arrays(hidden=4)
        outputs, _ = core(tf.constant(x), tf.constant(s))
        parts = core.get_variables()
        assert len(parts) == 20
        session.run(tf1.global_variables_initializer())
        values = session.run(list(parts))
        weights = {name: np.concatenate(values[2 * k : 2 * k + 2]) for k, name in enumerate(NAMES)}
        np.testing.assert_allclose(session.run(outputs), highway_step(weights, x, s)[0], 1e-9)


def test_keys_and_sizes():
    assert snt.HighwayCore.get_possible_initializer_keys(2) == set(NAMES)
    core = snt.HighwayCore(3, num_layers=2)
    assert core.possible_keys == set(NAMES)
    assert core.state_size == core.output_size == tf.TensorShape([3])
    for kind in ("initializers", "partitioners", "regularizers"):
        with pytest.raises(KeyError, match=f"Invalid {kind[:-1]} keys 'wt2'"):
            snt.HighwayCore(3, 2, **{kind: {"wt2": tf1.zeros_initializer()}})
        with pytest.raises(TypeError, match="'wt0' is not a callable function"):
            snt.HighwayCore(3, 2, **{kind: {"wt0": 1}})
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        snt.HighwayCore(3, 0)
    with pytest.raises(TypeError):
        snt.HighwayCore(3, 1.5)


def test_wrong_inputs(mode):
    core = snt.HighwayCore(5, 1)
    x, s = arrays()
    with pytest.raises(ValueError, match="highwaycore: Rank of shape must be 2"):
        mode.run(core, x[0], s)
    with pytest.raises(TypeError, match="state must be of the type of the inputs"):
        mode.run(core, x, s.astype("float32"))
