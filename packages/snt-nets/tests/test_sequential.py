"""`Sequential`."""

import collections
import functools
import logging

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

Pair = collections.namedtuple("Pair", ["first", "second"])

INPUTS = np.arange(8, dtype=np.float32).reshape(2, 4) / 8


@pytest.mark.parametrize("wrap", [list, tuple, iter])
def test_applies_layers_in_order(wrap, mode):
    first, last = snt.Linear(5), snt.Linear(3)
    layers = [first, tf.tanh, last, lambda x: 2 * x]
    net = snt.Sequential(wrap(layers))
    outputs = mode.run(net, INPUTS)
    w1, b1, w2, b2 = mode.values([first.w, first.b, last.w, last.b])
    expected = 2 * (np.tanh(INPUTS @ w1 + b1) @ w2 + b2)
    np.testing.assert_allclose(outputs, expected, 1e-5, 1e-6)
    assert net.layers == tuple(layers)
    assert type(net.layers) is tuple


def test_later_changes_of_the_list_have_no_effect(mode):
    layers = [tf.negative]
    net = snt.Sequential(layers)
    layers.append(tf.negative)
    np.testing.assert_array_equal(mode.run(net, INPUTS), -INPUTS)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x: (x, 2 * x), 3),
        (lambda x: Pair(2 * x, x), 3),
        (lambda x: (x,), 1),
        (lambda x: [x, 2 * x], "list"),
        (lambda x: {"a": x}, "dict"),
        (lambda x: ((x, x), 3 * x), "tuple and one more"),
    ],
)
def test_unpacks_tuples_only(make, expected, mode):
    def second(*args):
        if isinstance(expected, int):
            return sum(args)
        if expected == "tuple and one more":
            assert len(args) == 2
            assert isinstance(args[0], tuple)
        else:
            assert [type(arg).__name__ for arg in args] == [expected]
        return tf.nest.flatten(args)[0]

    factor = expected if isinstance(expected, int) else 1
    np.testing.assert_array_equal(mode.run(snt.Sequential([make, second]), INPUTS), factor * INPUTS)


def test_a_tuple_given_as_the_input_is_one_argument(mode):
    net = snt.Sequential([lambda pair: pair[0] - pair[1]])
    np.testing.assert_array_equal(
        mode.run(lambda x, y: net((x, y)), 3 * INPUTS, INPUTS), 2 * INPUTS
    )
    np.testing.assert_array_equal(
        mode.run(snt.Sequential([tf.subtract]), 3 * INPUTS, INPUTS), 2 * INPUTS
    )


def test_without_layers_the_inputs_come_back():
    net = snt.Sequential([])
    x, y = tf.ones([1]), tf.zeros([1])
    assert net(x) is x
    assert net((x, y)) == (x, y)
    assert net([x, y]) == [x, y]
    assert net(x, y) == (x, y)
    assert net() == ()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (None, "'NoneType' object is not iterable"),
        (3, "'int' object is not iterable"),
        ([3], "Items 0 not callable with types: int$"),
        ([tf.tanh, 3, tf.tanh, "a", None], "Items 1, 3, 4 not callable with types: int, str, None"),
    ],
)
def test_layers_must_be_callable(layers, message):
    with pytest.raises(TypeError, match=message):
        snt.Sequential(layers)


def test_takes_no_keyword_arguments(mode):
    net = snt.Sequential([snt.Linear(2)])
    with pytest.raises(TypeError):
        mode.run(lambda x: net(inputs=x), INPUTS)
    with pytest.raises(TypeError):
        mode.run(lambda x: net(x, x), INPUTS)
    partial = functools.partial(snt.nets.MLP([2]), is_training=False)
    assert mode.run(snt.Sequential([partial]), INPUTS).shape == (2, 2)


def test_variables_are_in_the_scopes_of_the_layers(mode, caplog):
    layers = [snt.Linear(5), tf.tanh, snt.Linear(3)]
    with tf1.variable_scope("outer"):
        net = snt.Sequential(layers)
    mode.run(net, INPUTS)
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        assert net.get_variables() == ()
    assert "will always return an empty tuple" in caplog.text
    names = ["linear/b:0", "linear/w:0", "linear_1/b:0", "linear_1/w:0"]
    for found in (net.variables, net.trainable_variables, net.get_all_variables()):
        assert [v.name for v in found] == names
    assert net.non_trainable_variables == ()
    assert net.scope_name == "outer/sequential"


def test_name_scopes_nest():
    with tf.Graph().as_default():
        linear = snt.Linear(2)
        net = snt.Sequential([linear, tf.tanh])
        with tf1.name_scope("a"):
            outputs = net(tf.constant(INPUTS))
        assert net.name_scopes == ("a/sequential",)
        assert linear.name_scopes == ("a/sequential/linear",)
        assert outputs.name == "a/sequential/Tanh:0"
        assert [v.name for v in net.variables] == ["linear/b:0", "linear/w:0"]


def test_shares_with_the_layers_used_alone(mode):
    linear = snt.Linear(2)
    net = snt.Sequential([linear, tf.identity])
    np.testing.assert_array_equal(mode.run(net, INPUTS), mode.run(linear, INPUTS))
    assert len(net.variables) == 2
