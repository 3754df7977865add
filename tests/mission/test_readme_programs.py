"""The README's programs that use modules: connecting, naming, regularising, listing variables."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names, randomise

FLAGS = types.SimpleNamespace(hidden_size=5, output_size=3)
RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.normal(size=(6, 4)).astype(np.float32)
TEST = RANDOM.normal(size=(2, 4)).astype(np.float32)


def get_training_data() -> tf.Tensor:
    return tf.constant(TRAIN)


def get_test_data() -> tf.Tensor:
    return tf.constant(TEST)


def test_linear_regression_connected_twice(mode: Mode) -> None:
    # Construct the module, providing any configuration necessary.
    linear_regression_module = snt.Linear(output_size=FLAGS.output_size)

    def connect() -> Any:
        train_data = get_training_data()
        test_data = get_test_data()
        # Connect the module to some inputs, any number of times.
        train_predictions = linear_regression_module(train_data)
        test_predictions = linear_regression_module(test_data)
        return train_predictions, test_predictions

    mode.run(connect)
    variables = linear_regression_module.get_variables()
    assert names(variables) == ["linear/w", "linear/b"]
    w, b = randomise(variables, mode)
    train_predictions, test_predictions = mode.run(connect)
    np.testing.assert_allclose(train_predictions, TRAIN @ w + b, 1e-5, 1e-5)
    np.testing.assert_allclose(test_predictions, TEST @ w + b, 1e-5, 1e-5)


def test_mlp_from_sequential(mode: Mode) -> None:
    lin_to_hidden = snt.Linear(output_size=FLAGS.hidden_size, name="inp_to_hidden")
    hidden_to_out = snt.Linear(output_size=FLAGS.output_size, name="hidden_to_out")
    mlp = snt.Sequential([lin_to_hidden, tf.sigmoid, hidden_to_out])

    def connect() -> Any:
        # Connect the sequential into the graph, any number of times.
        train_predictions = mlp(get_training_data())
        test_predictions = mlp(get_test_data())
        return train_predictions, test_predictions

    mode.run(connect)
    variables = lin_to_hidden.get_variables() + hidden_to_out.get_variables()
    assert names(variables) == [
        "inp_to_hidden/w",
        "inp_to_hidden/b",
        "hidden_to_out/w",
        "hidden_to_out/b",
    ]
    w1, b1, w2, b2 = randomise(variables, mode)
    for data, predictions in zip((TRAIN, TEST), mode.run(connect), strict=True):
        hidden = 1 / (1 + np.exp(-(data @ w1 + b1)))
        np.testing.assert_allclose(predictions, hidden @ w2 + b2, 1e-5, 1e-5)


def regularized_linear() -> snt.Linear:
    initializers = {
        "w": tf.truncated_normal_initializer(stddev=1.0),
        "b": tf.truncated_normal_initializer(stddev=1.0),
    }
    regularizers = {
        "w": snt.l1_regularizer(scale=0.1),
        "b": snt.l2_regularizer(scale=0.1),
    }
    return snt.Linear(
        output_size=FLAGS.output_size, initializers=initializers, regularizers=regularizers
    )


def penalty(w: np.ndarray, b: np.ndarray) -> float:
    return 0.1 * np.abs(w).sum() + 0.1 * np.square(b).sum() / 2


def test_minimises_the_loss_and_the_regularization_losses() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        linear_regression_module = regularized_linear()
        train_predictions = linear_regression_module(get_training_data())
        linear_regression_module(get_test_data())
        loss = tf.reduce_sum(train_predictions)
        optimizer = tf.train.GradientDescentOptimizer(0.5)

        # Get the regularization losses and add them together.
        graph_regularizers = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
        assert len(graph_regularizers) == 2  # one a variable, however often it is shared
        total_regularization_loss = tf.reduce_sum(graph_regularizers)
        # When minimizing the loss, minimize also the regularization loss.
        train_op = optimizer.minimize(loss + total_regularization_loss)

        session.run(tf.global_variables_initializer())
        w, b = session.run(linear_regression_module.get_variables())
        assert 0 < np.abs(w).max() <= 2  # two standard deviations
        assert np.abs(b).min() > 0
        np.testing.assert_allclose(session.run(total_regularization_loss), penalty(w, b), 1e-5)
        session.run(train_op)
        new_w, new_b = session.run(linear_regression_module.get_variables())
        w_gradient = TRAIN.sum(axis=0)[:, None] + 0.1 * np.sign(w)
        np.testing.assert_allclose(new_w, w - 0.5 * w_gradient, 1e-4, 1e-5)
        np.testing.assert_allclose(new_b, b - 0.5 * (len(TRAIN) + 0.1 * b), 1e-4, 1e-5)


def test_regularization_losses_are_collected_in_every_mode(mode: Mode) -> None:
    linear_regression_module = regularized_linear()
    for _ in range(2):
        mode.run(lambda: linear_regression_module(get_training_data()))
    graph_regularizers = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert len(graph_regularizers) == 2
    w, b = randomise(linear_regression_module.get_variables(), mode)
    total_regularization_loss = mode.values(tf.reduce_sum(graph_regularizers))
    np.testing.assert_allclose(total_regularization_loss, penalty(w, b), 1e-5)


def test_modules_of_the_same_name_get_distinct_names(mode: Mode) -> None:
    lin_1 = snt.Linear(output_size=42, name="linear")
    lin_2 = snt.Linear(output_size=84, name="linear")  # this name is already taken.
    assert lin_1.name == "linear"
    assert lin_2.name == "linear_1"  # automatically uniquified.

    mode.run(lambda: (lin_1(get_test_data()), lin_2(get_test_data())))
    assert names(lin_2.get_variables()) == ["linear_1/w", "linear_1/b"]
    assert [v.shape.as_list() for v in lin_1.get_variables()] == [[4, 42], [42]]


class SDAE(snt.AbstractModule):
    """The FAQ's `sdae`, with its inner modules named or not."""

    def __init__(self, encoder_name: str, decoder_name: str, name: str = "sdae") -> None:
        super().__init__(name=name)
        self._names = encoder_name, decoder_name

    def _build(self, inputs: Any) -> Any:
        encoder_name, decoder_name = self._names
        latents = snt.Linear(2, name=encoder_name)(inputs)
        return snt.Linear(4, name=decoder_name)(latents)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("encoder_linear", "decoder_linear"), ("encoder_linear", "decoder_linear")),
        (("linear", "linear"), ("linear", "linear_1")),
    ],
)
def test_names_of_variables_come_from_names_of_modules(
    given: tuple[str, str], found: tuple[str, str], mode: Mode
) -> None:
    sdae = SDAE(*given)
    for _ in range(2):
        mode.run(lambda: sdae(get_training_data()))
    encoder, decoder = found
    assert names(sdae.get_variables()) == [
        f"sdae/{encoder}/w",
        f"sdae/{encoder}/b",
        f"sdae/{decoder}/w",
        f"sdae/{decoder}/b",
    ]


