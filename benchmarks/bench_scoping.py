"""What modules cost beside the bare TensorFlow that they stand for."""

from __future__ import annotations

import collections
import concurrent.futures
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from benchmarks.counts import calls_of_functions
from benchmarks.interleaved import (
    Interleaved,
    Measurement,
    Run,
    Times,
    Way,
    repeated,
    summarise,
)

BATCH, SIZE = 8, 32
MLP_SIZES = [SIZE, SIZE, SIZE]

Connect = Callable[[Any], Any]


# The networks, in bare TensorFlow and in modules.


def bare_variables() -> tuple[Any, Any]:
    """Gets what a Linear has in the current scope, with the initializers of a Linear."""
    initializer = tf1.truncated_normal_initializer(stddev=SIZE**-0.5)
    w = tf1.get_variable("w", [SIZE, SIZE], initializer=initializer)
    b = tf1.get_variable("b", [SIZE], initializer=tf1.zeros_initializer())
    return w, b


def bare_linear(name: str = "linear", reuse: Any = None) -> Connect:
    def connect(inputs: Any) -> Any:
        with tf1.variable_scope(name, reuse=reuse):
            w, b = bare_variables()
            return tf.matmul(inputs, w) + b

    return connect


def bare_mlp(reuse: Any = None) -> Connect:
    def connect(inputs: Any) -> Any:
        with tf1.variable_scope("mlp", reuse=reuse):
            for i in range(len(MLP_SIZES)):
                inputs = bare_linear(f"linear_{i}")(inputs)
                if i < len(MLP_SIZES) - 1:
                    inputs = tf.nn.relu(inputs)
        return inputs

    return connect


class BuiltMLP(snt.AbstractModule):
    """An MLP that constructs its layers anew at each connection."""

    def _build(self, inputs: Any) -> Any:
        for i, size in enumerate(MLP_SIZES):
            inputs = snt.Linear(size, name=f"linear_{i}")(inputs)
            if i < len(MLP_SIZES) - 1:
                inputs = tf.nn.relu(inputs)
        return inputs


class Chain(snt.AbstractModule):
    """A module inside a module inside a module; each has a variable."""

    def __init__(self, depth: int, name: str = "chain") -> None:
        super().__init__(name=name)
        self._depth = depth

    def _build(self, inputs: Any) -> Any:
        outputs = inputs + tf1.get_variable("b", [], initializer=tf1.zeros_initializer())
        return Chain(self._depth - 1)(outputs) if self._depth > 1 else outputs


# Graph mode.


def in_new_graph(make: Callable[[Any], Run], number: int) -> Way:
    """Returns a way that works in a new graph each round.

    Args:
        make: Given a placeholder, does what is not to be timed and returns what is.
        number: How many things that does.
    """

    def prepare() -> Run:
        graph = tf.Graph()
        with graph.as_default():
            run = make(tf1.placeholder(tf.float32, [BATCH, SIZE]))

        def run_in_graph() -> None:
            with graph.as_default():
                run()

        return run_in_graph

    return Way(prepare, number, calls=False)


def test_first_connection(measure: Any) -> None:
    number = 50

    def each(construct: Callable[[int], Connect], ahead: bool) -> Way:
        def make(inputs: Any) -> Run:
            modules: Iterable[Connect] = map(construct, range(number))
            if ahead:
                modules = list(modules)
            return lambda: [module(inputs) for module in modules]

        return in_new_graph(make, number)

    ways = {
        "bare ops and get_variable": each(lambda i: bare_linear(f"linear_{i}"), ahead=True),
        "snt.Linear, constructed before": each(lambda i: snt.Linear(SIZE), ahead=True),
        "snt.Linear, with its construction": each(lambda i: snt.Linear(SIZE), ahead=False),
    }
    measure(Interleaved("graph: first connection of a Linear", ways), rounds=12)


