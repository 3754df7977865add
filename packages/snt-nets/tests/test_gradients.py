"""`scale_gradient` and `clip_gradient`."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
FLOATS = ["float16", "bfloat16", "float32", "float64"]


def gradient(function, mode, *arrays, unknown_batch=False):
    """The value of a function, and its gradient with respect to its first argument."""

    def compute(x, *others):
        if mode.in_graph:
            y = function(x, *others)
            return [y, tf1.gradients(y, x)[0]]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x, *others)
        return [y, tape.gradient(y, x)]

    return mode.run(compute, *arrays, unknown_batch=unknown_batch)


def slopes(loss, x):
    """Finite differences."""
    step, found = 1e-6, np.empty_like(x)
    for index in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            ends.append(loss(moved))
        found[index] = (ends[0] - ends[1]) / (2 * step)
    return found


# scale_gradient.


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scale", [-2.5, 0.5, 3, np.float32(0.25), np.float64(0.1), np.array(2.0)])
def test_scales(scale, dtype, mode):
    x = RNG.normal(size=[3, 2]).astype(tf.as_dtype(dtype).as_numpy_dtype)
    y, found = gradient(lambda x: snt.scale_gradient(x, scale) ** 2, mode, x, unknown_batch=True)
    exact = x.astype("float64")
    tolerance = 1e-12 if dtype == "float64" else 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(y.astype("float64"), exact**2, tolerance)
    expected = scale * slopes(lambda x: np.sum(x**2), exact)
    np.testing.assert_allclose(found.astype("float64"), expected, max(tolerance, 1e-6))
    assert found.dtype == y.dtype == x.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("scale_dtype", ["float32", "float64", "int32"])
def test_the_scale_may_be_a_tensor(scale, dtype, scale_dtype, mode):
    x = RNG.normal(size=[3]).astype(dtype)
    _, found = gradient(
        lambda x, s: snt.scale_gradient(x, s) ** 2, mode, x, np.array(scale, scale_dtype)
    )
    np.testing.assert_allclose(found, scale * 2 * x, 1e-6)  # zeros for 0: it was not known


def test_the_scale_may_be_a_variable(mode):
    scale = tf1.get_variable("scale", initializer=2.0, trainable=False)
    _, found = gradient(lambda x: snt.scale_gradient(x, scale), mode, np.ones([3], "float32"))
    np.testing.assert_array_equal(found, [2, 2, 2])
    mode.assign(scale, 5.0)
    _, found = gradient(lambda x: snt.scale_gradient(x, scale), mode, np.ones([3], "float32"))
    np.testing.assert_array_equal(found, [5, 5, 5])


def test_the_scale_has_no_gradient(mode):
    def compute(x, scale):
        if mode.in_graph:
            return tf1.gradients(snt.scale_gradient(x, scale), scale) == [None]
        with tf.GradientTape() as tape:
            tape.watch(scale)
            y = snt.scale_gradient(x, scale)
        return tape.gradient(y, scale) is None

    assert mode.run(compute, np.float32(1), np.float32(2))


@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "bool", "complex64"])
@pytest.mark.parametrize(("scale", "kind"), [(0, "StopGradient"), (1, "Identity")])
def test_no_gradient_and_the_whole_gradient(scale, kind, dtype):
    with tf.Graph().as_default():
        x = tf1.placeholder(dtype, [None, 3])
        for given in (scale, float(scale), np.float32(scale), np.array(scale)):
            y = snt.scale_gradient(x, given, name="named")
            assert y.op.type == kind
            assert y.op.name.startswith("named")
            assert y.shape.as_list() == [None, 3]
            if x.dtype.is_floating:
                assert (tf1.gradients(y, x) == [None]) == (scale == 0)


def test_no_gradient_eagerly():
    x = tf.constant(3.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        stopped, whole = snt.scale_gradient(x, 0), snt.scale_gradient(x, 1)
    assert tape.gradient(stopped, x) is None
    assert tape.gradient(whole, x).numpy() == 1


def test_the_op_in_the_graph():
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, 3])
        for function in (
            functools.partial(snt.scale_gradient, scale=0.5),
            functools.partial(snt.clip_gradient, clip_value_min=-1, clip_value_max=1),
        ):
            y = function(x)
            assert y.op.type == "IdentityN"
            assert y.op.name.startswith(f"{function.func.__name__}/")
            assert function(x, name="named").op.name.startswith("named")
            assert y.shape.as_list() == [None, 3]


def test_nested_scales_multiply(mode):
    x = np.ones([2])

    def function(x):
        inner = snt.scale_gradient(x, 2.0) + snt.scale_gradient(x, 0.0)
        return snt.scale_gradient(inner, 3.0) + snt.scale_gradient(x, 0.5)

    y, found = gradient(function, mode, x)
    np.testing.assert_array_equal(y, [3, 3])
    np.testing.assert_array_equal(found, [6.5, 6.5])


@pytest.mark.parametrize("name", ["scale_gradient", "clip_gradient"])
@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_floating_point_only(name, dtype, mode):
    arguments = (2.0,) if name == "scale_gradient" else (-1, 1)
    with pytest.raises(ValueError, match=f"{name} does not support non-float"):
        mode.run(lambda x: getattr(snt, name)(x, *arguments), np.ones([2], dtype))


def test_a_function_is_wrapped(mode):
    linear = snt.Linear(2, initializers={"w": tf1.ones_initializer()})
    scaled = snt.scale_gradient(linear, 0.5)
    x = RNG.normal(size=[4, 3])
    for _ in range(2):
        y, found = gradient(scaled, mode, x)
        np.testing.assert_allclose(y, np.repeat(x.sum(1, keepdims=True), 2, 1))
        np.testing.assert_allclose(found, np.ones([4, 3]))  # half of 2
    assert len(linear.variables) == 2
    outputs = mode.run(
        lambda x: snt.scale_gradient(lambda a, b: {"a": a, "b": [b]}, 2.0)(x, b=2 * x), x
    )
    np.testing.assert_array_equal(outputs["b"][0], 2 * x)


def test_a_function_is_a_graph_function_eagerly():
    runs = []

    def function(x):
        runs.append(tf.executing_eagerly())
        return x

    scaled = snt.scale_gradient(function, 2.0)
    for _ in range(3):
        scaled(tf.constant(1.0))
    assert runs == [False]


# clip_gradient.


@pytest.mark.parametrize("dtype", FLOATS)
def test_clips_each_element(dtype, mode):
    x = np.array([-5, -1, -0.25, 0, 0.5, 3]).astype(tf.as_dtype(dtype).as_numpy_dtype)
    y, found = gradient(lambda x: snt.clip_gradient(x, -1, 2.5) ** 2, mode, x, unknown_batch=True)
    exact = x.astype("float64")
    np.testing.assert_allclose(y.astype("float64"), exact**2, 1e-2)
    expected = np.clip(slopes(lambda x: np.sum(x**2), exact), -1, 2.5)
    np.testing.assert_allclose(found.astype("float64"), expected, 1e-2, 1e-6)
    assert found.dtype == y.dtype == x.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_bounds_may_be_tensors(dtype, mode):
    x = np.array([-5, -1, 0.5, 3])
    bounds = [np.array(bound, dtype) for bound in (-2, 3)]
    _, found = gradient(lambda x, a, b: snt.clip_gradient(x, a, b) ** 2, mode, x, *bounds)
    np.testing.assert_array_equal(found, [-2, -2, 1, 3])


def test_bounds_keep_their_precision(mode):
    _, found = gradient(lambda x: 9 * snt.clip_gradient(x, -0.1, 0.1), mode, np.ones([2]))
    np.testing.assert_array_equal(found, [0.1, 0.1])
    _, found = gradient(lambda x: snt.scale_gradient(x, 0.1), mode, np.ones([2]))
    np.testing.assert_array_equal(found, [0.1, 0.1])


def test_the_gradient_of_the_output_is_not_clipped(mode):
    def compute(x):
        if mode.in_graph:
            y = snt.clip_gradient(x, -1, 1)
            return tf1.gradients(y**2, [y, x])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = snt.clip_gradient(x, -1, 1)
            z = y**2
        return tape.gradient(z, [y, x])

    of_output, of_input = mode.run(compute, np.array([4.0, -0.25]))
    np.testing.assert_array_equal(of_output, [8, -0.5])
    np.testing.assert_array_equal(of_input, [1, -0.5])


def test_the_gradient_keeps_the_static_shape():
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, 3])
        for y in (snt.clip_gradient(x, -1, 1), snt.scale_gradient(x, 0.5)):
            (found,) = tf1.gradients(y**2, x)
            assert found.shape.as_list() == [None, 3]


# Both.


BOTH = {
    "scale": (lambda x: snt.scale_gradient(x, 0.5), lambda g: g / 2),
    "clip": (lambda x: snt.clip_gradient(x, -1, 1.5), lambda g: np.clip(g, -1, 1.5)),
}
each = pytest.mark.parametrize(("function", "expected"), BOTH.values(), ids=BOTH)


@each
def test_gradients_of_look_ups(function, expected, mode):
    """Slices of the same index are summed before they are clipped."""
    ids = [0, 0, 2]
    _, found = gradient(
        lambda x: tf.reduce_sum(tf.gather(function(x), ids)), mode, np.ones([3, 2], "float32")
    )
    np.testing.assert_array_equal(found, expected(np.array([[2, 2], [0, 0], [1, 1.0]])))


@each
def test_second_derivatives(function, expected, mode):
    def second(x):
        if mode.in_graph:
            first = tf1.gradients(function(x) ** 3, x)[0]
            return tf1.gradients(first, x)[0]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x) ** 3
            first = inner.gradient(y, x)
        return outer.gradient(first, x)

    x = np.array([0.25, -0.5])
    found = mode.run(second, x)
    step = 1e-6
    # The inner gradient, 3 x^2 under the function, passes through the function once more.
    assert found.shape == x.shape
    inner = [expected(3 * (x + s * step) ** 2) for s in (1, -1)]
    slope = (inner[0] - inner[1]) / (2 * step)
    np.testing.assert_allclose(found, expected(slope), 1e-5)


@each
def test_in_branches_and_loops(function, expected, mode):
    def compute(x, flag):
        y = tf.cond(flag, lambda: function(x), lambda: x)
        return tf.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, function(2.0 * y)), [0, y])[1]

    x = np.array([0.1, -0.2])
    for flag in (True, False):
        y, found = gradient(compute, mode, x, np.array(flag))
        np.testing.assert_allclose(y, 4 * x)
        slope = np.ones(2)
        for _ in range(2):
            slope = 2 * expected(slope)
        np.testing.assert_allclose(found, expected(slope) if flag else slope)


def test_in_branches_and_loops_with_tensors(mode):
    def compute(x, scale):
        def body(i, y):
            y = snt.scale_gradient(y, scale) + 0 * snt.clip_gradient(y, -scale, scale)
            return i + 1, tf.cond(i > 0, lambda: snt.scale_gradient(y, scale), lambda: y)

        return tf.while_loop(lambda i, y: i < 3, body, [0, x])[1]

    _, found = gradient(compute, mode, np.ones([2]), np.array(2.0))
    np.testing.assert_allclose(found, [32, 32])


@each
def test_compiles_with_xla(function, expected):
    @tf.function(jit_compile=True)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x) ** 2
        return tape.gradient(y, x)

    x = np.array([4.0, -0.25, -7])
    np.testing.assert_allclose(compute(tf.constant(x)), expected(2 * x))


def test_the_old_paths():
    from sonnet.python.modules import clip_gradient, scale_gradient

    assert clip_gradient.clip_gradient is snt.clip_gradient
    assert scale_gradient.scale_gradient is snt.scale_gradient
