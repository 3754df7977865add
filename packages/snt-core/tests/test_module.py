"""`AbstractModule`: names, connections, variables, graphs, copies, errors."""

from __future__ import annotations

import gc
import inspect
import weakref
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode


class Scale(snt.AbstractModule):
    """The smallest module with a variable."""

    def __init__(self, size: int = 3, name: str = "scale", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._size = size

    def _build(self, inputs: Any, power: Any = 1) -> Any:
        """Scales the inputs."""
        w = tf1.get_variable("w", [self._size], initializer=tf1.ones_initializer())
        return inputs * tf.pow(w, power)


class Parent(snt.AbstractModule):
    """Makes its submodules anew at each connection."""

    def _build(self, inputs: Any) -> Any:
        return Scale()(Scale()(inputs))


class WithGetter(snt.AbstractModule):
    def __init__(self, custom_getter: Any, name: str = "with_getter") -> None:
        super().__init__(custom_getter=custom_getter, name=name)

    def _build(self, inputs: Any) -> Any:
        w = tf1.get_variable("w", [3], initializer=tf1.ones_initializer())
        return Scale(name="inner")(inputs * w)


def names(variables: Any) -> list[str]:
    return [variable.name for variable in variables]


ONES = np.ones([2, 3], np.float32)


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


class TestConnection:
    def test_returns_what_build_returns(self, mode: Mode) -> None:
        results = [object(), None, (1, [2, {"three": 3}])]
        module = snt.Module(lambda i: results[i], name="constant")
        assert all(module(i) is result for i, result in enumerate(results))

    def test_wrong_arguments(self) -> None:
        with pytest.raises(TypeError, match="power_of"):
            Scale()(tf.constant(ONES), power_of=2)

    def test_submodules_made_in_build_share(self, mode: Mode) -> None:
        module = Parent(name="parent")
        for _ in range(3):
            mode.run(module, ONES)
        assert names(module.variables) == ["parent/scale/w:0", "parent/scale_1/w:0"]
        assert len(module.get_variables()) == 2
        if mode.in_graph:
            assert len(tf1.global_variables()) == 2

    def test_submodule_made_anew_reports_variables_that_it_did_not_make(self, mode: Mode) -> None:
        made: list[Scale] = []

        class Keeper(snt.AbstractModule):
            def _build(self, inputs: Any) -> Any:
                made.append(Scale())
                return made[-1](inputs)

        module = Keeper()
        mode.run(module, ONES)
        mode.run(module, ONES)
        assert len(made) >= 2
        assert len({id(m.variables[0]) for m in made}) == 1

    def test_new_variable_in_a_later_call_is_refused(self, mode: Mode) -> None:
        calls = []

        def build(inputs: Any) -> Any:
            calls.append(None)
            return inputs * tf1.get_variable(f"w_{len(calls) > 2}", [3])

        module = snt.Module(build)
        mode.run(module, ONES)
        while len(calls) < 2:  # tf.function traces the first call twice
            mode.run(module, ONES)
        with pytest.raises(ValueError, match="does not exist, or was not created with tf.get_var"):
            mode.run(module, ONES)

    def test_tf_variable_works_once(self, mode: Mode) -> None:
        # "function" would make it twice within one call, which TensorFlow itself refuses.
        module = snt.Module(lambda x: x * tf.Variable(np.ones(3, np.float32)), name="raw")
        if mode.name == "function":
            with pytest.raises(ValueError, match="rainable variable|only supports singleton"):
                mode.run(module, ONES)
            return
        mode.run(module, ONES)
        assert len(module.trainable_variables) == 1
        with pytest.raises(
            ValueError, match="Trainable variable created when calling a template after the first"
        ):
            mode.run(module, ONES)

    def test_untrainable_tf_variable_is_allowed_in_later_calls(self) -> None:
        for graph in (tf.Graph(), None):
            with graph.as_default() if graph else tf.device(None):
                module = snt.Module(lambda x: x * tf.Variable(1.0, trainable=False), name="raw")
                module(tf.constant(1.0))
                module(tf.constant(1.0))
                assert len(module.variables) == 2
                assert module.trainable_variables == ()

    @pytest.mark.parametrize(
        ("change", "message"),
        [(tf.zeros([2, 4]), "specified shape"), (tf.zeros([2, 3], tf.float64), "specified dtype")],
    )
    def test_another_shape_or_dtype_is_refused(self, change: Any, message: str, mode: Mode) -> None:
        module = snt.Module(
            lambda x: x * tf1.get_variable("w", [x.shape[-1]], dtype=x.dtype), name="like_input"
        )
        mode.run(module, ONES)
        with pytest.raises(ValueError, match=f"Trying to share variable like_input/w.*{message}"):
            mode.run(module, change.numpy())

    def test_the_same_variable_twice_in_one_call_is_refused(self, mode: Mode) -> None:
        module = snt.Module(
            lambda: tf1.get_variable("w", [3]) + tf1.get_variable("w", [3]), name="twice"
        )
        with pytest.raises(ValueError, match="twice/w already exists, disallowed"):
            mode.run(module)

    def test_two_modules_of_one_scope_do_not_share_silently(self, mode: Mode) -> None:
        class Clash(snt.AbstractModule):
            def __init__(self) -> None:
                super().__init__(name="clash")
                with self._enter_variable_scope():
                    self.first = Scale()
                with self._enter_variable_scope():
                    self.second = Scale()

            def _build(self, inputs: Any) -> Any:
                return self.second(self.first(inputs))

        with pytest.raises(ValueError, match="clash/scale/w already exists, disallowed"):
            mode.run(Clash(), ONES)
        module = Clash()
        mode.run(module.first, ONES)  # from outside, one after the other
        with pytest.raises(ValueError, match="already exists, disallowed"):
            mode.run(module.second, ONES)

    def test_failed_first_call_can_be_tried_again(self, mode: Mode) -> None:
        fail = [True]

        def build(inputs: Any) -> Any:
            outputs = Scale()(inputs) * tf1.get_variable("w", [3])
            if fail[0]:
                raise RuntimeError("no")
            return Scale()(outputs)

        module = snt.Module(build, name="flaky")
        with pytest.raises(RuntimeError, match="no"):
            mode.run(module, ONES)
        assert not module.is_connected
        assert module.graph is not None
        fail[0] = False
        mode.run(module, ONES)
        assert names(module.variables) == ["flaky/scale/w:0", "flaky/scale_1/w:0", "flaky/w:0"]
        if mode.in_graph:
            assert len(tf1.global_variables()) == 3

    def test_reuse_scope_around_the_construction(self) -> None:
        with tf.Graph().as_default():
            original = Scale()
            original(tf.constant(ONES))
            with tf1.variable_scope("", reuse=True):
                stranger = Scale(name="stranger")
            with pytest.raises(ValueError, match="stranger/w does not exist"):
                stranger(tf.constant(ONES))
            with tf1.variable_scope("stranger"):
                tf1.get_variable("w", [3])
            stranger(tf.constant(ONES))
            assert names(stranger.variables) == ["stranger/w:0"]

    def test_module_made_eagerly_does_not_share_by_name_in_a_graph(self) -> None:
        tf1.reset_default_graph()
        module = Scale()
        with tf.Graph().as_default():
            Scale()(tf.constant(ONES))
            with pytest.raises(ValueError, match="scale/w already exists, disallowed"):
                module(tf.constant(ONES))


class TestErrorsOfBuild:
    def test_tell_where_the_module_was_made(self, mode: Mode) -> None:
        def fail(inputs: Any) -> Any:
            raise KeyError("the message")

        module = snt.Module(fail)  # THIS LINE
        with pytest.raises(KeyError) as caught:
            module(1)
        message = caught.value.args[0]
        assert message.startswith("the message\n\noriginally defined at:\n")
        assert "THIS LINE" in message
        assert "snt_core/module.py" not in message

    def test_of_nested_modules_tell_it_once(self) -> None:
        def fail() -> None:
            raise ValueError("deep")

        inner = snt.Module(fail, name="inner")
        middle = snt.Module(lambda: inner(), name="middle")
        with pytest.raises(ValueError, match="deep") as caught:
            snt.Module(lambda: middle(), name="outer")()
        message = caught.value.args[0]
        assert message.count("originally defined at:") == 1
        assert message.endswith("inside 'middle'\ninside 'outer'")

    def test_leave_other_exceptions_alone(self) -> None:
        error = ValueError(3, "details")

        def fail() -> None:
            raise error

        with pytest.raises(ValueError) as caught:  # noqa: PT011 (it has no message)
            snt.Module(fail)()
        assert caught.value is error
        assert error.args == (3, "details")


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


class TestCustomGetters:
    def test_order_and_every_connection(self, mode: Mode) -> None:
        calls: list[str] = []

        def getter(label: str) -> Any:
            def get(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
                calls.append(f"{label} {name}")
                return getter(name, *args, **kwargs)

            return get

        with tf1.variable_scope("", custom_getter=getter("scope")):
            module = WithGetter(getter("module"))
        mode.run(module, ONES)
        once = ["module with_getter/w", "scope with_getter/w"]
        once += ["module with_getter/inner/w", "scope with_getter/inner/w"]
        assert calls[:4] == once
        calls.clear()
        with tf1.variable_scope("", custom_getter=getter("call site")):
            mode.run(module, ONES)
        assert calls == once

    def test_what_a_getter_returns_is_used_and_not_kept(self, mode: Mode) -> None:
        factor = [2.0]

        def double(getter: Any, *args: Any, **kwargs: Any) -> Any:
            return getter(*args, **kwargs) * factor[0]

        module = WithGetter(double)
        np.testing.assert_array_equal(mode.run(module, ONES), 4 * ONES)
        factor[0] = 3.0
        np.testing.assert_array_equal(mode.run(module, ONES), 9 * ONES)
        assert names(module.variables) == ["with_getter/inner/w:0", "with_getter/w:0"]
        np.testing.assert_array_equal(mode.values(module.variables[0]), np.ones(3))

    def test_sees_the_arguments(self) -> None:
        seen: dict[str, Any] = {}

        def get(getter: Any, name: str, **kwargs: Any) -> Any:
            seen.update(kwargs)
            return getter(name, **kwargs)

        with tf.Graph().as_default():
            Scale(custom_getter=get)(tf.constant(ONES))
        assert set(seen) >= set(
            ["shape", "dtype", "initializer", "regularizer", "reuse", "trainable", "collections", "caching_device", "partitioner", "validate_shape", "use_resource", "synchronization", "aggregation"]
        )
        assert seen["trainable"] is True

    def test_need_not_take_a_constraint(self, mode: Mode) -> None:
        def get(
            getter: Any,
            name: Any,
            shape: Any,
            dtype: Any,
            initializer: Any,
            regularizer: Any,
            reuse: Any,
            trainable: Any,
            collections: Any,
            caching_device: Any,
            partitioner: Any,
            validate_shape: Any,
            use_resource: Any,
            synchronization: Any,
            aggregation: Any,
        ) -> Any:
            return getter(name, shape, dtype, initializer=initializer, trainable=False)

        module = Scale(custom_getter=get)
        mode.run(module, ONES)
        assert module.trainable_variables == ()

    def test_mapping(self, mode: Mode) -> None:
        calls: list[str] = []

        def get(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return getter(name, *args, **kwargs)

        mode.run(WithGetter({"w": get}, name="flat"), ONES)
        assert set(calls) == {"flat/w"}
        calls.clear()
        mode.run(WithGetter({".*/w": get}, name="deep"), ONES)
        assert set(calls) == {"deep/inner/w"}

    def test_mapping_with_several_matches(self, mode: Mode) -> None:
        module = WithGetter(
            {"w": lambda g, *a, **k: g(*a, **k), ".": lambda g, *a, **k: g(*a, **k)}
        )
        with pytest.raises(KeyError, match="More than one custom_getter matched"):
            mode.run(module, ONES)

    def test_getter_may_ask_for_other_names(self, mode: Mode) -> None:
        def split(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            return getter(f"{name}/a", *args, **kwargs) + getter(f"{name}/b", *args, **kwargs)

        module = Scale(custom_getter=split)
        for _ in range(2):
            np.testing.assert_array_equal(mode.run(module, ONES), 2 * ONES)
        assert names(module.variables) == ["scale/w/a:0", "scale/w/b:0"]


class TestScopeProperties:
    def test_are_taken_from_around_the_construction(self, mode: Mode) -> None:
        with tf1.variable_scope(
            "outer",
            initializer=tf1.constant_initializer(5.0),
            regularizer=lambda w: tf.reduce_sum(w),
            constraint=lambda w: w,
        ):
            module = snt.Module(lambda: tf1.get_variable("w", [2]), name="module")
        with tf1.variable_scope("call", initializer=tf1.constant_initializer(7.0)):
            np.testing.assert_array_equal(mode.run(module), [5.0, 5.0])
        assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == 1
        assert module.variables[0].constraint is not None

    def test_dtype(self, mode: Mode) -> None:
        with tf1.variable_scope("outer", dtype=tf.float64):
            module = snt.Module(lambda: tf1.get_variable("w", [2]))
        assert mode.run(module).dtype == np.float64


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
