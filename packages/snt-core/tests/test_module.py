"""`AbstractModule`: construction, names, and being a `tf.Module`."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode
from tests.support.modules import ONES, Parent, Scale, names


class TestConstructor:
    def test_positional_argument_is_refused(self) -> None:
        class Positional(snt.AbstractModule):
            def __init__(self) -> None:
                super().__init__("positional")

            def _build(self) -> None: ...

        with pytest.raises(ValueError, match="without named arguments"):
            Positional()

    @pytest.mark.parametrize("name", [3, b"bytes", ["list"]])
    def test_name_must_be_a_string(self, name: Any) -> None:
        with pytest.raises(TypeError, match="Name must be a string"):
            Scale(name=name)

    def test_is_abstract(self) -> None:
        with pytest.raises(TypeError, match="_build"):
            snt.AbstractModule()  # type: ignore[abstract]

    def test_build_may_be_none(self, mode: Mode) -> None:
        class OnlyMethods(snt.AbstractModule):
            _build = None  # type: ignore[assignment]

            @snt.reuse_variables
            def method(self) -> Any:
                return tf1.get_variable("v", [2])

        module = OnlyMethods()
        assert mode.run(module.method).shape == (2,)
        with pytest.raises(TypeError):
            module()

    @pytest.mark.parametrize("getter", [3, {"w": 3}, "w"])
    def test_custom_getter_must_be_callable(self, getter: Any) -> None:
        with pytest.raises(TypeError, match="Given custom_getter is not callable"):
            Scale(custom_getter=getter)

    def test_forgotten_constructor_is_reported(self) -> None:
        class Forgetful(snt.AbstractModule):
            def __init__(self) -> None:
                pass

            def _build(self) -> None: ...

        with pytest.raises(snt.NotInitializedError, match="forgotten to call super.*Forgetful"):
            Forgetful()()
        with pytest.raises(snt.NotInitializedError):
            Forgetful()._enter_variable_scope()

    def test_a_fresh_module_knows_nothing(self) -> None:
        module = Scale()
        assert not module.is_connected
        assert not module.defun_wrapped
        assert module.graph is None
        for attribute in (
            "variables",
            "trainable_variables",
            "non_trainable_variables",
            "variable_scope",
        ):
            with pytest.raises(
                snt.NotConnectedError, match=f"{module.scope_name}.*not instantiated"
            ):
                getattr(module, attribute)
        with pytest.raises(snt.NotConnectedError):
            module.get_variables()
        with pytest.raises(snt.NotConnectedError):
            module.get_all_variables()

    def test_documentation_and_signature_are_those_of_build(self) -> None:
        module = Scale()
        assert module.__doc__ == module.__call__.__doc__ == "Scales the inputs."
        assert inspect.signature(module.__call__) == inspect.signature(module._build)
        spec = inspect.getfullargspec(module.__call__)
        assert (spec.args, spec.defaults) == (["self", "inputs", "power"], (1,))
        assert Parent().__doc__ is None

    def test_call_attribute_calls(self, mode: Mode) -> None:
        module = Scale()
        np.testing.assert_array_equal(mode.run(lambda x: module.__call__(x, power=2), ONES), ONES)
        assert module.is_connected


class TestNames:
    def test_default_name(self) -> None:
        class LSTMBlockCell2D(snt.AbstractModule):
            def _build(self) -> None: ...

        with tf.Graph().as_default():
            assert LSTMBlockCell2D().module_name == "lstm_block_cell_2d"

    def test_names_are_made_unique(self, mode: Mode) -> None:
        first, second, third = Scale(), Scale(), Scale(name="scale")
        assert [m.name for m in (first, second, third)] == ["scale", "scale_1", "scale_2"]
        mode.run(second, ONES)
        assert names(second.variables) == ["scale_1/w:0"]

    def test_outer_scopes(self, mode: Mode) -> None:
        with tf1.variable_scope("outer"):
            module = Scale()
        with tf1.name_scope("ops"):
            other = Scale()
        assert (module.scope_name, module.module_name) == ("outer/scale", "scale")
        assert other.scope_name == "scale"
        with tf1.variable_scope("elsewhere"):
            mode.run(module, ONES)
        assert names(module.variables) == ["outer/scale/w:0"]

    def test_a_plain_variable_scope_counts(self) -> None:
        with tf.Graph().as_default():
            with tf1.variable_scope("q"):
                pass
            assert Scale(name="q").scope_name == "q_1"

    @pytest.mark.parametrize(
        ("name", "module_name"), [("a/b", "b"), ("a.b", "a.b"), ("Camel", "Camel")]
    )
    def test_unusual_names(self, name: str, module_name: str, mode: Mode) -> None:
        module = Scale(name=name)
        assert (module.scope_name, module.module_name) == (name, module_name)
        mode.run(module, ONES)
        assert names(module.get_variables()) == [f"{name}/w:0"]

    def test_empty_name_is_the_root(self, mode: Mode) -> None:
        module = Scale(name="")
        assert module.scope_name == module.module_name == ""
        mode.run(module, ONES)
        mode.run(module, ONES)
        assert names(module.variables) == ["w:0"]
        if mode.in_graph:
            assert module.name_scopes == ("", "")
            with pytest.raises(ValueError, match="not a valid root scope name"):
                Scale(name="")(tf.constant(ONES))

    def test_illegal_characters_are_reported_at_connection(self) -> None:
        with tf.Graph().as_default():
            module = Scale(name="has blank")
            with pytest.raises(ValueError, match="not a valid.*scope name"):
                module(tf.constant(ONES))

    def test_name_scopes(self) -> None:
        with tf.Graph().as_default():
            module = Scale()
            outputs = [module(tf.constant(ONES))]
            with tf1.name_scope("blah"):
                outputs.append(module(tf.constant(ONES)))
            outputs.append(module(tf.constant(ONES)))
            assert module.name_scopes == ("scale", "blah/scale", "scale_1")
            assert [y.op.name.rpartition("/")[0] for y in outputs] == list(module.name_scopes)

    def test_construction_opens_no_name_scope(self) -> None:
        with tf.Graph().as_default() as graph:
            Scale()
            assert graph.unique_name("scale", mark_as_used=False) == "scale"

    def test_subclasses_may_set_any_attribute(self, mode: Mode) -> None:
        class Wilful(Scale):
            def __init__(self) -> None:
                super().__init__(name="wilful")
                for name in ("_name", "_graph", "_scope", "_template", "_is_connected"):
                    setattr(self, name, "mine")

        module = Wilful()
        mode.run(module, ONES)
        mode.run(module, ONES)
        assert module.name == "wilful"
        assert module._name == module._graph == module._template == "mine"
        assert names(module.variables) == ["wilful/w:0"]

    def test_hooks_for_subclasses(self) -> None:
        with tf.Graph().as_default() as graph:
            module = Scale(name="scale")
            twin = Scale(name="scale")
            assert not module._is_connected
            module(tf.constant(ONES))
            assert module._is_connected
            assert module._graph is graph
            assert module._template.variable_scope.name == "scale"
            assert (twin._original_name, twin._unique_name) == ("scale", "scale_1")
            assert names(module._all_variables) == ["scale/w:0"]
            assert module._custom_getter is None


class TestTracking:
    """What a user of TensorFlow 2 expects of a `tf.Module`."""

    def test_a_tf_module_sees_variables_and_submodules(self) -> None:
        class Model(tf.Module):
            def __init__(self) -> None:
                self.layers = [Scale(name="a"), Scale(name="b")]

        model = Model()
        for layer in model.layers:
            layer(tf.constant(ONES))
        assert len(model.variables) == len(model.trainable_variables) == 2
        assert {m.name for m in model.submodules} == {m.name for m in model.layers}

    def test_passed_in_modules_are_saved(self, tmp_path: Any) -> None:
        def model() -> Any:
            return snt.Sequential([Scale(name="inner"), tf.tanh])

        original = model()
        original(tf.constant(ONES))
        original.variables[0].assign([1.0, 2.0, 3.0])
        path = tf.train.Checkpoint(model=original).save(str(tmp_path / "checkpoint"))
        restored = model()
        tf.train.Checkpoint(model=restored).restore(path)
        restored(tf.constant(ONES))
        np.testing.assert_array_equal(restored.variables[0], [1.0, 2.0, 3.0])

    def test_submodules_are_those_of_a_tf_module(self) -> None:
        def fill(holder: Any) -> Any:
            holder.b = {"x": [Scale(name="in_a_dictionary")], 3: "no module"}
            holder.a = (Scale(name="in_a_tuple"), holder)
            holder.c = tf.Module(name="plain")
            holder.c.inside = Scale(name="inside")
            holder.c.again = holder.a[0]
            return holder

        names = ["in_a_tuple", "in_a_dictionary", "plain", "inside"]
        with tf.Graph().as_default():
            assert [m.name for m in fill(Scale()).submodules] == names

        plain = fill(tf.Module())
        plain.b.pop(3)  # which no tf.Module sorts
        assert {m.name.rstrip("_1") for m in plain.submodules} == set(names)

    def test_an_attribute_has_the_name_of_a_method_of_tf_module(self, tmp_path: Any) -> None:
        class Flat(snt.AbstractModule):
            def __init__(self) -> None:
                super().__init__(name="flat")
                with self._enter_variable_scope():
                    self._flatten = Scale()

            def _build(self, inputs: Any) -> Any:
                return self._flatten(inputs)

        flat = Flat()
        flat(tf.constant(ONES))
        assert list(flat.submodules) == [flat._flatten]
        assert "flat" in str(snt.tabulate(flat))
        assert len(flat.trainable_variables) == 1
        holder = tf.Module()
        holder.flat = flat
        assert len(holder.trainable_variables) == 1
        path = tf.train.Checkpoint(flat=flat).save(str(tmp_path / "checkpoint"))
        tf.train.Checkpoint(flat=Flat()).restore(path)
        snt.export(flat, str(tmp_path / "saved"), tf.TensorSpec([None, 3]))

    def test_containers_without_modules_stay_what_they_are(self) -> None:
        module = Scale()
        for value in ([1, 2], {"a": 1}, (1, (2, 3))):
            module.config = value
            assert module.config is value
        module.config = [Scale()]
        module.config = [1]
        assert type(module.config) is list
        module.later = []
        module.later.append(Scale(name="appended"))
        assert any(m is module.later[0] for m in module.submodules)
