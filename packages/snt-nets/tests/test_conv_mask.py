"""Masks of the weights of convolutions."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

X = np.random.default_rng(0).normal(size=(2, 6, 5, 2)).astype(np.float32)
MASK = np.array([[1, 0, 1], [0, 1, 1], [2, 1, 0]], np.float32)


def run_unmasked(conv, mask, mode):
    """Runs a convolution without a mask, of weights that are multiplied by it."""
    w, b = mode.values([conv.w, conv.b])
    w = w * mask.reshape(*mask.shape, *[1] * (4 - mask.ndim))
    plain = snt.Conv2D(
        4, 3, initializers={"w": lambda *_, **__: w, "b": lambda *_, **__: b}, name="plain"
    )
    return mode.run(plain, X)


@pytest.mark.parametrize("rank", range(5))
@pytest.mark.parametrize("wrap", [np.asarray, np.ndarray.tolist, tf.constant])
def test_weights_are_multiplied_by_the_mask(rank, wrap, mode):
    mask = np.random.default_rng(1).normal(size=(3, 3, 2, 4)[:rank]).astype(np.float32)
    given = wrap(mask)
    conv = snt.Conv2D(4, 3, mask=mask if isinstance(given, float) else given)
    first, second = mode.run(conv, X), mode.run(conv, X)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, run_unmasked(conv, mask, mode), 1e-5, 1e-5)
    np.testing.assert_allclose(mode.values(conv.mask), mask, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_mask_takes_the_type_of_the_weights(dtype, mode):
    conv = snt.Conv2D(4, 3, mask=MASK.astype(tf.as_dtype(dtype).as_numpy_dtype))
    np.testing.assert_allclose(mode.run(conv, X), run_unmasked(conv, MASK, mode), 1e-5, 1e-5)
    assert tf.as_dtype(mode.values(conv.mask).dtype) == dtype
    doubles = snt.Conv2D(4, 3, mask=tf.constant(MASK))
    assert mode.run(doubles, X.astype(np.float64)).dtype == np.float64


def test_masked_weights_have_no_gradient(mode):
    conv = snt.Conv2D(4, 3, mask=MASK)
    mode.run(conv, X)
    (gradient,) = mode.gradients(
        lambda: tf.reduce_sum(tf.sin(conv(tf.constant(X)))), lambda: [conv.w]
    )
    assert np.all(gradient[MASK == 0] == 0)
    assert np.all(gradient[MASK != 0] != 0)


def test_a_module_made_outside_is_called_inside_a_function_and_then_outside():
    tf1.reset_default_graph()
    for mask in (MASK, MASK.tolist(), tf.constant(MASK)):
        conv = snt.Conv2D(4, 3, mask=mask)
        inside = tf.function(conv)(tf.constant(X))
        np.testing.assert_allclose(inside, conv(X), 1e-5, 1e-5)


def test_a_module_made_in_one_graph_is_connected_in_another():
    with tf.Graph().as_default():
        conv = snt.Conv2D(4, 3, mask=MASK.tolist())
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = conv(tf.constant(X))
        session.run(tf1.global_variables_initializer())
        assert session.run(outputs).shape == (2, 6, 5, 4)


@pytest.mark.parametrize("mask", [1, 1.0, "mask", {}, lambda: None])
def test_a_mask_is_a_tensor_an_array_or_a_list(mask):
    with pytest.raises(TypeError, match=r"conv_2d\w*: Invalid type for mask"):
        snt.Conv2D(4, 3, mask=mask)


def test_a_mask_is_no_variable():
    with pytest.raises(TypeError, match="Invalid type for mask"):
        snt.Conv2D(4, 3, mask=tf.Variable(MASK))


@pytest.mark.parametrize(
    "mask", [[[1, 0, 1]] * 3, MASK.astype(int), MASK.astype(bool), tf.constant([1])]
)
def test_a_mask_is_of_a_floating_point_type(mask):
    match = "^Mask needs to have dtype float16, bfloat16, float32 or float64"
    with pytest.raises(TypeError, match=match):
        snt.Conv2D(4, 3, mask=mask)


def test_a_mask_fits_the_weights(mode):
    with pytest.raises(snt.IncompatibleShapeError, match="^Invalid mask shape: 5"):
        mode.run(snt.Conv2D(4, 3, mask=np.ones([3, 3, 2, 4, 1], np.float32)), X)
    for shape in ((2, 3), (3, 2), (3, 3, 1), (3, 3, 2, 3)):
        with pytest.raises(snt.IncompatibleShapeError) as raised:
            mode.run(snt.Conv2D(4, 3, mask=np.ones(shape, np.float32)), X)
        assert str(raised.value).startswith(f"Invalid mask shape: {shape}")


def test_the_shape_of_a_mask_is_known():
    with tf.Graph().as_default():
        for shape in (None, [3, None]):
            with pytest.raises(snt.IncompatibleShapeError, match="Invalid mask shape"):
                snt.Conv2D(4, 3, mask=tf1.placeholder(tf.float32, shape))


@pytest.mark.parametrize(("make", "shape"), [(snt.Conv1D, (3,)), (snt.Conv3D, (3, 3, 3, 2))])
def test_other_convolutions_have_masks_too(make, shape, mode):
    conv = make(4, 3, mask=np.zeros(shape, np.float32))
    n = 1 if make is snt.Conv1D else 3
    outputs = mode.run(conv, np.ones([2, *[4] * n, 2], np.float32))
    np.testing.assert_array_equal(outputs, np.zeros_like(outputs))
