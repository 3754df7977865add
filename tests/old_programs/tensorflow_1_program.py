"""A program of TensorFlow 1 as it was written then, with reference variables and Dimensions."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import sonnet as snt


class Autoencoder(snt.AbstractModule):
    def __init__(self, hidden_size: int, name: str = "autoencoder") -> None:
        super().__init__(name=name)
        self._hidden_size = hidden_size
        with self._enter_variable_scope():
            self._temperature = tf.Variable(1.0, name="temperature", trainable=False)

    @snt.reuse_variables
    def encode(self, inputs: Any) -> Any:
        regularizers = {"w": self._count_and_square}
        return tf.tanh(snt.Linear(self._hidden_size, regularizers=regularizers, name="in")(inputs))

    runs_of_the_regularizer = 0

    def _count_and_square(self, weights: Any) -> Any:
        Autoencoder.runs_of_the_regularizer += 1
        return 0.01 * tf.nn.l2_loss(weights)

    def _build(self, inputs: Any) -> Any:
        size = inputs.get_shape()[-1]  # a tf.Dimension
        assert isinstance(size, tf.Dimension)
        flat = snt.BatchFlatten()(inputs)
        outputs = snt.Linear(size, name="out")(self.encode(flat)) * self._temperature
        return snt.BatchReshape([size])(outputs)


def main(directory: str) -> dict[str, Any]:
    inputs = tf.placeholder(tf.float32, [None, 6])
    model = Autoencoder(hidden_size=3)
    reconstruction, again = model(inputs), model(inputs)
    latents = model.encode(inputs)
    saver = snt.get_saver(model)  # before there are slots of the optimizer
    loss = tf.reduce_mean(tf.square(reconstruction - inputs))
    penalties = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    train_op = tf.train.AdamOptimizer(0.05).minimize(loss + tf.add_n(penalties))

    data = np.random.default_rng(0).normal(size=(16, 6)).astype(np.float32)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        losses = [session.run([loss, train_op], {inputs: data})[0] for _ in range(50)]
        outputs = session.run([reconstruction, again, latents], {inputs: data})
        path = saver.save(session, directory + "/model")
        session.run(tf.global_variables_initializer())
        saver.restore(session, path)
        restored = session.run(reconstruction, {inputs: data})
        values = dict(
            zip([v.op.name for v in model.variables], session.run(model.variables), strict=True)
        )

    hidden = np.tanh(data @ values["autoencoder/in/w"] + values["autoencoder/in/b"])
    expected = hidden @ values["autoencoder/out/w"] + values["autoencoder/out/b"]
    return {
        "variables": [v.op.name for v in model.variables],
        "of the scope": sorted(v.op.name for v in model.get_variables()),
        "types": sorted({v.op.type for v in tf.global_variables()}),
        "in the checkpoint": sorted(name for name, _ in tf.train.list_variables(path)),
        "runs of the regularizer": Autoencoder.runs_of_the_regularizer,
        "penalties": len(penalties),
        "improvement": float(losses[-1] / losses[0]),
        "error": float(np.abs(outputs[0] - expected).max()),
        "error when shared": float(np.abs(outputs[1] - expected).max()),
        "error of the latents": float(np.abs(outputs[2] - hidden).max()),
        "error when restored": float(np.abs(restored - expected).max()),
    }


if __name__ == "__main__":
    if "disable_v2_behavior" in sys.argv:
        tf.disable_v2_behavior()
    else:
        tf.disable_eager_execution()
        tf.disable_v2_tensorshape()
    print(json.dumps(main(sys.argv[1])))
