"""`Trainer`: a network in training, step by step."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf


def count(variables: Iterable[Any]) -> int:
    """Returns how many numbers are in some variables."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


class Trainer(abc.ABC):
    """A network in training, by Adam with a learning rate that falls along a cosine.

    Args:
        model: The network.
        learning_rate: With which it begins.
        steps: How many steps it will be trained.
        last_rate: What the learning rate falls to, as a fraction of the first.

    Attributes:
        model: The network.
        optimizer: What trains it.
    """

    def __init__(self, model: Any, learning_rate: float, steps: int, last_rate: float) -> None:
        self.model = model
        self.optimizer = tf.keras.optimizers.Adam(
            tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=last_rate),
            global_clipnorm=1.0,
        )

    @abc.abstractmethod
    def loss(self, *batch: tf.Tensor) -> Any:
        """Returns the scalar that is to become small, or a named tuple that begins with it."""

    @tf.function
    def train_step(self, *batch: tf.Tensor) -> Any:
        """Trains with a batch, and returns its `loss`."""
        with tf.GradientTape() as tape:
            measured = self.loss(*batch)
        variables = self.model.trainable_variables
        gradients = tape.gradient(tf.nest.flatten(measured)[0], variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return measured


class ClassifierTrainer(Trainer):
    """A network that tells classes apart, in training."""

    def loss(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns the mean cross entropy."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self.model(inputs))
        return tf.reduce_mean(losses)

    @tf.function
    def accuracy(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns the fraction of right answers."""
        answers = tf.argmax(self.model(inputs), axis=-1)
        return tf.reduce_mean(tf.cast(answers == labels, tf.float32))
