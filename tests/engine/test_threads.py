"""Modules that several threads connect."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

INPUTS = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
PATIENCE = 20  # seconds until a thread that has not ended counts as deadlocked


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Runs functions at once, each in a thread of its own, and returns what they return."""
    results: list[Any] = [None] * len(functions)
    start = threading.Barrier(len(functions))

    def run(index: int) -> None:
        start.wait()
        try:
            results[index] = functions[index]()
        except BaseException as error:
            results[index] = error

    threads = [
        threading.Thread(target=run, args=[index], daemon=True) for index in range(len(functions))
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class Net(snt.AbstractModule):
    def __init__(self, name: str = "net") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._last = snt.Linear(2, name="last")

    @snt.reuse_variables
    def encode(self, inputs: Any) -> Any:
        return tf.tanh(snt.nets.MLP([5, 3], activation=tf.sin, name="mlp")(inputs))

    def _build(self, inputs: Any) -> Any:
        return self._last(self.encode(inputs))


NAMES = [
    f"net/{layer}/{name}:0"
    for layer in ("last", "mlp/linear_0", "mlp/linear_1")
    for name in ("b", "w")
]


def own_function(module: Any) -> Callable[[Any], Any]:
    return lambda x: tf.function(module)(x)


WAYS_TO_CALL = {
    "eagerly": lambda net: [net] * 8,
    "one function": lambda net: [tf.function(net)] * 8,
    "a function each": lambda net: [own_function(net) for _ in range(8)],
    "mixed": lambda net: [net, own_function(net)] * 4,
    "methods": lambda net: [net, lambda x: net._last(net.encode(x))] * 4,
}


@pytest.mark.parametrize("calls", WAYS_TO_CALL.values(), ids=WAYS_TO_CALL)
def test_first_call_from_eight_threads_at_once(calls: Any) -> None:
    for _ in range(3):
        tf1.reset_default_graph()
        net = Net()
        outputs = in_threads(*(lambda f=f: f(tf.constant(INPUTS)) for f in calls(net)))
        assert [variable.name for variable in net.variables] == NAMES
        assert len(net.get_variables()) == 6
        expected = net(tf.constant(INPUTS))
        assert np.any(expected)
        for output in outputs:
            np.testing.assert_allclose(output, expected, 1e-5, 1e-6)


@pytest.mark.parametrize("first", ["eager", "function"])
@pytest.mark.parametrize("second", ["eager", "function"])
def test_one_thread_after_another(first: str, second: str) -> None:
    tf1.reset_default_graph()
    net = Net()
    modes = {"eager": net, "function": tf.function(net)}
    outputs, variables = [], []
    for mode in (first, second):
        outputs += in_threads(lambda mode=mode: modes[mode](tf.constant(INPUTS)))
        variables.append([id(variable) for variable in net.variables])
    assert variables[0] == variables[1]
    assert [variable.name for variable in net.variables] == NAMES
    np.testing.assert_allclose(*outputs, 1e-5, 1e-6)


def test_threads_build_one_graph_in_turn() -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        net = Net()

        def connect() -> Any:
            with graph.as_default():
                return net(tf.constant(INPUTS))

        outputs = [*in_threads(connect), *in_threads(connect), connect()]
        assert [variable.name for variable in net.variables] == NAMES
        assert len(tf1.global_variables()) == 6
        session.run(tf1.global_variables_initializer())
        first, *others = session.run(outputs)
        for other in others:
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("in_graph", [True, False])
def test_connections_in_another_thread_stay_there(in_graph: bool) -> None:
    tf1.reset_default_graph()
    graph = tf.Graph()

    def elsewhere() -> Any:
        if not in_graph:
            return foreign(tf.constant(INPUTS))
        with graph.as_default():
            return foreign(tf.constant(INPUTS))

    def build(inputs: Any) -> Any:
        in_threads(elsewhere)
        return inputs * tf1.get_variable("own", [])

    seen: list[str] = []

    def program() -> None:
        with snt.observe_connections(lambda connection: seen.append(connection.module.name)):
            module(tf.constant(INPUTS))

    foreign, module = snt.Linear(3, name="foreign"), snt.Module(build, name="module")
    if in_graph:
        with graph.as_default():
            program()
    else:
        tf.function(program)()
    assert set(seen) == {"module"}
    assert [variable.name for variable in module.variables] == ["module/own:0"]
    assert len(foreign.variables) == 2


def test_each_thread_has_its_own_stacks() -> None:
    from sonnet.python.modules import base

    stacks = []

    def build() -> Any:
        stacks.append([m.name for m in base.get_module_stack()])
        stacks.extend(in_threads(lambda: list(base.get_module_stack())))
        stacks.extend(in_threads(lambda: list(base.get_connection_stack())))
        return tf.constant(1.0)

    with snt.observe_connections(lambda connection: None):
        assert len(base.get_connection_stack()) == 1
        snt.Module(build, name="outer")()
    assert stacks == [["outer"], [], []]


def test_names_are_made_unique_in_each_thread() -> None:
    tf1.reset_default_graph()

    def construct() -> Any:
        nets = [snt.Linear(3), snt.Linear(3)]
        values = [net(tf.constant(INPUTS)) for net in nets]
        assert np.any(values[0] != values[1])
        return [net.name for net in nets], [id(v) for net in nets for v in net.variables]

    found = in_threads(construct, construct)
    assert [names for names, _ in found] == [["linear", "linear_1"]] * 2
    assert len({identity for _, identities in found for identity in identities}) == 8


def test_modules_of_one_name_from_two_threads_do_not_share_in_a_graph() -> None:
    with tf.Graph().as_default() as graph:

        def construct() -> Any:
            with graph.as_default():
                return snt.Linear(3)

        first, second = in_threads(construct) + in_threads(construct)
        assert first.name == second.name == "linear"
        first(tf.constant(INPUTS))
        with pytest.raises(ValueError, match="linear/w already exists, disallowed"):
            second(tf.constant(INPUTS))


class Exchange(snt.AbstractModule):
    """Waits for the other thread to have got as far, and connects two modules."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self.layer = snt.Linear(4, name="layer")
        self.connected: list[Any] = []
        self.meeting: Any = None

    def _build(self, inputs: Any) -> Any:
        first, second = self.connected
        if self.meeting is not None:
            # The other thread may have to wait until this one has ended.
            with contextlib.suppress(threading.BrokenBarrierError):
                self.meeting.wait(2)
        return second(first(inputs))


@pytest.mark.parametrize("function", [False, True])
@pytest.mark.parametrize("shared", ["passed in", "of one another"])
def test_shared_submodules_in_opposite_orders_do_not_deadlock(shared: str, function: bool) -> None:
    tf1.reset_default_graph()
    a, b = Exchange("a"), Exchange("b")
    p, q = b.layer, a.layer
    if shared == "passed in":
        p, q = snt.Linear(4, name="p"), snt.Linear(4, name="q")
    a.connected, b.connected = [p, q], [q, p]
    a.meeting = b.meeting = threading.Barrier(2)
    calls = [tf.function(module) if function else module for module in (a, b)]
    in_threads(*(lambda f=f: f(tf.constant(INPUTS)) for f in calls))
    a.meeting = b.meeting = None
    assert len(a.variables) == 4
    assert [id(v) for v in a.variables] == [id(v) for v in b.variables]
    (w, bias), (v, c) = ([x.numpy() for x in (m.w, m.b)] for m in (p, q))
    np.testing.assert_allclose(a(tf.constant(INPUTS)), (INPUTS @ w + bias) @ v + c, 1e-4, 1e-5)
    np.testing.assert_allclose(b(tf.constant(INPUTS)), (INPUTS @ v + c) @ w + bias, 1e-4, 1e-5)


class WithFunction(snt.AbstractModule):
    """Has a function of its own, which takes a lock while it is traced."""

    def __init__(self, name: str = "with_function") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._layer = snt.Linear(4, name="layer")
        self.function = tf.function(self._inner)
        self.meeting = threading.Barrier(2)

    def _inner(self, inputs: Any) -> Any:
        self._meet()
        return self._layer(inputs)

    def _build(self, inputs: Any) -> Any:
        self._meet()
        return self.function(inputs)

    def _meet(self) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.meeting.wait(2)


def test_a_module_and_its_function_called_at_once_do_not_deadlock() -> None:
    tf1.reset_default_graph()
    module = WithFunction()
    outputs = in_threads(
        lambda: module(tf.constant(INPUTS)), lambda: module.function(tf.constant(INPUTS))
    )
    np.testing.assert_allclose(*outputs, 1e-5, 1e-6)
    # Those of the layer: where the function was traced first, the module did not see it made them.
    assert len(module._layer.variables) == 2
