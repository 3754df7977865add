"""`nets.Dilation` and its initializers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_nets.nets import dilation
from tests.support.variables import names, randomise

RATES = [1, 1, 2, 4, 8, 16, 1, 1]
LARGE_MULTIPLIERS = [2, 2, 4, 8, 16, 32, 32, 1]
RANDOM = {"w": tf1.random_normal_initializer(), "b": tf1.random_normal_initializer()}


def random_images(channels, size=6):
    return np.random.default_rng(0).uniform(size=[2, size, size + 1, channels]).astype("float32")


# The network.


def layer(images, w, b, rate, rectified):
    """A dilated 3x3 convolution, by shifts of the padded images."""
    height, width = images.shape[1:3]
    padded = np.pad(images, [(0, 0), (rate, rate), (rate, rate), (0, 0)])
    outputs = b + sum(
        padded[:, rate * i : rate * i + height, rate * j : rate * j + width] @ w[i, j]
        for i in range(3)
        for j in range(3)
    )
    return np.maximum(outputs, 0) if rectified else outputs


@pytest.mark.parametrize(("model_size", "channels"), [("basic", 2), ("basic", 3), ("large", 3)])
def test_applies_dilated_convolutions(model_size, channels, mode):
    net = snt.nets.Dilation(2, initializers=RANDOM, model_size=model_size)
    images = random_images(channels) - 0.5
    mode.run(net, images)
    values = [value.astype("float64") for value in randomise(net.get_variables(), mode)]
    for index, value in enumerate(values[::2]):
        values[2 * index] = value / np.sqrt(value[..., 0].size)  # or the numbers would explode
        mode.assign(net.get_variables()[2 * index], values[2 * index].astype("float32"))
    expected = images.astype("float64")
    for index, rate in enumerate(RATES):
        expected = layer(expected, *values[2 * index : 2 * index + 2], rate, index < 7)
    outputs = mode.run(net, images, unknown_batch=True)
    np.testing.assert_allclose(outputs, expected, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("model_size", "channels", "multipliers"),
    [("basic", 3, [1] * 8), ("large", 6, LARGE_MULTIPLIERS)],
)
def test_variables(model_size, channels, multipliers, mode):
    with tf1.variable_scope("outer"):
        net = snt.nets.Dilation(num_output_classes=3, model_size=model_size)
    for _ in range(2):
        mode.run(net, random_images(channels))
    scopes = [f"outer/dilation/dilated_conv_conv{i}" for i in range(1, 9)]
    assert names(net.get_variables()) == [f"{scope}/{key}" for scope in scopes for key in "wb"]
    sizes = [channels, *(3 * multiplier for multiplier in multipliers)]
    weights, biases = net.get_variables()[::2], net.get_variables()[1::2]
    shapes = [(3, 3, *pair) for pair in itertools.pairwise(sizes)]
    assert [tuple(w.shape) for w in weights] == shapes
    assert [tuple(b.shape) for b in biases] == [(size,) for size in sizes[1:]]
    assert not any(mode.values(b).any() for b in biases)
    assert len(net.variables) == 16


def test_the_basic_model_starts_as_the_identity(mode):
    images = random_images(3)
    np.testing.assert_array_equal(mode.run(snt.nets.Dilation(3), images), images)


@pytest.mark.parametrize("channels", [3, 6])
def test_the_large_model_starts_keeping_the_sum_of_the_channels(channels, mode):
    images = random_images(channels)
    outputs = mode.run(snt.nets.Dilation(3, model_size=snt.nets.Dilation.LARGE), images)
    np.testing.assert_allclose(outputs.sum(-1), images.sum(-1), 1e-4, 1e-5)
    groups = images.reshape([*images.shape[:3], 3, -1]).sum(-1)
    np.testing.assert_allclose(outputs, groups, 1e-4, 1e-5)


def test_layers(mode):
    net = snt.nets.Dilation(3)
    with pytest.raises(snt.NotConnectedError, match="Variables in dilation not instantiated yet"):
        _ = net.conv_modules
    for _ in range(2):
        mode.run(net, random_images(3))
        assert [type(module) for module in net.conv_modules] == [snt.Sequential] * 8
        assert [module.module_name for module in net.conv_modules] == [
            f"conv{i}" for i in range(1, 9)
        ]
        convs = [module.layers[0] for module in net.conv_modules]
        assert [conv.rate[0] for conv in convs] == RATES
        assert [len(module.layers) for module in net.conv_modules] == [2] * 7 + [1]


def test_regularizes_each_layer(mode):
    key = tf1.GraphKeys.REGULARIZATION_LOSSES
    tf1.get_default_graph().clear_collection(key)
    regularizers = {"w": tf.reduce_sum, "b": lambda b: tf.reduce_sum(b) + 0.5}
    net = snt.nets.Dilation(3, regularizers=regularizers)
    for _ in range(2):
        mode.run(net, random_images(3))
    losses = [tf.convert_to_tensor(loss) for loss in tf1.get_collection(key)]
    np.testing.assert_allclose(mode.values(losses), [3, 0.5] * 8)


@pytest.mark.parametrize("shape", [(4,), (6, 6, 3), (2, 6, 6, 3, 1)])
@pytest.mark.parametrize("model_size", ["basic", "huge"])
def test_images_have_four_axes(shape, model_size, mode):
    net = snt.nets.Dilation(3, model_size=model_size)
    with pytest.raises(snt.IncompatibleShapeError, match="dilation: images must have shape"):
        mode.run(net, np.ones(shape, np.float32))


@pytest.mark.parametrize("initializers", [None, RANDOM])
@pytest.mark.parametrize("model_size", ["huge", None, 3])
def test_unknown_model_size(initializers, model_size, mode):
    net = snt.nets.Dilation(3, initializers=initializers, model_size=model_size)
    with pytest.raises(ValueError, match="dilation: Unrecognized model_size"):
        mode.run(net, random_images(3))


@pytest.mark.parametrize("model_size", ["basic", "large"])
def test_channels_that_the_initializers_do_not_take(model_size, mode):
    net = snt.nets.Dilation(3, model_size=model_size)
    with pytest.raises(ValueError, match="channels must be"):
        mode.run(net, random_images(4))
    assert mode.run(net, random_images(3)).shape == (2, 6, 7, 3)  # it can be tried again


def test_checks_its_dictionaries():
    with pytest.raises(KeyError, match="Invalid initializer keys"):
        snt.nets.Dilation(3, initializers={"no": tf.zeros})
    with pytest.raises(KeyError, match="Invalid regularizer keys"):
        snt.nets.Dilation(3, regularizers={"no": tf.zeros})
    with pytest.raises(TypeError, match="Initializer for 'w' is not a callable function"):
        snt.nets.Dilation(3, initializers={"w": 3.0})


def test_constants():
    net = snt.nets.Dilation
    assert (net.BASIC, net.LARGE, net.WEIGHTS, net.BIASES) == ("basic", "large", "w", "b")


# The initializers.


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_identity_kernel(size, dtype, mode):
    kernel = mode.run(lambda: snt.nets.identity_kernel_initializer([size, size, 4, 4], dtype))
    expected = np.zeros([size, size, 4, 4])
    expected[size // 2, size // 2] = np.eye(4)
    assert tf.as_dtype(kernel.dtype) == dtype
    np.testing.assert_array_equal(kernel, expected)


@pytest.mark.parametrize(
    ("base", "inputs", "outputs"), [(1, 3, 2), (2, 2, 2), (2, 6, 4), (3, 3, 12), (4, 8, 4)]
)
def test_noisy_identity_kernel(base, inputs, outputs, mode):
    initializer = snt.nets.noisy_identity_kernel_initializer(base, stddev=1e-3)
    kernel = mode.run(lambda: initializer([3, 3, inputs, outputs], tf.float64))
    centre = kernel[1, 1].copy()
    for i in range(inputs):
        for o in range(outputs):
            if i * base // inputs == o * base // outputs:
                assert centre[i, o] == base / outputs
                centre[i, o] = 0
    noise = np.concatenate([centre[None], kernel.reshape([9, inputs, outputs])[np.arange(9) != 4]])
    assert np.all(np.abs(noise) <= 2e-3)
    assert np.count_nonzero(noise) == noise.size - inputs * outputs // base
    np.testing.assert_allclose(noise[noise != 0].std(), 0.88e-3, rtol=0.25)


def test_noise_is_small_by_default(mode):
    initializer = snt.nets.noisy_identity_kernel_initializer(base_num_channels=2)
    kernel = mode.run(lambda: initializer([3, 3, 4, 8]))
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel[1, 1].sum(-1), 1, atol=1e-6)
    assert 0 < np.abs(kernel[0]).max() <= 2e-8


@pytest.mark.parametrize("shape", [[3, 3, 4], [3, 3, 4, 4, 1], [3, 5, 4, 4], [2, 2, 4, 4]])
@pytest.mark.parametrize(
    "initializer",
    [snt.nets.identity_kernel_initializer, snt.nets.noisy_identity_kernel_initializer(2)],
)
def test_shapes_of_no_kernel(initializer, shape):
    with pytest.raises(ValueError, match="The kernel must"):
        initializer(shape)


def test_numbers_of_channels():
    with pytest.raises(ValueError, match="must be equal"):
        snt.nets.identity_kernel_initializer([3, 3, 4, 8])
    for shape in ([3, 3, 3, 4], [3, 3, 4, 3]):
        with pytest.raises(ValueError, match="must be multiples of base_num_channels"):
            snt.nets.noisy_identity_kernel_initializer(2)(shape)


def test_initializes_convolutions(mode):
    initializers = {"w": snt.nets.identity_kernel_initializer}
    conv = snt.Conv2D(3, kernel_shape=5, initializers=initializers)
    np.testing.assert_array_equal(mode.run(conv, random_images(3)), random_images(3))


def test_range_along_dimension(mode):
    found = mode.run(lambda: [dilation._range_along_dimension(d, [2, 3]) for d in (0, 1)])
    np.testing.assert_array_equal(found, np.indices([2, 3]))
    with pytest.raises(ValueError, match="non-existent index 2"):
        dilation._range_along_dimension(2, [2, 3])
