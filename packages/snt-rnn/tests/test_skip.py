"""`ResidualCore` and `SkipConnectionCore`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Nested, Pair, Plain, Short, plain
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[4, 5, 3]).astype(np.float32)  # [batch, time, features]
WRAPPERS = [snt.ResidualCore, snt.SkipConnectionCore]


def nested_arrays(seed):
    random = np.random.default_rng(seed)
    return random.normal(size=[4, 3]), random.normal(size=[4, 2, 3])


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_values_and_sharing(wrapper, mode):
    base = Plain(3)
    core = wrapper(base)

    def twice(x, h):
        output, state = core(x[:, 0], h)
        return [output, state, *core(x[:, 1], state)]

    h = np.ones([4, 3], np.float32)
    mode.run(twice, X, h, unknown_batch=True)
    [w] = randomise(core.variables, mode)
    results = mode.run(twice, X, h, unknown_batch=True)
    for t in range(2):
        output, h = plain(X[:, t], h, w)
        if wrapper is snt.ResidualCore:
            expected = X[:, t] + output
        else:
            expected = np.concatenate([X[:, t], output], axis=-1)
        np.testing.assert_allclose(results[2 * t], expected, 1e-5, 1e-6)
        np.testing.assert_allclose(results[2 * t + 1], h, 1e-5, 1e-6)
    assert core.get_variables() == ()
    assert names(core.variables) == ["plain/w"]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("given", [{}, {"factor": 2}])
def test_structures_and_keyword_arguments(wrapper, given, mode):
    core = wrapper(Nested())

    def step(v, image, s, state_image):
        inputs = Pair(v, [image])
        return core(inputs, (Pair(s, state_image), [tf.zeros([4, 1])]), **given)

    (v, image), (s, state_image) = nested_arrays(0), nested_arrays(1)
    output, state = mode.run(step, v, image, s, state_image)
    assert type(output) is Pair
    assert type(output.second) is list
    total, product = s + given.get("factor", 1) * v, state_image * image
    if wrapper is snt.ResidualCore:
        expected = [v + total, image + product]
    else:
        expected = [np.concatenate(p, axis=-1) for p in [(v, total), (image, product)]]
    np.testing.assert_allclose(output.first, expected[0])
    np.testing.assert_allclose(output.second[0], expected[1])
    np.testing.assert_allclose(state[0].second, product)
    if wrapper is snt.SkipConnectionCore:
        assert core.output_size == Pair(tf.TensorShape([6]), [tf.TensorShape([2, 6])])
    else:
        assert core.output_size == Nested().output_size
    assert core.state_size == Nested().state_size


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_another_structure_of_outputs_is_an_error(wrapper, mode):
    core = wrapper(lambda x, state: ([x], state))
    with pytest.raises((TypeError, ValueError), match="structure"):
        mode.run(lambda x: core(x, x), X[:, 0])


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_states_are_those_of_the_base_core(wrapper, mode):
    core = wrapper(Short())
    assert core.state_size is Short.state_size
    for state, value in [(core.initial_state(4), 1), (core.zero_state(4, tf.float64), 0)]:
        assert [s.dtype for s in state] == [(tf.float64, tf.float32)[value], tf.int32]
        np.testing.assert_array_equal(mode.values(state)[0], np.full([4, 2], value))
    with pytest.raises(TypeError, match="trainable"):
        core.initial_state(4, trainable=True)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_learnt_state(wrapper):
    with tf.Graph().as_default():
        state = wrapper(Plain(3, name="a"), name="b").initial_state(4, trainable=True, name="c")
        assert names(tf1.trainable_variables()) == ["c_0/w"]
        assert state.op.name == "c/state_0_tiled"


@pytest.mark.parametrize("static", [False, True])
def test_loops_of_tensorflow(static, mode):
    core = snt.SkipConnectionCore(snt.ResidualCore(Plain(3)), input_shape=(3,))

    def loop(x):
        if static:
            outputs, state = tf1.nn.static_rnn(core, tf.unstack(x, axis=1), dtype=tf.float32)
            return tf.stack(outputs, axis=1), state
        return tf1.nn.dynamic_rnn(core, x, dtype=tf.float32)

    mode.run(loop, X)
    [w] = randomise(core.variables, mode)
    outputs, state = mode.run(loop, X)
    h = np.zeros([4, 3])
    for t in range(5):
        output, h = plain(X[:, t], h, w)
        expected = np.concatenate([X[:, t], X[:, t] + output], axis=-1)
        np.testing.assert_allclose(outputs[:, t], expected, 1e-5, 1e-5)
    np.testing.assert_allclose(state, h, 1e-5, 1e-5)


def test_gradients_reach_inputs_by_both_ways(mode):
    core = snt.SkipConnectionCore(snt.ResidualCore(Plain(3)))

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(core(x, tf.zeros([4, 3]))[0])
        return tape.gradient(loss, x)

    mode.run(gradient, X[:, 0])
    [w] = randomise(core.variables, mode)
    expected = 2 + (1 - np.tanh(X[:, 0] @ w) ** 2) @ w.T
    np.testing.assert_allclose(mode.run(gradient, X[:, 0]), expected, 1e-4, 1e-5)


# Output size.


class Sized(snt.RNNCore):
    state_size = tf.TensorShape([1])

    def __init__(self, output_size):
        super().__init__()
        self._size = output_size

    def _build(self, inputs, prev_state):
        return inputs, prev_state

    @property
    def output_size(self):
        return self._size


def test_residual_output_size():
    assert snt.ResidualCore(Sized(7)).output_size == 7
    assert snt.ResidualCore(Plain(7)).output_size == tf.TensorShape([7])


@pytest.mark.parametrize(
    ("input_shape", "size", "expected"),
    [
        ((3,), 4, [7]),
        ([3], tf.TensorShape([4]), [7]),
        (tf.TensorShape([3]), 4, [7]),
        (3, 4, [7]),
        ((8, 6, 3), tf.TensorShape([8, 6, 1]), [8, 6, 4]),
    ],
)
def test_skip_output_size(input_shape, size, expected):
    core = snt.SkipConnectionCore(Sized(size), input_shape=input_shape)
    assert core.output_size == tf.TensorShape(expected)


def test_a_structure_of_input_shapes():
    shapes = Pair(tf.TensorShape([1]), [tf.TensorShape([2, 3])])
    core = snt.SkipConnectionCore(Nested(), input_shape=shapes)
    assert core.output_size == Pair(tf.TensorShape([4]), [tf.TensorShape([2, 6])])


def test_the_shape_of_the_first_inputs_counts(mode):
    core = snt.SkipConnectionCore(Sized(tf.TensorShape([3])))
    with pytest.raises(ValueError, match=r"skip_connection_core: Output size unknown.*input_shape"):
        _ = core.output_size
    mode.run(lambda x: core(x, x)[0], X[:, 0], unknown_batch=True)
    assert core.output_size == tf.TensorShape([6])


def test_an_input_shape_that_does_not_fit():
    core = snt.SkipConnectionCore(Sized(tf.TensorShape([8, 5])), input_shape=[7, 5])
    with pytest.raises(ValueError, match="all axes but the last must agree"):
        _ = core.output_size


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_tracking(wrapper):
    base = Plain(3)
    core = wrapper(base)
    core(tf.ones([4, 3]), tf.zeros([4, 3]))
    assert core.submodules == (base,)
    assert [id(v) for v in core.trainable_variables] == [id(v) for v in base.variables]
