"""What programs hand to modules: sizes of all kinds, functions of all kinds, nested inputs."""

from __future__ import annotations

import collections
import functools
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(2, 4)).astype(np.float32)
SEQUENCE = RANDOM.normal(size=(5, 2, 4)).astype(np.float32)

SIZES = {
    "Dimension": lambda n: tf.Dimension(n),
    "int64": lambda n: np.int64(n),
    "int32": lambda n: np.int32(n),
    "array": lambda n: np.array([n])[0],
    "entry of a TensorShape": lambda n: tf.TensorShape([None, n])[1],
}
each_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


@each_size
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda n: snt.Linear(n(3)), (2, 3)),
        (lambda n: snt.Linear(lambda: n(3)), (2, 3)),
        (lambda n: snt.nets.MLP([n(5), n(3)]), (2, 3)),
        (lambda n: snt.nets.MLP([n(5), lambda: n(3)]), (2, 3)),
        (lambda n: snt.BatchReshape([n(2), n(2), -1]), (2, 2, 2, 1)),
        (lambda n: snt.BatchReshape(lambda: [n(2), n(2)]), (2, 2, 2)),
        (lambda n: snt.Sequential([snt.TrainableVariable([n(2), n(4)])]), (2, 4)),
    ],
    ids=[
        "Linear",
        "Linear-lazy",
        "MLP",
        "MLP-lazy",
        "BatchReshape",
        "BatchReshape-lazy",
        "Variable",
    ],
)
def test_sizes(make: Any, shape: tuple[int, ...], size: Any, mode: Mode) -> None:
    module = make(size)
    inputs = [] if shape == (2, 4) else [INPUTS]
    assert mode.run(module, *inputs).shape == shape
    assert mode.run(module, *inputs).shape == shape


@each_size
def test_the_transposed_of_a_module_with_such_a_size(size: Any, mode: Mode) -> None:
    linear = snt.Linear(size(3))
    transposed = linear.transpose()
    assert mode.run(lambda x: transposed(linear(x)), INPUTS).shape == (2, 4)
    assert linear.output_size == 3


def scaled(inputs: Any, factor: float = 1.0) -> Any:
    return inputs * factor * tf.get_variable("scale", [], initializer=tf.ones_initializer())


class Scaler:
    """Not a module: an object with a method, and one that can itself be called."""

    def scale(self, inputs: Any) -> Any:
        return scaled(inputs, 3.0)

    __call__ = scale


FUNCTIONS = {
    "function": (scaled, 1.0, "scaled"),
    "lambda": (lambda x: scaled(x, 2.0), 2.0, "module"),
    "partial": (functools.partial(scaled, factor=4.0), 4.0, "scaled"),
    "partial of a partial": (
        functools.partial(functools.partial(scaled, factor=4.0), factor=5.0),
        5.0,
        "scaled",
    ),
    "bound method": (Scaler().scale, 3.0, "scale"),
    "callable object": (Scaler(), 3.0, "module"),
}
each_function = pytest.mark.parametrize(
    ("function", "factor", "name"), FUNCTIONS.values(), ids=FUNCTIONS
)


@each_function
def test_functions_in_a_module(function: Any, factor: float, name: str, mode: Mode) -> None:
    module = snt.Module(function)
    for _ in range(2):
        np.testing.assert_allclose(mode.run(module, INPUTS), INPUTS * factor)
    assert names(module.variables) == [f"{name}/scale"]


@each_function
def test_functions_in_a_batch_apply(function: Any, factor: float, name: str, mode: Mode) -> None:
    module = snt.BatchApply(function)
    for _ in range(2):
        np.testing.assert_allclose(mode.run(module, SEQUENCE), SEQUENCE * factor)
    assert names(module.variables) == ["batch_apply/scale"]


@each_function
def test_functions_in_a_sequential(function: Any, factor: float, name: str, mode: Mode) -> None:
    module = snt.Sequential([tf.abs, function, lambda x: (x, 1.0), lambda x, one: x + one])
    for _ in range(2):
        np.testing.assert_allclose(mode.run(module, INPUTS), np.abs(INPUTS) * factor + 1)
    assert names(module.variables) == ["sequential/scale"]


