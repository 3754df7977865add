"""Learned optimisers replace `tf.get_variable` while they build the net that they train."""

from __future__ import annotations

import collections
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(8, 2, 2)).astype(np.float32)
Y = RANDOM.normal(size=(8, 3)).astype(np.float32)


def wrap_variable_creation(func: Any, custom_getter: Any) -> Any:
    """Calls `func` with a custom getter at each `tf.get_variable`, wherever it stands."""
    original_get_variable = tf.get_variable

    def custom_get_variable(*args: Any, **kwargs: Any) -> Any:
        return original_get_variable(*args, custom_getter=custom_getter, **kwargs)

    with mock.patch("tensorflow.compat.v1.get_variable", custom_get_variable):
        return func()


def get_variables(func: Any) -> tuple[list[Any], list[Any]]:
    """Calls `func`, and returns the variables that it asks for: trainable ones and others."""
    variables, constants = [], []

    def custom_getter(getter: Any, name: str, **kwargs: Any) -> Any:
        (variables if kwargs["trainable"] else constants).append(name)
        return getter(name, **kwargs)

    wrap_variable_creation(func, custom_getter)
    return variables, constants


def make_with_custom_variables(func: Any, values: Any) -> Any:
    """Calls `func` with tensors in place of its trainable variables."""
    queue = collections.deque(values)

    def custom_getter(getter: Any, name: str, **kwargs: Any) -> Any:
        if kwargs["trainable"]:
            return queue.popleft()
        kwargs["reuse"] = True
        return getter(name, **kwargs)

    return wrap_variable_creation(func, custom_getter)


def regression() -> tuple[Any, Any]:
    """The problem that is optimised: a function that builds the loss of a net, and the net."""
    network = snt.Sequential([snt.BatchFlatten(), snt.nets.MLP([3], name="mlp")])

    def build() -> Any:
        return tf.reduce_mean(tf.square(network(tf.constant(X)) - Y))

    return build, network


def loss_and_gradients(w: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    x = X.reshape(8, 4)
    error = x @ w + b - Y
    return np.mean(error**2), x.T @ error / 12, error.sum(axis=0) / 12


def descend(w: np.ndarray, b: np.ndarray, steps: int) -> float:
    for _ in range(steps):
        _, w_gradient, b_gradient = loss_and_gradients(w, b)
        w, b = w - 0.1 * w_gradient, b - 0.1 * b_gradient
    return loss_and_gradients(w, b)[0]


# A getter given to one get_variable stands in place of the module's: only a graph then remembers.
in_graphs = pytest.mark.parametrize("mode", ["graph"], indirect=True)

W0, B0 = np.ones((4, 3), np.float32), np.full(3, 0.5, np.float32)


@in_graphs
def test_variables_are_listed_while_the_net_is_built(mode: Mode) -> None:
    build, network = regression()
    found: list[Any] = []

    def program() -> Any:
        found.append(get_variables(build))
        return build()  # and the net goes on to work without the replacement

    before = mode.run(program)
    assert found[0] == (["mlp/linear_0/w", "mlp/linear_0/b"], [])
    assert names(network.variables) == ["mlp/linear_0/b", "mlp/linear_0/w"]
    np.testing.assert_array_equal(mode.run(build), before)
    b, w = randomise(network.variables, mode)
    np.testing.assert_allclose(mode.run(build), loss_and_gradients(w, b)[0], 1e-5)


def test_tensors_take_the_place_of_variables(mode: Mode) -> None:
    build, network = regression()
    mode.run(build)
    loss = mode.run(lambda *values: make_with_custom_variables(build, values), W0, B0)
    np.testing.assert_allclose(loss, loss_and_gradients(W0, B0)[0], 1e-5)
    b, w = randomise(network.variables, mode)  # the net's own are as they were
    np.testing.assert_allclose(mode.run(build), loss_and_gradients(w, b)[0], 1e-5)


@pytest.mark.parametrize("unroll", ["python", "while_loop"])
def test_optimisation_is_unrolled_and_differentiated(unroll: str) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        build, network = regression()
        get_variables(build)
        rate = tf.constant(0.1)

        def step(w: Any, b: Any) -> Any:
            loss = make_with_custom_variables(build, [w, b])
            return [x - rate * g for x, g in zip((w, b), tf.gradients(loss, [w, b]), strict=True)]

        values = [tf.constant(W0), tf.constant(B0)]
        if unroll == "python":
            for _ in range(3):
                values = step(*values)
        else:
            _, *values = tf.while_loop(
                lambda t, *_: t < 3, lambda t, *v: [t + 1, *step(*v)], [tf.constant(0), *values]
            )
        final_loss = make_with_custom_variables(build, values)
        (slope,) = tf.gradients(final_loss, [rate])

        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(session.run(final_loss), descend(W0, B0, 3), 1e-4)
        assert session.run(slope) < 0  # a larger step would do better
        assert len(tf.trainable_variables()) == len(network.variables) == 2


@in_graphs
def test_variables_that_are_not_trainable_stay(mode: Mode) -> None:
    def scaled(x: Any) -> Any:
        mean = tf.get_variable("mean", [4], initializer=tf.ones_initializer(), trainable=False)
        return (x - mean) * tf.get_variable("gain", [4])

    module = snt.Module(scaled)
    x = X.reshape(8, 4)
    mode.run(module, x)
    gain = np.float32([1, 2, 3, 4])
    replaced = mode.run(lambda x, g: make_with_custom_variables(lambda: module(x), [g]), x, gain)
    np.testing.assert_allclose(replaced, (x - 1) * gain, 1e-5)
    assert len(module.variables) == 2
