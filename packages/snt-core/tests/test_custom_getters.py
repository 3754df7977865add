"""Custom getters, on plain variable scopes and on modules."""

import logging
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import custom_getters
from snt_core.custom_getters.router import custom_getter_router
from snt_core.module import AbstractModule

GLOBAL, TRAINABLE = tf1.GraphKeys.GLOBAL_VARIABLES, tf1.GraphKeys.TRAINABLE_VARIABLES


class Scale(AbstractModule):
    def __init__(self, custom_getter=None, name="scale"):
        super().__init__(custom_getter=custom_getter, name=name)

    def _build(self, inputs):
        return inputs * tf1.get_variable("w", [2], initializer=tf1.ones_initializer())


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def log():
    """The messages that TensorFlow's logger gets."""
    messages = []

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler, logger = Handler(), tf.get_logger()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
    logger.setLevel(level)


def names(collection):
    return [variable.op.name for variable in tf1.get_collection(collection)]


class TestNonTrainable:
    def test_variable_is_global_only(self, graph):
        with tf1.variable_scope("net", custom_getter=custom_getters.non_trainable):
            w = tf1.get_variable("w", [2], trainable=True)
        assert not w.trainable
        assert names(GLOBAL) == ["net/w"]
        assert names(TRAINABLE) == []

    def test_module_eagerly_and_in_a_function(self):
        for wrap in (lambda f: f, tf.function):
            module = Scale(custom_getters.non_trainable)
            np.testing.assert_array_equal(wrap(module)(tf.constant([2.0, 3.0])), [2.0, 3.0])
            assert module.trainable_variables == ()
            assert len(module.variables) == 1

    @pytest.mark.parametrize("order", [1, -1])
    def test_composes_in_any_order(self, graph, order):
        getters = [
            custom_getters.non_trainable,
            custom_getters.override_args(initializer=tf1.constant_initializer(3.0)),
        ][::order]
        with (
            tf1.variable_scope("outer", custom_getter=getters[0]),
            tf1.variable_scope("inner", custom_getter=getters[1]),
        ):
            w = tf1.get_variable("w", [2])
        assert not w.trainable
        with tf1.Session() as session:
            session.run(w.initializer)
            np.testing.assert_array_equal(session.run(w), [3.0, 3.0])


class TestStopGradient:
    def test_no_gradient_and_still_trainable(self, graph):
        with tf1.variable_scope("net", custom_getter=custom_getters.stop_gradient):
            w = tf1.get_variable("w", [2])
        assert isinstance(w, tf.Tensor)
        (variable,) = tf1.trainable_variables()
        assert tf1.gradients(w, variable) == [None]

    def test_module_eagerly_and_in_a_function(self):
        for wrap in (lambda f: f, tf.function):
            module = Scale(custom_getters.stop_gradient)
            inputs = tf.constant([2.0, 3.0])
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = wrap(module)(inputs)
            (variable,) = module.trainable_variables
            to_inputs, to_variable = tape.gradient(outputs, [inputs, variable])
            np.testing.assert_array_equal(to_inputs, [1.0, 1.0])
            assert to_variable is None

    def test_partitioned_variable(self, graph):
        with tf1.variable_scope(
            "net",
            custom_getter=custom_getters.stop_gradient,
            partitioner=tf1.fixed_size_partitioner(2),
        ):
            w = tf1.get_variable("w", [4, 3])
        assert w.shape == [4, 3]
        assert tf1.gradients(w, tf1.trainable_variables()) == [None, None]


