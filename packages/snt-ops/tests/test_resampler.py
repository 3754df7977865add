"""The resampler against its definition, its semantics and its errors, on each way of computing."""

import importlib.util
import pathlib

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_ops.resampler import resampler, resampler_is_available


def _load(name):
    spec = importlib.util.spec_from_file_location(
        name, pathlib.Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load("reference")

TYPES = ("float16", "bfloat16", "float32", "float64")
TOLERANCES = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 1e-5, "float64": 1e-12}
# Types of data and warp.
PAIRS = tuple((name, name) for name in TYPES) + (("float16", "float32"), ("bfloat16", "float32"))


def as_numpy(tensor, dtype=np.float64):
    return tensor.numpy().astype(dtype)  # tf.cast would make subnormal numbers zeros


def sample_and_gradients(data, warp, grad, call=resampler):
    with tf.GradientTape() as tape:
        tape.watch([data, warp])
        samples = call(data, warp)
    return samples, *tape.gradient(samples, [data, warp], output_gradients=grad)


def random_tensors(random, shape, points, types=("float32", "float32"), low=-2.0, high=2.0):
    """Returns images, points from within `low` and `high` pixels of the border, and gradients."""
    batch, height, width, channels = shape
    data = random.integers(-8, 9, shape) / 4  # exact in all types
    warp = random.uniform(low, [width - 1 + high, height - 1 + high], (batch, points, 2))
    grad = random.integers(-8, 9, (batch, points, channels)) / 4
    return tf.cast(data, types[0]), tf.cast(warp, types[1]), tf.cast(grad, types[0])


def check_against_reference(data, warp, grad, results=None):
    """Compares samples and gradients with the definition."""
    samples, grad_data, grad_warp = results or sample_and_gradients(data, warp, grad)
    arrays = [as_numpy(tensor) for tensor in (data, warp, grad)]
    tolerance = TOLERANCES[data.dtype.name]
    warp_tolerance = max(tolerance, TOLERANCES[warp.dtype.name])
    assert (samples.dtype, grad_data.dtype, grad_warp.dtype) == (data.dtype, data.dtype, warp.dtype)
    close = np.testing.assert_allclose
    close(as_numpy(samples), reference.resample(*arrays[:2]), tolerance, 8 * tolerance)
    expected_data, expected_warp = reference.gradients(*arrays)
    count = max(1, arrays[1].size)
    close(as_numpy(grad_data), expected_data, tolerance, count * tolerance)
    channels = max(1, arrays[0].shape[-1])
    close(as_numpy(grad_warp), expected_warp, warp_tolerance, 8 * channels * warp_tolerance)


@pytest.mark.parametrize("types", PAIRS, ids="-".join)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 33])
def test_samples_and_gradients_are_those_of_the_definition(path, types, channels):
    random = np.random.default_rng(channels)
    check_against_reference(*random_tensors(random, (2, 5, 7, channels), 150, types))


# Subnormal numbers are zeros to TensorFlow's own ops, and so to the composite.
coordinates = st.one_of(
    st.integers(-3, 8).map(float),
    st.floats(-2.0, 8.0, width=32, allow_subnormal=False),
    st.floats(width=32, allow_subnormal=False),  # infinite, not a number, beyond any integer
    st.sampled_from([-1.0, 1e19, -1e19, 2.0**31, -(2.0**31), 2.0**63, 1e-37, -1e-37]),
)


@pytest.mark.parametrize("path", ["compiled", "composite"], indirect=True)
@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(data=st.data())
def test_any_shape_and_any_point(path, data):
    batch, height, width = (data.draw(st.integers(0, 4)) for _ in range(3))
    channels, points = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 20))
    dtype = data.draw(st.sampled_from([tf.float32, tf.float64]))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    images = tf.constant(random.integers(-8, 9, (batch, height, width, channels)) / 4, dtype)
    grad = tf.constant(random.integers(-8, 9, (batch, points, channels)) / 4, dtype)
    size = 2 * batch * points
    warp = data.draw(st.lists(coordinates, min_size=size, max_size=size))
    warp = tf.constant(np.reshape(np.array(warp, np.float64), (batch, points, 2)), dtype)
    check_against_reference(images, warp, grad)


