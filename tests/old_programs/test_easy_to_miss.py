"""Behaviour that programs rely on without saying so."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(2, 4)).astype(np.float32)


def plus_one(getter: Any, *args: Any, **kwargs: Any) -> Any:
    return getter(*args, **kwargs) + 1.0


def times_ten(getter: Any, *args: Any, **kwargs: Any) -> Any:
    return getter(*args, **kwargs) * 10.0


def test_scopes_count_where_a_module_is_constructed(mode: Mode) -> None:
    with tf.variable_scope(
        "home", initializer=tf.ones_initializer(), custom_getter=plus_one, regularizer=tf.abs
    ):
        module = snt.Module(lambda: tf.get_variable("w", []) + 0.0, name="module")

    def elsewhere() -> Any:
        with tf.variable_scope(
            "abroad",
            initializer=tf.zeros_initializer(),
            custom_getter=times_ten,
            regularizer=lambda _: pytest.fail("used the regularizer around the call"),
        ):
            return module()

    for _ in range(2):
        assert mode.run(elsewhere) == 2.0
    assert names(module.variables) == ["home/module/w"]
    assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == 1


def test_name_scopes_come_from_the_call() -> None:
    with tf.Graph().as_default():
        with tf.name_scope("construction"):
            linear = snt.Linear(3)
        with tf.name_scope("call"), tf.variable_scope("scope"):
            outputs = linear(tf.ones([2, 4]))
        assert outputs.op.name.startswith("call/scope/linear/")
        assert names(linear.get_variables()) == ["linear/w", "linear/b"]


class TwoBlocks(snt.AbstractModule):
    """Leaves its scope in between, so that both submodules get one name."""

    def __init__(self, second_name: str = "linear", name: str = "two_blocks") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._first = snt.Linear(4)
        with self._enter_variable_scope():
            self._second = snt.Linear(4, name=second_name)

    def _build(self, inputs: Any) -> Any:
        return self._second(self._first(inputs))


def test_leaving_a_scope_forgets_names_and_the_clash_is_an_error(mode: Mode) -> None:
    module = TwoBlocks()
    with pytest.raises(ValueError, match="two_blocks/linear/w already exists, disallowed"):
        mode.run(module, INPUTS)
    distinct = TwoBlocks(second_name="other", name="distinct")
    mode.run(distinct, INPUTS)
    assert len(distinct.variables) == 4


class Tied(snt.AbstractModule):
    """Connects a module that was made elsewhere, beside one of its own."""

    def __init__(self, shared: Any, name: str) -> None:
        super().__init__(name=name)
        self._shared = shared

    def _build(self, inputs: Any) -> Any:
        local = tf.get_variable(
            "local", [], trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES]
        )
        return snt.Linear(3, name="own")(self._shared(inputs)) + local


def test_three_ways_to_ask_for_variables(mode: Mode) -> None:
    shared = snt.Linear(4, name="shared")
    parents = [Tied(shared, name=name) for name in ("a", "b")]
    mode.run(lambda x: [parent(x) for parent in parents], INPUTS)
    for parent in parents:
        own = [f"{parent.name}/own/w", f"{parent.name}/own/b"]
        inside = [own[1], own[0], "shared/b", "shared/w"]
        assert names(parent.variables) == sorted([*inside, f"{parent.name}/local"])
        assert names(parent.get_all_variables()) == names(parent.trainable_variables) == inside
        assert names(parent.get_variables()) == own
        local = parent.get_variables(tf.GraphKeys.LOCAL_VARIABLES)
        assert names(local) == [f"{parent.name}/local"]
        assert names(parent.get_all_variables(tf.GraphKeys.LOCAL_VARIABLES)) == names(local)
        assert names(parent.non_trainable_variables) == names(local)


def test_what_is_shared_reaches_the_parent_on_a_later_connection_too(mode: Mode) -> None:
    chosen = [snt.Linear(3, name="first")]
    second = snt.Linear(3, name="second")
    mode.run(second, INPUTS)
    parent = snt.Module(lambda x: chosen[0](x), name="parent")
    mode.run(parent, INPUTS)
    assert names(parent.variables) == ["first/b", "first/w"]
    chosen[0] = second
    mode.run(parent, INPUTS)
    assert names(parent.variables) == ["first/b", "first/w", "second/b", "second/w"]


def test_a_module_made_anew_in_build_reports_its_variables(mode: Mode) -> None:
    made: list[Any] = []

    def build(inputs: Any) -> Any:
        made.append(snt.Linear(3))
        return made[-1](inputs)

    module = snt.Module(build, name="module")
    for _ in range(2):
        mode.run(module, INPUTS)
    assert made[0] is not made[-1]
    for linear in (made[0], made[-1]):
        assert [id(v) for v in linear.variables] == [id(v) for v in module.variables]
        assert len(linear.get_variables()) == len(linear.get_all_variables()) == 2


def test_when_a_module_is_connected() -> None:
    with tf.Graph().as_default() as graph:

        def build(fail: bool) -> Any:
            seen.append((module.graph is graph, module.is_connected))
            seen.append(len(graph.get_collection("sonnet")))
            if fail:
                raise RuntimeError("on purpose")
            return tf.constant(1.0)

        seen: list[Any] = []
        module = snt.Module(build)
        assert module.graph is None
        assert graph.get_collection("sonnet") == []
        with pytest.raises(RuntimeError, match="on purpose"):
            module(fail=True)
        assert not module.is_connected
        module(fail=False)
        assert module.is_connected
        assert seen == [(True, False), 1] * 2


class Scorer(snt.AbstractModule):
    def _build(self, query: Any, *keys: Any, scale: float = 2.0, **extra: Any) -> Any:
        return query * scale

    @snt.reuse_variables
    def score(self, query: Any, bias: float = 1.0) -> Any:
        return query + bias


def test_records_hold_all_arguments_by_name() -> None:
    with tf.Graph().as_default():
        query, key = tf.constant(1.0), tf.constant(2.0)
        scorer = Scorer(name="scorer")
        outputs = scorer(query, key, key, other=key)
        scorer.score(query)
        first, second = scorer.connected_subgraphs
        assert first.inputs == {
            "query": query,
            "keys": (key, key),
            "scale": 2.0,
            "extra": {"other": key},
        }
        assert first.outputs is outputs
        assert second.inputs == {"query": query, "bias": 1.0}
        assert scorer.name_scopes == ("scorer", "scorer/score/")
        assert snt.Module(lambda x: x, name="m")(query) is query


def test_keys_of_getters_match_the_start_of_relative_names(mode: Mode) -> None:
    def build(inputs: Any) -> Any:
        extra = tf.get_variable("w_extra", [], initializer=tf.ones_initializer())
        w = tf.get_variable("w", [], initializer=tf.ones_initializer())
        inner = snt.Linear(1, initializers={"w": tf.ones_initializer()}, name="inner")
        return [extra + 0.0, w + 0.0, inner(inputs)]

    def values(custom_getter: Any) -> Any:
        module = snt.Module(build, custom_getter=custom_getter, name="w")
        return mode.run(module, np.ones([1, 1], np.float32))

    assert values({"w": plus_one}) == [2, 2, 1]
    assert values({"w$": plus_one}) == [1, 2, 1]
    assert values({".*/w": plus_one}) == [1, 1, 2]
    assert values({"w$": plus_one, "inner/(w|b)": times_ten}) == [1, 2, 10]
    with pytest.raises(KeyError, match="More than one custom_getter matched"):
        values({"w": plus_one, "w.*": plus_one})


def test_getters_run_at_each_connection(mode: Mode) -> None:
    frozen = snt.custom_getters.Context(snt.custom_getters.stop_gradient)
    linear = snt.Linear(3, custom_getter=frozen)

    def gradients() -> Any:
        return mode.gradients(
            lambda: tf.reduce_sum(linear(tf.constant(INPUTS))),
            lambda: [v for v in linear.variables if "/b" in v.name],
        )

    np.testing.assert_array_equal(gradients(), [[2, 2, 2]])
    with frozen, pytest.raises((TypeError, ValueError)):  # the gradient is None
        gradients()
    np.testing.assert_array_equal(gradients(), [[2, 2, 2]])


def test_the_scope_of_an_unconnected_module(mode: Mode) -> None:
    linear = snt.Linear(3)
    assert linear.scope_name == "linear"
    assert snt.has_variable_scope(linear)
    with pytest.raises(snt.NotConnectedError):
        _ = linear.variable_scope
    mode.run(linear, INPUTS)
    assert linear.variable_scope.name == "linear"


def test_configurations_that_hold_modules_are_not_copied() -> None:
    config = {"nets": [{"torso": snt.Linear(3)}], "rate": 0.1}
    with pytest.raises(snt.NotSupportedError, match="cannot be serialized"):
        copy.deepcopy(config)
    assert copy.copy(config)["nets"] is config["nets"]


def test_construct_in_one_graph_and_connect_in_another() -> None:
    with tf.Graph().as_default():
        mlp = snt.nets.MLP([3, 2])
        assert mlp.graph is None
    with tf.Graph().as_default() as graph:
        mlp(tf.constant(INPUTS))
        assert mlp.graph is graph
        assert len(graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)) == 4
    assert len(mlp.get_variables()) == len(mlp.get_all_variables()) == 4


def test_variables_are_told_apart_by_identity(mode: Mode) -> None:
    mlp = snt.nets.MLP([4, 4])
    mode.run(mlp, INPUTS)
    w_0, w_1 = (layer.w for layer in mlp.layers)
    assert w_0 is not w_1
    assert [id(v) for v in mlp.variables].count(id(w_0)) == 1
    assert mode.run(lambda: w_0 + w_1).shape == (4, 4)
