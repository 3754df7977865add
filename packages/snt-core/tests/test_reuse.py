"""`reuse_variables`: methods that own variables."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode
from tests.support.modules import names


class Plain:
    """An object that is no module, but has a variable scope."""

    def __init__(self, name: str) -> None:
        with tf1.variable_scope(name) as scope:
            self.variable_scope = scope

    @snt.reuse_variables
    def a(self) -> Any:
        return tf1.get_variable("a", [1])

    @snt.reuse_variables
    def add_b(self, inputs: Any, factor: float = 1.0) -> Any:
        """Adds b."""
        return tf.add(inputs, factor * tf1.get_variable("b", [1]), name="add")

    @snt.reuse_variables
    def nested(self, inputs: Any) -> Any:
        return self.add_b(inputs) + self.a()

    @snt.reuse_variables
    def also_a(self) -> Any:
        return tf1.get_variable("a", [1])


class Autoencoder(snt.AbstractModule):
    def __init__(self, name: str = "autoencoder") -> None:
        super().__init__(name=name)

    @snt.reuse_variables
    def encode(self, inputs: Any) -> Any:
        return tf.matmul(inputs, tf1.get_variable("w_enc", [4, 2]))

    @snt.reuse_variables
    def decode(self, latents: Any) -> Any:
        return tf.matmul(latents, tf1.get_variable("w_dec", [2, 4]))

    @property
    @snt.reuse_variables
    def scale(self) -> Any:
        return tf1.get_variable("scale", [1])

    def _build(self, inputs: Any) -> Any:
        return self.decode(self.encode(inputs))


X, Z = np.ones([3, 4], np.float32), np.ones([3, 2], np.float32)


class TestDecoration:
    def test_needs_a_method(self) -> None:
        with pytest.raises(TypeError, match="can only be used with methods"):
            snt.reuse_variables(lambda x: x)
        with pytest.raises(TypeError, match="can only be used with methods"):
            snt.reuse_variables(lambda: None)

    def test_keeps_the_signature(self) -> None:
        assert list(inspect.signature(Plain.add_b).parameters) == ["self", "inputs", "factor"]
        assert inspect.getfullargspec(Plain.add_b).args == ["self", "inputs", "factor"]
        assert (Plain.add_b.__name__, Plain.add_b.__doc__) == ("add_b", "Adds b.")

    def test_is_also_called_reuse_vars(self) -> None:
        assert snt.experimental.reuse_vars is snt.reuse_variables


class TestPlainObjects:
    def test_share_in_any_order(self) -> None:
        with tf.Graph().as_default():
            plain = Plain("plain")
            plain.nested(tf.zeros([1]))
            assert plain.a() is plain.a()
            plain.add_b(tf.zeros([1]))
            assert names(tf1.global_variables()) == ["plain/b:0", "plain/a:0"]

    def test_each_method_owns_its_variables(self) -> None:
        with tf.Graph().as_default():
            plain = Plain("plain")
            plain.a()
            with pytest.raises(ValueError, match="plain/a already exists, disallowed"):
                plain.also_a()

    def test_work_in_a_second_graph(self) -> None:
        for _ in range(2):
            with tf.Graph().as_default():
                plain = Plain("plain")
                assert plain.a() is plain.a()

    def test_of_one_scope_name_share(self) -> None:
        with tf.Graph().as_default():
            assert Plain("plain").a() is Plain("plain").a()

    def test_names_of_operations(self) -> None:
        with tf.Graph().as_default():
            plain = Plain("scope1")
            x = tf.zeros([1])
            assert plain.add_b(x).op.name == "scope1/add_b/add"
            assert plain.add_b(x).op.name == "scope1/add_b_1/add"
            with tf1.name_scope("outer"):
                assert plain.add_b(x).op.name == "outer/scope1/add_b/add"
            plain.nested(x)
            graph = tf1.get_default_graph()
            assert graph.get_operation_by_name("scope1/nested/scope1/add_b/add")

    def test_need_a_scope(self) -> None:
        class Nothing:
            @snt.reuse_variables
            def method(self) -> None: ...

        with (
            tf.Graph().as_default(),
            pytest.raises(AttributeError, match="no attribute `variable_scope`"),
        ):
            Nothing().method()

    def test_are_refused_eagerly(self) -> None:
        with pytest.raises(ValueError, match="not supported in eager mode except in Sonnet modul"):
            Plain("plain").a()

    def test_can_try_again_after_a_failure(self) -> None:
        fail = [True]

        class Flaky(Plain):
            @snt.reuse_variables
            def both(self) -> Any:
                first = tf1.get_variable("first", [1])
                if fail[0]:
                    raise RuntimeError
                return first + tf1.get_variable("second", [1])

        with tf.Graph().as_default():
            flaky = Flaky("flaky")
            with pytest.raises(RuntimeError):
                flaky.both()
            fail[0] = False
            flaky.both()
            flaky.both()
            assert names(tf1.global_variables()) == ["flaky/first:0", "flaky/second:0"]


class TestModules:
    @pytest.mark.parametrize("order", ["method first", "call first"])
    def test_share_in_any_order(self, order: str, mode: Mode) -> None:
        module = Autoencoder()
        if order == "method first":
            mode.run(module.decode, Z)
            assert module.is_connected
            assert names(module.variables) == ["autoencoder/w_dec:0"]
        whole = mode.run(module, X)
        parts = mode.run(lambda x: module.decode(module.encode(x)), X)
        np.testing.assert_allclose(whole, parts, rtol=1e-6)
        assert names(module.variables) == ["autoencoder/w_dec:0", "autoencoder/w_enc:0"]

    def test_build_and_method_cannot_own_one_variable(self, mode: Mode) -> None:
        class Thief(Autoencoder):
            def _build(self, inputs: Any) -> Any:
                return self.encode(inputs) + tf1.get_variable("w_enc", [4, 2])

        with pytest.raises(ValueError, match="w_enc already exists, disallowed"):
            mode.run(Thief(), X)

    def test_property(self, mode: Mode) -> None:
        module = Autoencoder()
        first = mode.run(lambda: module.scale)
        np.testing.assert_array_equal(first, mode.run(lambda: module.scale))
        # In a graph the name scope of the method, autoencoder/scale, has taken the name.
        expected = "autoencoder/scale_1:0" if mode.in_graph else "autoencoder/scale:0"
        assert names(module.variables) == [expected]

    def test_first_call_of_a_method_from_a_later_call_is_refused(self, mode: Mode) -> None:
        late = [False]

        class Late(Autoencoder):
            def _build(self, inputs: Any) -> Any:
                return self.decode(self.encode(inputs)) if late[0] else self.encode(inputs)

        module = Late()
        mode.run(module, X)
        late[0] = True
        with pytest.raises(ValueError, match="Trainable variable created.*after the first time"):
            mode.run(module, X)

    def test_overriding_and_inheriting(self, mode: Mode) -> None:
        class Doubled(Autoencoder):
            @snt.reuse_variables
            def encode(self, inputs: Any) -> Any:
                return super().encode(inputs) * tf1.get_variable("factor", [1])

        module = Doubled()
        mode.run(module.encode, X)
        mode.run(module, X)
        expected = ["factor", "w_dec", "w_enc"]
        assert names(module.variables) == [f"autoencoder/{name}:0" for name in expected]

    def test_child_made_anew_in_build(self, mode: Mode) -> None:
        module = snt.Module(lambda x: Autoencoder().decode(Autoencoder(name="b").encode(x)))
        np.testing.assert_array_equal(mode.run(module, X), mode.run(module, X))
        assert len(module.variables) == 2

    def test_variables_reach_the_parents(self, mode: Mode) -> None:
        child = Autoencoder()
        parent = snt.Module(lambda x: child.encode(x), name="parent")
        mode.run(parent, X)
        assert names(parent.variables) == ["autoencoder/w_enc:0"]

    def test_unconnected_module_fails_as_before(self) -> None:
        class Forgetful(Autoencoder):
            def __init__(self) -> None:
                pass

        with pytest.raises(snt.NotInitializedError):
            Forgetful().encode(tf.constant(X))

    def test_records_and_names(self) -> None:
        with tf.Graph().as_default():
            seen: list[Any] = []
            module = Autoencoder(name="nae")
            with snt.observe_connections(seen.append):
                module(tf.constant(X))
                module.decode(latents=tf.constant(Z))
            assert [record.name_scope for record in seen] == [
                "nae/nae/encode/",
                "nae/nae/decode/",
                "nae",
                "nae/decode/",
            ]
            assert tuple(seen) == module.connected_subgraphs
            assert [list(record.inputs) for record in seen] == [
                ["inputs"],
                ["latents"],
                ["inputs"],
                ["latents"],
            ]

    def test_errors_of_observers_surface(self) -> None:
        def observer(_: Any) -> None:
            raise AttributeError("mine")

        with (
            tf.Graph().as_default(),
            snt.observe_connections(observer),
            pytest.raises(AttributeError, match="mine"),
        ):
            Autoencoder().encode(tf.constant(X))

    def test_inside_and_outside_a_function(self) -> None:
        module = Autoencoder()
        encode = tf.function(module.encode)
        np.testing.assert_allclose(encode(tf.constant(X)), module.encode(tf.constant(X)), 1e-6)
        assert len(module.variables) == 1