@pytest.mark.parametrize("path", ["compiled"], indirect=True)
@pytest.mark.parametrize("tiny", [1e-40, -1e-40])
def test_subnormal_coordinates(path, tiny):
    data = tf.reshape(tf.range(1.0, 10.0), [1, 3, 3, 1])
    check_against_reference(data, tf.constant([[[tiny, tiny]]]), tf.ones([1, 1, 1]))


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_gradients_are_those_of_finite_differences(path, channels):
    random = np.random.default_rng(channels)
    data, warp, grad = random_tensors(random, (2, 4, 5, channels), 12, ("float64", "float64"))
    # Away from the integers, where the slope jumps.
    warp = tf.floor(warp) + tf.clip_by_value(warp - tf.floor(warp), 0.01, 0.99)
    _, grad_data, grad_warp = sample_and_gradients(data, warp, grad)
    step = 1e-4
    for inputs, gradient, which in ((data, grad_data, 0), (warp, grad_warp, 1)):
        for _ in range(10):
            direction = np.clip(random.standard_normal(inputs.shape), -50, 50)
            moved = [[data, warp], [data, warp]]
            moved[0][which] = inputs + step * direction
            moved[1][which] = inputs - step * direction
            difference = tf.reduce_sum((resampler(*moved[0]) - resampler(*moved[1])) * grad)
            expected = difference.numpy() / (2 * step)
            assert np.sum(gradient.numpy() * direction) == pytest.approx(expected, abs=1e-7)


def test_a_sample_fades_to_zero_over_one_pixel_outside(path):
    data = tf.ones([1, 2, 3, 1], tf.float64)
    x = [-1.0, -0.75, 0.0, 2.0, 2.25, 3.0, 1.0, 1.0, 1.0, 1.0]
    y = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, -0.5, 1.5, 2.0]
    samples = resampler(data, tf.constant([list(zip(x, y, strict=True))], tf.float64))
    assert samples.numpy().ravel().tolist() == [0, 0.25, 1, 1, 0.75, 0, 0, 0.5, 0.5, 0]


@pytest.mark.parametrize(
    "bad", [np.nan, np.inf, -np.inf, 1e38, -1e38, 2.0**63, -(2.0**63), 2.0**31]
)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("channels", [1, 3, 9])
def test_points_that_are_nowhere_give_zeros(path, bad, axis, channels):
    warp = np.full((1, 9, 2), 0.5, np.float32)
    warp[0, :, axis] = bad
    data, grad = tf.ones([1, 3, 4, channels]), tf.ones([1, 9, channels])
    for result in sample_and_gradients(data, tf.constant(warp), grad):
        assert not np.any(result.numpy())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_pixel_without_weight_does_not_contribute(path, poison, channels):
    data = np.ones((1, 3, 3, channels), np.float32)
    data[0, 1, 1] = poison
    warp = tf.constant([[[0.0, 1.0], [0.5, 0.0], [1.0, 0.0], [2.0, 0.5], [0.5, 1.0], [0.5, 2.0]]])
    samples, _, grad_warp = sample_and_gradients(tf.constant(data), warp, tf.ones([1, 6, channels]))
    assert np.isfinite(samples.numpy()).all(axis=(0, 2)).tolist() == [1, 1, 1, 1, 0, 1]
    # The cell to the right and below counts in a slope.
    expected = [[0, 1], [1, 0], [1, 0], [1, 1], [0, 0], [1, 1]]
    assert np.isfinite(grad_warp.numpy())[0].astype(int).tolist() == expected


def test_double_precision_is_not_lost_near_integers(path):
    data = tf.constant(np.arange(4.0).reshape(1, 1, 4, 1))
    warp = tf.constant([[[2.0 - 1e-12, 0.0], [2.0 + 1e-12, 0.0]]], tf.float64)
    samples = resampler(data, warp)
    np.testing.assert_allclose(samples.numpy().ravel() - 2, [-1e-12, 1e-12], rtol=1e-3)


@pytest.mark.parametrize(
    ("data_shape", "warp_shape"),
    [
        ((0, 3, 4, 2), (0, 5, 2)),
        ((2, 3, 4, 2), (2, 0, 2)),
        ((2, 3, 4, 0), (2, 5, 2)),
        ((2, 0, 4, 2), (2, 5, 2)),
        ((2, 3, 0, 2), (2, 5, 2)),
        ((2, 0, 0, 0), (2, 0, 2)),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_fine(path, data_shape, warp_shape, known):
    call = resampler
    if not known:
        signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 3)]
        call = tf.function(resampler, input_signature=signature)
    data, warp = tf.ones(data_shape), tf.zeros(warp_shape)
    shape = warp_shape[:-1] + data_shape[-1:]
    results = sample_and_gradients(data, warp, tf.ones(shape), call)
    for result, expected in zip(results, (shape, data_shape, warp_shape), strict=True):
        assert result.shape == expected
        assert not np.any(result.numpy())


