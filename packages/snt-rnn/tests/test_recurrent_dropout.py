"""`lstm_with_recurrent_dropout` and `highway_core_with_recurrent_dropout`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_rnn.recurrent_dropout import RecurrentDropoutWrapper
from tests.support.recurrent import highway_step, lstm_step
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.normal(size=shape)


def lstm_call(core):
    return lambda x, h, c, mask: core(x, (snt.LSTMState(h, c), [mask]))


def test_lstm_drops_the_hidden_state(mode):
    train, test = snt.lstm_with_recurrent_dropout(3, keep_prob=0.5, forget_bias=0.2)
    assert isinstance(test, snt.LSTM)
    x, h, c = array(4, 2), array(4, 3), array(4, 3)
    mask = 2.0 * RNG.integers(0, 2, size=(4, 3))
    mode.run(lstm_call(train), x, h, c, mask)
    weights = weights_of(test, mode)
    outputs, ((hidden, cell), masks) = mode.run(lstm_call(train), x, h, c, mask)
    expected, (_, expected_cell) = lstm_step(weights, x, (h, c), 0.2)
    np.testing.assert_allclose(outputs, expected, 1e-9)
    np.testing.assert_allclose(hidden, expected * mask, 1e-9)
    np.testing.assert_allclose(cell, expected_cell, 1e-9)
    np.testing.assert_array_equal(masks[0], mask)
    alone, state = mode.run(lambda *args: test(args[0], args[1:]), x, h, c)
    np.testing.assert_array_equal(alone, outputs)
    np.testing.assert_allclose(state.hidden, expected, 1e-9)


def test_highway_core_drops_its_state(mode):
    train, test = snt.highway_core_with_recurrent_dropout(3, 2, keep_prob=0.25)
    assert isinstance(test, snt.HighwayCore)
    x, s, mask = array(4, 2), array(4, 3), 4.0 * RNG.integers(0, 2, size=(4, 3))

    def call(x, s, mask):
        return train(x, (s, [mask]))

    mode.run(call, x, s, mask)
    weights = weights_of(test, mode)
    outputs, (state, _) = mode.run(call, x, s, mask)
    expected, _ = highway_step(weights, x, s)
    np.testing.assert_allclose(outputs, expected, 1e-9)
    np.testing.assert_allclose(state, expected * mask, 1e-9)


@pytest.mark.parametrize("method", ["initial_state", "zero_state"])
def test_states_have_masks(method, mode):
    train, _ = snt.lstm_with_recurrent_dropout(100, keep_prob=0.8)
    make = getattr(train, method)

    def states(batch_size):
        return [make(n, dtype=tf.float64) for n in (50, batch_size)]

    for state, masks in mode.run(states, np.int32(50)):
        assert isinstance(state, snt.LSTMState)
        assert isinstance(masks, list)
        assert all(part.shape == (50, 100) and not part.any() for part in state)
        (mask,) = masks
        assert mask.dtype == np.float64
        assert mask.shape == (50, 100)
        np.testing.assert_allclose(np.unique(mask), [0, 1.25])
        # 5000 choices: 5 standard deviations are 0.028.
        np.testing.assert_allclose((mask > 0).mean(), 0.8, atol=0.03)


def test_each_state_has_masks_of_its_own(mode):
    train, _ = snt.highway_core_with_recurrent_dropout(100, 1)
    (_, [first]), (_, [second]) = mode.run(lambda: [train.initial_state(5) for _ in range(2)])
    assert (first != second).any()


def test_each_run_of_a_graph_draws_masks():
    with tf.Graph().as_default(), tf1.Session() as session:
        train, _ = snt.highway_core_with_recurrent_dropout(100, 1)
        _, [mask] = train.initial_state(5)
        assert (session.run(mask) != session.run(mask)).any()


def test_to_keep_all_is_a_mask_of_ones(mode):
    train, _ = snt.lstm_with_recurrent_dropout(10, keep_prob=1.0)
    _, [mask] = mode.run(lambda: train.initial_state(5))
    assert (mask == 1).all()


def test_the_probability_may_be_a_tensor(mode):
    masks = mode.run(
        lambda p: snt.lstm_with_recurrent_dropout(50, p)[0].initial_state(20)[1], np.float32(0.25)
    )
    np.testing.assert_allclose(np.unique(masks[0]), [0, 4])


@pytest.mark.parametrize("initial", [True, False])
def test_dynamic_rnn_keeps_the_masks_for_the_sequence(initial, mode):
    train, test = snt.lstm_with_recurrent_dropout(20, keep_prob=0.5)
    x = array(6, 3, 2).astype("float32")

    def unroll(x):
        state = train.initial_state(3) if initial else None
        outputs, (_, [mask]) = tf1.nn.dynamic_rnn(
            train, x, initial_state=state, dtype=tf.float32, time_major=True
        )
        return outputs, mask

    mode.run(unroll, x)
    weights = weights_of(test, mode)
    outputs, mask = mode.run(unroll, x)
    assert set(np.unique(mask)) == {0, 2}
    h, c = np.zeros([2, 3, 20])
    for step, output in zip(x, outputs, strict=True):
        expected, (h, c) = lstm_step(weights, step, (h, c))
        h = h * mask
        np.testing.assert_allclose(output, expected, 1e-4, 1e-5)


def test_sizes_names_and_variables(mode):
    train, test = snt.lstm_with_recurrent_dropout(3, projection_size=2, name="core")
    assert (train.module_name, test.module_name) == ("core_recdropout", "core")
    sizes = train.state_size
    assert sizes == (test.state_size, [tf.TensorShape([2])])
    assert (type(sizes), type(sizes[1])) == (tuple, list)
    assert train.output_size == tf.TensorShape([2])
    with pytest.raises(snt.NotConnectedError):
        train.get_variables()
    mode.run(lambda x: train(x, train.initial_state(2, tf.float64)), array(2, 4))
    assert train.get_variables() == ()
    assert [v.name for v in train.variables] == sorted(v.name for v in test.get_variables())
    other, _ = snt.highway_core_with_recurrent_dropout(3, 1)
    assert other.module_name == "highwaycore_recdropout"


def test_trainable_initial_state(mode):
    train, _ = snt.lstm_with_recurrent_dropout(3, name="core")
    made = []

    class Initial(snt.AbstractModule):
        def _build(self):
            return train.initial_state(
                4,
                trainable=True,
                trainable_initializers=snt.LSTMState(*map(tf1.constant_initializer, (1.0, 2.0))),
                name="start",
            )

    initial = Initial(name="initial")
    made = mode.run(lambda: initial())
    (hidden, cell), [mask] = made
    assert (hidden == 1).all()
    assert (cell == 2).all()
    assert mask.shape == (4, 3)
    names = [v.name for v in initial.get_variables()]
    assert names == ["initial/start_hidden/w:0", "initial/start_cell/w:0"]


@pytest.mark.parametrize("keep_prob", [0.0, -0.1, 1.1, float("nan")])
def test_probabilities_are_checked(keep_prob):
    with pytest.raises(ValueError, match=r"recdropout: a probability to keep .* \(0, 1\]"):
        snt.lstm_with_recurrent_dropout(3, keep_prob)


def test_probabilities_have_the_structure_of_the_state():
    with pytest.raises(TypeError, match="structure"):
        RecurrentDropoutWrapper(snt.LSTM(3), (0.5, None))
    core = RecurrentDropoutWrapper(snt.LSTM(3), snt.LSTMState(None, 0.5))
    _, (_, masks) = core(array(2, 4), core.initial_state(2, tf.float64))
    assert len(masks) == 1
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        core(array(2, 4), (core.initial_state(2, tf.float64)[0], []))
