"""Bare TensorFlow: variables and ops as one writes them without a library of layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from benchmarks.networks import Network
from benchmarks.peers import BASELINE
from benchmarks.peers.bare_transformer import transformer_xl
from benchmarks.problems import HIGHWAY_LAYERS, Array, Problem

MODES = ("eager", "tf.function", "graph")
MAKES_RUNNERS = False

Variables = dict[str, Any]


def make_variable(name: str, value: Array, trainable: bool = True) -> Any:
    """Makes a variable as programs of the mode do: by get_variable in a graph."""
    if tf.executing_eagerly():
        return tf.Variable(value, trainable=trainable)
    initializer = tf1.zeros_initializer()
    return tf1.get_variable(name, value.shape, initializer=initializer, trainable=trainable)


def network(forward: Callable[[Problem, Variables, Any], Any], problem: Problem) -> Network:
    with tf1.variable_scope("bare"):
        weights = {n: make_variable(n, value) for n, value in problem.weights.items()}
        averages = {
            name: make_variable(name, value, trainable=False)
            for name, value in problem.extra.items()
            if name.startswith("moving_")
        }
    everything = weights | averages
    return Network(
        lambda inputs: forward(problem, everything, inputs),
        lambda: list(weights.values()),
        list(problem.weights.values()),
    )


# Layers.


def linear(problem: Problem, v: Variables, inputs: Any) -> Any:
    return tf.matmul(inputs, v["w"]) + v["b"]


def conv_2d(problem: Problem, v: Variables, inputs: Any) -> Any:
    return tf.nn.bias_add(tf.nn.convolution(inputs, v["w"], 1, "SAME"), v["b"])


def batch_norm(problem: Problem, v: Variables, inputs: Any) -> Any:
    mean, variance = tf.nn.moments(inputs, (0, 1, 2), keepdims=True)
    outputs = tf.nn.batch_normalization(inputs, mean, variance, v["beta"], v["gamma"], 1e-3)
    updates = [
        v[name].assign_sub((v[name] - value) * (1 - 0.999), read_value=False)
        for name, value in (("moving_mean", mean), ("moving_variance", variance))
    ]
    if not tf.executing_eagerly() and not tf1.get_default_graph().building_function:
        for update in updates:
            tf1.add_to_collection(tf1.GraphKeys.UPDATE_OPS, update)
    return outputs


def layer_norm(problem: Problem, v: Variables, inputs: Any) -> Any:
    mean, variance = tf.nn.moments(inputs, (1,), keepdims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, v["beta"], v["gamma"], 1e-5)


def embed(problem: Problem, v: Variables, ids: Any) -> Any:
    return tf.gather(v["embeddings"], ids)


# Models.


def mlp(problem: Problem, v: Variables, inputs: Any) -> Any:
    number = len(problem.weights) // 2
    for i in range(number):
        inputs = tf.matmul(inputs, v[f"linear_{i}/w"]) + v[f"linear_{i}/b"]
        if i < number - 1:
            inputs = tf.nn.relu(inputs)
    return inputs


def convolution(v: Variables, name: str, inputs: Any, stride: int = 1) -> Any:
    outputs = tf.nn.convolution(inputs, v[f"{name}/w"], stride, "SAME")
    return tf.nn.bias_add(outputs, v[f"{name}/b"])


def conv_net_2d(problem: Problem, v: Variables, images: Any) -> Any:
    for name in ("conv_net_2d/conv_2d_0", "conv_net_2d/conv_2d_1"):
        images = tf.nn.relu(convolution(v, name, images, 2))
    return tf.matmul(tf.reduce_mean(images, (1, 2)), v["linear/w"]) + v["linear/b"]


def deep_lstm(problem: Problem, v: Variables, inputs: Any) -> Any:
    outputs = deep_lstm_core(problem, v, inputs)
    time, batch, size = outputs.shape
    flat = tf.matmul(tf.reshape(outputs, [time * batch, size]), v["linear/w"]) + v["linear/b"]
    return tf.reshape(flat, [time, batch, -1])


def vq_vae(problem: Problem, v: Variables, images: Any) -> Any:
    hidden = tf.nn.relu(convolution(v, "conv_2d", images, 2))
    code = convolution(v, "conv_2d_1", hidden)
    quantized, loss = quantize(v["vq_layer/embedding"], code)
    shape = [images.shape[0], *images.shape[1:3], v["conv_2d_transpose/w"].shape[2]]
    hidden = tf.nn.conv2d_transpose(quantized, v["conv_2d_transpose/w"], shape, 2, "SAME")
    hidden = tf.nn.relu(tf.nn.bias_add(hidden, v["conv_2d_transpose/b"]))
    return convolution(v, "conv_2d_2", hidden), loss


def quantize(embedding: Any, code: Any) -> tuple[Any, Any]:
    """Returns the nearest embeddings, with a gradient for `code`, and the loss."""
    flat = tf.reshape(code, [-1, code.shape[-1]])
    distances = (
        tf.reduce_sum(tf.square(flat), 1, keepdims=True)
        - 2 * tf.matmul(flat, embedding)
        + tf.reduce_sum(tf.square(embedding), 0, keepdims=True)
    )
    indices = tf.reshape(tf.argmin(distances, 1), code.shape[:-1])
    quantized = tf.gather(tf.transpose(embedding), indices)
    loss = tf.reduce_mean(tf.square(quantized - tf.stop_gradient(code)))
    loss += 0.25 * tf.reduce_mean(tf.square(tf.stop_gradient(quantized) - code))
    return code + tf.stop_gradient(quantized - code), loss


# Cores over sequences, by a loop with a step that is written by hand.

Step = Callable[[Any, Any], tuple[Any, Any]]


def loop(step: Step, inputs: Any, state: Any) -> Any:
    """Takes a step for each of the first axis of `inputs`, and returns the outputs."""
    time = inputs.shape[0]
    steps = tf.TensorArray(tf.float32, time).unstack(inputs)

    def body(t: Any, state: Any, outputs: Any) -> tuple[Any, Any, Any]:
        output, state = step(steps.read(t), state)
        return t + 1, state, outputs.write(t, output)

    begin = (tf.constant(0), state, tf.TensorArray(tf.float32, time))
    _, _, outputs = tf.while_loop(
        lambda t, *_: t < time, body, begin, parallel_iterations=1, maximum_iterations=time
    )
    return outputs.stack()


def lstm_step(w: Any, b: Any) -> Step:
    w, b = tf.convert_to_tensor(w), tf.convert_to_tensor(b)

    def step(inputs: Any, state: Any) -> tuple[Any, Any]:
        hidden, cell = state
        gates = tf.matmul(tf.concat([inputs, hidden], 1), w) + b
        i, j, f, o = tf.split(gates, 4, 1)
        cell = tf.sigmoid(f + 1) * cell + tf.sigmoid(i) * tf.tanh(j)
        hidden = tf.sigmoid(o) * tf.tanh(cell)
        return hidden, (hidden, cell)

    return step


def gru_step(v: Variables) -> Step:
    t = {name: tf.convert_to_tensor(value) for name, value in v.items()}

    def step(x: Any, h: Any) -> tuple[Any, Any]:
        z = tf.sigmoid(tf.matmul(x, t["wz"]) + tf.matmul(h, t["uz"]) + t["bz"])
        r = tf.sigmoid(tf.matmul(x, t["wr"]) + tf.matmul(h, t["ur"]) + t["br"])
        candidate = tf.tanh(tf.matmul(x, t["wh"]) + tf.matmul(r * h, t["uh"]) + t["bh"])
        h = (1 - z) * h + z * candidate
        return h, h

    return step


def vanilla_step(v: Variables) -> Step:
    t = {name: tf.convert_to_tensor(value) for name, value in v.items()}

    def step(x: Any, h: Any) -> tuple[Any, Any]:
        h = tf.tanh(
            tf.matmul(x, t["in_to_hidden/w"])
            + t["in_to_hidden/b"]
            + tf.matmul(h, t["hidden_to_hidden/w"])
        )
        return h, h

    return step


def highway_step(v: Variables) -> Step:
    t = {name: tf.convert_to_tensor(value) for name, value in v.items()}

    def step(x: Any, h: Any) -> tuple[Any, Any]:
        for i in range(HIGHWAY_LAYERS):
            gate = tf.matmul(h, t[f"wt{i}"]) + t[f"bt{i}"]
            new = tf.matmul(h, t[f"wh{i}"]) + t[f"bh{i}"]
            if i == 0:
                gate, new = gate + tf.matmul(x, t["wt"]), new + tf.matmul(x, t["wh"])
            gate = tf.sigmoid(gate)
            h = (1 - gate) * h + gate * tf.tanh(new)
        return h, h

    return step


def zeros(problem: Problem, inputs: Any) -> Any:
    return tf.zeros([inputs.shape[1], problem.target.shape[2]])


def lstm(problem: Problem, v: Variables, inputs: Any) -> Any:
    state = zeros(problem, inputs)
    return loop(lstm_step(v["w_gates"], v["b_gates"]), inputs, (state, state))


def deep_lstm_core(problem: Problem, v: Variables, inputs: Any) -> Any:
    layers = [lstm_step(v[f"lstm_{i}/w_gates"], v[f"lstm_{i}/b_gates"]) for i in range(2)]
    hidden = problem.weights["lstm_1/b_gates"].shape[0] // 4
    state = tf.zeros([inputs.shape[1], hidden])

    def step(x: Any, states: Any) -> tuple[Any, Any]:
        following = []
        for layer, layer_state in zip(layers, states, strict=True):
            x, next_state = layer(x, layer_state)
            following.append(next_state)
        return x, tuple(following)

    return loop(step, inputs, ((state, state), (state, state)))


def by_step(make: Callable[[Variables], Step]) -> Callable[[Problem, Variables, Any], Any]:
    return lambda problem, v, inputs: loop(make(v), inputs, zeros(problem, inputs))


def block_lstm(problem: Problem, v: Variables, inputs: Any) -> Any:
    # Not BlockLSTMV2: its gradient, on the CPU, takes the gates in the order of this one.
    state = zeros(problem, inputs)
    unused = np.zeros([state.shape[1]], np.float32)
    return tf.raw_ops.BlockLSTM(
        seq_len_max=tf.constant(inputs.shape[0], tf.int64),
        x=inputs,
        cs_prev=state,
        h_prev=state,
        w=v["w_gates"],
        wci=unused,
        wcf=unused,
        wco=unused,
        b=v["b_gates"],
        forget_bias=1.0,
        cell_clip=-1.0,
    ).h


def _baseline(forward: Callable[[Problem, Variables, Any], Any]) -> dict[str, Any]:
    return {BASELINE: functools.partial(network, forward)}


WAYS: dict[str, dict[str, Callable[[Problem], Network]]] = {
    "Linear": _baseline(linear),
    "Conv2D": _baseline(conv_2d),
    "BatchNorm": _baseline(batch_norm),
    "LayerNorm": _baseline(layer_norm),
    "Embed": _baseline(embed),
    "MLP": _baseline(mlp),
    "ConvNet2D": _baseline(conv_net_2d),
    "deep LSTM": _baseline(deep_lstm),
    "TransformerXL": _baseline(transformer_xl),
    "VQ-VAE": _baseline(vq_vae),
    "LSTM": {**_baseline(lstm), "tf.raw_ops.BlockLSTM": functools.partial(network, block_lstm)},
    "GRU": _baseline(by_step(gru_step)),
    "VanillaRNN": _baseline(by_step(vanilla_step)),
    "HighwayCore": _baseline(by_step(highway_step)),
    "DeepRNN": _baseline(deep_lstm_core),
}
