"""The README's programs with recurrent modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support import recurrent
from tests.support.modes import Mode
from tests.support.transformers import weights_of
from tests.support.variables import names

HIDDEN_SIZE = 5
BATCH_SIZE = 4
TRAIN = np.random.default_rng(0).normal(size=(3, BATCH_SIZE, 2)).astype(np.float32)


def zeros() -> tuple[Any, Any]:
    return np.zeros([BATCH_SIZE, HIDDEN_SIZE]), np.zeros([BATCH_SIZE, HIDDEN_SIZE])


@pytest.mark.parametrize("in_a_tensor", [False, True])
def test_unrolls_an_lstm(in_a_tensor: bool, mode: Mode) -> None:
    lstm = snt.LSTM(HIDDEN_SIZE)

    def unroll(train_data: Any) -> Any:
        batch_size = tf.shape(train_data)[1] if in_a_tensor else BATCH_SIZE
        initial_state = lstm.initial_state(batch_size)
        return tf.nn.dynamic_rnn(lstm, train_data, initial_state=initial_state, time_major=True)

    mode.run(unroll, TRAIN)
    assert names(lstm.get_variables()) == ["lstm/w_gates", "lstm/b_gates"]
    weights = weights_of(lstm, mode)
    output_sequence, final_state = mode.run(unroll, TRAIN)
    expected, state = recurrent.unroll(recurrent.lstm_step, weights, TRAIN, zeros())
    np.testing.assert_allclose(output_sequence, expected, 1e-4, 1e-5)
    assert isinstance(final_state, snt.LSTMState)
    np.testing.assert_allclose(final_state.hidden, state[0], 1e-4, 1e-5)
    np.testing.assert_allclose(final_state.cell, state[1], 1e-4, 1e-5)


class Add1RNN(snt.RNNCore):
    """Simple core that adds 1 to its state and produces zero outputs.

    This core computes the following:

    (`input`, (`state1`, `state2`)) -> (`output`, (`next_state1`, `next_state2`))

    where all the elements are tensors, next_statei` = `statei` + 1, and
    `output` = 0. All the outputs (`state` and `output`) are of size
    (`batch_size`, `hidden_size`), where `hidden_size` is a size that is
    specified in the constructor.
    """

    def __init__(self, hidden_size, name="add1_rnn"):
        super(Add1RNN, self).__init__(name=name)  # noqa: UP008 - as in the README
        self._hidden_size = hidden_size

    def _build(self, inputs, state):
        """Adds 1 to each of the states, and outputs zeros."""
        batch_size = tf.TensorShape([inputs.get_shape()[0]])
        outputs = tf.zeros(shape=batch_size.concatenate(self.output_size))
        state1, state2 = state
        next_state = (state1 + 1, state2 + 1)
        return outputs, next_state

    @property
    def state_size(self):
        """Returns a description of the state size, without batch dimension."""
        return (tf.TensorShape([self._hidden_size]), tf.TensorShape([self._hidden_size]))

    @property
    def output_size(self):
        """Returns a description of the output size, without batch dimension."""
        return tf.TensorShape([self._hidden_size])


def test_a_core_of_one_s_own(mode: Mode) -> None:
    core = Add1RNN(HIDDEN_SIZE)

    def once(inputs: Any) -> Any:
        return core(inputs, core.initial_state(BATCH_SIZE))

    output, state = mode.run(once, TRAIN[0])
    assert output.shape == (BATCH_SIZE, HIDDEN_SIZE)
    assert not output.any()
    assert [part.shape for part in state] == [(BATCH_SIZE, HIDDEN_SIZE)] * 2
    assert all((part == 1).all() for part in state)

    def unroll(inputs: Any) -> Any:
        initial_state = core.initial_state(BATCH_SIZE)
        return tf.nn.dynamic_rnn(core, inputs, initial_state=initial_state, time_major=True)

    outputs, state = mode.run(unroll, TRAIN)
    assert outputs.shape == (3, BATCH_SIZE, HIDDEN_SIZE)
    assert not outputs.any()
    assert all((part == 3).all() for part in state)


def test_initial_states_that_are_learnt() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        lstm = snt.LSTM(HIDDEN_SIZE, name="core")
        train_data = tf.constant(TRAIN)
        initial_state = lstm.initial_state(BATCH_SIZE, trainable=True)
        named = lstm.initial_state(tf.shape(train_data)[1], trainable=True, name="start")
        fixed = lstm.initial_state(BATCH_SIZE)
        assert names(tf.trainable_variables()) == [
            "core_initial_state_hidden/w",
            "core_initial_state_cell/w",
            "start_hidden/w",
            "start_cell/w",
        ]
        assert initial_state.hidden.op.name == "core_initial_state/state_hidden_tiled"
        assert named.cell.op.name == "start/state_cell_tiled"
        variables = tf.trainable_variables()
        outputs = [
            tf.nn.dynamic_rnn(lstm, train_data, initial_state=state, time_major=True)[0]
            for state in (initial_state, named, fixed)
        ]
        loss = tf.reduce_sum(outputs[0] ** 2) + tf.reduce_sum(outputs[1])
        step = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(tf.global_variables_initializer())
        first, second, third = session.run(outputs)
        np.testing.assert_array_equal(first, third)  # they start at zero
        np.testing.assert_array_equal(second, third)
        session.run(step)
        values = session.run(variables)
        assert [value.shape for value in values] == [(1, HIDDEN_SIZE)] * 4
        assert all(np.abs(value).max() > 0 for value in values)
        w, b = session.run(lstm.get_variables())
        state = tuple(np.repeat(value, BATCH_SIZE, axis=0) for value in values[:2])
        weights = {"w_gates": w, "b_gates": b}
        expected, _ = recurrent.unroll(recurrent.lstm_step, weights, TRAIN, state)
        np.testing.assert_allclose(session.run(outputs[0]), expected, 1e-4, 1e-5)


def test_initial_states_that_are_learnt_from_initializers(mode: Mode) -> None:
    lstm = snt.LSTM(HIDDEN_SIZE)

    class Start(snt.AbstractModule):
        def _build(self) -> Any:
            return lstm.initial_state(
                BATCH_SIZE,
                trainable=True,
                name="first",
                trainable_initializers=snt.LSTMState(
                    hidden=tf.ones_initializer(), cell=tf.constant_initializer(2.0)
                ),
            )

    start = Start(name="start")
    for _ in range(2):
        hidden, cell = mode.run(lambda: start())
        assert hidden.shape == cell.shape == (BATCH_SIZE, HIDDEN_SIZE)
        assert (hidden == 1).all()
        assert (cell == 2).all()
    assert names(start.get_variables()) == ["start/first_hidden/w", "start/first_cell/w"]
