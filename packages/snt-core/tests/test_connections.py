"""Records of connections, observers, and the graph collection "sonnet"."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_core.connections import ConnectedSubGraph, ModuleInfo, get_connection_stack
from snt_core.scoping import get_module_stack
from tests.support.modes import Mode
from tests.support.modules import ONES, Parent, Scale


class AnyArguments(snt.AbstractModule):
    def _build(self, first: Any, *rest: Any, keyword: Any = 7, **others: Any) -> Any:
        return first


class TestRecords:
    def test_inputs_are_bound_to_names(self) -> None:
        with tf.Graph().as_default():
            module = AnyArguments()
            module(1, 2, 3, other=4)
            (record,) = module.connected_subgraphs
            assert record == ConnectedSubGraph(
                module,
                "any_arguments",
                {"first": 1, "rest": (2, 3), "keyword": 7, "others": {"other": 4}},
                1,
            )
            assert module.last_connected_subgraph is record

    def test_of_a_wrapped_function(self) -> None:
        with tf.Graph().as_default():
            module = snt.Module(lambda x, y: x, name="function")
            module(1, y=2)
            assert module.last_connected_subgraph.inputs == {"args": (1,), "kwargs": {"y": 2}}

    def test_build_need_not_be_a_method(self) -> None:
        class Memoised(snt.AbstractModule):
            _build = staticmethod(lambda inputs, scale=2: inputs)  # type: ignore[assignment]

        with tf.Graph().as_default():
            module = Memoised()
            assert module(3) == 3
            assert module.last_connected_subgraph.inputs == {"inputs": 3, "scale": 2}

    def test_are_not_kept_eagerly(self) -> None:
        module = Scale()
        module(tf.constant(ONES))
        for attribute in ("connected_subgraphs", "last_connected_subgraph"):
            with pytest.raises(snt.NotSupportedError, match="not tracked in eager mode"):
                getattr(module, attribute)
        with pytest.raises(snt.NotSupportedError, match="not supported in eager"):
            _ = module.name_scopes

    def test_before_the_first_connection(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            assert module.connected_subgraphs == module.name_scopes == ()
            with pytest.raises(snt.NotConnectedError):
                _ = module.last_connected_subgraph

    def test_of_a_trace_are_readable_inside_it_and_die_with_it(self) -> None:
        module = Scale()
        counts = []

        @tf.function(autograph=False)
        def twice(inputs: Any) -> Any:
            outputs = module(module(inputs))
            counts.append(len(module.connected_subgraphs))
            assert module.last_connected_subgraph.outputs is outputs
            return outputs

        twice(tf.ones([1, 3]))
        twice(tf.ones([2, 3]))
        assert set(counts) == {2}
        with tf.Graph().as_default(), pytest.raises(snt.DifferentGraphError):
            module(tf.constant(ONES))


class TestObservers:
    def test_hear_inner_modules_first(self) -> None:
        with tf.Graph().as_default():
            seen: list[Any] = []
            module = Parent(name="parent")
            with snt.observe_connections(seen.append):
                module(tf.constant(ONES))
            module(tf.constant(ONES))
            scopes = [record.module.scope_name for record in seen]
            assert scopes == ["parent/scale_1", "parent/scale", "parent"]
            assert seen[-1].module is module
            assert seen[-1].module.is_connected

    def test_nest_outermost_first(self) -> None:
        order: list[str] = []
        outer = snt.observe_connections(lambda _: order.append("outer"))
        inner = snt.observe_connections(lambda _: order.append("inner"))
        with tf.Graph().as_default(), outer:
            with inner:
                Scale()(tf.constant(ONES))
            assert len(get_connection_stack()) == 1
        assert order == ["outer", "inner"]

    def test_errors_reach_the_caller_and_leave_nothing_behind(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            with pytest.raises(ZeroDivisionError), snt.observe_connections(lambda _: 1 / 0):
                module(tf.constant(ONES))
            assert module.is_connected
        assert get_connection_stack() == get_module_stack() == []

    def test_are_silent_eagerly_and_active_in_a_trace(self) -> None:
        module, seen = Scale(), []
        with snt.observe_connections(seen.append):
            module(tf.constant(ONES))
            assert seen == []
            tf.function(module)(tf.constant(ONES))
        assert len(seen) == 1
        assert not hasattr(seen[0].outputs, "numpy")

    def test_hear_only_their_own_thread(self) -> None:
        seen: list[Any] = []
        graph = tf.Graph()

        def connect() -> None:
            with graph.as_default():
                Scale()(tf.constant(ONES))

        with snt.observe_connections(seen.append):
            thread = threading.Thread(target=connect)
            thread.start()
            thread.join()
        assert seen == []


class TestModuleStack:
    def test_during_a_connection(self, mode: Mode) -> None:
        stacks: list[list[str]] = []

        def build() -> None:
            stacks.append([module.module_name for module in get_module_stack()])

        inner = snt.Module(build, name="inner")
        snt.Module(lambda: inner(), name="outer")()
        assert stacks == [["outer", "inner"]]
        assert get_module_stack() == []

    def test_is_clean_after_an_error(self, mode: Mode) -> None:
        def fail() -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            snt.Module(fail)()
        assert get_module_stack() == []


class TestCollection:
    def test_has_one_entry_a_module(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            assert tf1.get_collection(snt.SONNET_COLLECTION_NAME) == []
            module(tf.constant(ONES))
            (info,) = tf1.get_collection(snt.SONNET_COLLECTION_NAME)
            module(tf.constant(ONES))
            assert tf1.get_collection(snt.SONNET_COLLECTION_NAME) == [info]
            class_name = f"{Scale.__module__}.Scale"
            records = list(module.connected_subgraphs)
            assert info == ModuleInfo("scale", "scale", class_name, records)
            assert len(records) == 2

    def test_may_be_cleared(self) -> None:
        with tf.Graph().as_default() as graph:
            module = Scale()
            module(tf.constant(ONES))
            graph.clear_collection(snt.SONNET_COLLECTION_NAME)
            module(tf.constant(ONES))
            assert tf1.get_collection(snt.SONNET_COLLECTION_NAME) == []

    def test_stays_empty_outside_graphs(self) -> None:
        tf1.reset_default_graph()
        module = Parent()
        for _ in range(3):
            module(tf.constant(ONES))
            tf.function(module)(tf.constant(ONES))
        assert tf1.get_collection(snt.SONNET_COLLECTION_NAME) == []
