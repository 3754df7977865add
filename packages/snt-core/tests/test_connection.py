"""`AbstractModule`: what a call does, and how it fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode
from tests.support.modules import ONES, Parent, Scale, WithGetter, names


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
        for _ in range(3):
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

        tf1.reset_default_graph()  # names begin anew
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
        expected = "shape dtype initializer regularizer reuse trainable collections caching_device "
        expected += "partitioner validate_shape use_resource synchronization aggregation"
        assert set(seen) >= set(expected.split(" "))
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
