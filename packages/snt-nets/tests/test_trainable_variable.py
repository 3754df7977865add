"""`TrainableVariable`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


@pytest.mark.parametrize("shape", [(), (3,), [2, 3], (0, 2), tf.TensorShape([2, np.int64(1)])])
def test_is_the_variable(shape, mode):
    module = snt.TrainableVariable(shape)
    with pytest.raises(snt.NotConnectedError, match="trainable_variable not instantiated yet"):
        _ = module.w
    value = mode.run(module)
    assert value.shape == tuple(shape)
    np.testing.assert_array_equal(value, mode.values(module.w))
    assert [v.name for v in module.variables] == ["trainable_variable/w:0"]


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64, "float32"])
def test_has_the_dtype(dtype, mode):
    module = snt.TrainableVariable([2], dtype)
    mode.run(module)
    assert module.w.dtype.base_dtype == tf.as_dtype(dtype)


def test_an_integer_variable_needs_an_initializer(mode):
    with pytest.raises(ValueError, match="expected to be floating point"):
        mode.run(snt.TrainableVariable([2], tf.int32))
    given = {"w": tf1.constant_initializer([3, 4])}
    module = snt.TrainableVariable([2], tf.int32, initializers=given)
    np.testing.assert_array_equal(mode.run(module), [3, 4])


def test_returns_what_the_custom_getter_returns(mode):
    def getter(getter, name, *args, **kwargs):
        return 2 * tf.stop_gradient(getter(name, *args, **kwargs))

    def connect():
        outputs = module()
        assert module.w is outputs
        return outputs

    ones = {"w": tf1.ones_initializer()}
    module = snt.TrainableVariable([2], initializers=ones, custom_getter=getter)
    np.testing.assert_array_equal(mode.run(connect), [2, 2])
    assert [v.name for v in module.variables] == ["trainable_variable/w:0"]
    module = snt.TrainableVariable([2], initializers=ones, custom_getter={"w": getter})
    np.testing.assert_array_equal(mode.run(connect), [2, 2])
    module = snt.TrainableVariable([2], initializers=ones, custom_getter={"b": getter})
    np.testing.assert_array_equal(mode.run(connect), [1, 1])


@pytest.mark.parametrize("shape", [[2.5], [None], 3])
def test_a_shape_is_of_integers(shape):
    with pytest.raises(TypeError):
        snt.TrainableVariable(shape)
