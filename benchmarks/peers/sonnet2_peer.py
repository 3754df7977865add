"""Sonnet 2, whose import name is that of this library: in an environment without this one.

Its `UnrolledLSTM` does not take part: on the CPU it is `tf.raw_ops.BlockLSTMV2`, the gradient of
which does not suit its outputs with TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import sonnet
from benchmarks.networks import Network
from benchmarks.problems import Array, Problem, in_order, with_forget_bias

MODES = ("eager", "tf.function")  # it knows no graphs with sessions
MAKES_RUNNERS = False

NAME = "Sonnet 2"
snt: Any = sonnet  # it has names that this library has not


def network(
    forward: Callable[[Any], Any], variables: Callable[[], Sequence[Any]], problem: Problem
) -> Network:
    return Network(forward, variables, list(problem.weights.values()))


def linear(problem: Problem) -> Network:
    layer = snt.Linear(32)
    return network(layer, lambda: [layer.w, layer.b], problem)


def conv_2d(problem: Problem) -> Network:
    layer = snt.Conv2D(8, 3)
    return network(layer, lambda: [layer.w, layer.b], problem)


def batch_norm(problem: Problem) -> Network:
    layer = snt.BatchNorm(create_scale=True, create_offset=True, eps=1e-3)
    values = [array.ravel() for array in problem.weights.values()]
    return Network(
        lambda inputs: layer(inputs, is_training=True),
        lambda: [layer.offset, layer.scale],
        values,
    )


def layer_norm(problem: Problem) -> Network:
    layer = snt.LayerNorm(axis=1, create_scale=True, create_offset=True)
    return network(layer, lambda: [layer.offset, layer.scale], problem)


def embed(problem: Problem) -> Network:
    layer = snt.Embed(1000, 32)
    return network(layer, lambda: [layer.embeddings], problem)


def mlp(problem: Problem) -> Network:
    model = snt.nets.MLP([128, 128, 10])

    def variables() -> list[Any]:
        return [v for layer in model.submodules if hasattr(layer, "w") for v in (layer.w, layer.b)]

    return network(model, variables, problem)


def conv_net_2d(problem: Problem) -> Network:
    parts = [snt.Conv2D(16, 4, 2), snt.Conv2D(32, 4, 2), snt.Linear(10)]
    first, second, last = parts
    mean = lambda images: tf.reduce_mean(images, (1, 2))  # noqa: E731
    model = snt.Sequential([first, tf.nn.relu, second, tf.nn.relu, mean, last])
    return network(model, lambda: [v for part in parts for v in (part.w, part.b)], problem)


def lstm_values(w: Array, b: Array, hidden: int) -> list[Array]:
    features = w.shape[0] - hidden
    w = in_order(w, "ifjo")
    return [w[:features], w[features:], in_order(with_forget_bias(b), "ifjo")]


def lstms(problem: Problem) -> Network:
    """Builds one or more LSTMs, and a linear layer if the problem has one."""
    gates = [array for name, array in problem.weights.items() if name.endswith("_gates")]
    hidden = gates[1].shape[0] // 4
    cores = [snt.LSTM(hidden) for _ in gates[::2]]
    core = cores[0] if len(cores) == 1 else snt.DeepRNN(cores)
    pairs = zip(gates[::2], gates[1::2], strict=True)
    values = [value for w, b in pairs for value in lstm_values(w, b, hidden)]
    layer = None
    if "linear/w" in problem.weights:
        layer = snt.Linear(problem.target.shape[2])
        values += [problem.weights["linear/w"], problem.weights["linear/b"]]
    apply = snt.BatchApply(layer) if layer else lambda outputs: outputs

    def forward(inputs: Any) -> Any:
        return apply(snt.dynamic_unroll(core, inputs, core.initial_state(inputs.shape[1]))[0])

    def variables() -> list[Any]:
        found = [v for part in cores for v in (part.input_to_hidden, part.hidden_to_hidden, part.b)]
        return [*found, layer.w, layer.b] if layer else found

    return Network(forward, variables, values)


def gru(problem: Problem) -> Network:
    core = snt.GRU(problem.target.shape[2])
    values = [
        np.concatenate([problem.weights[part + gate] for gate in "zrh"], -1) for part in "wub"
    ]
    return Network(
        lambda inputs: snt.dynamic_unroll(core, inputs, core.initial_state(inputs.shape[1]))[0],
        lambda: [core.input_to_hidden, core.hidden_to_hidden, core.b],
        values,
    )


def vq_vae(problem: Problem) -> Network:
    convolutions = [snt.Conv2D(16, 4, 2), snt.Conv2D(8, 1), snt.Conv2D(3, 3)]
    transpose = snt.Conv2DTranspose(16, 4, stride=2)
    first, second, last = convolutions
    encoder = snt.Sequential([first, tf.nn.relu, second])
    quantizer = snt.nets.VectorQuantizer(8, 32, 0.25)
    decoder = snt.Sequential([transpose, tf.nn.relu, last])

    def forward(images: Any) -> Any:
        found = quantizer(encoder(images), is_training=True)
        return decoder(found["quantize"]), found["loss"]

    def variables() -> list[Any]:
        encoding, decoding = (first, second), (transpose, last)
        found = [[v for part in parts for v in (part.w, part.b)] for parts in (encoding, decoding)]
        return [*found[0], quantizer.embeddings, *found[1]]

    return network(forward, variables, problem)


WAYS: dict[str, dict[str, Callable[[Problem], Network]]] = {
    "Linear": {NAME: linear},
    "Conv2D": {NAME: conv_2d},
    "BatchNorm": {NAME: batch_norm},
    "LayerNorm": {NAME: layer_norm},
    "Embed": {NAME: embed},
    "MLP": {NAME: mlp},
    "ConvNet2D": {NAME: conv_net_2d},
    "VQ-VAE": {NAME: vq_vae},
    "deep LSTM": {NAME: lstms},
    "LSTM": {NAME: lstms},
    "DeepRNN": {NAME: lstms},
    "GRU": {NAME: gru},
}
