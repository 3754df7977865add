"""`RNNCellWrapper`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Pair, plain
from tests.support.variables import names, randomise

X = np.random.default_rng(0).normal(size=[4, 5, 3]).astype(np.float32)


class Cell:
    """A cell as TensorFlow 1 had them: it opens a scope of its name."""

    def __init__(self, size, name="cell"):
        self.state_size = self.output_size = size
        self.name = name

    def __call__(self, inputs, state):
        with tf1.variable_scope(self.name):
            w = tf1.get_variable("kernel", [inputs.shape.as_list()[-1], self.output_size])
        state = tf.tanh(tf.matmul(inputs, w) + state)
        return state, state


def doubling(getter, name, *args, **kwargs):
    return 2 * getter(name, *args, **kwargs)


def unroll(core):
    return lambda x: tf1.nn.dynamic_rnn(core, x, dtype=tf.float32)


@pytest.mark.parametrize(
    ("options", "variable"),
    [({}, "rnn_cell_wrapper/cell/kernel"), ({"name": "foo"}, "foo/foo/kernel")],
)
@pytest.mark.parametrize("getter", [None, doubling])
def test_values_and_names(options, variable, getter, mode):
    if getter:
        options = options | {"custom_getter": getter}
    core = snt.RNNCellWrapper(Cell, 2, **options)
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        core.get_variables()
    mode.run(unroll(core), X, unknown_batch=True)
    assert names(core.get_variables()) == [variable]
    [w] = randomise(core.get_variables(), mode)
    outputs, state = mode.run(unroll(core), X, unknown_batch=True)
    h = np.zeros([4, 2])
    for t in range(5):
        _, h = plain(X[:, t], h, 2 * w if getter else w)
        np.testing.assert_allclose(outputs[:, t], h, 1e-4, 1e-4)
    np.testing.assert_array_equal(state, outputs[:, -1])
    assert len(core.variables) == 1


def test_sizes_are_those_of_the_cell(mode):
    class Other:
        state_size = Pair(2, tf.TensorShape([3, 1]))
        output_size = 7

    core = snt.RNNCellWrapper(Other)
    assert core.state_size is Other.state_size
    assert type(core.output_size) is int
    state = core.initial_state(4, trainable=True)
    assert type(state) is Pair
    assert [v.shape for v in mode.values(state)] == [(4, 2), (4, 3, 1)]


def test_modules_are_nested_in_the_scope(mode):
    core = snt.RNNCellWrapper(snt.GRU, 2, name="foo")
    mode.run(unroll(core), X)
    assert all(name.startswith("foo/foo/") for name in names(core.get_variables()))
    assert len(core.get_variables()) == len(core.variables) == 9
    assert type(core.submodules[0]) is snt.GRU


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_cell_of_keras(in_loop, mode):
    core = snt.RNNCellWrapper(tf.keras.layers.LSTMCell, 2, name="foo")

    def loop(x):
        if in_loop:
            return unroll(core)(x)[0]
        state, outputs = core.initial_state(4), []
        for t in range(5):
            output, state = core(x[:, t], state)
            outputs.append(output)
        return tf.stack(outputs, axis=1)

    mode.run(loop, X)
    bias, kernel, recurrent = mode.values(core.trainable_variables)  # by name
    outputs = mode.run(loop, X)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros([4, 2])
    for t in range(5):
        i, f, g, o = np.split(X[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(outputs[:, t], h, 1e-4, 1e-5)
    assert len(core.trainable_variables) == 3
