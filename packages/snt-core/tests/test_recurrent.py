"""`RNNCore`."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.recurrent import RNNCore


class State(NamedTuple):
    total: object
    image: object


class Counter(RNNCore):
    """Adds up its inputs."""

    state_size = State(3, tf.TensorShape([2, 1]))
    output_size = tf.TensorShape([3])

    def _build(self, inputs, prev_state):
        total = prev_state.total + inputs
        return total, State(total, prev_state.image + 1)


class Sizeless(RNNCore):
    def _build(self, inputs, prev_state):
        return inputs, prev_state


@pytest.mark.parametrize("batch_size", [4, np.int32(4), tf1.Dimension(4)])
def test_zero_state_of_a_known_batch_size(batch_size, mode):
    state = Counter().zero_state(batch_size, tf.float64)
    assert isinstance(state, State)
    assert [(s.shape, s.dtype) for s in state] == [((4, 3), tf.float64), ((4, 2, 1), tf.float64)]
    assert all((value == 0).all() for value in mode.values(state))


@pytest.mark.parametrize("batch_size", [np.int32(4), np.array([4], np.int64)])
def test_zero_state_of_a_batch_size_in_a_tensor(batch_size, mode):
    core = Counter()
    states = mode.run(lambda n: [core.zero_state(n, tf.float32), core.initial_state(n)], batch_size)
    for state in states:
        assert [s.shape for s in state] == [(4, 3), (4, 2, 1)]
        assert not state.total.any()


def test_static_shapes_are_known():
    with tf.Graph().as_default():
        state = Counter().initial_state(tf1.placeholder(tf.int32, []))
        assert [s.shape.as_list() for s in state] == [[None, 3], [None, 2, 1]]


def test_name_scopes():
    with tf.Graph().as_default(), tf1.variable_scope("outer"):
        core = Counter(name="core")
        assert core.zero_state(4, tf.float32).total.op.name.startswith("outer/CounterZeroState/")
        for options, scope in [({}, "outer/outer/core_initial_state"), ({"name": "a"}, "outer/a")]:
            assert core.initial_state(4, **options).total.op.name.startswith(f"{scope}/")


def test_runs_in_the_loops_of_tensorflow(mode):
    x = np.random.default_rng(0).normal(size=[4, 5, 3])
    core = Counter()
    outputs, state = mode.run(lambda x: tf1.nn.dynamic_rnn(core, x, dtype=tf.float64), x)
    np.testing.assert_allclose(outputs, np.cumsum(x, axis=1))
    np.testing.assert_array_equal(state.image, np.full([4, 2, 1], 5))


def test_sizes_must_be_defined():
    for name in ("state_size", "output_size"):
        with pytest.raises(NotImplementedError, match=f"Sizeless has no {name}"):
            getattr(Sizeless(), name)
