"""PyTorch, eagerly, on one thread of the CPU.

It does not take part where it has no layer that computes the same: its GRU applies the reset gate
after the product, and there are no highway cores.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.networks import Runner
from benchmarks.problems import Array, Problem, in_order, with_forget_bias

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what a build for GPUs says where there is none
    torch: Any = importlib.import_module("torch")

torch.set_num_threads(1)

MODES = ("eager", "tf.function")  # beside both: it has no other way that its users would take
MAKES_RUNNERS = True

NAME = "PyTorch"
nn: Any = torch.nn

Layout = Callable[[Array], Array]


def channels_first(array: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if array.ndim == 4 else array


def channels_last(array: Array) -> Array:
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def runner(module: Any, values: Iterable[Array], problem: Problem) -> Runner:
    """Returns what runs a module; `values` are in the order of its parameters."""
    parameters = list(module.parameters())
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(torch.tensor(np.ascontiguousarray(value)))
    inputs = torch.tensor(channels_first(problem.inputs))
    target = torch.tensor(channels_first(problem.target))
    if problem.input_gradient:
        inputs.requires_grad_()

    def forward() -> Any:
        with torch.no_grad():
            return module(inputs)

    def train() -> Any:
        inputs.grad = None
        for parameter in parameters:
            parameter.grad = None
        outputs = module(inputs)
        outputs, further = outputs if isinstance(outputs, tuple) else (outputs, 0.0)
        loss = torch.nn.functional.mse_loss(outputs, target) + further
        loss.backward()
        with torch.no_grad():
            # Not torch.optim: its builds for GPUs import Triton, whose LLVM is at odds with
            # TensorFlow's in one process.
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=problem.rate)
        return loss

    def outputs() -> Array:
        found = forward()
        return channels_last((found[0] if isinstance(found, tuple) else found).numpy())

    return Runner(forward, train, outputs, lambda: train().item())


def linear_values(problem: Problem, name: str = "") -> list[Array]:
    return [problem.weights[f"{name}w"].T, problem.weights[f"{name}b"]]


def convolution_values(problem: Problem, name: str = "") -> list[Array]:
    return [problem.weights[f"{name}w"].transpose(3, 2, 0, 1), problem.weights[f"{name}b"]]


def linear(problem: Problem) -> Runner:
    return runner(nn.Linear(32, 32), linear_values(problem), problem)


def conv_2d(problem: Problem) -> Runner:
    return runner(nn.Conv2d(8, 8, 3, padding=1), convolution_values(problem), problem)


def batch_norm(problem: Problem) -> Runner:
    values = [problem.weights[name].ravel() for name in ("gamma", "beta")]
    return runner(nn.BatchNorm2d(8, eps=1e-3, momentum=0.001), values, problem)


def layer_norm(problem: Problem) -> Runner:
    values = [problem.weights["gamma"], problem.weights["beta"]]
    return runner(nn.LayerNorm(128, eps=1e-5), values, problem)


def embed(problem: Problem) -> Runner:
    return runner(nn.Embedding(1000, 32), problem.weights.values(), problem)


def mlp(problem: Problem) -> Runner:
    values = [a for i in range(3) for a in linear_values(problem, f"linear_{i}/")]
    sizes = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    return runner(nn.Sequential(*sizes), values, problem)


def conv_net_2d(problem: Problem) -> Runner:
    values = [a for i in range(2) for a in convolution_values(problem, f"conv_net_2d/conv_2d_{i}/")]
    values += linear_values(problem, "linear/")
    convolutions = [nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()]
    mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return runner(nn.Sequential(*convolutions, *mean, nn.Linear(32, 10)), values, problem)


class Outputs(nn.Module):
    """A recurrent layer without its final state, and what comes after it."""

    def __init__(self, layer: Any, after: Any = None) -> None:
        super().__init__()
        self.layer = layer
        self.after = after or nn.Identity()

    def forward(self, inputs: Any) -> Any:
        return self.after(self.layer(inputs)[0])


def lstms(problem: Problem) -> Runner:
    """Builds one or more LSTMs, and a linear layer if the problem has one."""
    gates = [array for name, array in problem.weights.items() if name.endswith("_gates")]
    features, hidden = problem.inputs.shape[2], gates[1].shape[0] // 4
    values = []
    for w, b in zip(gates[::2], gates[1::2], strict=True):
        size = w.shape[0] - hidden
        w = in_order(w, "ifjo").T
        values += [w[:, :size], w[:, size:], in_order(with_forget_bias(b), "ifjo"), 0 * b]
    module = nn.LSTM(features, hidden, num_layers=len(gates) // 2)
    after = None
    if "linear/w" in problem.weights:
        after = nn.Linear(hidden, problem.target.shape[2])
        values += linear_values(problem, "linear/")
    return _without_second_bias(Outputs(module, after), values, problem)


def vanilla_rnn(problem: Problem) -> Runner:
    v = problem.weights
    values = [v["in_to_hidden/w"].T, v["hidden_to_hidden/w"].T]
    values += [v["in_to_hidden/b"], 0 * v["in_to_hidden/b"]]
    module = nn.RNN(problem.inputs.shape[2], problem.target.shape[2])
    return _without_second_bias(Outputs(module), values, problem)


def _without_second_bias(module: Any, values: list[Array], problem: Problem) -> Runner:
    """Keeps the second of the two biases of a layer at 0, so that it learns as the others do."""
    made = runner(module, values, problem)
    for name, parameter in module.named_parameters():
        if "bias_hh" in name:
            parameter.requires_grad_(False)
    return made


class VQVAE(nn.Module):
    """An autoencoder of images; the quantiser is written by hand, for PyTorch has none."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 8, 1))
        transpose = nn.ConvTranspose2d(8, 16, 4, 2, 1)
        self.decoder = nn.Sequential(transpose, nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))
        self.embedding = nn.Embedding(32, 8)

    def forward(self, images: Any) -> Any:
        code = self.encoder(images).permute(0, 2, 3, 1)
        flat, table = code.reshape(-1, 8), self.embedding.weight
        distances = flat.square().sum(1, keepdim=True) - 2 * flat @ table.T + table.square().sum(1)
        quantized = self.embedding(distances.argmin(1)).view(code.shape)
        mse = nn.functional.mse_loss
        loss = mse(quantized, code.detach()) + 0.25 * mse(quantized.detach(), code)
        through = code + (quantized - code).detach()
        return self.decoder(through.permute(0, 3, 1, 2)), loss


def vq_vae(problem: Problem) -> Runner:
    v = problem.weights
    transpose = [v["conv_2d_transpose/w"].transpose(3, 2, 0, 1), v["conv_2d_transpose/b"]]
    names = ("conv_2d/", "conv_2d_1/", "conv_2d_2/")
    first, second, last = (convolution_values(problem, name) for name in names)
    values = [*first, *second, *transpose, *last, v["vq_layer/embedding"].T]
    return runner(VQVAE(), values, problem)


WAYS: dict[str, dict[str, Callable[[Problem], Runner]]] = {
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
    "VanillaRNN": {NAME: vanilla_rnn},
}
