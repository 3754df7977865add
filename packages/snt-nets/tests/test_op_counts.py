"""A layer makes the ops that a careful person would write by hand, and no more."""

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.op_counts import new_ops


def variable(name, shape, stddev=None):
    if stddev is None:
        return tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())
    return tf1.get_variable(
        name, shape, initializer=tf1.truncated_normal_initializer(stddev=stddev)
    )


def bare_linear(x, size, scope="linear"):
    with tf1.variable_scope(scope, reuse=tf1.AUTO_REUSE):
        outputs = tf.matmul(x, variable("w", [x.shape[-1], size], x.shape[-1] ** -0.5))
        return outputs + variable("b", [size])


def bare_linear_without_bias(x):
    with tf1.variable_scope("linear", reuse=tf1.AUTO_REUSE):
        return tf.matmul(x, variable("w", [x.shape[-1], 3], x.shape[-1] ** -0.5))


def bare_mlp(x):
    return bare_linear(tf.nn.relu(bare_linear(x, 5, "linear_0")), 3, "linear_1")


def bare_mlp_with_dropout(x):
    hidden = tf.nn.dropout(bare_linear(x, 5, "linear_0"), rate=0.5)
    return bare_linear(tf.nn.relu(hidden), 3, "linear_1")


def bare_add_bias(x, multiplier=1, shape=(4,)):
    with tf1.variable_scope("add", reuse=tf1.AUTO_REUSE):
        b = variable("b", shape)
        return x + (b if multiplier == 1 else b * multiplier)


def bare_trainable_variable(x):
    with tf1.variable_scope("trainable_variable", reuse=tf1.AUTO_REUSE):
        return variable("w", [4], 0.5)


def bare_concat_linear(x):
    with tf1.variable_scope("concat_linear", reuse=tf1.AUTO_REUSE):
        first = bare_linear(x, 3)
        with tf1.variable_scope("linear_1", reuse=tf1.AUTO_REUSE):
            return tf.add_n([first, tf.matmul(x, variable("w", [4, 3], 0.5))])


def bare_embed(x):
    with tf1.variable_scope("embed", reuse=tf1.AUTO_REUSE):
        table = tf1.get_variable("e", [9, 4], initializer=tf1.random_normal_initializer())
        return tf.gather(table, tf.cast(x, tf.int32))


def bare_block_matrix(x):
    first, second = tf.split(x, [2, 4], axis=1)
    first = tf.pad(tf.reshape(first, [-1, 1, 2]), [[0, 0], [0, 0], [0, 2]])
    return tf.concat([first, tf.reshape(second, [-1, 1, 4])], axis=1)


def bare_batch_apply(x):
    return tf.reshape(tf.tanh(tf.reshape(x, [6, 4])), [2, 3, 4])


CASES = {
    "Linear": (lambda: snt.Linear(3), lambda x: bare_linear(x, 3), [None, 4]),
    "Linear, no bias": (
        lambda: snt.Linear(3, use_bias=False),
        bare_linear_without_bias,
        [None, 4],
    ),
    "MLP": (lambda: snt.nets.MLP([5, 3]), bare_mlp, [None, 4]),
    "MLP with dropout": (
        lambda: snt.nets.MLP([5, 3], use_dropout=True),
        bare_mlp_with_dropout,
        [None, 4],
    ),
    "MLP with dropout, testing": (
        lambda: _with_arguments(snt.nets.MLP([5, 3], use_dropout=True), is_training=False),
        bare_mlp,
        [None, 4],
    ),
    "AddBias": (snt.AddBias, bare_add_bias, [None, 4]),
    "AddBias, last axis": (
        lambda: snt.AddBias(bias_dims=[-1]),
        bare_add_bias,
        [None, 3, 4],
    ),
    "AddBias, subtracted": (
        lambda: _with_arguments(snt.AddBias(), multiplier=-1),
        lambda x: bare_add_bias(x, -1),
        [None, 4],
    ),
    "TrainableVariable": (
        lambda: _without_inputs(snt.TrainableVariable([4])),
        bare_trainable_variable,
        [],
    ),
    "BatchReshape": (
        lambda: snt.BatchReshape([2, 6]),
        lambda x: tf.reshape(x, [-1, 2, 6]),
        [None, 4, 3],
    ),
    "BatchReshape, wildcard": (
        lambda: snt.BatchReshape([2, -1]),
        lambda x: tf.reshape(x, [8, 2, 6]),
        [8, 4, 3],
    ),
    "BatchReshape, nothing to do": (lambda: snt.BatchReshape([4]), lambda x: x, [None, 4]),
    "BatchFlatten": (snt.BatchFlatten, lambda x: tf.reshape(x, [-1, 12]), [None, 4, 3]),
    "BatchApply": (lambda: snt.BatchApply(tf.tanh), bare_batch_apply, [2, 3, 4]),
    "Sequential": (
        lambda: snt.Sequential([snt.Linear(3), tf.tanh]),
        lambda x: tf.tanh(bare_linear(x, 3)),
        [None, 4],
    ),
    "ConcatLinear": (
        lambda: _of_pairs(snt.ConcatLinear(3)),
        bare_concat_linear,
        [None, 4],
    ),
    "SliceByDim": (
        lambda: snt.SliceByDim([-1], [1], [2]),
        lambda x: tf.slice(x, [0, 1], [-1, 2]),
        [None, 4],
    ),
    "TileByDim": (
        lambda: snt.TileByDim([0], [2]),
        lambda x: tf.tile(x, [2, 1]),
        [None, 4],
    ),
    "MergeDims": (
        lambda: snt.MergeDims(1, 2),
        lambda x: tf.reshape(x, [-1, 12, 2]),
        [None, 4, 3, 2],
    ),
    "SelectInput": (lambda: snt.SelectInput(0), tf.identity, [None, 4]),
    "Embed": (lambda: _of_ids(snt.Embed(9, 4)), bare_embed, [None]),
    "BlockTriangularMatrix": (
        lambda: snt.BlockTriangularMatrix((1, 2), 2),
        bare_block_matrix,
        [None, 6],
    ),
    "Dropout": (
        lambda: _with_arguments(snt.Dropout(), is_training=True),
        lambda x: tf.nn.dropout(x, rate=0.5),
        [None, 4],
    ),
    "Dropout, testing": (
        lambda: _with_arguments(snt.Dropout(), is_training=False),
        lambda x: x,
        [None, 4],
    ),
}


def _with_arguments(module, **arguments):
    return lambda x: module(x, **arguments)


def _without_inputs(module):
    return lambda x: module()


def _of_pairs(module):
    return lambda x: module([x, x])


def _of_ids(module):
    return lambda x: module(tf.cast(x, tf.int32))


@pytest.mark.parametrize(("make", "bare", "shape"), CASES.values(), ids=CASES)
def test_makes_no_more_ops_than_by_hand(make, bare, shape):
    module = None

    def connect(inputs):
        nonlocal module
        module = module or make()
        return module(inputs)

    assert new_ops(connect, shape) == new_ops(bare, shape)


def test_variables_are_read_once_a_connection():
    first, second = new_ops(lambda x: bare_linear(x, 3), [None, 4])
    assert first["MatMul"] == second["MatMul"] == 1
    assert second == {"ReadVariableOp": 2, "MatMul": 1, "AddV2": 1}
