"""Runs a network forward and trains it: eagerly, in `tf.function`, and in a graph with a session.

The peers differ in how a network is built; what is around it, the loss and the step of gradient
descent, is the same for all that are made of TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from benchmarks.problems import Array, Problem

MODES = ("eager", "tf.function", "graph")


class Network(NamedTuple):
    """A network made of TensorFlow's tensors and variables.

    Attributes:
        forward: Given the inputs returns the outputs; or a pair, these and a further loss.
        variables: Returns what is learnt, as TensorFlow's variables, once `forward` was called.
        values: What these variables begin with.
        layout: Brings inputs, targets and outputs from the layout of the problem to that of the
            network, and back.
        options: Arguments of `tf.function`; with any the network is for that mode only.
    """

    forward: Callable[[Any], Any]
    variables: Callable[[], Sequence[Any]]
    values: Sequence[Array]
    layout: Callable[[Array], Array] = np.asarray
    options: Mapping[str, Any] = {}


class Runner(NamedTuple):
    """A network that is ready to be timed.

    Attributes:
        forward: Computes the outputs.
        train: Takes a training step.
        outputs: Returns the outputs, in the layout of the problem.
        loss: Takes a training step, and returns the loss before it.
    """

    forward: Callable[[], Any]
    train: Callable[[], Any]
    outputs: Callable[[], Array]
    loss: Callable[[], float]


def swap_time_and_batch(array: Array) -> Array:
    """Is the layout of networks that have the batch first."""
    return np.ascontiguousarray(np.swapaxes(array, 0, 1))


def runner(network: Callable[[], Network], problem: Problem, mode: str) -> Runner | None:
    """Builds a network and returns what runs it; None if it is not for the mode.

    Args:
        network: Builds it; called where its variables and ops are to be.
        problem: What it is to compute.
        mode: One of `MODES`.
    """
    if mode == "graph":
        return _in_session(network, problem)
    return _eager(network(), problem, mode)


def outputs_and_loss(result: Any) -> tuple[Any, Any]:
    """Splits what a network returns into outputs and further loss."""
    return result if isinstance(result, tuple) else (result, 0.0)


def _step(network: Network, problem: Problem, inputs: Any, target: Any) -> list[Any]:
    """Takes a training step; returns the loss and what else is to be computed."""
    with tf.GradientTape() as tape:
        if problem.input_gradient:
            tape.watch(inputs)
        outputs, further = outputs_and_loss(network.forward(inputs))
        loss = tf.reduce_mean(tf.square(outputs - target)) + further
    variables = network.variables()
    sources = [inputs] if problem.input_gradient else []
    gradients = tape.gradient(loss, [*variables, *sources])
    for variable, gradient in zip(variables, gradients, strict=False):
        _descend(variable, gradient, problem.rate)
    return [loss, *gradients[len(variables) :]]


def _descend(variable: Any, gradient: Any, rate: float) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return variable.scatter_sub(tf.IndexedSlices(rate * gradient.values, gradient.indices))
    return variable.assign_sub(rate * gradient, read_value=False)


def _eager(network: Network, problem: Problem, mode: str) -> Runner | None:
    if mode == "eager" and network.options:
        return None
    inputs, target = (
        tf.constant(network.layout(array)) for array in (problem.inputs, problem.target)
    )
    network.forward(inputs)  # which makes the variables
    for variable, value in zip(network.variables(), network.values, strict=True):
        variable.assign(value)
    forward: Any = network.forward
    step: Any = functools.partial(_step, network, problem)
    if mode == "tf.function":
        traced = functools.partial(tf.function, autograph=False, **network.options)
        forward, step = traced(forward), traced(step)
    return Runner(
        lambda: forward(inputs),
        lambda: step(inputs, target),
        lambda: network.layout(outputs_and_loss(forward(inputs))[0].numpy()),
        lambda: float(step(inputs, target)[0]),
    )


def _in_session(build: Callable[[], Network], problem: Problem) -> Runner | None:
    with tf.Graph().as_default() as graph:
        network = build()
        if network.options:
            return None
        arrays = [network.layout(array) for array in (problem.inputs, problem.target)]
        inputs, target = (tf1.placeholder(array.dtype, array.shape) for array in arrays)
        outputs, further = outputs_and_loss(network.forward(inputs))
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        variables = list(network.variables())
        loss = tf.reduce_mean(tf.square(outputs - target)) + further
        sources = [inputs] if problem.input_gradient else []
        gradients = tf.gradients(loss, [*variables, *sources])
        with tf.control_dependencies(gradients[: len(variables)]):  # which read the variables
            steps = [
                _descend(variable, gradient, problem.rate)
                for variable, gradient in zip(variables, gradients, strict=False)
            ]
        step_of_all = tf.group(*steps, *updates)
        begin = [
            variable.assign(value, read_value=False)
            for variable, value in zip(variables, network.values, strict=True)
        ]
        initialize = tf1.global_variables_initializer()
    one_thread = tf1.ConfigProto(inter_op_parallelism_threads=1, intra_op_parallelism_threads=1)
    session = tf1.Session(graph=graph, config=one_thread)
    session.run(initialize)
    session.run(begin)
    run = session.make_callable(outputs, [inputs])
    fetches = [loss, gradients[len(variables) :], step_of_all]
    step = session.make_callable(fetches, [inputs, target])
    return Runner(
        lambda: run(arrays[0]),
        lambda: step(*arrays),
        lambda: network.layout(run(arrays[0])),
        lambda: float(step(*arrays)[0]),
    )
