"""What the peers compute: networks with their weights, inputs and targets, as NumPy arrays.

Weights have the names and shapes that the modules of this library give them; each peer brings them
into its own layout.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Shapes = Mapping[str, tuple[int, ...]]


class Problem(NamedTuple):
    """A network that all peers build.

    A training step is one step of gradient descent for the mean of the squared differences between
    outputs and target.

    Attributes:
        kind: What it is, by which peers find their builders.
        name: What it is called in tables.
        inputs: Inputs; sequences are `[time, batch, features]`, images have the channels last.
        target: Of the shape of the outputs.
        weights: Weights by name.
        extra: Other arrays: moving averages, the memory of a transformer.
        rate: Learning rate.
        input_gradient: Whether a training step computes the gradient of the inputs too, as a layer
            inside of a network has to.
    """

    kind: str
    name: str
    inputs: Array
    target: Array
    weights: dict[str, Array]
    extra: dict[str, Array] = {}  # noqa: RUF012
    rate: float = 0.1
    input_gradient: bool = False


def _problem(
    kind: str,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    weights: Shapes,
    name: str | None = None,
    **options: Any,
) -> Problem:
    random = np.random.default_rng(1)

    def normal(shape: tuple[int, ...], scale: float = 1.0) -> Array:
        return (scale * random.normal(size=shape)).astype(np.float32)

    def weight(shape: tuple[int, ...]) -> Array:
        return normal(shape, 0.1 if len(shape) == 1 else np.prod(shape[:-1]) ** -0.5)

    return Problem(
        kind,
        name or kind,
        normal(inputs),
        normal(outputs),
        {name: weight(shape) for name, shape in weights.items()},
        **options,
    )


# Layers.


def linear() -> Problem:
    return _problem("Linear", (8, 32), (8, 32), {"w": (32, 32), "b": (32,)})


def conv_2d() -> Problem:
    shape = (4, 16, 16, 8)
    return _problem("Conv2D", shape, shape, {"w": (3, 3, 8, 8), "b": (8,)})


def batch_norm() -> Problem:
    shape, channels = (8, 16, 16, 8), (1, 1, 1, 8)
    averages = {
        "moving_mean": np.zeros(channels, np.float32),
        "moving_variance": np.ones(channels, np.float32),
    }
    weights = {"beta": channels, "gamma": channels}
    return _problem("BatchNorm", shape, shape, weights, extra=averages)


def layer_norm() -> Problem:
    weights = {"beta": (128,), "gamma": (128,)}
    return _problem("LayerNorm", (32, 128), (32, 128), weights, rate=5.0)


def embed() -> Problem:
    vocabulary, size, ids = 1000, 32, (16, 16)
    problem = _problem("Embed", ids, (*ids, size), {"embeddings": (vocabulary, size)}, rate=10.0)
    chosen = np.random.default_rng(2).integers(vocabulary, size=ids, dtype=np.int32)
    return problem._replace(inputs=chosen)


LAYERS = (linear, conv_2d, batch_norm, layer_norm, embed)


# Models.


def mlp() -> Problem:
    sizes = (64, 128, 128, 10)
    weights: dict[str, tuple[int, ...]] = {}
    for i, shape in enumerate(itertools.pairwise(sizes)):
        weights |= {f"linear_{i}/w": shape, f"linear_{i}/b": shape[1:]}
    return _problem("MLP", (32, 64), (32, 10), weights)


def conv_net_2d() -> Problem:
    weights = {
        "conv_net_2d/conv_2d_0/w": (4, 4, 3, 16),
        "conv_net_2d/conv_2d_0/b": (16,),
        "conv_net_2d/conv_2d_1/w": (4, 4, 16, 32),
        "conv_net_2d/conv_2d_1/b": (32,),
        "linear/w": (32, 10),
        "linear/b": (10,),
    }
    return _problem("ConvNet2D", (16, 32, 32, 3), (16, 10), weights)


def deep_lstm() -> Problem:
    features, hidden = 32, 64
    weights = {
        "lstm_0/w_gates": (features + hidden, 4 * hidden),
        "lstm_0/b_gates": (4 * hidden,),
        "lstm_1/w_gates": (2 * hidden, 4 * hidden),
        "lstm_1/b_gates": (4 * hidden,),
        "linear/w": (hidden, features),
        "linear/b": (features,),
    }
    return _problem("deep LSTM", (32, 16, features), (32, 16, features), weights)


HEADS, KEY_SIZE, LAYERS_OF_TRANSFORMER, MEMORY = 4, 16, 2, 32


def transformer_xl() -> Problem:
    batch, time, features, hidden = 8, 16, 32, 128
    size = HEADS * KEY_SIZE
    bias = (1, HEADS, 1, KEY_SIZE)
    weights: dict[str, tuple[int, ...]] = {
        "mlp/linear_0/w": (features, size),
        "mlp/linear_0/b": (size,),
    }
    for i in range(LAYERS_OF_TRANSFORMER):
        layer = f"transformer_tower/layer_{i}"
        attention = f"{layer}/multihead_attention"
        norms = [f"{layer}/residual_dropout_wrapper{n}/layer_norm" for n in ("", "_1")]
        weights |= {f"{norm}/{name}": (size,) for norm in norms for name in ("beta", "gamma")}
        maps = ("query", "key", "value", "relative_keys")
        weights |= {f"{attention}/{name}/linear/w": (size, size) for name in maps}
        weights |= {
            f"{attention}/r_w_bias": bias,
            f"{attention}/r_r_bias": bias,
            f"{attention}/linear/w": (size, size),
            f"{attention}/linear/b": (size,),
            f"{layer}/mlp/linear_0/w": (size, hidden),
            f"{layer}/mlp/linear_0/b": (hidden,),
            f"{layer}/mlp/linear_1/w": (hidden, size),
            f"{layer}/mlp/linear_1/b": (size,),
        }
    problem = _problem("TransformerXL", (batch, time, features), (batch, time, size), weights)
    memory = np.random.default_rng(3).normal(size=[LAYERS_OF_TRANSFORMER, batch, MEMORY, size])
    return problem._replace(extra={"memory": memory.astype(np.float32)})


def vq_vae() -> Problem:
    images, channels, code, embeddings = (8, 32, 32, 3), 16, 8, 32
    weights = {
        "conv_2d/w": (4, 4, 3, channels),
        "conv_2d/b": (channels,),
        "conv_2d_1/w": (1, 1, channels, code),
        "conv_2d_1/b": (code,),
        "vq_layer/embedding": (code, embeddings),
        "conv_2d_transpose/w": (4, 4, channels, code),
        "conv_2d_transpose/b": (channels,),
        "conv_2d_2/w": (3, 3, channels, 3),
        "conv_2d_2/b": (3,),
    }
    return _problem("VQ-VAE", images, images, weights)


MODELS = (mlp, conv_net_2d, deep_lstm, transformer_xl, vq_vae)


# Cores over sequences, each of the shape [time, batch, inputs, hidden units].


def sequence(core: str, shape: list[int]) -> Problem:
    """Returns the problem of a core over a sequence.

    Args:
        core: Name of the class.
        shape: `[time, batch, inputs, hidden units]`.
    """
    time, batch, features, hidden = shape
    return _problem(
        core,
        (time, batch, features),
        (time, batch, hidden),
        _core_weights(core, features, hidden),
        name=f"{core} {shape}",
        rate=hidden / 32,  # the loss is a mean over as many outputs
        input_gradient=True,
    )


def _core_weights(core: str, features: int, hidden: int) -> dict[str, tuple[int, ...]]:
    if core == "LSTM":
        return {"w_gates": (features + hidden, 4 * hidden), "b_gates": (4 * hidden,)}
    if core == "GRU":
        parts = {"w": (features, hidden), "u": (hidden, hidden), "b": (hidden,)}
        return {f"{part}{gate}": shape for gate in "zrh" for part, shape in parts.items()}
    if core == "VanillaRNN":
        return {
            "in_to_hidden/w": (features, hidden),
            "in_to_hidden/b": (hidden,),
            "hidden_to_hidden/w": (hidden, hidden),  # some have one bias: the second one stays 0
        }
    if core == "HighwayCore":
        weights: dict[str, tuple[int, ...]] = {"wt": (features, hidden), "wh": (features, hidden)}
        for layer in range(HIGHWAY_LAYERS):
            for part in "th":
                weights |= {f"w{part}{layer}": (hidden, hidden), f"b{part}{layer}": (hidden,)}
        return weights
    if core == "DeepRNN":
        return {
            f"lstm_{layer}/{name}": shape
            for layer, size in enumerate((features, hidden))
            for name, shape in _core_weights("LSTM", size, hidden).items()
        }
    raise ValueError(f"There is no problem for the core {core!r}.")


HIGHWAY_LAYERS = 2


def in_order(array: Array, order: str) -> Array:
    """Returns the columns of an LSTM's weights with the gates in another order than i, j, f, o."""
    gates = dict(zip("ijfo", np.split(array, 4, axis=-1), strict=True))
    return np.concatenate([gates[gate] for gate in order], axis=-1)


def with_forget_bias(bias: Array) -> Array:
    """Returns an LSTM's biases, i, j, f, o, with 1 added to those of the forget gate."""
    hidden = bias.shape[0] // 4
    raised = bias.copy()
    raised[2 * hidden : 3 * hidden] += 1
    return raised
