"""`AbstractModule`: graphs, eager mode and functions."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modules import ONES, Parent, Scale, names


class TestGraphs:
    def test_construct_here_connect_there(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
        with tf.Graph().as_default() as graph:
            module(tf.constant(ONES))
            assert module.graph is graph
        with pytest.raises(snt.DifferentGraphError, match="Cannot connect module to multiple Gra"):
            module(tf.constant(ONES))

    def test_constructed_in_a_graph_shares_eagerly(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
        for _ in range(2):
            module(tf.constant(ONES))
        assert len(module.variables) == 1

    def test_constructed_eagerly_shares_in_a_graph(self) -> None:
        module = Parent()
        with tf.Graph().as_default():
            for _ in range(2):
                module(tf.constant(ONES))
            assert len(module.variables) == len(tf1.global_variables()) == 2

    def test_used_eagerly_then_in_a_graph(self) -> None:
        module = Scale()
        module(tf.constant(ONES))
        with tf.Graph().as_default(), pytest.raises(snt.DifferentGraphError):
            module(tf.constant(ONES))

    def test_enter_variable_scope_binds_unless_told_not_to(self) -> None:
        with tf.Graph().as_default() as graph:
            module = Scale()
            with module._enter_variable_scope(check_same_graph=False) as scope:
                assert scope.name == module.scope_name
            assert module.graph is None
            with module._enter_variable_scope():
                assert module.graph is graph
            assert not module.is_connected

    def test_function_inside_a_graph(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            tf.function(module)(tf.constant(ONES))
            module(tf.constant(ONES))
            assert names(module.get_variables()) == names(tf1.global_variables()) == ["scale/w:0"]

    def test_module_made_eagerly_in_a_function_inside_a_graph(self) -> None:
        tf1.reset_default_graph()
        module = Scale()
        with tf.Graph().as_default():
            tf.function(module)(tf.constant(ONES))
            assert names(tf1.global_variables()) == ["scale/w:0"]

    def test_constructing_inside_a_function_is_refused_by_tensorflow(self) -> None:
        @tf.function
        def build_anew(inputs: Any) -> Any:
            return Scale()(inputs)

        with pytest.raises(ValueError, match="first call"):
            build_anew(tf.constant(ONES))


class TestFunctions:
    def test_retraces_share(self) -> None:
        module = Parent()
        function = tf.function(module)
        for size in (2, 3, 4):
            function(tf.ones([size, 3]))
        module(tf.ones([5, 3]))
        assert len(module.variables) == 2

    def test_autograph_converts_build(self) -> None:
        class Absolute(snt.AbstractModule):
            def _build(self, inputs: Any) -> Any:
                if tf.reduce_sum(inputs) > 0:  # noqa: SIM108
                    outputs = inputs
                else:
                    outputs = -inputs
                return outputs

        function = tf.function(Absolute())
        assert function(tf.constant(-2.0)) == function(tf.constant(2.0)) == 2.0

    def test_defun_builds_once_a_signature(self) -> None:
        builds = []

        def build(inputs: Any) -> Any:
            builds.append(inputs.shape)
            return Scale()(inputs)

        module = snt.Module(build)
        module(tf.constant(ONES))
        module.defun()
        builds.clear()
        for size in (2, 2, 5, 5, 2):
            module(tf.ones([size, 3]))
        assert builds == [(2, 3), (5, 3)]
        with pytest.raises(snt.NotSupportedError, match="get_variables.*not supported.*defun"):
            module.get_variables()
        assert len(module.trainable_variables) == 1

    def test_defun_in_a_graph_has_its_variables(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            module.defun()
            module(tf.constant(ONES))
            assert names(module.get_variables()) == ["scale/w:0"]

    def test_parent_knows_the_variables_of_a_defun_child(self) -> None:
        child = Scale()
        child.defun()
        child(tf.constant(ONES))
        parent = snt.Module(lambda x: child(x))
        parent(tf.constant(ONES))
        assert names(parent.variables) == names(child.variables)