@pytest.mark.parametrize("points", [(), (3,), (2, 3), (2, 1, 3, 1)])
def test_points_of_any_rank(path, points):
    random = np.random.default_rng(0)
    data, warp, grad = random_tensors(random, (2, 4, 5, 3), int(np.prod(points)))
    flat = sample_and_gradients(data, warp, grad)
    shaped = sample_and_gradients(
        data, tf.reshape(warp, (2, *points, 2)), tf.reshape(grad, (2, *points, 3))
    )
    assert shaped[0].shape == (2, *points, 3)
    assert shaped[2].shape == (2, *points, 2)
    for result, expected in zip(shaped, flat, strict=True):
        assert np.array_equal(result.numpy().ravel(), expected.numpy().ravel())


def _run(call, arrays, mode):
    """Calls in a mode, with shapes that are known or not; returns arrays."""
    if mode == "eager":
        return [t.numpy() for t in call(*map(tf.constant, arrays))]
    if mode == "graph":
        with tf.Graph().as_default(), tf1.Session() as session:
            inputs = [tf1.placeholder(tf.float32, [None, *array.shape[1:]]) for array in arrays]
            return session.run(call(*inputs), dict(zip(inputs, arrays, strict=True)))
    shapes = {
        "function": [array.shape for array in arrays],
        "jit": [array.shape for array in arrays],
        "no batch": [[None, *array.shape[1:]] for array in arrays],
        "no sizes": [[None] * array.ndim for array in arrays],
        "no rank": [None] * len(arrays),
        "jit, no sizes": [[None] * array.ndim for array in arrays],
    }[mode]
    signature = [tf.TensorSpec(shape) for shape in shapes]
    function = tf.function(call, input_signature=signature, jit_compile=mode.startswith("jit"))
    return [t.numpy() for t in function(*map(tf.constant, arrays))]


MODES = ("eager", "graph", "function", "jit", "no batch", "no sizes", "no rank", "jit, no sizes")


@pytest.mark.parametrize("mode", MODES)
def test_modes(path, mode):
    def call(data, warp, grad):
        samples = resampler(data, warp)
        if tf.executing_eagerly():
            return sample_and_gradients(data, warp, grad)
        return samples, *tf.gradients(samples, [data, warp], grad)

    random = np.random.default_rng(0)
    tensors = random_tensors(random, (2, 4, 5, 3), 20)
    results = _run(call, [tensor.numpy() for tensor in tensors], mode)
    check_against_reference(*tensors, results=[tf.constant(result) for result in results])


ERRORS = [
    (
        (3, 4, 5),
        (3, 6, 2),
        tf.errors.UnimplementedError,
        "Only bilinear interpolation is currently",
    ),
    ((2, 3, 4, 5, 6), (2, 6, 2), tf.errors.UnimplementedError, "Only bilinear interpolation is c"),
    ((2, 3, 4, 5), (2,), tf.errors.InvalidArgumentError, "warp should be at least a matrix"),
    ((2, 3, 4, 5), (), tf.errors.InvalidArgumentError, "warp should be at least a matrix"),
    (
        (2, 3, 4, 5),
        (2, 6, 3),
        tf.errors.UnimplementedError,
        "Only bilinear interpolation is supported, warping",
    ),
    (
        (2, 3, 4, 5),
        (3, 6, 2),
        tf.errors.InvalidArgumentError,
        "Batch size of data and warp tensor",
    ),
]


@pytest.mark.parametrize("mode", ["eager", "graph", "function", "no rank"])
@pytest.mark.parametrize(("data_shape", "warp_shape", "error", "words"), ERRORS)
def test_wrong_shapes_are_errors_when_the_op_runs(path, mode, data_shape, warp_shape, error, words):
    data, warp = np.zeros(data_shape, np.float32), np.zeros(warp_shape, np.float32)
    if mode == "eager":
        with pytest.raises(error, match=words):
            resampler(data, warp)
        return
    with tf.Graph().as_default(), tf1.Session() as session:
        shapes = (None, None) if mode == "no rank" else (data_shape, warp_shape)
        inputs = [tf1.placeholder(tf.float32, shape) for shape in shapes]
        call = tf.function(resampler) if mode == "function" else resampler
        samples = call(*inputs)  # building it is fine
        with pytest.raises(error, match=words):
            session.run(samples, dict(zip(inputs, (data, warp), strict=True)))


