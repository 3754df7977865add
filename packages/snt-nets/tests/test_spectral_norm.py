"""`wrap_with_spectral_norm` and `spectral_norm`."""

import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_nets.spectral_norm import SpectralNormWrapper, spectral_norm

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=[6, 4]).astype("float32")


def iterated(w, u, num_iters=1, eps=1e-4):
    """Returns the singular value and the next u, by NumPy."""
    matrix = w.reshape(-1, w.shape[-1]).astype("float64")
    u = u.astype("float64")
    for _ in range(num_iters):
        v = u @ matrix.T
        v /= np.sqrt(np.sum(v**2) + eps)
        u = v @ matrix
        u /= np.sqrt(np.sum(u**2) + eps)
    return (v @ matrix @ u.T).item(), u


def variable(module, name):
    (found,) = (v for v in module.variables if v.name == f"{name}:0")
    return found


def names(variables):
    return [v.name.removesuffix(":0") for v in variables]


def run_twice(module, mode, *flags):
    """Connects once in a graph and at each run elsewhere."""
    return [mode.run(lambda x: module(x, **dict(flags)), INPUTS) for _ in range(2)]


# The wrapper.


@pytest.mark.parametrize("num_iters", [1, 3])
def test_weights_are_divided_by_the_iterated_singular_value(num_iters, mode):
    module = snt.wrap_with_spectral_norm(snt.Linear, {"num_iters": num_iters, "eps": 1e-3})(3)
    outputs = mode.run(lambda x: module(x, enable_power_iteration=False), INPUTS)
    w, u0 = mode.values([variable(module, f"sn_wrapper/linear/{n}") for n in ("w", "u0")])
    sigma, u = iterated(w, u0, num_iters, 1e-3)
    np.testing.assert_allclose(outputs, INPUTS @ w / sigma, 1e-4, 1e-5)
    outputs = mode.run(module, INPUTS)
    np.testing.assert_allclose(outputs, INPUTS @ w / sigma, 1e-4, 1e-5)
    updated = mode.values(variable(module, "sn_wrapper/linear/u0"))
    np.testing.assert_allclose(updated, u, 1e-4, 1e-5)


def test_the_singular_value_is_found_in_the_end(mode):
    module = snt.wrap_with_spectral_norm(snt.Linear, {"eps": 1e-12})(3, use_bias=False)
    if mode.in_graph:
        outputs = module(tf.constant(np.eye(4, dtype=np.float32)))
        for _ in range(100):
            w_bar = mode.values(outputs)
    else:
        call = tf.function(module) if mode.name == "function" else module
        for _ in range(100):
            w_bar = call(tf.eye(4))
    np.testing.assert_allclose(np.linalg.svd(w_bar)[1][0], 1, 1e-4)


def test_variables(mode):
    module = snt.wrap_with_spectral_norm(snt.Linear)(
        3, regularizers={"w": lambda w: tf.reduce_sum(w)}
    )
    for _ in range(2):
        mode.run(module, INPUTS)
    assert names(module.variables) == [f"sn_wrapper/linear/{n}" for n in ("b", "u0", "w")]
    assert names(module.get_variables()) == ["sn_wrapper/linear/w", "sn_wrapper/linear/b"]
    assert len(module.get_variables(tf1.GraphKeys.GLOBAL_VARIABLES)) == 3
    u0 = variable(module, "sn_wrapper/linear/u0")
    assert (tuple(u0.shape), u0.dtype.base_dtype, u0.trainable) == ((1, 3), tf.float32, False)
    assert tf.is_tensor(module._module.w)
    assert not isinstance(module._module.w, tf.Variable)
    if mode.in_graph:
        (loss,) = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        w = variable(module, "sn_wrapper/linear/w")
        np.testing.assert_allclose(*mode.values([loss, tf.reduce_sum(w)]), 1e-6)


def test_names():
    with tf.Graph().as_default():
        wrapped = snt.wrap_with_spectral_norm(snt.Linear)
        modules = [wrapped(3), wrapped(3), wrapped(3, name="foo"), wrapped(3, name="foo")]
        for module in modules:
            module(tf.zeros([2, 4]))
        assert [module.get_variables()[0].name for module in modules] == [
            "sn_wrapper/linear/w:0",
            "sn_wrapper_1/linear/w:0",
            "foo_wrapper/foo/w:0",
            "foo_wrapper_1/foo/w:0",
        ]
        assert all(type(module) is SpectralNormWrapper for module in modules)


