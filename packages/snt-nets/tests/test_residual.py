"""`Residual`."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
Pair = collections.namedtuple("Pair", ["first", "second"])


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


def test_adds_inputs_to_outputs(mode):
    linear = snt.Linear(4)
    module = snt.Residual(linear)
    inputs = array(5, 4)
    outputs = mode.run(module, inputs, unknown_batch=True)
    w, b = mode.values([linear.w, linear.b])
    np.testing.assert_allclose(outputs, inputs + (inputs @ w + b), 1e-5, 1e-6)
    assert module.get_variables() == ()
    assert [v.name for v in module.variables] == ["linear/b:0", "linear/w:0"]


def test_takes_structures(mode):
    def base(inputs):
        pair, (x, named) = inputs
        return [Pair(2 * pair.first, 3 * pair.second), (4 * x, {"a": 5 * named["a"]})]

    x, y = array(5, 4), array(2)
    outputs = mode.run(lambda x, y: snt.Residual(base)([Pair(x, y), (x, {"a": y})]), x, y)
    assert type(outputs[0]) is Pair
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-6),
        outputs,
        [Pair(3 * x, 4 * y), (5 * x, {"a": 6 * y})],
    )


def test_hands_on_keyword_arguments(mode):
    module = snt.Residual(lambda x, factor, offset=0: factor * x + offset)
    inputs = array(5, 4)
    outputs = mode.run(lambda x: module(x, factor=2, offset=1), inputs)
    np.testing.assert_allclose(outputs, 3 * inputs + 1, 1e-5)
    assert snt.supports_kwargs(module, "is_training") == snt.supports_kwargs(
        lambda x, **kwargs: x, "is_training"
    )


@pytest.mark.parametrize(
    ("base", "error"),
    [
        (lambda x: (x, x), (TypeError, ValueError)),
        (lambda x: [x], (TypeError, ValueError)),
        (lambda x: None, (TypeError, ValueError)),
    ],
)
def test_structures_must_be_the_same(base, error, mode):
    module = snt.Residual(base)
    with pytest.raises(error, match="residual"):
        mode.run(module, array(5, 4))
    module = snt.Residual(lambda x: (x[0],))
    with pytest.raises(error, match="residual_1: the outputs of base_module must have"):
        mode.run(lambda x: module((x, x)), array(5, 4))


def test_the_base_must_be_callable():
    with pytest.raises(TypeError, match="residual.*: base_module must be a module or a function"):
        snt.Residual(3)


def test_makes_one_op_for_each_tensor():
    with tf.Graph().as_default() as graph:
        inputs = tf1.placeholder(tf.float32, [None, 4])
        snt.Residual(tf.tanh)(inputs)
        assert [op.type for op in graph.get_operations()] == ["Placeholder", "Tanh", "AddV2"]
