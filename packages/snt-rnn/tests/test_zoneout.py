"""`lstm_with_zoneout`."""

import numpy as np
import pytest
import tensorflow as tf

import sonnet as snt
from snt_rnn.zoneout import ZoneoutWrapper
from tests.support.recurrent import lstm_step
from tests.support.transformers import weights_of

RNG = np.random.default_rng(0)


def call(core):
    return lambda x, h, c: core(x, snt.LSTMState(h, c))


def arrays(batch=3, hidden=4, dtype="float64"):
    return [RNG.normal(size=(batch, size)).astype(dtype) for size in (2, hidden, hidden)]


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_training_keeps_features_at_random(dtype, mode):
    train, _ = snt.lstm_with_zoneout(100, keep_prob_c=0.3, keep_prob_h=0.8, name="core")
    x, h, c = arrays(50, 100, dtype)
    mode.run(call(train), x, h, c)
    (core,) = (s for s in train.submodules if isinstance(s, snt.LSTM))
    weights = weights_of(core, mode)
    outputs, state = mode.run(call(train), x, h, c)
    expected, new = lstm_step(weights, *(a.astype("float64") for a in (x,)), (h * 1.0, c * 1.0))
    tolerance = 1e-9 if dtype == "float64" else 0.02
    np.testing.assert_allclose(outputs, expected, atol=tolerance)
    assert state.cell.dtype == dtype
    for found, old, update, keep_prob in zip(state, (h, c), new, (0.8, 0.3), strict=True):
        updated = found != old
        # 5000 choices: 5 standard deviations are at most 0.035.
        np.testing.assert_allclose(updated.mean(), keep_prob, atol=0.04)
        np.testing.assert_allclose(found, np.where(updated, update, old), atol=tolerance)
    _, other = mode.run(call(train), x, h, c)
    assert (state.cell != other.cell).any()


def test_tests_take_the_mean(mode):
    train, test = snt.lstm_with_zoneout(4, keep_prob_c=0.3, keep_prob_h=0.8)
    x, h, c = arrays()
    mode.run(call(train), x, h, c)
    (core,) = (s for s in test.submodules if isinstance(s, snt.LSTM))
    weights = weights_of(core, mode)
    outputs, state = mode.run(call(test), x, h, c)
    expected, (new_h, new_c) = lstm_step(weights, x, (h, c))
    np.testing.assert_allclose(outputs, expected, 1e-9)
    np.testing.assert_allclose(state.hidden, 0.2 * h + 0.8 * new_h, 1e-9)
    np.testing.assert_allclose(state.cell, 0.7 * c + 0.3 * new_c, 1e-9)


def test_certain_probabilities_and_none(mode):
    lstm = snt.LSTM(4)
    x, h, c = arrays()
    _, plain = mode.run(call(lstm), x, h, c)
    for keep_probs, expected in (
        ((0, 1.0), (h, plain.cell)),
        ((1, 0.0), (plain.hidden, c)),
        ((None, 0), (plain.hidden, c)),
    ):
        core = ZoneoutWrapper(lstm, snt.LSTMState(*keep_probs), is_training=True)
        _, state = mode.run(call(core), x, h, c)
        for found, e in zip(state, expected, strict=True):
            np.testing.assert_allclose(found, e, 1e-12)


def test_gradients_reach_what_was_updated_and_what_was_kept():
    train, _ = snt.lstm_with_zoneout(30, keep_prob_c=0.5)
    x, h, c = map(tf.constant, arrays(5, 30))
    with tf.GradientTape() as tape:
        tape.watch(c)
        _, state = train(x, snt.LSTMState(h, c))
    gradient = tape.gradient(state.cell, c).numpy()
    kept = state.cell.numpy() == c.numpy()
    assert 0 < kept.mean() < 1
    assert (gradient[kept] == 1).all()
    assert ((gradient[~kept] > 0) & (gradient[~kept] < 1)).all()  # those of a sigmoid


def test_names_sizes_and_variables(mode):
    train, test = snt.lstm_with_zoneout(4, projection_size=2)
    assert (train.module_name, test.module_name) == ("lstm_zoneout", "lstm_zoneout_1")
    for core in (train, test):
        assert core.state_size == snt.LSTMState(tf.TensorShape([2]), tf.TensorShape([4]))
        assert core.output_size == tf.TensorShape([2])

    def both(x):
        outputs, _ = train(x, train.initial_state(3, dtype=tf.float64))
        return outputs, test(x, test.zero_state(3, tf.float64))[0]

    first, second = mode.run(both, arrays()[0])
    np.testing.assert_allclose(first, second, 1e-12)
    assert train.get_variables() == test.get_variables() == ()
    assert len(train.variables) == len(test.variables) == 3
    assert all(v.name.startswith("lstm/") for v in train.variables)


@pytest.mark.parametrize("container", [tuple, list])
@pytest.mark.parametrize("which", [0, 1])
def test_the_state_must_be_an_lstm_state(container, which, mode):
    core = snt.lstm_with_zoneout(4)[which]
    with pytest.raises(TypeError, match="structure"):
        mode.run(lambda x, h, c: core(x, container([h, c])), *arrays())


def test_probabilities_are_checked():
    for options in ({"keep_prob_c": -0.1}, {"keep_prob_h": 1.5}):
        with pytest.raises(ValueError, match=r"a probability to keep must be in \[0, 1\], got"):
            snt.lstm_with_zoneout(4, **options)
    with pytest.raises(TypeError, match="structure"):
        ZoneoutWrapper(snt.LSTM(3), (0.5, None), is_training=True)
