"""A normalisation layer makes the ops that a careful person would write by hand, and no more."""

import collections

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.op_counts import new_ops

ZEROS, ONES = tf1.zeros_initializer(), tf1.ones_initializer()
DECAY, EPS = 0.999, 1e-3


def variable(name, shape, initializer, trainable=True):
    with tf1.variable_scope("norm", reuse=tf1.AUTO_REUSE):
        return tf1.get_variable(name, shape, initializer=initializer, trainable=trainable)


def averages(shape):
    return [
        variable("mean", shape, ZEROS, trainable=False),
        variable("variance", shape, ONES, trainable=False),
    ]


def update(averages, statistics):
    return [
        average.assign_sub((average - statistic) * (1 - DECAY), read_value=False)
        for average, statistic in zip(averages, statistics, strict=True)
    ]


def updated(outputs, averages, statistics):
    with tf.control_dependencies(update(averages, statistics)):
        return tf.identity(outputs)


def bare_batch_norm(x, training=True, local=True, to_collection=True):
    moving, beta = averages([1, 1, 1, 4]), variable("beta", [1, 1, 1, 4], ZEROS)
    mean, variance = tf.nn.moments(x, [0, 1, 2], keepdims=True) if local else moving
    outputs = tf.nn.batch_normalization(x, mean, variance, beta, None, EPS)
    if not training:
        return outputs
    if to_collection:
        return outputs, update(moving, [mean, variance])
    return updated(outputs, moving, [mean, variance])


def bare_fused(x, training=True):
    moving = averages([4])
    beta, gamma = variable("beta", [4], ZEROS), variable("gamma", [4], ONES)
    if training:
        outputs, mean, variance = tf1.nn.fused_batch_norm(x, gamma, beta, epsilon=EPS)
        return updated(outputs, moving, [mean, variance])
    mean, variance = moving
    return tf1.nn.fused_batch_norm(
        x, gamma, beta, mean=mean, variance=variance, epsilon=EPS, is_training=False
    )


def bare_fused_of_one_axis(x):
    """`[batch, time, channels]`, by way of images."""
    moving = averages([4])
    beta, gamma = variable("beta", [4], ZEROS), variable("gamma", [4], ONES)
    outputs, mean, variance = tf1.nn.fused_batch_norm(
        tf.reshape(x, [-1, 1, 6, 4]), gamma, beta, epsilon=EPS
    )
    return updated(tf.reshape(outputs, [-1, 6, 4]), moving, [mean, variance])


def bare_channels_first(x):
    moving, beta = averages([4]), variable("beta", [4], ZEROS)
    mean, variance = tf.nn.moments(x, [0, 2, 3])
    outputs = tf.nn.batch_normalization(
        x, *(tf.reshape(part, [-1, 1, 1]) for part in (mean, variance, beta)), None, EPS
    )
    return updated(outputs, moving, [mean, variance])


def bare_layer_norm(x, axes=(1,)):
    gamma, beta = variable("gamma", [4], ONES), variable("beta", [4], ZEROS)
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, EPS)


def bare_group_norm(x):
    gamma, beta = variable("gamma", [4], ONES), variable("beta", [4], ZEROS)
    groups = tf.reshape(x, [-1, 5, 6, 2, 2])
    mean, variance = tf.nn.moments(groups, [1, 2, 4], keepdims=True)
    outputs = tf.nn.batch_normalization(
        groups, mean, variance, tf.reshape(beta, [2, 2]), tf.reshape(gamma, [2, 2]), EPS
    )
    return tf.reshape(outputs, [-1, 5, 6, 4])


def bare_rms_norm(x):
    gamma = variable("gamma", [4], ONES)
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + EPS) * gamma


IMAGES = [None, 5, 6, 4]
CASES = {
    "BatchNorm": (snt.BatchNorm, {"is_training": True}, bare_batch_norm, IMAGES),
    "BatchNorm, updates at once": (
        lambda: snt.BatchNorm(update_ops_collection=None),
        {"is_training": True},
        lambda x: bare_batch_norm(x, to_collection=False),
        IMAGES,
    ),
    "BatchNorm, testing": (
        snt.BatchNorm,
        {"is_training": False},
        lambda x: bare_batch_norm(x, training=False),
        IMAGES,
    ),
    "BatchNorm, testing by averages": (
        snt.BatchNorm,
        {"is_training": False, "test_local_stats": False},
        lambda x: bare_batch_norm(x, training=False, local=False),
        IMAGES,
    ),
    "BatchNormV2": (snt.BatchNormV2, {"is_training": True}, bare_fused, IMAGES),
    "BatchNormV2, testing": (
        snt.BatchNormV2,
        {"is_training": False},
        lambda x: bare_fused(x, training=False),
        IMAGES,
    ),
    "BatchNormV2, one axis": (
        snt.BatchNormV2,
        {"is_training": True},
        bare_fused_of_one_axis,
        [None, 6, 4],
    ),
    "BatchNormV2, not fused": (
        lambda: snt.BatchNormV2("NCHW", fused=False),
        {"is_training": True},
        bare_channels_first,
        [None, 4, 5, 6],
    ),
    "LayerNorm": (snt.LayerNorm, {}, bare_layer_norm, [None, 4]),
    "GroupNorm": (lambda: snt.GroupNorm(2), {}, bare_group_norm, IMAGES),
    "InstanceNorm": (snt.InstanceNorm, {}, lambda x: bare_layer_norm(x, (1, 2)), IMAGES),
    "RMSNorm": (snt.RMSNorm, {}, bare_rms_norm, [None, 4]),
}


@pytest.mark.parametrize(("make", "arguments", "bare", "shape"), CASES.values(), ids=CASES)
def test_makes_no_more_ops_than_by_hand(make, arguments, bare, shape):
    module = None

    def connect(inputs):
        nonlocal module
        module = module or make()
        return module(inputs, **arguments)

    assert new_ops(connect, shape) == new_ops(bare, shape)


@pytest.mark.parametrize("make", [snt.BatchNorm, snt.BatchNormV2])
def test_testing_by_averages_has_no_update_and_no_branch(make):
    module = make()
    _, ops = new_ops(lambda x: module(x, is_training=False, test_local_stats=False), IMAGES)
    assert not set(ops) & {"AssignSubVariableOp", "If", "StatelessIf", "Switch", "Mean"}


def test_a_flag_that_is_fed_makes_one_branch():
    module = snt.BatchNormV2()
    _, ops = new_ops(lambda x: module(x, tf1.placeholder(tf.bool, [])), IMAGES)
    branches = collections.Counter({k: n for k, n in ops.items() if k in ("If", "StatelessIf")})
    assert branches.total() == 1
    assert ops["AssignSubVariableOp"] == 2
