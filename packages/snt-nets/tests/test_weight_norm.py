"""`wrap_with_weight_norm` and `weight_norm`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_nets.weight_norm import WeightNormWrapper, weight_norm

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=[6, 4]).astype("float32")


def normalised(w, g, axis=0):
    return g * w / np.sqrt(np.sum(w**2, axis=axis, keepdims=True))


def names(variables):
    return [v.name.removesuffix(":0") for v in variables]


def by_name(module):
    return {v.name.removesuffix(":0").rpartition("/")[2]: v for v in module.variables}


def test_starts_as_the_module_itself(mode):
    module = snt.wrap_with_weight_norm(snt.Linear)(3)
    outputs = mode.run(module, INPUTS, unknown_batch=True)
    v = mode.values(by_name(module))
    np.testing.assert_allclose(v["g"], np.linalg.norm(v["w"], axis=0, keepdims=True), 1e-5)
    np.testing.assert_allclose(outputs, INPUTS @ v["w"] + v["b"], 1e-5, 1e-6)
    assert type(module) is WeightNormWrapper


def test_length_and_direction_are_apart(mode):
    module = snt.wrap_with_weight_norm(snt.Linear)(3)
    mode.run(module, INPUTS)
    w, g = RNG.normal(size=[4, 3]), RNG.normal(size=[1, 3])
    mode.assign(by_name(module)["w"], w.astype("float32"))
    mode.assign(by_name(module)["g"], g.astype("float32"))
    outputs = mode.run(module, INPUTS)
    np.testing.assert_allclose(outputs, INPUTS @ normalised(w, g), 1e-5, 1e-5)


def test_variables(mode):
    module = snt.wrap_with_weight_norm(snt.nets.MLP)([5, 3], name="net")
    for _ in range(2):
        mode.run(module, INPUTS)
    assert names(module.variables) == [
        f"net_wrapper/net/linear_{i}/{n}" for i in (0, 1) for n in ("b", "g", "w")
    ]
    assert module.trainable_variables == module.variables
    module = snt.wrap_with_weight_norm(snt.Linear)(3)
    mode.run(module, INPUTS)
    assert names(module.get_variables()) == [f"wn_wrapper/linear/{n}" for n in ("w", "g", "b")]


@pytest.mark.parametrize(
    ("axis", "shape", "reduced"),
    [
        (-1, (1, 1, 1, 5), (0, 1, 2)),
        (3, (1, 1, 1, 5), (0, 1, 2)),
        (-2, (1, 1, 2, 1), (0, 1, 3)),
        ((-2, -1), (1, 1, 2, 5), (0, 1)),
        ([], (1, 1, 1, 1), (0, 1, 2, 3)),
    ],
)
def test_axes_of_convolutions(axis, shape, reduced, mode):
    module = snt.wrap_with_weight_norm(snt.Conv2D, {"axis": axis})(5, 3, use_bias=False)
    images = RNG.normal(size=[2, 6, 6, 2]).astype("float32")
    mode.run(module, images)
    variables = by_name(module)
    assert tuple(variables["g"].shape) == shape
    g = RNG.normal(size=shape).astype("float32")
    mode.assign(variables["g"], g)
    w = normalised(mode.values(variables["w"]), g, reduced)
    plain = mode.run(lambda x: tf.nn.conv2d(x, w, 1, "SAME"), images)
    np.testing.assert_allclose(mode.run(module, images), plain, 1e-4, 1e-5)


@pytest.mark.parametrize("axis", [2, -3, (0, 5)])
def test_axes_must_exist(axis, mode):
    module = snt.wrap_with_weight_norm(snt.Linear, {"axis": axis})(3)
    with pytest.raises(ValueError, match="weight_norm: axis must name axes of the weight"):
        mode.run(module, INPUTS)


def test_zero_weights_stay_zero(mode):
    zeros = {"w": tf1.zeros_initializer()}
    module = snt.wrap_with_weight_norm(snt.Linear)(3, initializers=zeros)
    np.testing.assert_array_equal(mode.run(module, INPUTS), np.zeros([6, 3]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_lengths_are_found_in_float32(dtype, mode):
    """The squares alone would be too large for float16."""
    large = {"w": tf1.constant_initializer(400)}
    module = snt.wrap_with_weight_norm(snt.Linear)(3, initializers=large)
    dtype = tf.as_dtype(dtype)
    outputs = mode.run(lambda x: module(tf.cast(x, dtype)), np.eye(4))
    assert outputs.dtype == dtype
    np.testing.assert_allclose(outputs.astype("float32"), np.full([4, 3], 400), 1e-2)
    assert mode.values(by_name(module)["g"]).astype("float32").tolist() == [[800] * 3]
    assert {v.dtype.base_dtype for v in module.variables} == {dtype}


def test_regularizers_see_the_raw_weights():
    with tf.Graph().as_default(), tf1.Session() as session:
        module = snt.wrap_with_weight_norm(snt.Linear)(3, regularizers={"w": tf.reduce_sum})
        module(INPUTS)
        (loss,) = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        session.run(tf1.global_variables_initializer())
        w = by_name(module)["w"]
        np.testing.assert_allclose(*session.run([loss, tf.reduce_sum(w)]), 1e-6)


@pytest.mark.parametrize("use_resource", [True, False])
def test_lengths_suit_weights_that_were_there_before(use_resource, tmp_path):
    """Weights restored from a checkpoint of the bare module keep their values."""
    with tf.Graph().as_default(), tf1.Session() as session:
        bare = snt.Linear(3)
        outputs = bare(INPUTS)
        session.run(tf1.global_variables_initializer())
        expected = session.run(outputs)
        tf1.train.Saver({"w": bare.w, "b": bare.b}).save(session, str(tmp_path / "bare"))
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("scope", use_resource=use_resource):
            module = snt.wrap_with_weight_norm(snt.Linear)(3)
        outputs = module(INPUTS)
        v = by_name(module)
        tf1.train.Saver({"w": v["w"], "b": v["b"]}).restore(session, str(tmp_path / "bare"))
        session.run(v["g"].initializer)
        np.testing.assert_allclose(session.run(outputs), expected, 1e-5, 1e-6)


def test_graph_initializes_in_any_order():
    with tf.Graph().as_default(), tf1.Session() as session:
        module = snt.wrap_with_weight_norm(snt.Linear)(3)
        module(INPUTS)
        v = by_name(module)
        session.run(v["w"].initializer)
        session.run(v["g"].initializer)
        w, g = session.run([v["w"], v["g"]])
        np.testing.assert_allclose(g, np.linalg.norm(w, axis=0, keepdims=True), 1e-5)
        session.run(tf1.global_variables_initializer())


def test_the_weight_must_be_a_variable_where_its_initial_value_is_not_known():
    getter = snt.custom_getters.stop_gradient
    with tf1.variable_scope("target", custom_getter=getter):
        module = snt.wrap_with_weight_norm(snt.Linear)(3)
    assert module(INPUTS).shape == (6, 3)
    with tf.Graph().as_default():
        with tf1.variable_scope("target", custom_getter=getter):
            module = snt.wrap_with_weight_norm(snt.Linear)(3)
        with pytest.raises(snt.NotSupportedError, match="weight_norm: the length of the weight"):
            module(INPUTS)


def test_function(mode):
    def build():
        weight = tf1.get_variable("w", [4, 3], tf.float64)
        return {"w": weight, **weight_norm(weight)}

    module = snt.Module(build, name="norm")
    found = mode.run(module)
    np.testing.assert_allclose(found["w_bar"], found["w"], 1e-12)
    assert names(module.get_variables()) == ["norm/w", "norm/g"]


def test_ops_are_those_of_the_formula():
    def bare(x, variables):
        w, g, b = variables
        return tf.matmul(x, tf.nn.l2_normalize(w, [0]) * g) + b

    with tf.Graph().as_default() as graph:
        inputs = tf1.placeholder(tf.float32, [None, 4])
        module = snt.wrap_with_weight_norm(snt.Linear)(3)
        module(inputs)
        counts = []
        for connect in (module, lambda x: bare(x, module.get_variables())):
            before = len(graph.get_operations())
            connect(inputs)
            counts.append(sorted(op.type for op in graph.get_operations()[before:]))
        assert counts[0] == counts[1]