def test_a_wrong_gradient_is_an_error():
    from snt_ops.library import library

    ops, data, warp = library.ops(), tf.zeros([2, 3, 4, 5]), tf.zeros([2, 6, 2])
    for shape in ((2, 6, 4), (2, 5, 5), (12, 5), (2, 6), ()):
        with pytest.raises(tf.errors.InvalidArgumentError, match="grad_output shape"):
            ops.resampler_grad(data, warp, tf.zeros(shape))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Batch size of data and warp tensor"):
        ops.resampler_grad(data, tf.zeros([3, 6, 2]), tf.zeros([3, 6, 5]))


def test_types_that_do_not_fit_are_type_errors(path):
    with pytest.raises(TypeError, match="data is of type int32, but should be"):
        resampler(tf.zeros([1, 2, 2, 1], tf.int32), tf.zeros([1, 2]))
    for data, warp in (
        (tf.float32, tf.float64),
        (tf.float64, tf.float32),
        (tf.float16, tf.float64),
    ):
        with pytest.raises(TypeError, match=f"warp is of type {warp.name}, but should be of that"):
            resampler(tf.zeros([1, 2, 2, 1], data), tf.zeros([1, 2], warp))


def test_array_likes_are_converted(path):
    assert resampler([[[[1.0], [3.0]]]], [[0.5, 0.0]]).numpy() == [[2.0]]
    assert resampler(np.ones([1, 1, 2, 1]), [[0.5, 0.0]]).dtype == tf.float64
    assert resampler([[[[1.0], [3.0]]]], np.array([[0.5, 0.0]])).dtype == tf.float64
    variable = tf.Variable([[[[1.0], [3.0]]]])
    assert resampler(variable, [[0.5, 0.0]]).numpy() == [[2.0]]


def test_static_shapes_and_names_in_a_graph(path):
    with tf.Graph().as_default():
        samples = resampler(tf.constant([0.0]), tf.constant([0.0]))
        assert samples.name == "resampler/Resampler:0"
        assert samples.shape == (1,)
        data, warp = tf1.placeholder(tf.float32, [None, 3, 4, 5]), tf.zeros([2, 6, 7, 2])
        samples = resampler(data, warp, name="mine")
        assert samples.name == "mine/Resampler:0"
        assert samples.shape == (2, 6, 7, 5)
        unknown = resampler(tf1.placeholder(tf.float32), tf1.placeholder(tf.float32))
        assert unknown.shape.rank is None
        assert resampler(tf1.placeholder(tf.float32), warp).shape.as_list() == [2, 6, 7, None]


def test_gradients_of_gradients_are_refused(path):
    data, warp = tf.ones([1, 3, 3, 1]), tf.constant([[0.5, 0.5]])
    with tf.GradientTape() as outer:
        outer.watch(warp)
        with tf.GradientTape() as inner:
            inner.watch(warp)
            samples = resampler(data, warp)
        slope = inner.gradient(samples, warp)
    with pytest.raises(NotImplementedError, match="gradients of first order only"):
        outer.gradient(slope, warp)


def test_one_image_gives_the_same_bits_as_many(path):
    """How the work is divided depends on the batch; the results do not."""
    random = np.random.default_rng(0)
    one = random_tensors(random, (1, 40, 30, 5), 25000)
    alone = sample_and_gradients(*one)
    together = sample_and_gradients(*(tf.tile(t, [8] + [1] * (t.shape.rank - 1)) for t in one))
    for result, expected in zip(together, alone, strict=True):
        assert np.array_equal(result[3].numpy(), expected[0].numpy())


def test_large_results(path):
    """Results of megabytes, for which the compiled op asks for large pages."""
    size, channels = 600, 4
    images = np.random.default_rng(0).integers(-8, 9, (2, size, size, channels))
    data = tf.constant(images, tf.float32)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    warp = tf.tile(tf.constant(np.stack([x, y], -1)[None], tf.float32), [2, 1, 1, 1])
    samples, grad_data, grad_warp = sample_and_gradients(data, warp, tf.ones_like(data))
    np.testing.assert_array_equal(samples, images)
    np.testing.assert_array_equal(grad_data, np.ones_like(images))
    slopes = np.diff(images, axis=2).sum(-1)
    np.testing.assert_array_equal(grad_warp[:, :, :-1, 0], slopes)


def test_the_compiled_op_is_there():
    assert resampler_is_available()
