"""`BidirectionalRNN`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Pair, Plain, plain
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[5, 4, 3]).astype(np.float32)  # [time, batch, features]


def small():
    return snt.BidirectionalRNN(Plain(2, name="fw"), Plain(3, name="bw"))


def test_values_and_sharing(mode):
    rnn = small()
    states = np.ones([4, 2], np.float32), np.full([4, 3], 2, np.float32)
    mode.run(lambda x, *state: rnn(x, state), X, *states)
    assert rnn.get_variables() == ()
    assert names(rnn.variables) == ["bw/w", "fw/w"]
    w_bw, w_fw = randomise(rnn.variables, mode)
    results = mode.run(lambda x, *state: rnn(x, list(state)), X, *states)
    assert results.keys() == {"outputs", "state"}
    for direction, w, h, steps in [
        ("forward", w_fw, states[0], X),
        ("backward", w_bw, states[1], X[::-1]),
    ]:
        expected = []
        for x in steps:
            _, h = plain(x, h, w)
            expected.append(h)
        for key in ("outputs", "state"):
            actual = results[key][direction]
            np.testing.assert_allclose(actual, np.stack(expected), 1e-4, 1e-4)
    assert len(rnn.variables) == 2


class Counter(snt.RNNCore):
    """Nested outputs and states, and a state without a batch."""

    state_size = Pair(tf.TensorShape([3]), tf.TensorShape([]))
    output_size = (3, Pair(3, 3))

    def _build(self, inputs, prev_state):
        total = prev_state.first + inputs
        return (total, Pair(inputs, -inputs)), Pair(total, prev_state.second + 1)


def test_structures_keep_their_types(mode):
    rnn = snt.BidirectionalRNN(Counter(), Counter())
    zeros = Pair(tf.zeros([4, 3]), tf.constant(0))
    results = mode.run(lambda x: rnn(x, (zeros, zeros)), X, unknown_batch=False)
    total, pair = results["outputs"]["backward"]
    assert type(pair) is Pair
    np.testing.assert_allclose(total, np.cumsum(X[::-1], axis=0), 1e-5, 1e-5)
    np.testing.assert_array_equal(pair.second, -X[::-1])
    state = results["state"]["forward"]
    assert type(state) is Pair
    np.testing.assert_allclose(state.first, np.cumsum(X, axis=0), 1e-5, 1e-5)
    np.testing.assert_array_equal(state.second, [1, 2, 3, 4, 5])


def test_an_unknown_batch_size():
    with tf.Graph().as_default():
        rnn = small()
        x = tf1.placeholder(tf.float32, [5, None, 3])
        outputs = rnn(x, rnn.initial_state(tf.shape(x)[1]))["outputs"]
        assert outputs["backward"].shape.as_list() == [5, None, 3]
        assert outputs["forward"].op.name.startswith("bidir_rnn/forward_rnn/")
        assert outputs["backward"].op.name.startswith("bidir_rnn/backward_rnn/")


@pytest.mark.parametrize("shape", [[None, 4, 3], None])
def test_the_number_of_steps_must_be_known(shape):
    with tf.Graph().as_default():
        rnn = small()
        x = tf1.placeholder(tf.float32, shape)
        with pytest.raises(ValueError, match=r"bidir_rnn: the number .* must be statically known"):
            rnn(x, rnn.initial_state(4))


def test_there_must_be_a_step(mode):
    rnn = small()
    with pytest.raises(ValueError, match="at least 1; got the shape"):
        mode.run(lambda x: rnn(x, rnn.initial_state(4)), X[:0])


def test_gradients_come_from_the_end(mode):
    rnn = small()

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = rnn(x, rnn.initial_state(4))["outputs"]
            loss = tf.reduce_sum(outputs["forward"][2]) + tf.reduce_sum(outputs["backward"][0])
        return tape.gradient(loss, x)

    reached = (mode.run(gradient, X) != 0).any(axis=(1, 2))
    np.testing.assert_array_equal(reached, [True, True, True, False, True])


def test_initial_states(mode):
    rnn = small()
    assert rnn.state_size == rnn.output_size == (tf.TensorShape([2]), tf.TensorShape([3]))
    state = rnn.initial_state(4, tf.float64)
    assert type(state) is tuple
    assert [(s.dtype, s.shape) for s in state] == [(tf.float64, (4, 2)), (tf.float64, (4, 3))]
    state = rnn.initial_state(
        4,
        trainable=True,
        trainable_initializers=tf1.ones_initializer(),
        trainable_regularizers=snt.l2_regularizer(0.5),
    )
    for value, size in zip(mode.values(state), (2, 3), strict=True):
        np.testing.assert_array_equal(value, np.ones([4, size]))
    if mode.in_graph:
        assert len(tf1.losses.get_regularization_losses()) == 2


def test_names_of_learnt_states():
    with tf.Graph().as_default():
        rnn = snt.BidirectionalRNN(snt.LSTM(2), snt.GRU(3))
        rnn.initial_state(4, trainable=True)
        assert names(tf1.trainable_variables()) == [
            "state_forward_hidden/w",
            "state_forward_cell/w",
            "state_backward_0/w",
        ]
        forward, backward = rnn.initial_state(4, trainable=True, name="mine")
        assert forward.hidden.op.name == "mine_forward/state_hidden_tiled"
        assert backward.op.name == "mine_backward/state_0_tiled"


def test_cores_of_other_classes():
    class Other:
        state_size = output_size = 3

        def __call__(self, inputs, state):
            return inputs + state, inputs + state

        def initial_state(self, *args, name):
            return args, name

    rnn = snt.BidirectionalRNN(Plain(2), Other())
    assert rnn.output_size == (tf.TensorShape([2]), 3)
    _, asked = rnn.initial_state(4, tf.float64, False, None, None, "base")
    assert asked == ((4, tf.float64, False, None, None), "base_backward")
    states = (tf.zeros([4, 2]), tf.zeros([4, 3]))
    outputs = rnn(tf.constant(X), states)["outputs"]["backward"]
    np.testing.assert_allclose(outputs, np.cumsum(X[::-1], axis=0), 1e-5, 1e-5)


@pytest.mark.parametrize("cores", [(Plain, snt.Linear), (snt.Linear, Plain)])
def test_what_is_no_core(cores):
    with pytest.raises(ValueError, match="must both be instances of snt.RNNCore"):
        snt.BidirectionalRNN(*(core(2) for core in cores))


def test_tracking():
    forward, backward = Plain(2), Plain(3)
    rnn = snt.BidirectionalRNN(forward, backward)
    assert {id(m) for m in rnn.submodules} == {id(forward), id(backward)}
    assert not hasattr(rnn, "zero_state")
