"""`restore_initializer`, against the arrays that were written to a checkpoint."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.initializers import restore_initializer
from snt_core.module import AbstractModule

STORED = {
    "w": np.arange(12, dtype=np.float32).reshape(4, 3),
    "agent/linear_0/w": np.full([2, 3], 0.5, np.float32),
    "agent/linear_1/w": np.full([2, 3], 1.5, np.float32),
    "double": np.array([0.1, 0.2], np.float64),
    "flags": np.array([True, False, True]),
    "step": np.array(7, np.int64),
    "half": np.array([1.0, -2.0], np.float16),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("checkpoint") / "model.ckpt")
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = {
            name: tf1.get_variable(name.replace("/", "_"), initializer=value)
            for name, value in STORED.items()
        }
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver(variables).save(session, prefix)


def initial_value(variable):
    with tf1.Session(graph=variable.graph) as session:
        session.run(variable.initializer)
        return session.run(variable)


@pytest.mark.parametrize("name", ["w", "double", "flags", "step", "half"])
@pytest.mark.parametrize("use_resource", [True, False])
def test_value_shape_and_dtype_in_a_graph(checkpoint, name, use_resource):
    expected = STORED[name]
    with tf.Graph().as_default():
        variable = tf1.get_variable(
            name,
            expected.shape,
            tf.as_dtype(expected.dtype),
            initializer=restore_initializer(checkpoint, name, scope=""),
            use_resource=use_resource,
        )
        assert variable.shape == expected.shape
        value = initial_value(variable)
    np.testing.assert_array_equal(value, expected)
    assert value.dtype == expected.dtype


def test_value_eagerly_and_in_a_function(checkpoint):
    initializer = restore_initializer(checkpoint, "w")
    np.testing.assert_array_equal(
        tf1.get_variable("w", [4, 3], initializer=initializer), STORED["w"]
    )
    traced = tf.function(lambda: initializer([4, 3], tf.float32))()
    np.testing.assert_array_equal(traced, STORED["w"])


def test_default_dtype_is_float32(checkpoint):
    assert restore_initializer(checkpoint, "w")([4, 3]).dtype == tf.float32


def test_tensor_has_static_shape(checkpoint):
    with tf.Graph().as_default():
        assert restore_initializer(checkpoint, "w")([4, 3], tf.float32).shape == [4, 3]


def test_one_initializer_serves_several_scopes(checkpoint):
    initializer = restore_initializer(checkpoint, "w")
    with tf.Graph().as_default(), tf1.variable_scope("agent"):
        for index in range(2):
            with tf1.variable_scope(f"linear_{index}"):
                w = tf1.get_variable("w", [2, 3], initializer=initializer)
            np.testing.assert_array_equal(initial_value(w), STORED[f"agent/linear_{index}/w"])


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_scope_of_a_module(checkpoint, wrap):
    tf1.reset_default_graph()  # module names are unique within it

    class Linear(AbstractModule):
        def _build(self, inputs):
            initializer = restore_initializer(checkpoint, "w")
            return inputs @ tf1.get_variable("w", [2, 3], initializer=initializer)

    outputs = wrap(Linear(name="agent/linear_1"))(tf.eye(2))
    np.testing.assert_array_equal(outputs, STORED["agent/linear_1/w"])


@pytest.mark.parametrize(
    "scope",
    ["agent/linear_1", lambda current: current.replace("other", "agent/linear_1")],
    ids=["name", "function"],
)
def test_scope_can_be_named_or_computed(checkpoint, scope):
    initializer = restore_initializer(checkpoint, "w", scope=scope)
    with tf.Graph().as_default(), tf1.variable_scope("other"):
        w = tf1.get_variable("kernel", [2, 3], initializer=initializer)
        np.testing.assert_array_equal(initial_value(w), STORED["agent/linear_1/w"])


def test_function_may_give_the_root(checkpoint):
    initializer = restore_initializer(checkpoint, "w", scope=lambda current: "")
    with tf.Graph().as_default(), tf1.variable_scope("other"):
        w = tf1.get_variable("w", [4, 3], initializer=initializer)
        np.testing.assert_array_equal(initial_value(w), STORED["w"])


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_of_a_partitioned_variable(checkpoint, axis):
    parts = [4, 3][axis]
    with tf.Graph().as_default(), tf1.Session() as session:
        partitioned = tf1.get_variable(
            "kernel",
            [4, 3],
            initializer=restore_initializer(checkpoint, "w", scope=""),
            partitioner=tf1.fixed_size_partitioner(parts, axis=axis),
        )
        assert len(list(partitioned)) == parts
        session.run(tf1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(partitioned.as_tensor()), STORED["w"])


@pytest.mark.parametrize("shape", [[3, 4], [12], [], [4, 2], [1, 4, 3]], ids=str)
def test_another_shape_is_an_error_when_the_variable_is_initialised(checkpoint, shape):
    initializer = restore_initializer(checkpoint, "w", scope="")
    with tf.Graph().as_default():
        variable = tf1.get_variable("w", shape, initializer=initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match="same_shape_as_in_checkpoint"):
            initial_value(variable)


def test_another_shape_is_an_error_eagerly(checkpoint):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"has shape \(4, 3\), but .* \(3, 4\)"
    ):
        restore_initializer(checkpoint, "w")([3, 4], tf.float32)


def test_another_full_shape_of_a_partitioned_variable_is_an_error(checkpoint):
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable(
            "w",
            [4, 6],
            initializer=restore_initializer(checkpoint, "w"),
            partitioner=tf1.fixed_size_partitioner(2),
        )
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(tf1.global_variables_initializer())


def test_another_dtype_is_an_error(checkpoint):
    with pytest.raises(tf.errors.InvalidArgumentError):
        restore_initializer(checkpoint, "w")([4, 3], tf.float64)


def test_missing_tensor_and_missing_checkpoint_are_errors(checkpoint):
    with pytest.raises(tf.errors.NotFoundError, match="nowhere/w"):
        restore_initializer(checkpoint, "w", scope="nowhere")([4, 3])
    with pytest.raises(tf.errors.NotFoundError):
        restore_initializer(checkpoint + "-other", "w")([4, 3])


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="filename must be a string"):
        restore_initializer(None, "w")
    with pytest.raises(TypeError, match="var_name must be a string"):
        restore_initializer("model.ckpt", 1)
    with pytest.raises(TypeError, match="scope must be a string"):
        restore_initializer("model.ckpt", "w", scope=3)