def test_reconnection(measure: Any) -> None:
    number = 50

    def again(construct: Callable[[], Connect]) -> Way:
        def make(inputs: Any) -> Run:
            connect = construct()
            connect(inputs)
            return lambda: [connect(inputs) for _ in range(number)]

        return in_new_graph(make, number)

    def bare_ops() -> Connect:
        w, b = bare_variables()
        return lambda inputs: tf.matmul(inputs, w) + b

    ways = {
        "bare ops": again(bare_ops),
        "bare ops and get_variable": again(lambda: bare_linear(reuse=tf1.AUTO_REUSE)),
        "tf.make_template, as in Sonnet 1": again(
            lambda: tf1.make_template("linear", bare_linear("inside"))
        ),
        "snt.Linear": again(lambda: snt.Linear(SIZE)),
    }
    measure(Interleaved("graph: later connection of a Linear", ways), rounds=12)


# Eagerly, and in tf.function.


def eager_ways(ways: dict[str, Connect], number: int) -> dict[str, Way]:
    """Returns ways to call networks; each is called before, so that it has its variables."""
    inputs = tf.ones([BATCH, SIZE])

    def way(connect: Connect) -> Way:
        connect(inputs)
        return repeated(lambda: connect(inputs), number)

    return {name: way(connect) for name, connect in ways.items()}


def bare_eager_layers(number: int) -> Connect:
    layers = [
        (tf.Variable(tf.ones([SIZE, SIZE])), tf.Variable(tf.zeros([SIZE]))) for _ in range(number)
    ]

    def connect(inputs: Any) -> Any:
        for i, (w, b) in enumerate(layers):
            inputs = tf.matmul(inputs, w) + b
            if i < len(layers) - 1:
                inputs = tf.nn.relu(inputs)
        return inputs

    return connect


def linear_networks() -> dict[str, Connect]:
    return {
        "bare ops": bare_eager_layers(1),
        "snt.Linear": snt.Linear(SIZE),
        "Keras Dense": tf.keras.layers.Dense(SIZE),
    }


def mlp_networks() -> dict[str, Connect]:
    dense = tf.keras.layers.Dense
    keras = tf.keras.Sequential([dense(32, activation="relu"), dense(32, "relu"), dense(32)])
    return {
        "bare ops": bare_eager_layers(len(MLP_SIZES)),
        "snt.nets.MLP": snt.nets.MLP(MLP_SIZES),
        "snt.Linear, constructed in _build": BuiltMLP(),
        "Keras Sequential of Dense": keras,
    }


def test_eager_call_of_linear(measure: Any) -> None:
    measure(Interleaved("eager: call of a Linear", eager_ways(linear_networks(), 200)), rounds=15)


def test_eager_call_of_mlp(measure: Any) -> None:
    title = f"eager: call of an MLP of {len(MLP_SIZES)} layers"
    measure(Interleaved(title, eager_ways(mlp_networks(), 40)), rounds=15)


def test_traced_call_of_mlp(measure: Any) -> None:
    traced = {name: tf.function(network) for name, network in mlp_networks().items()}
    measure(Interleaved("tf.function: call of an MLP", eager_ways(traced, 200)), rounds=15)


# Many modules. They take long to build, and differ little from round to round.

GROWTH_ROUNDS = 2


def of_size(build: Callable[[int, Any], Any], number: int) -> Way:
    """Returns a way to build so many modules, in a thread with room for deep recursion."""

    def make(inputs: Any) -> Run:
        graph = tf1.get_default_graph()

        def build_in_graph() -> None:
            with graph.as_default():
                build(number, inputs)

        return lambda: in_deep_thread(build_in_graph)

    return in_new_graph(make, number)


def in_deep_thread(function: Run) -> None:
    """Calls a function in a thread of its own, where Python may recurse deeply."""
    limit, stack_size = sys.getrecursionlimit(), threading.stack_size(512 * 2**20)
    sys.setrecursionlimit(10**6)
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(function).result()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(stack_size)


@pytest.mark.growth
def test_many_modules_flat(measure: Any) -> None:
    def bare(number: int, inputs: Any) -> None:
        for i in range(number):
            bare_linear(f"linear_{i}")(inputs)

    def linears(number: int, inputs: Any) -> None:
        for _ in range(number):
            snt.Linear(SIZE)(inputs)

    ways = {
        "snt.Linear, 500": of_size(linears, 500),
        "snt.Linear, 250": of_size(linears, 250),
        "snt.Linear, 1000": of_size(linears, 1000),
        "1000 times bare TensorFlow": of_size(bare, 1000),
    }
    measure(Interleaved("graph: many modules, flat; time a module", ways), rounds=GROWTH_ROUNDS)


