"""A Transformer-XL in bare TensorFlow.

Its equations are those of `snt.nets.TransformerXL`: relative positions after Dai et al., 2019,
layer normalisation in front of attention and perceptron. Written for one case: every size is known,
nothing is dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.problems import HEADS, KEY_SIZE, LAYERS_OF_TRANSFORMER, MEMORY, Problem


def transformer_xl(problem: Problem, v: dict[str, Any], inputs: Any) -> Any:
    time = inputs.shape[1]
    mask = np.triu(np.full([time, MEMORY + time], -1e6, np.float32), k=MEMORY + 1)
    encodings = tf.constant(_encodings(MEMORY + time, HEADS * KEY_SIZE))
    outputs = tf.nn.relu(_linear(v, "mlp/linear_0", inputs))
    for i in range(LAYERS_OF_TRANSFORMER):
        layer = f"transformer_tower/layer_{i}"
        normed = _norm(v, f"{layer}/residual_dropout_wrapper/layer_norm", outputs)
        attended = tf.concat([problem.extra["memory"][i], normed], 1)
        outputs += _attention(v, f"{layer}/multihead_attention", normed, attended, encodings, mask)
        normed = _norm(v, f"{layer}/residual_dropout_wrapper_1/layer_norm", outputs)
        hidden = tf.nn.relu(_linear(v, f"{layer}/mlp/linear_0", normed))
        outputs += _linear(v, f"{layer}/mlp/linear_1", hidden)
    return outputs


def _attention(
    v: dict[str, Any], name: str, inputs: Any, attended: Any, encodings: Any, mask: Any
) -> Any:
    batch, time, _ = inputs.shape
    queries = _heads(v, f"{name}/query", inputs) * KEY_SIZE**-0.5
    keys, values = _heads(v, f"{name}/key", attended), _heads(v, f"{name}/value", attended)
    relative_keys = _heads(v, f"{name}/relative_keys", encodings)
    content = tf.matmul(queries + v[f"{name}/r_w_bias"], keys, transpose_b=True)
    position = tf.matmul(queries + v[f"{name}/r_r_bias"], relative_keys, transpose_b=True)
    # Shifts each row by its own distance: read with rows that are longer by one.
    position = tf.pad(position, [[0, 0], [0, 0], [0, 0], [1, 0]])
    position = tf.reshape(position, [batch, HEADS, -1, time])[:, :, 1:]
    logits = content + tf.reshape(position, content.shape) + mask
    outputs = tf.matmul(tf.nn.softmax(logits), values)
    outputs = tf.reshape(tf.transpose(outputs, [0, 2, 1, 3]), [batch, time, HEADS * KEY_SIZE])
    return _linear(v, f"{name}/linear", outputs)


def _heads(v: dict[str, Any], name: str, inputs: Any) -> Any:
    batch, time, size = inputs.shape
    projected = tf.matmul(tf.reshape(inputs, [batch * time, size]), v[f"{name}/linear/w"])
    return tf.transpose(tf.reshape(projected, [batch, time, HEADS, KEY_SIZE]), [0, 2, 1, 3])


def _linear(v: dict[str, Any], name: str, inputs: Any) -> Any:
    batch, time, size = inputs.shape
    outputs = tf.matmul(tf.reshape(inputs, [batch * time, size]), v[f"{name}/w"]) + v[f"{name}/b"]
    return tf.reshape(outputs, [batch, time, -1])


def _norm(v: dict[str, Any], name: str, inputs: Any) -> Any:
    mean, variance = tf.nn.moments(inputs, (-1,), keepdims=True)
    beta, gamma = v[f"{name}/beta"], v[f"{name}/gamma"]
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-5)


def _encodings(length: int, size: int) -> Any:
    positions = np.arange(length - 1, -1, -1, dtype=np.float64)
    angles = np.outer(positions, 10000 ** -(np.arange(0, size, 2) / size))
    return np.concatenate([np.sin(angles), np.cos(angles)], 1)[np.newaxis].astype(np.float32)
