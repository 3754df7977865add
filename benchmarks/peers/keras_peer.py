"""Keras 3, with TensorFlow as its backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.networks import Network, swap_time_and_batch
from benchmarks.peers.bare import quantize
from benchmarks.problems import Array, Problem, in_order, with_forget_bias

MODES = ("eager", "tf.function")  # it knows no graphs with sessions
MAKES_RUNNERS = False

NAME = "Keras 3"
keras: Any = importlib.import_module("keras")
layers = keras.layers


def network(layer: Any, values: Sequence[Array], **more: Any) -> Network:
    """Returns the network of a layer; `values` are in the order of its trainable variables."""
    return Network(
        more.pop("forward", layer),
        lambda: [variable.value for variable in layer.trainable_variables],
        values,
        **more,
    )


def of(make: Callable[[], Any], **more: Any) -> Callable[[Problem], Network]:
    """Returns what builds the network of a layer that has the weights as the problem has them."""
    return lambda problem: network(make(), list(problem.weights.values()), **more)


def batch_norm(problem: Problem) -> Network:
    layer = layers.BatchNormalization(momentum=0.999, epsilon=1e-3)
    values = [problem.weights["gamma"].ravel(), problem.weights["beta"].ravel()]
    return network(layer, values, forward=lambda inputs: layer(inputs, training=True))


def layer_norm(problem: Problem) -> Network:
    values = [problem.weights["gamma"], problem.weights["beta"]]
    return network(layers.LayerNormalization(epsilon=1e-5), values)


def mlp() -> Any:
    dense = layers.Dense
    return keras.Sequential([dense(128, activation="relu"), dense(128, "relu"), dense(10)])


def conv_net_2d() -> Any:
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    convolutions = [layers.Conv2D(channels, 4, **options) for channels in (16, 32)]
    return keras.Sequential([*convolutions, layers.GlobalAveragePooling2D(), layers.Dense(10)])


def lstm_values(w: Array, b: Array, hidden: int) -> list[Array]:
    features = w.shape[0] - hidden
    w = in_order(w, "ifjo")
    return [w[:features], w[features:], in_order(with_forget_bias(b), "ifjo")]


def lstms(problem: Problem) -> Network:
    """Builds one or more LSTMs, and a linear layer if the problem has one."""
    gates = [array for name, array in problem.weights.items() if name.endswith("_gates")]
    hidden = gates[1].shape[0] // 4
    parts: list[Any] = []
    values: list[Array] = []
    for w, b in zip(gates[::2], gates[1::2], strict=True):
        parts.append(layers.LSTM(hidden, return_sequences=True))
        values += lstm_values(w, b, hidden)
    if "linear/w" in problem.weights:
        parts.append(layers.Dense(problem.target.shape[2]))
        values += [problem.weights["linear/w"], problem.weights["linear/b"]]
    layer = parts[0] if len(parts) == 1 else keras.Sequential(parts)
    return network(layer, values, layout=swap_time_and_batch)


def gru(problem: Problem) -> Network:
    layer = layers.GRU(problem.target.shape[2], return_sequences=True, reset_after=False)
    # Its update gate is the share of the old state: 1 - σ(x) = σ(-x).
    values = [
        np.concatenate(
            [-problem.weights[f"{part}z"], *(problem.weights[part + g] for g in "rh")], -1
        )
        for part in "wub"
    ]
    return network(layer, values, layout=swap_time_and_batch)


def vanilla_rnn(problem: Problem) -> Network:
    layer = layers.SimpleRNN(problem.target.shape[2], return_sequences=True)
    v = problem.weights
    values = [v[name] for name in ("in_to_hidden/w", "hidden_to_hidden/w", "in_to_hidden/b")]
    return network(layer, values, layout=swap_time_and_batch)


class VQVAE(keras.Model):
    """An autoencoder of images; the quantiser, which Keras does not have, in bare TensorFlow."""

    def __init__(self) -> None:
        super().__init__()
        conv = layers.Conv2D
        self.encoder = keras.Sequential([conv(16, 4, 2, "same", activation="relu"), conv(8, 1)])
        self.embedding = self.add_weight(shape=(8, 32), name="embedding")
        transpose = layers.Conv2DTranspose(16, 4, 2, "same", activation="relu")
        self.decoder = keras.Sequential([transpose, conv(3, 3, padding="same")])

    def call(self, images: Any) -> Any:
        quantized, loss = quantize(tf.convert_to_tensor(self.embedding), self.encoder(images))
        return self.decoder(quantized), loss


def vq_vae(problem: Problem) -> Network:
    embedding, *others = (
        problem.weights["vq_layer/embedding"],
        *(array for name, array in problem.weights.items() if not name.startswith("vq_layer")),
    )
    model = VQVAE()
    return Network(
        model,
        lambda: (
            [
                variable.value
                for part in (model.encoder, model.decoder)
                for variable in part.trainable_variables
            ]
            + [model.embedding.value]
        ),
        [*others, embedding],
    )


WAYS: dict[str, dict[str, Callable[[Problem], Network]]] = {
    "Linear": {NAME: of(lambda: layers.Dense(32))},
    "Conv2D": {NAME: of(lambda: layers.Conv2D(8, 3, padding="same"))},
    "BatchNorm": {NAME: batch_norm},
    "LayerNorm": {NAME: layer_norm},
    "Embed": {NAME: of(lambda: layers.Embedding(1000, 32))},
    "MLP": {NAME: of(mlp)},
    "ConvNet2D": {NAME: of(conv_net_2d)},
    "VQ-VAE": {NAME: vq_vae},
    "deep LSTM": {NAME: lstms},
    "LSTM": {NAME: lstms},
    "DeepRNN": {NAME: lstms},
    "GRU": {NAME: gru},
    "VanillaRNN": {NAME: vanilla_rnn},
}