@pytest.mark.growth
def test_many_modules_nested(measure: Any) -> None:
    def chains(number: int, inputs: Any) -> None:
        for _ in range(number // 10):
            Chain(10)(inputs)

    ways = {f"snt.AbstractModule, {n}": of_size(chains, n) for n in (500, 250, 1000)}
    title = "graph: many modules, nested ten deep; time a module"
    measure(Interleaved(title, ways), rounds=GROWTH_ROUNDS)


@pytest.mark.growth
def test_deep_nesting(measure: Any) -> None:
    def chain(depth: int, inputs: Any) -> None:
        Chain(depth)(inputs)

    ways = {f"snt.AbstractModule, {n} deep": of_size(chain, n) for n in (100, 50, 200)}
    measure(Interleaved("graph: one chain of modules; time a module", ways), rounds=GROWTH_ROUNDS)


# Import.

IMPORT = """
import time
def now():
    print(time.process_time(), time.perf_counter())
now()
import tensorflow
now()
import sonnet
now()
sonnet.Linear
now()
"""


class ImportRounds:
    """Times imports in fresh processes."""

    title = "import in a fresh process; time each adds to those above"

    def __init__(self) -> None:
        self._times: dict[str, list[Times]] = {
            "import tensorflow": [],
            "import sonnet": [],
            "first use of snt.Linear": [],
        }

    def round(self) -> None:
        command = [sys.executable, "-c", IMPORT]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        moments = [Times(*map(float, line.split())) for line in printed.splitlines()]
        for times, before, after in zip(self._times.values(), moments, moments[1:], strict=False):
            times.append(Times(after.cpu - before.cpu, after.wall - before.wall))

    def measurements(self) -> list[Measurement]:
        return summarise(self._times)


def test_import(measure: Any) -> None:
    measure(ImportRounds(), rounds=5)


# Counts.


@pytest.mark.parametrize(
    ("network", "bare", "module"),
    [
        ("Linear", bare_linear, lambda: snt.Linear(SIZE)),
        ("MLP", bare_mlp, lambda: snt.nets.MLP(MLP_SIZES)),
        ("MLP built in _build", bare_mlp, lambda: BuiltMLP(name="mlp")),
    ],
)
def test_ops_in_graph(network: str, bare: Any, module: Any, report_counts: Any) -> None:
    bare_first, bare_again = ops_of_two_connections(bare(), bare(reuse=True))
    connect = module()
    first, again = ops_of_two_connections(connect, connect)

    report_counts(
        f"ops in the graph, {network}, first connection",
        {"bare": bare_first.total(), "ours": first.total()},
    )
    report_counts(
        f"ops in the graph, {network}, later connection",
        {"bare": bare_again.total(), "ours": again.total()},
    )
    assert first == bare_first
    assert again == bare_again


def ops_of_two_connections(
    first: Connect, second: Connect
) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """Returns how many ops of each type two connections put into a graph."""
    with tf.Graph().as_default() as graph:
        inputs = tf1.placeholder(tf.float32, [BATCH, SIZE])
        before = types_of_ops(graph)
        first(inputs)
        between = types_of_ops(graph)
        second(inputs)
        return between - before, types_of_ops(graph) - between


def types_of_ops(graph: tf.Graph) -> collections.Counter[str]:
    return collections.Counter(operation.type for operation in graph.get_operations())


@pytest.mark.parametrize("networks", [linear_networks, mlp_networks])
def test_python_calls(networks: Any, report_counts: Any) -> None:
    inputs = tf.ones([BATCH, SIZE])
    counts = {}
    for name, network in networks().items():
        for _ in range(3):  # the first calls make variables and fill caches
            network(inputs)
        counts[name] = calls_of_functions(network, inputs)
    report_counts(f"function calls in an eager call, {networks.__name__.replace('_', ' ')}", counts)
