"""`Dropout`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9])
def test_drops_and_scales_up(rate, dtype, mode):
    inputs = np.ones([200, 100], tf.as_dtype(dtype).as_numpy_dtype)
    outputs = mode.run(lambda x: snt.Dropout(rate)(x, is_training=True), inputs)
    assert outputs.dtype == inputs.dtype
    kept = outputs != 0
    assert abs(kept.mean() - (1 - rate)) < 0.02
    np.testing.assert_allclose(outputs[kept].astype("float64"), 1 / (1 - rate), 1e-2)


@pytest.mark.parametrize("form", [bool, int, np.bool_, tf.constant, tf.Variable])
def test_flags(form, mode):
    inputs = np.ones([200, 100], "float32")
    if form is tf.Variable and mode.name == "function":
        flags = [tf.Variable(value, trainable=False) for value in (True, False)]
    else:
        flags = [form(True), form(False)]
    trained, tested = mode.run(lambda x: [snt.Dropout()(x, f) for f in flags], inputs)
    assert 0.4 < np.mean(trained == 0) < 0.6
    np.testing.assert_array_equal(tested, inputs)


def test_a_flag_that_is_fed(mode):
    inputs = np.ones([200, 100], "float32")
    for flag in (True, False):
        outputs = mode.run(snt.Dropout(), inputs, np.array(flag))
        assert np.any(outputs == 0) == flag
        assert outputs.shape == inputs.shape


def test_testing_makes_no_op():
    with tf.Graph().as_default() as graph:
        inputs = tf1.placeholder(tf.float32, [None, 3])
        assert snt.Dropout()(inputs, is_training=False) is inputs
        assert snt.Dropout(rate=0)(inputs, is_training=True) is inputs
        assert len(graph.get_operations()) == 1


def test_noise_shape_and_seed(mode):
    inputs = np.ones([8, 5, 5, 6], "float32")
    module = snt.Dropout(noise_shape=[8, 1, 1, 6], seed=3)
    outputs = mode.run(lambda x: module(x, is_training=True), inputs)
    assert 0 < np.mean(outputs == 0) < 1
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:, :1, :1], inputs.shape))


def test_the_rate_may_be_a_tensor(mode):
    inputs = np.ones([200, 100], "float32")
    outputs = mode.run(
        lambda x, rate: snt.Dropout(rate)(x, is_training=True), inputs, np.float32(0.2)
    )
    assert 0.15 < np.mean(outputs == 0) < 0.25


def test_gradients_flow_where_elements_are_kept(mode):
    inputs = np.ones([50, 10], "float32")
    module = snt.Dropout(0.5)

    def compute(x):
        if mode.in_graph:
            y = module(x, is_training=True)
            return [y, tf1.gradients(y, x)[0]]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = module(x, is_training=True)
        return [y, tape.gradient(y, x)]

    outputs, gradient = mode.run(compute, inputs)
    np.testing.assert_array_equal(outputs, gradient)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, np.float32(2)])
def test_the_rate_is_a_probability(rate):
    with pytest.raises(ValueError, match=r"dropout.*: rate must be in \[0, 1\)"):
        snt.Dropout(rate)


def test_inputs_are_floating_point(mode):
    for flag in (True, False):
        with pytest.raises(ValueError, match="must be of a floating-point type, got int32"):
            mode.run(lambda x, f=flag: snt.Dropout()(x, f), np.ones([2, 3], "int32"))


@pytest.mark.parametrize("flag", [None, "yes", 2, [True]])
def test_the_flag_is_a_boolean(flag, mode):
    with pytest.raises(TypeError, match="dropout: is_training must be a boolean"):
        mode.run(lambda x: snt.Dropout()(x, flag), np.ones([2, 3], "float32"))
