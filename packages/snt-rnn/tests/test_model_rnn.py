"""`ModelRNN`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Pair, Plain
from tests.support.variables import names, randomise


@pytest.mark.parametrize("given", [False, True])
def test_applies_the_model_to_its_own_output(given, mode):
    core = snt.ModelRNN(snt.Linear(3))
    x = np.zeros([4, 5, 1], np.float32)
    h = np.ones([4, 3], np.float32)

    def loop(x, h):
        options = {"initial_state": h} if given else {"dtype": tf.float32}
        return tf1.nn.dynamic_rnn(core, x, **options)

    mode.run(loop, x, h, unknown_batch=True)
    assert core.get_variables() == ()
    assert names(core.variables) == ["linear/b", "linear/w"]
    b, w = randomise(core.variables, mode)
    outputs, state = mode.run(loop, x, h, unknown_batch=True)
    if not given:
        h = np.zeros([4, 3])
    for t in range(5):
        h = h @ w + b
        np.testing.assert_allclose(outputs[:, t], h, 1e-3, 1e-4)
    np.testing.assert_array_equal(state, outputs[:, -1])


def test_output_and_state_are_one(mode):
    core = snt.ModelRNN(snt.Linear(3))

    def step(h):
        output, state = core(None, h)
        assert output is state
        return output

    assert mode.run(step, np.ones([4, 3], np.float32)).shape == (4, 3)


@pytest.mark.parametrize(
    "size", [3, tf.TensorShape([3]), [3, [tf.TensorShape([2])]], Pair(1, [2]), np.int64(3)]
)
def test_sizes_are_read_once_and_kept_as_they_are(size):
    class Model:
        output_size = size

        def __call__(self, inputs):
            return inputs

    model = Model()
    core = snt.ModelRNN(model)
    model.output_size = None
    assert core.output_size is size
    assert core.state_size is size


def test_begins_with_zeros(mode):
    state = snt.ModelRNN(snt.nets.MLP([5, 3])).initial_state(4, tf.float64)
    np.testing.assert_array_equal(mode.values(state), np.zeros([4, 3]))
    assert state.dtype == tf.float64


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (3, TypeError, "must be callable"),
        (Plain(2), TypeError, "should not be an RNNCore"),
        (tf.tanh, AttributeError, "should have an output_size attribute"),
    ],
    ids=["number", "core", "function"],
)
def test_errors_of_the_constructor(model, error, match):
    with pytest.raises(error, match=f"model_rnn.*: Model {match}, got"):
        snt.ModelRNN(model)


def test_other_errors_of_the_size_are_let_through():
    class Model(snt.AbstractModule):
        def _build(self, inputs):
            return inputs

        @property
        def output_size(self):
            raise snt.NotConnectedError("later")

    with pytest.raises(snt.NotConnectedError, match="later"):
        snt.ModelRNN(Model())


def test_tracking():
    model = snt.Linear(3)
    core = snt.ModelRNN(model)
    assert core.submodules == (model,)