Observation = collections.namedtuple("Observation", "image instruction")
StepOutput = collections.namedtuple("StepOutput", "reward observation")


def test_nested_inputs_of_batch_apply(mode: Mode) -> None:
    seen: list[Any] = []

    def embed(step: StepOutput, is_training: bool, mask: Any = None) -> Any:
        seen.append((step.observation.instruction, is_training, mask))
        logits = snt.Linear(3)(step.observation.image)
        return Observation(logits + step.reward[:, None], (None, logits))

    reward = RANDOM.normal(size=(5, 2)).astype(np.float32)
    module = snt.BatchApply(embed)

    def connect(reward: Any, image: Any) -> Any:
        step = StepOutput(reward, Observation(image, None))
        outputs = module(step, True, mask=None)
        assert isinstance(outputs, Observation)
        assert outputs.instruction[0] is None
        return outputs.image, outputs.instruction[1]

    image, logits = mode.run(connect, reward, SEQUENCE)
    assert all(instruction is mask is None for instruction, _, mask in seen)
    assert all(is_training is True for _, is_training, _ in seen)
    np.testing.assert_allclose(image, logits + reward[..., None], 1e-5)


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        (snt.nets.MLP([3]), "supported"),
        (snt.Linear(3), "not_supported"),
        (snt.Sequential([snt.nets.MLP([3])]), "not_supported"),
        (snt.BatchApply(snt.Linear(3)), "maybe_supported"),
        (snt.Module(scaled), "maybe_supported"),
        (scaled, "not_supported"),
        (lambda x, is_training: x, "supported"),
        (lambda x, *, is_training=True: x, "supported"),
        (lambda x, **unused_kwargs: x, "maybe_supported"),
        (Scaler().scale, "not_supported"),
        (tf.nn.relu, "not_supported"),
    ],
)
def test_who_takes_is_training(module: Any, answer: str) -> None:
    assert snt.supports_kwargs(module, "is_training") == answer
    assert snt.supports_kwargs(module, ["is_training"]) == answer
    kept = snt.remove_unsupported_kwargs(module, {"is_training": True})
    assert kept == ({} if answer == "not_supported" else {"is_training": True})


def test_layers_are_called_with_what_they_take(mode: Mode) -> None:
    layers = [snt.BatchFlatten(), snt.nets.MLP([3], use_dropout=True), tf.nn.relu]

    def connect(inputs: Any) -> Any:
        for layer in layers:
            inputs = layer(inputs, **snt.remove_unsupported_kwargs(layer, {"is_training": False}))
        return inputs

    np.testing.assert_array_equal(mode.run(connect, INPUTS), mode.run(connect, INPUTS))


@pytest.mark.parametrize("make", [lambda: snt.Linear(1), lambda: snt.nets.MLP([5, 1], tf.tanh)])
def test_gradients_of_gradients(make: Any) -> None:
    """The gradient penalty of a critic, trained by its own gradient."""
    with tf.Graph().as_default(), tf.Session() as session:
        critic = make()
        inputs = tf.constant(INPUTS)
        (slopes,) = tf.gradients(critic(inputs), [inputs])
        penalty = tf.reduce_mean(tf.square(tf.norm(slopes, axis=1) - 1.0))
        (gradient,) = tf.gradients(penalty, [critic.trainable_variables[-1]])
        variable = critic.trainable_variables[-1]
        session.run(tf.global_variables_initializer())
        value, analytic = session.run([variable, gradient])
        direction = RANDOM.normal(size=value.shape)
        penalties = []
        for sign in (1, -1):
            variable.load(value + sign * 1e-2 * direction, session)
            penalties.append(session.run(penalty))
        slope = (penalties[0] - penalties[1]) / 2e-2
        np.testing.assert_allclose(np.sum(analytic * direction), slope, 1e-2, 1e-3)
        assert abs(slope) > 1e-3