class TestOverrides:
    def requested(self, custom_getter, *args, **kwargs):
        return custom_getter(lambda *a, **k: (a, k), *args, **kwargs)

    def test_given_arguments_win(self):
        getter = custom_getters.override_args(trainable=False, dtype=None)
        request = self.requested(getter, "w", [2], trainable=True, dtype=tf.float32, reuse=True)
        assert request == (("w", [2]), {"trainable": False, "dtype": None, "reuse": True})

    def test_defaults_fill_what_is_missing_or_none(self):
        getter = custom_getters.override_default_args(collections=["c"], initializer="i")
        request = self.requested(getter, "w", collections=None, shape=[2])
        assert request == (("w",), {"collections": ["c"], "initializer": "i", "shape": [2]})
        request = self.requested(getter, "w", collections=[], initializer="other")
        assert request == (("w",), {"collections": [], "initializer": "other"})

    def test_requests_do_not_affect_each_other(self):
        getter = custom_getters.override_default_args(initializer="i")
        assert self.requested(getter, "v", initializer="j")[1] == {"initializer": "j"}
        assert self.requested(getter, "w")[1] == {"initializer": "i"}

    @pytest.mark.parametrize(
        "argument", ["trainable", "dtype", "reuse", "validate_shape", "synchronization"]
    )
    def test_warns_of_defaults_that_cannot_work(self, graph, log, argument):
        settled = {}

        def spy(getter, name, *args, **kwargs):
            settled.update(kwargs)
            return getter(name, *args, **kwargs)

        with tf1.variable_scope("net", custom_getter=spy):
            tf1.get_variable("w", [2])
        assert settled[argument] is not None
        custom_getters.override_default_args(**{argument: False})
        assert any(argument in message and "use override_args" in message for message in log)

    @pytest.mark.parametrize(
        "argument", ["initializer", "regularizer", "collections", "partitioner", "constraint"]
    )
    def test_others_do_not_warn(self, log, argument):
        custom_getters.override_default_args(**{argument: None})
        assert log == []

    def test_on_a_scope(self, graph):
        ones, zeros = tf1.ones_initializer(), tf1.zeros_initializer()
        for make, expected in (
            (custom_getters.override_args, [1.0, 1.0]),
            (custom_getters.override_default_args, [1.0, 0.0]),
        ):
            with tf1.variable_scope(None, "net", custom_getter=make(initializer=ones)):
                variables = [
                    tf1.get_variable("open", []),
                    tf1.get_variable("asked", [], initializer=zeros),
                ]
            with tf1.Session() as session:
                session.run(tf1.global_variables_initializer())
                assert session.run(variables) == expected


class TestContext:
    def marking(self, mark):
        return lambda getter, *args, **kwargs: [mark, getter(*args, **kwargs)]

    def plain(self, name, *args, **kwargs):
        return name

    def test_getter_works_inside_only(self):
        context = custom_getters.Context(self.marking("in"))
        assert context(self.plain, "w") == "w"
        with context:
            assert context(self.plain, "w") == ["in", "w"]
        assert context(self.plain, "w") == "w"

    def test_default_getter_works_outside(self):
        context = custom_getters.Context(self.marking("in"), default_getter=self.marking("out"))
        assert context(self.plain, "w") == ["out", "w"]
        with context:
            assert context(self.plain, "w") == ["in", "w"]

    def test_with_gives_the_context(self):
        context = custom_getters.Context(self.marking("in"))
        with context as entered:
            assert entered is context

    def test_blocks_nest_and_end_with_errors(self):
        context = custom_getters.Context(self.marking("in"))
        with context:
            with pytest.raises(RuntimeError), context:
                raise RuntimeError
            assert context(self.plain, "w") == ["in", "w"]
        assert context(self.plain, "w") == "w"

    def test_contexts_are_independent(self):
        first, second = (custom_getters.Context(self.marking(i)) for i in range(2))
        with first:
            assert first(self.plain, "w") == [0, "w"]
            assert second(self.plain, "w") == "w"

    def test_reaches_other_threads(self):
        context = custom_getters.Context(self.marking("in"))
        results = []
        with context:
            thread = threading.Thread(target=lambda: results.append(context(self.plain, "w")))
            thread.start()
            thread.join()
        assert results == [["in", "w"]]

    def test_is_decided_at_each_connection(self):
        context = custom_getters.Context(custom_getters.stop_gradient)
        module = Scale(context)
        gradients = []
        for entered in (False, True, False):
            with tf.GradientTape() as tape:
                if entered:
                    with context:
                        outputs = module(tf.ones([2]))
                else:
                    outputs = module(tf.ones([2]))
            gradients.append(tape.gradient(outputs, module.trainable_variables[0]))
        assert [gradient is None for gradient in gradients] == [False, True, False]

    def test_verbose_logs_each_request(self, log):
        context = custom_getters.Context(self.marking("in"), verbose=True)
        context(self.plain, "net/a")
        with context:
            context(self.plain, "net/b")
        assert [("net/a" in log[0], "outside" in log[0])] == [(True, True)]
        assert [("net/b" in log[1], "inside" in log[1])] == [(True, True)]
        custom_getters.Context(self.marking("in"))(self.plain, "net/c")
        assert len(log) == 2

    def test_getters_must_be_callable(self):
        with pytest.raises(TypeError, match="getter must be a custom getter, not None"):
            custom_getters.Context(None)
        with pytest.raises(TypeError, match="default_getter must be"):
            custom_getters.Context(self.marking("in"), default_getter=3)


