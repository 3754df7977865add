"""`ACTCore`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Pair, Plain
from tests.support.unrolls import by_dynamic_rnn, check_gradients, check_unrolls, old_control_flow
from tests.support.variables import names

RNG = np.random.default_rng(0)
D, H, OUT = 2, 3, 4


def array(*shape, dtype="float64"):
    return RNG.normal(size=shape).astype(dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def identity(state):
    return state


def make(threshold=0.99, max_steps=0, core=None):
    return snt.ACTCore(core or Plain(H), OUT, threshold, identity, max_steps)


def randomised(core, mode, halting_bias=-0.5):
    """Gives the variables random values, and returns them by name."""
    weights = {}
    for variable, name in zip(core.variables, names(core.variables), strict=True):
        value = 0.5 * RNG.normal(size=variable.shape)
        if name.endswith("halting_linear/b"):
            value = np.full([1], halting_bias)
        mode.assign(variable, value)
        weights[name.removeprefix("act_core/")] = value
    return weights


def ponder(x, h, weights, threshold, max_steps):
    """Ponders on one example, as the paper has it, step by step."""
    total, n, remainder, flag = 0.0, 0, 0.0, 0.0
    output, state = np.zeros(H), np.zeros(H)
    while True:
        n += 1
        h = np.tanh(np.append(x, flag) @ weights["plain/w"] + h)
        p = sigmoid(h @ weights["halting_linear/w"] + weights["halting_linear/b"])[0]
        halts = total + p > threshold or (max_steps and n >= max_steps)
        p = 1 - total if halts else p
        output, state = output + p * h, state + p * h
        total += p
        if halts:
            output = output @ weights["act_output_linear/w"] + weights["act_output_linear/b"]
            return output, [float(n)], [remainder], state
        remainder, flag = 1 - total, 1.0


def reference(x, h, weights, threshold=0.99, max_steps=0):
    """Returns output, number of steps, remainder, next state."""
    results = [ponder(*pair, weights, threshold, max_steps) for pair in zip(x, h, strict=True)]
    return [np.array(values) for values in zip(*results, strict=True)]


@pytest.mark.parametrize(("threshold", "max_steps"), [(0.99, 0), (0.6, 0), (1.0, 3), (0.0, 0)])
def test_each_example_ponders_by_itself(threshold, max_steps, mode):
    core = make(threshold, max_steps)
    x, h = 2 * array(6, D), array(6, H)
    mode.run(core, x, h, unknown_batch=True)  # the first connection of all is in the loop
    weights = randomised(core, mode)
    (output, (n, remainder)), state = mode.run(core, x, h, unknown_batch=True)
    expected = reference(x, h, weights, threshold, max_steps)
    for found, value in zip((output, n, remainder, state), expected, strict=True):
        np.testing.assert_allclose(found, value, 1e-9, 1e-12)
    if threshold == 0.99:
        assert len(np.unique(n)) > 1
    assert ((remainder >= 0) & (remainder < 1)).all()


@pytest.mark.parametrize(
    ("threshold", "max_steps", "num_steps", "remainder"),
    [(0.99, 0, 4, 0.193), (0.3, 0, 2, 0.731), (0.99, 1, 1, 0.0), (0.99, 2, 2, 0.731)],
)
def test_known_numbers(threshold, max_steps, num_steps, remainder, mode):
    """With a probability of σ(-1) = 0.269 in each step."""
    core = make(threshold, max_steps)
    x, h = array(5, D), array(5, H)
    mode.run(core, x, h)
    for variable in core.variables:
        if "halting" in variable.name:
            mode.assign(variable, np.full(variable.shape, -1.0 if "/b" in variable.name else 0))
    (_, (n, r)), _ = mode.run(core, x, h)
    np.testing.assert_array_equal(n, np.full([5, 1], num_steps))
    np.testing.assert_allclose(r, np.full([5, 1], remainder), atol=5e-4)


class Told(snt.RNNCore):
    """Its state is the number of the step and a logit, which depends on that and the input.

    The probabilities are 0.5, 0.75 and from then on 0 where the input is 1, always 0.3 elsewhere.
    """

    state_size = output_size = tf.TensorShape([2])

    def _build(self, inputs, prev_state):
        step = prev_state[:, :1]
        half, three_quarters, none, rest = tf.unstack(
            tf.constant([0, np.log(3), -800, np.log(3 / 7)], tf.float64)
        )
        logits = tf.where(step < 1, half, tf.where(step < 2, three_quarters, none))
        logits = tf.where(inputs[:, :1] > 0, logits, rest)
        return prev_state, tf.concat([step + 1, logits], axis=1)


def test_who_has_halted_keeps_the_remainder(mode):
    """With the threshold 1, where a probability of 0 does not take the sum above it."""
    core = snt.ACTCore(Told(), OUT, 1, lambda state: state[:, 1:])

    def connect(x):
        return core(x, core.zero_state(2, tf.float64))

    x = np.array([[1.0], [0.0]])
    mode.run(connect, x)
    for variable in core.variables:
        if "halting" in variable.name:
            mode.assign(variable, np.full(variable.shape, 0.0 if "/b" in variable.name else 1.0))
    (_, (n, remainder)), _ = mode.run(connect, x)
    np.testing.assert_array_equal(n, [[2], [4]])
    np.testing.assert_allclose(remainder, [[0.5], [0.1]])


@pytest.mark.parametrize("max_steps", [0, 2])
def test_in_loops(max_steps, mode):
    core = make(0.8, max_steps)
    x = array(3, 3, D)
    (outputs, (n, remainder)), state = check_unrolls(core, x, mode, 1e-9, 1e-9)
    assert (outputs.shape, n.shape, remainder.shape) == ((3, 3, OUT), (3, 3, 1), (3, 3, 1))
    values = mode.values(list(core.variables))
    weights = dict(zip(names(core.variables), values, strict=True))
    weights = {name.removeprefix("act_core/"): value for name, value in weights.items()}
    h = np.zeros([3, H])
    for t in range(3):
        *expected, h = reference(x[:, t], h, weights, 0.8, max_steps)
        found = (outputs[:, t], n[:, t], remainder[:, t])
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, two, 1e-9, 1e-12)
    np.testing.assert_allclose(state, h, 1e-9, 1e-12)


def test_in_the_loops_of_tensorflow_1():
    with old_control_flow() as mode:
        check_unrolls(make(0.8, core=snt.GRU(H)), array(3, 3, D), mode, 1e-9)


def test_gradients(mode):
    """Of outputs, state and ponder cost, where the numbers of steps do not change."""
    core = make(0.9)
    x, h, factor = array(3, D), array(3, H), array(3, OUT)

    def loss():
        (output, (n, remainder)), state = core(tf.constant(x), tf.constant(h))
        return tf.reduce_sum(output * factor) + tf.reduce_sum(n + remainder) + tf.reduce_sum(state)

    mode.run(loss)
    randomised(core, mode)
    check_gradients(loss, list(core.variables), mode)


def test_gradients_in_the_loops_of_tensorflow_1():
    """Through a loop in a loop."""
    with old_control_flow() as mode:
        core = make(0.9)
        x = tf.constant(array(3, 2, D))

        def loss():
            outputs, state = by_dynamic_rnn(core, x, core.zero_state(3, tf.float64))
            return sum(tf.reduce_sum(leaf**2) for leaf in tf.nest.flatten((outputs, state)))

        mode.run(loss)
        randomised(core, mode)
        check_gradients(loss, list(core.variables), mode)


# Variables, sizes, properties.


def test_variables(mode):
    core = make()
    mode.run(core, array(5, D), array(5, H))
    mode.run(core, array(2, D), array(2, H))
    shapes = {n: tuple(v.shape) for n, v in zip(names(core.variables), core.variables, strict=True)}
    assert shapes == {
        "act_core/halting_linear/w": (H, 1),
        "act_core/halting_linear/b": (1,),
        "act_core/act_output_linear/w": (H, OUT),
        "act_core/act_output_linear/b": (OUT,),
        "plain/w": (D + 1, H),
    }
    assert len(core.get_variables()) == 4


def test_sizes_and_states_are_those_of_the_core(mode):
    inner = snt.RelationalMemory(2, H)
    core = snt.ACTCore(inner, OUT, 0.5, lambda memory: memory[:, 0])
    one = tf.TensorShape([1])
    assert core.output_size == (tf.TensorShape([OUT]), (one, one))
    assert core.state_size == inner.state_size
    start = core.initial_state(5, dtype=tf.float64, trainable=False)
    np.testing.assert_array_equal(mode.values(start[0]), np.eye(2, H))
    (output, _), state = mode.run(core, array(5, D), mode.values(start))
    assert output.shape == (5, OUT)
    assert state.shape == (5, 2, H)


class Counting(snt.RNNCore):
    """Its state has more than vectors: a vector, an image, a count."""

    state_size = (Pair(H, tf.TensorShape([2, 2])), tf.TensorShape([]))
    output_size = H  # an integer will do

    def _build(self, inputs, prev_state):
        pair, count = prev_state
        return pair.first, (Pair(pair.first / 2, pair.second + 1), count + 1)

    def zero_state(self, batch_size, dtype):
        image = tf.zeros([batch_size, 2, 2], dtype)
        return Pair(tf.ones([batch_size, H], dtype), image), tf.zeros([], tf.int32)


def test_states_of_any_structure(mode):
    core = snt.ACTCore(Counting(), OUT, 0.99, lambda state: state[0].first, max_steps=2)

    def connect(x):
        return core(x, core.zero_state(tf.shape(x)[0], x.dtype))

    mode.run(connect, array(3, D), unknown_batch=True)
    for variable in core.variables:
        mode.assign(variable, np.zeros(variable.shape))
    (_, (n, _)), (pair, count) = mode.run(connect, array(3, D), unknown_batch=True)
    np.testing.assert_array_equal(n, np.full([3, 1], 2))
    np.testing.assert_allclose(pair.first, np.full([3, H], (1 / 2 + 1 / 4) / 2))
    np.testing.assert_allclose(pair.second, np.full([3, 2, 2], (1 + 2) / 2))
    assert count == 2


def test_a_state_may_be_another_sequence_than_that_of_the_core(mode):
    core = snt.ACTCore(snt.LSTM(H), OUT, 0.9, lambda state: state.hidden)
    _, state = mode.run(
        lambda x: core(x, (tf.zeros([5, H]), tf.zeros([5, H]))), array(5, D, dtype="f")
    )
    assert type(state) is tuple
    state = mode.run(lambda x: core(x, core.initial_state(5)), array(5, D, dtype="f"))[1]
    assert isinstance(state, snt.LSTMState)


def test_batch_size_and_dtype():
    for shape, size in (([None, D], None), ([5, D], 5)):
        with tf.Graph().as_default():
            core = make()
            for name in ("batch_size", "dtype"):
                with pytest.raises(snt.NotConnectedError):
                    getattr(core, name)
            x = tf1.placeholder(tf.float64, shape)
            (output, (n, _)), state = core(x, core.zero_state(tf.shape(x)[0], tf.float64))
            assert core.batch_size == size
            assert core.dtype == tf.float64
            assert output.shape.as_list() == [size, OUT]
            assert n.shape.as_list() == [size, 1]
            assert state.shape.as_list()[1:] == [H]


@pytest.mark.parametrize(
    ("size", "match"),
    [
        (Pair(3, 3), "Output of core should be single Tensor"),
        ((tf.TensorShape([3]),), "Output of core should be single Tensor"),
        (tf.TensorShape([3, 4]), "Output of core should be 1D"),
        (tf.TensorShape([]), "Output of core should be 1D"),
    ],
)
def test_the_core_must_have_one_vector_of_output(size, match):
    class Sized(Plain):
        output_size = size

    with pytest.raises(ValueError, match=match):
        make(core=Sized(H))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_the_threshold_must_be_between_0_and_1(threshold):
    with pytest.raises(ValueError, match="Threshold should be between 0 and 1"):
        make(threshold)
    make(0.0)
    make(1.0)


def test_the_rank_must_be_2(mode):
    with pytest.raises(ValueError, match="must be of rank 2"):
        mode.run(make(), array(2, 3, D), array(2, H))