def test_several_in_one_parent(mode):
    wrapped = snt.wrap_with_spectral_norm(snt.Linear)
    parent = snt.Module(lambda x: wrapped(2)(wrapped(3)(x)), name="parent")
    for _ in range(2):
        mode.run(parent, INPUTS)
    scopes = "parent/sn_wrapper/linear", "parent/sn_wrapper_1/linear"
    assert names(parent.variables) == [f"{s}/{n}" for s in scopes for n in ("b", "u0", "w")]


def test_all_weights_inside_are_normalised(mode):
    module = snt.wrap_with_spectral_norm(snt.nets.MLP)([5, 3], name="net")
    outputs = mode.run(lambda x: module(x, enable_power_iteration=False), INPUTS)
    hidden = INPUTS
    for layer in ("linear_0", "linear_1"):
        w, u0, b = mode.values(
            [variable(module, f"net_wrapper/net/{layer}/{n}") for n in ("w", "u0", "b")]
        )
        hidden = np.maximum(hidden, 0) if layer == "linear_1" else hidden
        hidden = hidden @ w / iterated(w, u0)[0] + b
    np.testing.assert_allclose(outputs, hidden, 1e-4, 1e-5)
    assert len(module.variables) == 6


def test_convolutions_are_matrices_of_their_output_channels(mode):
    module = snt.wrap_with_spectral_norm(snt.Conv2D)(5, 3, use_bias=False)
    images = RNG.normal(size=[2, 6, 6, 3]).astype("float32")
    outputs = mode.run(lambda x: module(x, enable_power_iteration=False), images)
    w, u0 = (variable(module, f"sn_wrapper/conv_2d/{n}") for n in ("w", "u0"))
    assert tuple(u0.shape) == (1, 5)
    w, u0 = mode.values([w, u0])
    plain = mode.run(lambda x: tf.nn.conv2d(x, w / iterated(w, u0)[0], 1, "SAME"), images)
    np.testing.assert_allclose(outputs, plain, 1e-4, 1e-5)


def test_other_variables_are_left_alone(mode):
    module = snt.wrap_with_spectral_norm(snt.SeparableConv2D)(4, 1, 3)
    mode.run(module, np.zeros([1, 4, 4, 2], np.float32))
    assert (
        sorted(names(module.variables))
        == [f"sn_wrapper/separable_conv2d/{n}" for n in ("b", "w_dw", "w_pw")]
        or len(module.variables) == 3
    )


@pytest.mark.parametrize("collection", [None, "updates"])
def test_testing_leaves_u0_alone(collection, mode):
    module = snt.wrap_with_spectral_norm(snt.nets.MLP, pow_iter_collection=collection)([5, 3])
    u0s = [f"sn_wrapper/mlp/linear_{i}/u0" for i in (0, 1)]
    run_twice(module, mode)
    before = mode.values([variable(module, u0) for u0 in u0s])
    run_twice(module, mode, ("enable_power_iteration", False))
    after = mode.values([variable(module, u0) for u0 in u0s])
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    run_twice(module, mode)
    for u0, old in zip(u0s, before, strict=True):
        assert (mode.values(variable(module, u0)) != old).any()


def test_updates_in_a_collection_are_those_of_the_iteration():
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        module = snt.wrap_with_spectral_norm(snt.nets.MLP, pow_iter_collection="updates")([5, 3])
        module(INPUTS, enable_power_iteration=True)
        assert graph.get_collection("updates") == []
        for connection in (1, 2):
            outputs = module(INPUTS, enable_power_iteration=False)
            assert len(graph.get_collection("updates")) == 2 * connection
        session.run(tf1.global_variables_initializer())
        for layer in ("linear_0", "linear_1"):
            w, u0 = (variable(module, f"sn_wrapper/mlp/{layer}/{n}") for n in ("w", "u0"))
            w_value, u0_value = session.run([w, u0])
            session.run(outputs)
            np.testing.assert_array_equal(session.run(u0), u0_value)
            updates = graph.get_collection("updates")[:2]
            (update,) = (op for op in updates if layer in op.inputs[0].op.name)
            session.run(update)
            np.testing.assert_allclose(session.run(u0), iterated(w_value, u0_value)[1], 1e-4, 1e-5)


