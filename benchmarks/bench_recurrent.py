"""An LSTM over whole sequences: the unroll beside what else there is to run one.

Each shape is `[time, batch, inputs, hidden units]`; first the forward pass alone, then a training
step: the gradients of all weights and of the inputs. The ways have the same weights, and their
outputs are compared before anything is timed. PyTorch takes part where it is installed.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from benchmarks.interleaved import Interleaved, repeated

SHAPES = ([64, 32, 128, 128], [64, 32, 128, 512], [32, 4, 64, 256], [64, 128, 256, 512])

Array = np.ndarray[Any, Any]
Forward = Callable[[Any], Any]


class Way(NamedTuple):
    """One way of running an LSTM.

    Attributes:
        forward: Returns the outputs, `[time, batch, hidden]`.
        train: Returns the gradients, or leaves them somewhere.
    """

    forward: Callable[[], Any]
    train: Callable[[], Any]


class Problem:
    """Inputs and weights for one shape; gates in the order i, j, f, o."""

    def __init__(self, shape: list[int]) -> None:
        time, batch, features, hidden = self.shape = shape
        random = np.random.default_rng(1)
        self.inputs = random.normal(size=[time, batch, features]).astype(np.float32)
        size = features + hidden
        self.w = (random.normal(size=[size, 4 * hidden]) / size**0.5).astype(np.float32)
        self.b = (0.1 * random.normal(size=[4 * hidden])).astype(np.float32)

    def in_order(self, array: Array, order: str) -> Array:
        gates = dict(zip("ijfo", np.split(array, 4, axis=-1), strict=True))
        return np.concatenate([gates[gate] for gate in order], axis=-1)

    def bias_with_forget_bias(self, order: str) -> Array:
        bias = self.b.copy()
        hidden = self.shape[3]
        bias[2 * hidden : 3 * hidden] += 1
        return self.in_order(bias, order)


def in_tensorflow(
    problem: Problem,
    forward: Forward,
    variables: list[Any],
    time_major: bool = True,
    **options: Any,
) -> Way:
    inputs = tf.constant(problem.inputs if time_major else problem.inputs.swapaxes(0, 1))

    @functools.partial(tf.function, autograph=False, **options)
    def run() -> Any:
        return forward(inputs)

    @functools.partial(tf.function, autograph=False, **options)
    def train() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(tf.square(forward(inputs)))
        return tape.gradient(loss, [inputs, *variables])

    def time_major_outputs() -> Any:
        return run() if time_major else tf.transpose(run(), [1, 0, 2])

    return Way(run if time_major else time_major_outputs, train)


def lstm(problem: Problem) -> Any:
    _, batch, features, hidden = problem.shape
    core = snt.LSTM(hidden)
    core(tf.zeros([batch, features]), core.initial_state(batch))
    core._w_xh.assign(problem.w)
    core._b.assign(problem.b)
    return core


def unroll(problem: Problem, **options: Any) -> Way:
    core = lstm(problem)
    forward = lambda inputs: snt.dynamic_unroll(core, inputs)[0]  # noqa: E731
    return in_tensorflow(problem, forward, list(core.trainable_variables), **options)


def dynamic_rnn(problem: Problem) -> Way:
    core = lstm(problem)

    def forward(inputs: Any) -> Any:
        return tf1.nn.dynamic_rnn(core, inputs, dtype=tf.float32, time_major=True)[0]

    return in_tensorflow(problem, forward, list(core.trainable_variables))


def keras(problem: Problem) -> Way:
    time, batch, features, hidden = problem.shape
    layer = tf.keras.layers.LSTM(hidden, return_sequences=True)
    layer.build((batch, time, features))
    w = problem.in_order(problem.w, "ifjo")
    layer.set_weights([w[:features], w[features:], problem.bias_with_forget_bias("ifjo")])
    variables = [variable.value for variable in layer.trainable_variables]
    return in_tensorflow(problem, layer, variables, time_major=False)


def block_lstm(problem: Problem) -> Way:
    time, batch, _, hidden = problem.shape
    w = tf.Variable(problem.in_order(problem.w, "ifjo"))
    b = tf.Variable(problem.bias_with_forget_bias("ifjo"))  # it has no forget bias of its own
    zeros, unused = tf.zeros([batch, hidden]), tf.zeros([hidden])

    def forward(inputs: Any) -> Any:
        return tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.constant(time, tf.int64),
            x=inputs,
            cs_prev=zeros,
            h_prev=zeros,
            w=w,
            wci=unused,
            wcf=unused,
            wco=unused,
            b=b,
            cell_clip=0.0,
        ).h

    return in_tensorflow(problem, forward, [w, b])


def torch(problem: Problem) -> Way:
    import torch

    torch.set_num_threads(1)
    features, hidden = problem.shape[2:]
    layer = torch.nn.LSTM(features, hidden)
    w = torch.tensor(problem.in_order(problem.w, "ifjo").T.copy())
    with torch.no_grad():
        layer.weight_ih_l0.copy_(w[:, :features])
        layer.weight_hh_l0.copy_(w[:, features:])
        layer.bias_ih_l0.copy_(torch.tensor(problem.bias_with_forget_bias("ifjo")))
        layer.bias_hh_l0.zero_()
    inputs = torch.tensor(problem.inputs, requires_grad=True)

    def forward() -> Any:
        with torch.no_grad():
            return layer(inputs)[0]

    def train() -> Any:
        inputs.grad = None
        layer.zero_grad()
        layer(inputs)[0].square().sum().backward()

    return Way(forward, train)


def ways(problem: Problem) -> dict[str, Way]:
    found = {
        "Keras 3 LSTM": keras(problem),
        "snt.dynamic_unroll": unroll(problem),
        "snt.dynamic_unroll, jit_compile": unroll(problem, jit_compile=True),
        "dynamic_rnn of snt.LSTM": dynamic_rnn(problem),
        "raw BlockLSTMV2": block_lstm(problem),
    }
    if importlib.util.find_spec("torch"):
        found["PyTorch nn.LSTM"] = torch(problem)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("what", ["forward", "train"])
def test_lstm(what: str, shape: list[int], measure: Any, report_counts: Any) -> None:
    found = ways(Problem(shape))
    reference, *others = (np.asarray(way.forward()) for way in found.values())
    for name, outputs in zip(list(found)[1:], others, strict=True):
        np.testing.assert_allclose(outputs, reference, atol=2e-5, err_msg=name)
    runs = {name: getattr(way, what) for name, way in found.items()}
    for run in runs.values():
        run()  # which builds its graph
    # About as much work for each shape.
    time, batch, features, hidden = shape
    work = time * batch * (features + hidden) * hidden
    number = max(1, 2**27 // work)
    timed = {name: repeated(run, number) for name, run in runs.items()}
    title = f"LSTM {shape}: {'training step' if what == 'train' else 'forward'}"
    measure(Interleaved(title, timed), rounds=3 if work > 2**30 else 9)
    if what == "train":
        report_counts(f"LSTM {shape}: bytes kept for the backward pass", kept_bytes(shape))


def kept_bytes(shape: list[int]) -> dict[str, int]:
    """Returns what the unroll keeps: hidden states, cells and the four gates of all steps."""
    time, batch, _, hidden = shape
    return {"snt.dynamic_unroll": 6 * time * batch * hidden * 4}
