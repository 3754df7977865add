"""Transformers in a program that has `tf.compat.v1.disable_v2_behavior()`.

Shapes have entries of type `Dimension` there, variables are reference variables, and loops and
branches are not functions.
"""

import pytest

from tests.support.processes import run_program

PROGRAM = """
import json
import numpy as np
import tensorflow.compat.v1 as tf
import sonnet as snt

tf.disable_v2_behavior()
config = {"value_size": 4, "num_heads": 2, "num_layers": 2, "mlp_hidden_sizes": (6,)}
config["dropout_rate"] = 0.0
inputs = tf.placeholder(tf.float64, [None, 7, 3])
found = {}
for core in (
    snt.nets.TransformerXL(config, memory_size=3, chunk_size=0),
    snt.nets.CompressiveTransformer(config, 0, episodic_memory_size=3, compressed_memory_size=2),
):
    outputs, state = tf.nn.dynamic_rnn(core, inputs, dtype=tf.float64)
    gradients = tf.gradients(tf.reduce_sum(tf.sin(outputs)), core.get_variables())
    step_state, steps = core.initial_state(2, tf.float64), []
    for t in range(7):
        output, step_state = core(inputs[:, t], step_state)
        steps.append(output)
    same = [(outputs, tf.stack(steps, axis=1))]
    same += zip(tf.nest.flatten(state), tf.nest.flatten(step_state))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        feed = {inputs: np.random.default_rng(0).normal(size=[2, 7, 3])}
        found[core.module_name] = {
            "shape": outputs.shape.as_list(),
            "gradients": [bool((g != 0).any()) for g in session.run(gradients, feed)],
            "difference": max(abs(a - b).max() for a, b in session.run(same, feed)),
        }
attention = snt.MultiHeadAttention(num_heads=2, key_size=4, causal=True)
found["attention"] = attention(inputs).shape.as_list()
found["kinds"] = sorted({v.op.type for v in tf.global_variables()})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(PROGRAM)
    return run_program(program)


@pytest.mark.parametrize("name", ["transformer_xl", "compressive_transformer"])
def test_unrolls(name, found):
    assert found[name]["shape"] == [None, 7, 8]
    assert found[name]["difference"] < 1e-10
    assert all(found[name]["gradients"])
    assert found["kinds"] == ["VariableV2"]


def test_attention(found):
    assert found["attention"] == [None, 7, 3]