class TestRouter:
    def trainable(self, patterns, variables, name_fn=lambda name: name.removeprefix("net/")):
        """Which of the variables stay trainable where those that match are made not to be."""
        router = custom_getter_router(
            dict.fromkeys(patterns, custom_getters.non_trainable), name_fn
        )
        with tf1.variable_scope("net", custom_getter=router):
            made = {name: tf1.get_variable(name, [2]) for name in variables}
        return [name for name in variables if made[name].trainable]

    def test_matches_at_the_start_and_not_at_the_end(self, graph):
        variables = ["w", "w_gates", "linear_1/w", "b"]
        assert self.trainable(["w"], variables) == ["linear_1/w", "b"]

    def test_whole_names_and_deeper_names(self, graph):
        variables = ["w", "w_gates", "linear_1/w", "b"]
        assert self.trainable(["w$", ".*/w"], variables) == ["w_gates", "b"]

    def test_name_fn_sees_the_full_name(self, graph):
        assert self.trainable(["net/w"], ["w", "b"], name_fn=lambda name: name) == ["b"]

    def test_empty_map_routes_nothing(self, graph):
        assert self.trainable([], ["w"]) == ["w"]

    def test_several_matches_are_an_error(self, graph):
        expected = re.escape("More than one custom_getter matched net/w (w): ['w', '.*']")
        with pytest.raises(KeyError, match=expected):
            self.trainable(["w", ".*", "b"], ["w"])

    def test_getter_receives_the_full_name_and_the_arguments(self):
        router = custom_getter_router(
            {"w": lambda getter, *args, **kwargs: (getter, args, kwargs)}, lambda name: name[4:]
        )
        assert router(len, "net/w", [2], dtype=tf.float32) == (
            len,
            ("net/w", [2]),
            {"dtype": tf.float32},
        )

    def test_map_is_read_once(self):
        routes = {}
        router = custom_getter_router(routes, lambda name: name)
        routes["w"] = custom_getters.non_trainable
        assert router(lambda name: name, "w") == "w"

    def test_unfit_maps_are_refused(self):
        with pytest.raises(TypeError, match="Given custom_getter is not callable"):
            custom_getter_router({"w": custom_getters.stop_gradient, "b": 3}, lambda name: name)
        with pytest.raises(TypeError, match="must map regular expressions"):
            custom_getter_router(custom_getters.stop_gradient, lambda name: name)
        with pytest.raises(re.error):
            custom_getter_router({"(": custom_getters.stop_gradient}, lambda name: name)


class TestRestoreInitializer:
    @pytest.fixture
    def checkpoint(self, tmp_path):
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.get_variable("net/w", initializer=[1.0, 2.0])
            tf1.get_variable("old/w", initializer=[3.0, 4.0])
            session.run(tf1.global_variables_initializer())
            return tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))

    def value(self, getter, **kwargs):
        with tf1.variable_scope("net", custom_getter=getter):
            w = tf1.get_variable("w", [2], initializer=tf1.zeros_initializer(), **kwargs)
        with tf1.Session() as session:
            session.run(w.initializer)
            return session.run(w).tolist()

    def test_restores_under_the_full_name(self, graph, checkpoint, log):
        assert self.value(custom_getters.restore_initializer(checkpoint)) == [1.0, 2.0]
        assert any("net/w" in message and checkpoint in message for message in log)

    def test_name_fn(self, graph, checkpoint):
        getter = custom_getters.restore_initializer(
            checkpoint, name_fn=lambda name: name.replace("net", "old")
        )
        assert self.value(getter) == [3.0, 4.0]

    def test_eagerly(self, checkpoint):
        module = Scale(custom_getters.restore_initializer(checkpoint), name="net")
        np.testing.assert_array_equal(module(tf.ones([2])), [1.0, 2.0])

    @pytest.mark.parametrize(
        ("collection", "request_", "restored"),
        [
            (GLOBAL, {}, True),
            (GLOBAL, {"collections": ["c"]}, False),
            (GLOBAL, {"collections": ["c", GLOBAL]}, True),
            ("c", {"collections": ["c"]}, True),
            ("c", {}, False),
            (TRAINABLE, {}, True),
            (TRAINABLE, {"collections": ["c"]}, True),
            (TRAINABLE, {"trainable": False}, False),
            (None, {"collections": ["c"], "trainable": False}, True),
        ],
    )
    def test_collection_chooses(self, graph, checkpoint, collection, request_, restored):
        getter = custom_getters.restore_initializer(checkpoint, collection=collection)
        assert self.value(getter, **request_) == ([1.0, 2.0] if restored else [0.0, 0.0])

    def test_list_of_the_caller_is_left_alone(self, graph, checkpoint):
        collections = ["c"]
        self.value(custom_getters.restore_initializer(checkpoint), collections=collections)
        assert collections == ["c"]

    def test_bare_request(self):
        getter = custom_getters.restore_initializer("model.ckpt")
        name, initializer = getter(lambda name, initializer: (name, initializer), "w")
        assert name == "w"
        assert callable(initializer)


def test_importing_does_not_import_tensorflow_probability():
    program = (
        "import sys, snt_core.custom_getters as g; g.bayes_by_backprop.bayes_by_backprop_getter();"
        "sys.exit('tensorflow_probability' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
