"""`RNNCore`: the same class for all packages."""

import pytest
import tensorflow as tf

import snt_core.recurrent
import sonnet as snt

CONFIG = {"value_size": 4, "num_heads": 2, "num_layers": 1}


def test_is_the_one_of_snt_core():
    assert snt.RNNCore is snt_core.recurrent.RNNCore
    assert snt.trainable_initial_state is snt_core.recurrent.trainable_initial_state


@pytest.mark.parametrize(
    "make",
    [
        lambda: snt.nets.TransformerXL(CONFIG, memory_size=4, chunk_size=0),
        lambda: snt.nets.CompressiveTransformer(CONFIG, 0, 4, 3),
    ],
)
def test_transformers_are_cores(make):
    core = make()
    assert isinstance(core, snt.RNNCore)
    deep = snt.DeepRNN([snt.Linear(5), core, snt.Linear(2)], skip_connections=False)
    outputs, state = tf.compat.v1.nn.dynamic_rnn(deep, tf.ones([3, 6, 2]), dtype=tf.float32)
    assert outputs.shape == (3, 6, 2)
    tf.nest.assert_same_structure(state, (core.state_size,))
