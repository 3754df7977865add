"""`LayerNorm`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
RANDOM = {
    "gamma": tf1.random_uniform_initializer(0.5, 1.5),
    "beta": tf1.random_normal_initializer(),
}


def array(*shape):
    return RNG.normal(size=shape) * 2 + 1


def normalised(x, axes, gamma=1, beta=0, eps=1e-5):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


@pytest.mark.parametrize(
    ("axis", "shape", "axes"),
    [
        (None, (4, 5), (1,)),
        (None, (4, 3, 2, 5), (1, 2, 3)),
        (1, (4, 3, 5), (1,)),
        (-1, (4, 3, 5), (2,)),
        ([1, 2], (4, 3, 2, 5), (1, 2)),
        ((0, 2), (4, 3, 5), (0, 2)),
        ([1, -1], (4, 3, 2, 5), (1, 3)),
        (np.int64(2), (4, 3, 5), (2,)),
        (np.array([1, 2]), (4, 3, 5), (1, 2)),
        (iter([1, 2]), (4, 3, 5), (1, 2)),
        ([], (4, 3), ()),
    ],
)
def test_normalises_over_axis(axis, shape, axes, mode):
    if not isinstance(axis, (int, type(None), list, tuple, np.generic, np.ndarray)):
        axis = (a for a in axes)  # the same iterator would be used up by the first mode
    module = snt.LayerNorm(axis=axis, initializers=RANDOM, eps=0.01)
    inputs = array(*shape)
    for _ in range(2):
        outputs = mode.run(module, inputs, unknown_batch=True)
        gamma, beta = mode.values([module.gamma, module.beta])
        assert gamma.shape == beta.shape == shape[-1:]
        expected = normalised(inputs, axes, gamma, beta, eps=0.01)
        np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_offset_and_scale(offset, scale, mode):
    module = snt.LayerNorm(offset=offset, scale=scale)
    inputs = array(4, 3).astype("float32")
    outputs = mode.run(module, inputs)
    np.testing.assert_allclose(outputs, normalised(inputs, (1,)), 1e-5, 1e-5)
    made = ["layer_norm/gamma:0"] * scale + ["layer_norm/beta:0"] * offset  # in this order
    assert [v.name for v in module.get_variables()] == made
    assert (module.gamma is None, module.beta is None) == (not scale, not offset)
    names = {name for name, wanted in (("gamma", scale), ("beta", offset)) if wanted}
    assert set(module.initializers) == names


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_computes_in_single_precision(dtype, mode):
    module = snt.LayerNorm(initializers=RANDOM)
    inputs = (1000 + 100 * RNG.normal(size=[3, 500])).astype(tf.as_dtype(dtype).as_numpy_dtype)
    outputs = mode.run(module, inputs)
    assert outputs.dtype == inputs.dtype
    assert {v.dtype.base_dtype.name for v in module.variables} == {"float32"}
    gamma, beta = mode.values([module.gamma, module.beta])
    expected = normalised(inputs.astype("float64"), (1,), gamma, beta)
    tolerance = 2e-3 if dtype == "float16" else 2e-2
    np.testing.assert_allclose(outputs.astype("float64"), expected, tolerance, tolerance)


def test_keeps_the_static_shape():
    with tf.Graph().as_default():
        for dtype in (tf.float32, tf.float16):
            inputs = tf1.placeholder(dtype, [None, None, 3, 5])
            assert snt.LayerNorm()(inputs).shape.as_list() == [None, None, 3, 5]


def test_dictionaries(mode):
    ones = tf1.ones_initializer()
    module = snt.LayerNorm(initializers={"beta": ones}, regularizers={"beta": tf.nn.l2_loss})
    assert module.initializers == {"beta": ones}
    for _ in range(2):
        mode.run(module, array(4, 3))
    assert mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == [1.5]
    assert snt.LayerNorm.get_possible_initializer_keys() == {"gamma", "beta"}
    assert {"gamma", "beta"} == snt.LayerNorm.POSSIBLE_PARTITIONER_KEYS
    assert {"gamma", "beta"} == snt.LayerNorm.POSSIBLE_REGULARIZER_KEYS
    for argument in ("initializers", "partitioners", "regularizers"):
        with pytest.raises(KeyError, match=f"Invalid {argument[:-1]} keys"):
            snt.LayerNorm(**{argument: {"w": ones}})
        with pytest.raises(TypeError, match="Expected a dict-like object"):
            snt.LayerNorm(**{argument: "gamma"})


def test_partitioned_parameters(mode):
    partitioners = {name: tf1.fixed_size_partitioner(2) for name in ("gamma", "beta")}
    module = snt.LayerNorm(partitioners=partitioners, initializers=RANDOM)
    inputs = array(3, 4)
    outputs = mode.run(module, inputs)
    assert [v.name.rpartition("layer_norm/")[2] for v in module.get_variables()] == [
        f"{name}/part_{i}:0" for name in ("gamma", "beta") for i in range(2)
    ]
    gamma, beta = mode.run(lambda: [tf.convert_to_tensor(v) for v in (module.gamma, module.beta)])
    np.testing.assert_allclose(outputs, normalised(inputs, (1,), gamma, beta), 1e-10)


# Errors.


@pytest.mark.parametrize("axis", [True, 1.0, "1", [1, 2.0], [0, False], [None], np.array([1.5])])
def test_axis_is_of_integers(axis):
    with pytest.raises(ValueError, match="axis should be an int or an iterable of ints"):
        snt.LayerNorm(axis=axis)


@pytest.mark.parametrize("axis", [3, -4, [1, 5], [1, -2]])
def test_axis_names_axes_of_the_input(axis, mode):
    with pytest.raises(ValueError, match="axis must name axes of the input, each once"):
        mode.run(snt.LayerNorm(axis=axis), array(4, 3, 5))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_rank_is_at_least_2(shape, mode):
    module = snt.LayerNorm()
    with pytest.raises(snt.NotSupportedError, match="at least rank 2"):
        mode.run(module, array(*shape) if shape else np.array(1.0))
    assert not module.is_connected


def test_the_size_of_the_last_axis_is_known():
    with tf.Graph().as_default():
        module = snt.LayerNorm()
        with pytest.raises(ValueError, match="shape"):
            module(tf1.placeholder(tf.float32, [3, None]))
        assert not module.is_connected
        with pytest.raises(ValueError, match="unknown TensorShape"):
            module(tf1.placeholder(tf.float32))


def test_the_size_of_the_last_axis_stays(mode):
    module = snt.LayerNorm()
    mode.run(module, array(4, 3))
    mode.run(module, array(4, 5, 3))
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(module, array(4, 2))


def test_inputs_are_floating_point(mode):
    with pytest.raises(TypeError, match="layer_norm: inputs must be of a floating-point type"):
        mode.run(snt.LayerNorm(), np.ones([2, 3], "int32"))


def test_properties_need_a_connection():
    module = snt.LayerNorm()
    for name in ("gamma", "beta"):
        with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
            getattr(module, name)


def test_the_old_path():
    from sonnet.python.modules import layer_norm

    assert layer_norm.LayerNorm is snt.LayerNorm
    assert layer_norm.create_beta_initializer()([1]).numpy() == [0]
    assert layer_norm.create_gamma_initializer()([1]).numpy() == [1]
