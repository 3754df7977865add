"""`AbstractModule`: the variables that a module has."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode
from tests.support.modules import ONES, Scale, names


class TestVariables:
    def test_of_passed_in_modules(self, mode: Mode) -> None:
        shared = Scale(name="shared")
        parents = [snt.Module(lambda x: shared(x), name=name) for name in ("left", "right")]
        mode.run(shared, ONES)
        for parent in parents:
            mode.run(parent, ONES)
            assert names(parent.variables) == ["shared/w:0"]
            assert names(parent.get_all_variables()) == ["shared/w:0"]
            assert parent.get_variables() == ()

    def test_of_any_make(self, mode: Mode) -> None:
        class Foreign(snt.AbstractModule):
            def __init__(self) -> None:
                super().__init__(name="foreign")
                with self._enter_variable_scope():
                    self.raw = tf.Variable(np.ones(3, np.float32), name="raw")
                    self.gotten = tf1.get_variable("gotten", [3], trainable=False)

            def _build(self, inputs: Any) -> Any:
                return inputs * self.raw * self.gotten

        module = Foreign()
        mode.run(module, ONES)
        assert [id(v) for v in module.trainable_variables] == [id(module.raw)]
        assert [id(v) for v in module.non_trainable_variables] == [id(module.gotten)]

    def test_by_collection(self, mode: Mode) -> None:
        def build() -> Any:
            local = [tf1.GraphKeys.LOCAL_VARIABLES]
            tf1.get_variable("l", [], collections=local, trainable=False)
            tf1.get_variable("m", [], collections=["mine", tf1.GraphKeys.GLOBAL_VARIABLES])
            return tf1.get_variable("a", [])

        module = snt.Module(build, name="many")
        mode.run(module)
        assert names(module.variables) == ["many/a:0", "many/l:0", "many/m:0"]
        assert names(module.get_variables()) == ["many/m:0", "many/a:0"]  # as they were made
        assert names(module.get_all_variables()) == ["many/a:0", "many/m:0"]
        for name, expected in {
            "mine": ["many/m:0"],
            tf1.GraphKeys.LOCAL_VARIABLES: ["many/l:0"],
            tf1.GraphKeys.GLOBAL_VARIABLES: ["many/a:0", "many/m:0"],
        }.items():
            assert names(module.get_all_variables(name)) == expected
            assert sorted(names(module.get_variables(name))) == expected

    def test_from_another_default_graph(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            module(tf.constant(ONES))
        with tf.Graph().as_default():
            assert names(module.get_variables()) == ["scale/w:0"]
            assert names(module.get_all_variables()) == ["scale/w:0"]

    def test_eager_modules_are_freed_with_their_variables(self) -> None:
        module = Scale()
        module(tf.constant(ONES))
        reference = weakref.ref(module.variables[0])
        del module
        gc.collect()
        assert reference() is None
        assert tf1.get_collection(snt.SONNET_COLLECTION_NAME) == []

    def test_partitioned(self) -> None:
        with tf.Graph().as_default():
            with tf1.variable_scope("", partitioner=tf1.fixed_size_partitioner(3)):
                module = Scale()
            module(tf.constant(ONES))
            module(tf.constant(ONES))
            assert names(module.variables) == [f"scale/w/part_{i}:0" for i in range(3)]
            assert len(tf1.global_variables()) == 3

    def test_regularization_losses_are_added_once_and_reachable(self, mode: Mode) -> None:
        def build() -> Any:
            return tf1.get_variable(
                "w", [2], initializer=tf1.ones_initializer(), regularizer=lambda w: 3 * w[0]
            )

        module = snt.Module(build)
        mode.run(module)
        mode.run(module)
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        assert len(losses) == 1
        assert mode.run(lambda: tf.add_n(losses)) == 3.0

    def test_first_connection_inside_a_loop(self, mode: Mode) -> None:
        module = snt.Module(
            lambda x: (
                x
                * tf1.get_variable(
                    "w", [3], initializer=tf1.ones_initializer(), regularizer=tf.reduce_sum
                )
            ),
            name="in_loop",
        )
        outputs = mode.run(
            lambda x: tf.while_loop(
                lambda i, _: i < 3, lambda i, y: (i + 1, module(y) * 2), (0, x)
            ),
            ONES,
        )
        np.testing.assert_array_equal(outputs[1], 8 * ONES)
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        assert mode.run(lambda: tf.add_n(losses)) == 3.0

    def test_both_branches_of_a_cond(self) -> None:
        with tf.Graph().as_default():
            left, right = Scale(name="left"), Scale(name="right")
            flag = tf1.placeholder_with_default(True, [])
            tf.cond(flag, lambda: left(tf.constant(ONES)), lambda: right(tf.constant(ONES)))
            assert len(tf1.global_variables()) == 2
            assert left.is_connected
            assert right.is_connected

    def test_capture(self, mode: Mode) -> None:
        module = Scale()
        with module._capture_variables():
            captured = tf.Variable(1.0, trainable=False)
        mode.run(module, ONES)
        assert {id(v) for v in module.variables} == {id(captured), id(module.get_variables()[0])}
        assert [id(v) for v in module.non_trainable_variables] == [id(captured)]