def test_get_variables_is_an_error_before_the_connection(mode: Mode) -> None:
    linear = snt.Linear(output_size=FLAGS.output_size)
    with pytest.raises(snt.NotConnectedError, match=r"linear not instantiated yet"):
        linear.get_variables()
    mode.run(lambda: linear(get_test_data()))
    assert len(linear.get_variables()) == 2


def test_variables_of_a_sequential_are_not_in_its_scope(mode: Mode) -> None:
    mlp = snt.Sequential([snt.Linear(FLAGS.hidden_size), tf.sigmoid, snt.Linear(FLAGS.output_size)])
    mode.run(lambda: mlp(get_test_data()))
    assert mlp.get_variables() == ()
    # What the README wished for:
    everything = ["linear/b", "linear/w", "linear_1/b", "linear_1/w"]
    assert names(mlp.get_all_variables()) == names(mlp.variables) == everything


def grow_by_get_variable(calls: int) -> Any:
    return tf.get_variable(f"w{calls}", [])


def grow_by_variable(calls: int) -> Any:
    return tf.Variable(0.0, name=f"w{calls}")


@pytest.mark.parametrize("grow", [grow_by_get_variable, grow_by_variable])
def test_other_variables_on_a_later_call_are_an_error(
    grow: Callable[[int], Any], mode: Mode
) -> None:
    calls = 0
    module = snt.Module(lambda: grow(calls) + 0.0, name="growing")
    module() if not mode.in_graph else mode.run(module)  # a function would be traced twice
    calls = 1
    words = "Trainable variable created when calling a template after the first time"
    if mode.in_graph and grow is grow_by_get_variable:
        words = "does not exist, or was not created with tf.get_variable"
    with pytest.raises(ValueError, match=words):
        mode.run(module)
