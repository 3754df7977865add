"""Cores in a program that has `tf.compat.v1.disable_v2_behavior()`.

Shapes have entries of type `Dimension` there, variables are reference variables, and loops are not
functions.
"""

import numpy as np

from tests.support import recurrent
from tests.support.processes import run_program

PROGRAM = """
import json
import numpy as np
import tensorflow.compat.v1 as tf
import sonnet as snt

tf.disable_v2_behavior()
x = tf.placeholder(tf.float64, [None, None, 2])
cores = [
    snt.LSTM(4, use_peepholes=True, use_layer_norm=True, projection_size=4,
             hidden_clip_value=2.0, regularizers={"w_gates": tf.nn.l2_loss}),
    snt.GRU(4),
    snt.VanillaRNN(4),
    snt.HighwayCore(4, 2),
]
results = []
for core in cores:
    outputs, state = tf.nn.dynamic_rnn(core, x, dtype=tf.float64, time_major=True)
    static, _ = tf.nn.static_rnn(core, [x[0], x[1]], dtype=tf.float64)
    gradients = tf.gradients(outputs, list(core.variables))
    results.append((core, outputs, static, gradients))
dropped, _ = snt.lstm_with_recurrent_dropout(4, keep_prob=0.5)
zoned, _ = snt.lstm_with_zoneout(4)
_, (_, masks) = tf.nn.dynamic_rnn(dropped, x, dtype=tf.float64, time_major=True)
zoned_outputs, _ = tf.nn.dynamic_rnn(zoned, x, dtype=tf.float64, time_major=True)
learnt = cores[0].initial_state(tf.shape(x)[1], tf.float64, trainable=True)
from_learnt, _ = tf.nn.dynamic_rnn(cores[0], x, initial_state=learnt, time_major=True)
values = np.random.default_rng(0).normal(size=[6, 3, 2])
found = []
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    feed = {x: values}
    for core, outputs, static, gradients in results:
        assert outputs.shape.as_list() == [None, None, 4]
        weights = {v.op.name.partition("/")[2]: session.run(v).tolist() for v in core.variables}
        outputs, static, gradients = session.run([outputs, static, gradients], feed)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)
        np.testing.assert_allclose(outputs[:2], static, 1e-9)
        found.append((weights, outputs.tolist()))
    masks, zoned_outputs, again = session.run([masks, zoned_outputs, from_learnt], feed)
    assert set(np.unique(masks)) == {0, 2}
    assert np.isfinite(zoned_outputs).all()
    np.testing.assert_allclose(again, found[0][1], 1e-9)
    loss = session.run(tf.losses.get_regularization_loss())
    w = np.array(found[0][0]["w_gates"])
    np.testing.assert_allclose(loss, (w**2).sum() / 2, 1e-9)
print(json.dumps([values.tolist(), found]))
"""


def test_without_v2_behavior(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    values, found = run_program(program)
    zeros = np.zeros([3, 4])

    def clipped(weights, x, state):
        return recurrent.lstm_step(weights, x, state, hidden_clip_value=2.0)

    steps = [clipped, recurrent.gru_step, recurrent.vanilla_step, recurrent.highway_step]
    for step, state, (weights, outputs) in zip(
        steps, [(zeros, zeros), zeros, zeros, zeros], found, strict=True
    ):
        weights = {name: np.array(value) for name, value in weights.items()}
        expected, _ = recurrent.unroll(step, weights, np.array(values), state)
        np.testing.assert_allclose(outputs, expected, 1e-7, 1e-10)
