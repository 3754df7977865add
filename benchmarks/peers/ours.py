"""This library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from benchmarks.networks import Network
from benchmarks.problems import HEADS, HIGHWAY_LAYERS, KEY_SIZE, MEMORY, Problem

MODES = ("eager", "tf.function", "graph")
MAKES_RUNNERS = False

Forward = Callable[[Any], Any]


def network(
    module: Any,
    problem: Problem,
    forward: Forward | None = None,
    parts: Mapping[str, Any] | None = None,
    **more: Any,
) -> Network:
    """Returns the network of a module whose variables have the names of the problem's weights.

    Args:
        module: The module.
        problem: What it computes.
        forward: As for `Network`. Default: `module`.
        parts: Modules that are not in its scope but have its variables, by their names there.
        **more: As for `Network`.
    """

    def variables() -> list[Any]:
        by_name = {
            prefix + variable.name.removeprefix(f"{part.scope_name}/").removesuffix(":0"): variable
            for prefix, part in (parts or {"": module}).items()
            for variable in part.get_all_variables()
        }
        return [by_name[name] for name in problem.weights]

    return Network(forward or module, variables, list(problem.weights.values()), **more)


def of(make: Callable[[], Any]) -> Callable[[Problem], Network]:
    """Returns what builds the network of a module that needs nothing of the problem."""
    return lambda problem: network(make(), problem)


def batch_norm(problem: Problem, fused: bool) -> Network:
    module = snt.BatchNorm(scale=True, fused=fused)
    return network(module, problem, lambda inputs: module(inputs, is_training=True))


class ConvNet(snt.AbstractModule):
    """Convolutions, the mean of each channel, and a linear layer."""

    def __init__(self, name: str = "conv_net") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._convolutions = snt.nets.ConvNet2D(
                [16, 32], [4], [2], [snt.SAME], activate_final=True, normalize_final=False
            )
            self._linear = snt.Linear(10)

    def _build(self, images: Any) -> Any:
        return self._linear(tf.reduce_mean(self._convolutions(images), (1, 2)))


class DeepLSTM(snt.AbstractModule):
    """Two LSTMs over a sequence, and a linear layer at each step."""

    def __init__(self, hidden: int, outputs: int, name: str = "deep_lstm") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._core = snt.DeepRNN(
                [snt.LSTM(hidden, name=f"lstm_{i}") for i in range(2)], skip_connections=False
            )
            self._linear = snt.Linear(outputs)

    def _build(self, inputs: Any) -> Any:
        outputs, _ = snt.dynamic_unroll(self._core, inputs)
        return snt.BatchApply(self._linear)(outputs)


def deep_lstm(problem: Problem) -> Network:
    hidden, outputs = problem.weights["linear/w"].shape
    return network(DeepLSTM(hidden, outputs), problem)


def transformer_xl(problem: Problem) -> Network:
    _, _, size = problem.target.shape
    assert size == HEADS * KEY_SIZE
    memory = problem.extra["memory"]
    config = {
        "value_size": KEY_SIZE,
        "num_heads": HEADS,
        "num_layers": len(memory),
        "mlp_hidden_sizes": (128,),
        "dropout_rate": 0.0,
    }
    module = snt.nets.TransformerXL(config, memory_size=MEMORY, chunk_size=problem.inputs.shape[1])
    return network(module, problem, lambda inputs: module(inputs, list(memory))[0])


class VQVAE(snt.AbstractModule):
    """An autoencoder of images, the code of which is quantised."""

    def __init__(self, name: str = "vq_vae") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._encoder = snt.Sequential([snt.Conv2D(16, 4, 2), tf.nn.relu, snt.Conv2D(8, 1)])
            self._quantizer = snt.nets.VectorQuantizer(8, 32, 0.25)
            self._decoder = snt.Sequential(
                [snt.Conv2DTranspose(16, None, 4, 2), tf.nn.relu, snt.Conv2D(3, 3)]
            )

    def _build(self, images: Any) -> Any:
        found = self._quantizer(self._encoder(images), is_training=True)
        return self._decoder(found["quantize"]), found["loss"]


def on_core(run: Callable[[Any, Any], Any], **options: Any) -> Callable[[Problem], Network]:
    """Returns what builds a core of the kind of the problem, which `run` takes over a sequence."""

    def build(problem: Problem) -> Network:
        hidden = problem.target.shape[2]
        parts = None
        if problem.kind == "DeepRNN":
            cores = [snt.LSTM(hidden, name=f"lstm_{i}") for i in range(2)]
            core: Any = snt.DeepRNN(cores, skip_connections=False)
            parts = {f"lstm_{i}/": lstm for i, lstm in enumerate(cores)}
        elif problem.kind == "HighwayCore":
            core = snt.HighwayCore(hidden, HIGHWAY_LAYERS)
        else:
            core = getattr(snt, problem.kind)(hidden)
        return network(core, problem, lambda inputs: run(core, inputs)[0], parts, options=options)

    return build


def dynamic_rnn(core: Any, inputs: Any) -> Any:
    return tf1.nn.dynamic_rnn(core, inputs, dtype=tf.float32, time_major=True)


SEQUENCES = {
    "snt.dynamic_unroll": on_core(snt.dynamic_unroll),
    "snt.dynamic_unroll, jit_compile": on_core(snt.dynamic_unroll, jit_compile=True),
    "snt.* in dynamic_rnn": on_core(dynamic_rnn),
}

WAYS: dict[str, dict[str, Callable[[Problem], Network]]] = {
    "Linear": {"snt.Linear": of(lambda: snt.Linear(32))},
    "Conv2D": {"snt.Conv2D": of(lambda: snt.Conv2D(8, 3))},
    "BatchNorm": {
        "snt.BatchNorm": lambda problem: batch_norm(problem, fused=False),
        "snt.BatchNorm, fused": lambda problem: batch_norm(problem, fused=True),
    },
    "LayerNorm": {"snt.LayerNorm": of(snt.LayerNorm)},
    "Embed": {"snt.Embed": of(lambda: snt.Embed(1000, 32))},
    "MLP": {"snt.nets.MLP": of(lambda: snt.nets.MLP([128, 128, 10]))},
    "ConvNet2D": {"snt.nets.ConvNet2D": of(ConvNet)},
    "deep LSTM": {"snt.DeepRNN, snt.dynamic_unroll": deep_lstm},
    "TransformerXL": {"snt.nets.TransformerXL": transformer_xl},
    "VQ-VAE": {"snt.nets.VectorQuantizer, snt.Conv2D": of(VQVAE)},
    **dict.fromkeys(("LSTM", "GRU", "VanillaRNN", "HighwayCore", "DeepRNN"), SEQUENCES),
}