def test_flags_of_two_threads_do_not_mix():
    module = snt.wrap_with_spectral_norm(snt.Linear)(3)
    module(INPUTS)
    u0 = variable(module, module._module.scope_name + "/u0")
    before = u0.numpy()
    inside, changed = threading.Event(), threading.Event()
    getter = module._replaced

    def slow(weight):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            changed.wait(10)
        return getter(weight)

    module._replaced = slow
    thread = threading.Thread(target=lambda: module(INPUTS, enable_power_iteration=False))
    thread.start()
    inside.wait(10)
    module._connection.enable_power_iteration = True
    changed.set()
    thread.join()
    np.testing.assert_array_equal(u0.numpy(), before)


def test_num_iters_is_positive_at_connection(mode):
    for num_iters in (0, -1):
        module = snt.wrap_with_spectral_norm(snt.Linear, {"num_iters": num_iters})(3)
        with pytest.raises(ValueError, match="must be a positive integer, got"):
            mode.run(module, INPUTS)


def test_arguments_are_handed_on(mode):
    class Pair(snt.AbstractModule):
        def __init__(self, size, offset=0, name="pair"):
            super().__init__(name=name)
            self._size, self._offset = size, offset

        def _build(self, x, y, scale=1):
            return snt.Linear(self._size)(x + y) * scale + self._offset

    module = snt.wrap_with_spectral_norm(Pair)(3, offset=2)
    zeros = np.zeros_like(INPUTS)
    outputs = mode.run(lambda x: module(x, y=x, scale=0), zeros)
    np.testing.assert_array_equal(outputs, np.full([6, 3], 2))
    assert names(module.get_variables())[0] == "sn_wrapper/pair/linear/w"
    assert snt.supports_kwargs(module, "enable_power_iteration") == "supported"


def test_belongs_to_the_graph_of_its_construction():
    with tf.Graph().as_default():
        module = snt.wrap_with_spectral_norm(snt.Linear)(3)
    with tf.Graph().as_default(), pytest.raises(snt.DifferentGraphError):
        module(INPUTS)


def test_checkpoints_saved_models_and_xla(tmp_path):
    make = snt.wrap_with_spectral_norm(snt.Linear)
    inputs = tf.constant(INPUTS)
    module = make(3)
    tf.function(module, jit_compile=True)(inputs)
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    twin = make(3)
    status = tf.train.Checkpoint(module=twin).restore(path)
    np.testing.assert_allclose(twin(inputs), module(inputs), 1e-5, 1e-6)
    status.assert_consumed()
    exported = tf.Module()
    exported.module = module
    exported.call = tf.function(
        lambda x: module(x, enable_power_iteration=False),
        input_signature=[tf.TensorSpec([None, 4])],
    )
    expected = exported.call(inputs)
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for _ in range(2):
        np.testing.assert_array_equal(loaded.call(inputs), expected)


def test_u0_must_be_the_variable_to_be_updated():
    getter = snt.custom_getters.stop_gradient
    with tf1.variable_scope("target", custom_getter=getter):
        module = snt.wrap_with_spectral_norm(snt.Linear)(3)
    with pytest.raises(snt.NotSupportedError, match="enable_power_iteration=False"):
        module(INPUTS)
    assert module(INPUTS, enable_power_iteration=False).shape == (6, 3)


