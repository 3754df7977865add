"""The default initializers: their distribution, and what they refuse."""

import logging
import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import sonnet as snt
from snt_nets.initializers import (
    create_bias_initializer,
    create_linear_initializer,
    create_weight_initializer,
)


def assert_truncated_normal(values, stddev):
    """Compares with the normal distribution cut off at two standard deviations."""
    values = np.asarray(values, np.float64).ravel()
    assert values.size >= 10_000
    assert np.abs(values).max() <= 2 * stddev * (1 + 1e-3)
    np.testing.assert_allclose(values.std(), 0.8796 * stddev, rtol=0.03)
    distribution = scipy.stats.truncnorm(-2, 2, scale=stddev)
    assert scipy.stats.kstest(values, distribution.cdf).statistic < 1.95 / math.sqrt(values.size)


@pytest.mark.parametrize(
    ("initializer", "fan_in"),
    [
        (create_linear_initializer(25), 25),
        (create_linear_initializer(0), 1),
        (create_weight_initializer([3, 3, 4]), 36),
        (create_weight_initializer([]), 1),
        (create_weight_initializer([5, 0]), 1),
    ],
)
def test_weights_have_the_scale_of_the_fan_in(initializer, fan_in):
    tf.random.set_seed(1)
    assert_truncated_normal(initializer([200, 100], tf.float32), 1 / math.sqrt(fan_in))


@pytest.mark.parametrize(
    ("make", "inputs", "stddev"),
    [
        (lambda: snt.Linear(400), [[1.0] * 49], 1 / 7),
        (lambda: snt.TrainableVariable([100, 225]), None, 1 / 150),
        (lambda: snt.nets.MLP([800]), [[1.0] * 16], 1 / 4),
    ],
    ids=["Linear", "TrainableVariable", "MLP"],
)
def test_layers_start_at_that_scale(make, inputs, stddev, mode):
    tf.random.set_seed(1)
    module = make()
    mode.run(module, *([] if inputs is None else [np.array(inputs, np.float32)]))
    weights = next(v for v in module.variables if v.name.endswith("/w:0"))
    assert_truncated_normal(mode.values(weights), stddev)


def test_layers_of_one_module_do_not_start_alike(mode):
    mlp = snt.nets.MLP([4, 4])
    mode.run(mlp, np.ones([2, 4], np.float32))
    first, second = (mode.values(layer.w) for layer in mlp.layers)
    assert np.abs(first - second).min() > 0


@pytest.mark.parametrize("dtype", [tf.float16, tf.float64, tf.int32])
def test_biases_are_zeros_of_the_dtype_of_the_variable(dtype):
    values = create_bias_initializer([3], dtype)([3], dtype)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, np.zeros(3))


@pytest.mark.parametrize("dtype", [tf.int32, tf.bool, tf.complex64])
def test_weights_are_floating_point(dtype):
    with pytest.raises(ValueError, match="expected to be floating point"):
        create_linear_initializer(3, dtype)
    with pytest.raises(ValueError, match="expected to be floating point"):
        create_weight_initializer([3], dtype)


def test_tensorflow_logs_no_warning(caplog):
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        snt.Linear(2)(tf.ones([1, 2]))
        create_weight_initializer([3], tf.float64)
    assert "deprecated" not in caplog.text
