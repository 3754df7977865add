"""A convolution makes the ops that a careful person would write by hand, and no more."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


def variable(name, shape, fan_in=None):
    if fan_in is None:
        return tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())
    return tf1.get_variable(
        name, shape, initializer=tf1.truncated_normal_initializer(stddev=fan_in**-0.5)
    )


def bare_conv(shape, mask=None, before=lambda x: x, use_bias=True, **options):
    def connect(x):
        with tf1.variable_scope("conv", reuse=tf1.AUTO_REUSE):
            w = variable("w", shape, np.prod(shape[:-1]))
            if mask is not None:
                w = w * tf.constant(mask.reshape(*mask.shape, *[1] * (len(shape) - mask.ndim)))
            y = tf.nn.convolution(before(x), w, **{"padding": "SAME", **options})
            return tf.nn.bias_add(y, variable("b", shape[-1:])) if use_bias else y

    return connect


def bare_transpose(shape, convolve, output_shape, strides, padding="SAME", height=False):
    def connect(x):
        with tf1.variable_scope("conv", reuse=tf1.AUTO_REUSE):
            w = variable("w", shape, np.prod(shape) / shape[-2])
            x = tf.expand_dims(x, 1) if height else x
            y = convolve(x, w, output_shape(x), strides, padding)
            y = tf.squeeze(y, [1]) if height else y
            return tf.nn.bias_add(y, variable("b", [shape[-2]]))

    return connect


def bare_depthwise(shape, strides, tile=None, height=False):
    def connect(x):
        with tf1.variable_scope("conv", reuse=tf1.AUTO_REUSE):
            w = variable("w", shape, np.prod(shape[:2]))
            w = w if tile is None else tf.tile(w, [1, 1, tile, 1])
            x = tf.expand_dims(x, 1) if height else x
            y = tf.nn.depthwise_conv2d(x, w, strides, "SAME")
            y = tf.squeeze(y, [1]) if height else y
            return tf.nn.bias_add(y, variable("b", [(tile or shape[2]) * shape[3]]))

    return connect


def bare_separable(shape, channels, strides, dilations=None, height=False):
    def connect(x):
        with tf1.variable_scope("conv", reuse=tf1.AUTO_REUSE):
            inner = shape[2] * shape[3]
            w_dw = variable("w_dw", shape, np.prod(shape[:2]))
            w_pw = variable("w_pw", [1, 1, inner, channels], inner)
            x = tf.expand_dims(x, 1) if height else x
            y = tf.nn.separable_conv2d(x, w_dw, w_pw, strides, "SAME", dilations=dilations)
            y = tf.squeeze(y, [1]) if height else y
            return tf.nn.bias_add(y, variable("b", [channels]))

    return connect


MASK = np.array([[1, 0], [1, 1]], np.float32)
VOLUME = (2, 2, 2, 4, 3)

CASES = {
    "Conv1D": (lambda: snt.Conv1D(3, 2), bare_conv((2, 4, 3)), [None, None, 4]),
    "Conv1D, causal": (
        lambda: snt.Conv1D(3, 2, padding=snt.CAUSAL),
        bare_conv((2, 4, 3), before=lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 0]]), padding="VALID"),
        [None, None, 4],
    ),
    "Conv2D": (lambda: snt.Conv2D(3, 2), bare_conv((2, 2, 4, 3)), [None, None, None, 4]),
    "Conv2D, stride, no bias": (
        lambda: snt.Conv2D(3, 2, 2, use_bias=False),
        bare_conv((2, 2, 4, 3), strides=2, use_bias=False),
        [None, 6, 6, 4],
    ),
    "Conv2D, mixed paddings, of which none pads": (
        lambda: snt.Conv2D(3, [2, 1], padding=[snt.VALID, snt.FULL]),
        bare_conv((2, 1, 4, 3), padding="VALID"),
        [None, 6, 6, 4],
    ),
    "Conv2D, channels first": (
        lambda: snt.Conv2D(3, 2, data_format="NCHW", use_bias=False),
        bare_conv((2, 2, 4, 3), data_format="NCHW", use_bias=False),
        [None, 4, 6, 6],
    ),
    "Conv2D, dilated": (
        lambda: snt.Conv2D(3, 2, rate=2),
        bare_conv((2, 2, 4, 3), dilations=2),
        [None, None, 6, 4],
    ),
    "Conv2D, masked": (
        lambda: snt.Conv2D(3, 2, mask=MASK),
        bare_conv((2, 2, 4, 3), mask=MASK),
        [None, 6, 6, 4],
    ),
    "Conv3D": (lambda: snt.Conv3D(3, 2), bare_conv(VOLUME), [None, 5, 5, 5, 4]),
    "Conv1DTranspose": (
        lambda: snt.Conv1DTranspose(3, None, 2, 2),
        bare_transpose(
            (1, 2, 3, 4),
            tf.nn.conv2d_transpose,
            lambda x: [2, 1, 12, 3],
            [1, 1, 2, 1],
            height=True,
        ),
        [2, 6, 4],
    ),
    "Conv2DTranspose": (
        lambda: snt.Conv2DTranspose(3, None, 2, 2),
        bare_transpose(
            (2, 2, 3, 4), tf.nn.conv2d_transpose, lambda x: [2, 12, 10, 3], [1, 2, 2, 1]
        ),
        [2, 6, 5, 4],
    ),
    "Conv2DTranspose, unknown batch": (
        lambda: snt.Conv2DTranspose(3, None, 2, 2, snt.VALID),
        bare_transpose(
            (2, 2, 3, 4),
            tf.nn.conv2d_transpose,
            lambda x: [tf.shape(x)[0], 13, 11, 3],
            [1, 2, 2, 1],
            "VALID",
        ),
        [None, 6, 5, 4],
    ),
    "Conv3DTranspose, unknown depth": (
        lambda: snt.Conv3DTranspose(3, None, 2, 2),
        bare_transpose(
            (2, 2, 2, 3, 4),
            tf.nn.conv3d_transpose,
            lambda x: [2, tf.shape(x)[1] * 2, 12, 10, 3],
            [1, 2, 2, 2, 1],
        ),
        [2, None, 6, 5, 4],
    ),
    "InPlaneConv2D": (
        lambda: snt.InPlaneConv2D(2),
        bare_depthwise((2, 2, 1, 1), [1, 1, 1, 1], tile=4),
        [None, 6, 6, 4],
    ),
    "DepthwiseConv1D": (
        lambda: snt.DepthwiseConv1D(2, 2),
        bare_depthwise((1, 2, 4, 2), [1, 1, 1, 1], height=True),
        [None, 6, 4],
    ),
    "DepthwiseConv2D": (
        lambda: snt.DepthwiseConv2D(2, 2, 2),
        bare_depthwise((2, 2, 4, 2), [1, 2, 2, 1]),
        [None, 6, 6, 4],
    ),
    "SeparableConv1D": (
        lambda: snt.SeparableConv1D(3, 2, 2),
        bare_separable((1, 2, 4, 2), 3, [1, 1, 1, 1], height=True),
        [None, 6, 4],
    ),
    "SeparableConv2D, dilated": (
        lambda: snt.SeparableConv2D(3, 2, 2, rate=2),
        bare_separable((2, 2, 4, 2), 3, [1, 1, 1, 1], [2, 2]),
        [None, 6, 6, 4],
    ),
}


def new_ops(connect, shape):
    """Counts the ops of the first and of the second connection by type."""
    with tf.Graph().as_default() as graph:
        counts = []
        for _ in range(2):
            inputs = tf1.placeholder(tf.float32, shape)
            before = len(graph.get_operations())
            connect(inputs)
            counts.append(collections.Counter(op.type for op in graph.get_operations()[before:]))
        return counts


@pytest.mark.parametrize(("make", "bare", "shape"), CASES.values(), ids=CASES)
def test_makes_no_more_ops_than_by_hand(make, bare, shape):
    module = None

    def connect(inputs):
        nonlocal module
        module = module or make()
        return module(inputs)

    assert new_ops(connect, shape) == new_ops(bare, shape)


def test_a_convolution_of_images_is_two_ops_and_two_reads():
    _, second = new_ops(bare_conv((2, 2, 4, 3)), [None, 6, 6, 4])
    assert second == {"ReadVariableOp": 2, "Conv2D": 1, "BiasAdd": 1}