@pytest.mark.parametrize("update", [True, False])
def test_ops_are_those_of_the_formula(update):
    def unit(x):
        return x * tf.math.rsqrt(tf.reduce_sum(tf.square(x)) + 1e-4)

    def bare(x, w, u0, b):
        w = tf.convert_to_tensor(w)
        matrix = tf.reshape(w, [-1, 3])
        v = unit(tf.matmul(u0, matrix, transpose_b=True))
        u = unit(tf.matmul(v, matrix))
        u, v = tf.stop_gradient(u), tf.stop_gradient(v)
        w = tf.reshape(matrix / tf.reduce_sum(tf.matmul(v, matrix) * u), [4, 3])
        if update:
            with tf.control_dependencies([u0.assign(u, read_value=False)]):
                w = tf.identity(w)
        return tf.matmul(x, w) + b

    with tf.Graph().as_default() as graph:
        inputs = tf1.placeholder(tf.float32, [None, 4])
        module = snt.wrap_with_spectral_norm(snt.Linear)(3)
        module(inputs)
        variables = module.get_variables(tf1.GraphKeys.GLOBAL_VARIABLES)
        counts = []
        for connect in (
            lambda x: module(x, enable_power_iteration=update),
            lambda x: bare(x, *variables),
        ):
            before = len(graph.get_operations())
            connect(inputs)
            counts.append(sorted(op.type for op in graph.get_operations()[before:]))
        assert counts[0] == counts[1]


# The function.


def norm_of(value, **kwargs):
    """Returns what `spectral_norm` gives for a constant, in a module."""
    return snt.Module(lambda: spectral_norm(tf.constant(value), **kwargs), name="norm")


@pytest.mark.parametrize("shape", [(4, 3), (3, 3, 2, 5), (7,)])
def test_returns_weight_singular_value_and_vector(shape, mode):
    value = RNG.normal(size=shape)
    module = norm_of(value, num_iters=2, update=False)
    found = mode.run(module)
    assert found.keys() == {"w_bar", "sigma", "u0"}
    assert found["u0"].shape == (1, shape[-1])
    sigma, _ = iterated(value, found["u0"], 2)
    np.testing.assert_allclose(found["sigma"], sigma, 1e-9)
    np.testing.assert_allclose(found["w_bar"], value / sigma, 1e-9)
    assert names(module.variables) == ["norm/u0"]


def test_gradient_of_the_singular_value(mode):
    """Along u and v, through which no gradient flows, it is their outer product."""
    value = RNG.normal(size=[4, 3])

    def compute(weight):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(weight)
            found = spectral_norm(weight, update=False)
            loss = tf.reduce_sum(tf.sin(found["w_bar"]))
        if mode.in_graph:
            return found, [tf1.gradients(y, weight)[0] for y in (found["sigma"], loss)]
        return found, [tape.gradient(y, weight) for y in (found["sigma"], loss)]

    found, (of_sigma, of_loss) = mode.run(snt.Module(compute, name="norm"), value)
    v = found["u0"].astype("float64") @ value.T
    v /= np.sqrt(np.sum(v**2) + 1e-4)
    u = v @ value
    u /= np.sqrt(np.sum(u**2) + 1e-4)
    np.testing.assert_allclose(of_sigma, v.T @ u, 1e-9)
    direction = RNG.normal(size=[4, 3])
    up, down = (
        np.sum(np.sin(w / (v @ w @ u.T)))
        for w in (value + 1e-6 * direction, value - 1e-6 * direction)
    )
    np.testing.assert_allclose(np.sum(of_loss * direction), (up - down) / 2e-6, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_weights_are_divided_in_float32(dtype, mode):
    dtype = tf.as_dtype(dtype)
    value = RNG.normal(size=[4, 3]).astype(dtype.as_numpy_dtype)

    def compute():
        found = spectral_norm(tf.constant(value), update=False)
        assert found["w_bar"].dtype == found["sigma"].dtype == dtype
        return {key: tf.cast(found[key], tf.float32) for key in found}

    found = mode.run(snt.Module(compute, name="norm"))
    w = value.astype("float32")
    expected = (w / iterated(w, found["u0"])[0]).astype(dtype.as_numpy_dtype)
    np.testing.assert_array_equal(found["w_bar"], expected.astype("float32"))


def test_scopes_do_not_regularize_u0():
    with tf.Graph().as_default():
        with tf1.variable_scope("scope", regularizer=tf.reduce_sum):
            spectral_norm(tf.ones([4, 3]))
        assert tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES) == []
        assert [v.name for v in tf1.global_variables()] == ["scope/u0:0"]
