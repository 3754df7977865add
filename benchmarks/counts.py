"""What has no noise: ops in a graph, variables, calls of get_variable and of functions."""

from __future__ import annotations

import collections
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from benchmarks.networks import Network
from benchmarks.peers import BASELINE, bare
from benchmarks.problems import Problem

Report = Callable[[str, dict[str, int]], None]


def report_graph(problem: Problem, report: Report) -> list[dict[str, int]]:
    """Reports what two connections put into a graph, beside bare TensorFlow.

    Returns:
        The counts of bare TensorFlow, and of each way of this library.
    """
    found = {name: in_graph(build, problem) for name, build in _ways(problem).items()}
    for what in ("ops, first connection", "ops, later connection", "variables"):
        report(f"{problem.name}, graph: {what}", {name: row[what] for name, row in found.items()})
    what = "calls of get_variable, later connection"
    ours = {name: row[what] for name, row in found.items() if name != BASELINE}
    report(f"{problem.name}, graph: {what}", ours)
    return list(found.values())


def in_graph(build: Callable[[Problem], Network], problem: Problem) -> dict[str, int]:
    """Counts what a network puts into a graph.

    All variables begin with zeros, so that initialisers, which differ, count for nothing.
    """
    with tf.Graph().as_default() as graph, tf1.variable_scope("", custom_getter=_zeros):
        inputs = tf1.placeholder(problem.inputs.dtype, problem.inputs.shape)
        start = len(graph.get_operations())
        network = build(problem)
        network.forward(inputs)
        between = len(graph.get_operations())
        with _counted_get_variable() as calls:
            network.forward(inputs)
        return {
            "ops, first connection": between - start,
            "ops, later connection": len(graph.get_operations()) - between,
            "variables": len(tf1.global_variables()),
            "calls of get_variable, later connection": calls.total(),
        }


def report_eager_call(problem: Problem, report: Report) -> None:
    """Reports what Python does in an eager call of a connected module."""
    inputs = tf.constant(problem.inputs)
    functions, variables = {}, {}
    for name, build in _ways(problem).items():
        network = build(problem)
        for _ in range(3):  # the first calls make variables and fill caches
            network.forward(inputs)
        functions[name] = calls_of_functions(network.forward, inputs)
        with _counted_get_variable() as calls:
            network.forward(inputs)
        variables[name] = calls.total()
    report(f"{problem.name}, eager call: function calls", functions)
    ours = {name: count for name, count in variables.items() if name != BASELINE}
    report(f"{problem.name}, eager call: calls of get_variable", ours)


def calls_of_functions(connect: Callable[[Any], Any], inputs: Any) -> int:
    """Returns how many functions a call calls, all in all: a cost without noise."""
    events: collections.Counter[str] = collections.Counter()
    sys.setprofile(lambda frame, event, argument: events.update([event]))
    try:
        connect(inputs)
    finally:
        sys.setprofile(None)
    return events["call"] + events["c_call"]


def _ways(problem: Problem) -> dict[str, Callable[[Problem], Network]]:
    from benchmarks.peers import ours

    (baseline,) = (way for name, way in bare.WAYS[problem.kind].items() if name == BASELINE)
    return {BASELINE: baseline, **ours.WAYS[problem.kind]}


def _zeros(getter: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    kwargs["initializer"] = tf1.zeros_initializer()
    return getter(*args, **kwargs)


@contextlib.contextmanager
def _counted_get_variable() -> Iterator[collections.Counter[str]]:
    calls: collections.Counter[str] = collections.Counter()
    get_variable = tf1.get_variable

    def counted(name: str, *args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return get_variable(name, *args, **kwargs)

    tf1.get_variable = counted
    try:
        yield calls
    finally:
        tf1.get_variable = get_variable
