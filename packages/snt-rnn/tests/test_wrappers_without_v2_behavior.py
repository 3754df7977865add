"""Cores around cores in a program that has `tf.compat.v1.disable_v2_behavior()`.

Shapes have entries of type `Dimension` there, variables are reference variables, and loops are not
functions.
"""

import pytest

from tests.support.processes import run_program

PROGRAM = """
import json
import warnings
import numpy as np
import tensorflow.compat.v1 as tf
import sonnet as snt
from tests.support.cores import Plain

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 5, 3])
feed = {x: np.random.default_rng(0).normal(size=[4, 5, 3])}
found = {}
for name, core in {
    "deep": snt.DeepRNN([Plain(4), tf.tanh, snt.LSTMBlockCell(2), snt.Linear(6)], False),
    "skip": snt.DeepRNN([Plain(4), snt.SkipConnectionCore(Plain(2), [3 + 4])]),
    "residual": snt.ResidualCore(snt.ModelRNN(snt.Linear(3))),
    "peephole": snt.LSTMBlockCell(6, use_peephole=True),
}.items():
    initial = core.initial_state(
        tf.shape(x)[0], trainable=True, trainable_initializers=tf.ones_initializer()
    )
    learnt = tf.trainable_variables()
    outputs, state = tf.nn.dynamic_rnn(core, x, initial_state=initial)
    gradients = tf.gradients(tf.reduce_sum(tf.sin(outputs)), learnt + list(core.variables))
    steps, last = tf.nn.static_rnn(core, tf.unstack(x, axis=1), initial_state=initial)
    same = [(outputs, tf.stack(steps, axis=1))]
    same += zip(tf.nest.flatten(state), tf.nest.flatten(last))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found[name] = {
            "shape": outputs.shape.as_list(),
            "size": tf.TensorShape(core.output_size).as_list(),
            "gradients": [bool((g != 0).any()) for g in session.run(gradients, feed)],
            "difference": float(max(abs(a - b).max() for a, b in session.run(same, feed))),
        }
    tf.reset_default_graph()
    x = tf.placeholder(tf.float32, [None, 5, 3])
    feed = {x: np.random.default_rng(0).normal(size=[4, 5, 3])}

rnn = snt.BidirectionalRNN(Plain(4), Plain(2))
outputs = rnn(tf.transpose(x, [1, 0, 2]), rnn.initial_state(tf.shape(x)[0]))["outputs"]
found["shapes"] = [outputs[key].shape.as_list() for key in ("forward", "backward")]
try:
    rnn(tf.placeholder(tf.float32, [None, 4, 3]), rnn.initial_state(4))
except ValueError as error:
    found["error"] = str(error)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    learnt = snt.TrainableInitialState((tf.ones([4, 3]), tf.zeros([4, 2])), (True, False))
found["learnt"] = [part.shape.as_list() for part in learnt()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(PROGRAM)
    return run_program(program)


@pytest.mark.parametrize(("name", "size"), [("deep", 6), ("skip", 13), ("residual", 3)])
def test_unrolls(name, size, found):
    assert found[name]["shape"] == [None, 5, size]
    assert found[name]["size"] == [size]
    assert found[name]["difference"] < 1e-5
    assert all(found[name]["gradients"])


def test_the_cell_unrolls(found):
    assert found["peephole"]["shape"] == [None, 5, 6]
    assert found["peephole"]["difference"] < 1e-5
    assert len(found["peephole"]["gradients"]) == 2 + 5
    assert all(found["peephole"]["gradients"])


def test_the_number_of_steps_must_be_known(found):
    assert found["shapes"] == [[5, None, 4], [5, None, 2]]
    assert "must be statically known" in found["error"]


def test_learnt_parts(found):
    assert found["learnt"] == [[4, 3], [4, 2]]
