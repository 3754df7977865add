"""Trains a network on handwritten digits, shows what it learnt, saves it and loads it again.

    python examples/quickstart.py --epochs 15 --output out/quickstart

`quickstart_sonnet1.py` does the same in the style of TensorFlow 1: with a graph and a session.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import Progress

import sonnet as snt
from digits import NUM_CLASSES, Digits, Epoch, load_digits, plot_report

BATCH_SIZE = 50
IMAGES = tf.TensorSpec([None, 28, 28], tf.float32)

console = Console(highlight=False, soft_wrap=True)


# A module is configured when it is constructed. It makes its variables when it is first called,
# and uses the same ones whenever it is called again.


class DigitClassifier(snt.AbstractModule):
    """Tells handwritten digits apart."""

    def __init__(self, name: str = "digit_classifier") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._flatten = snt.BatchFlatten()
            self._mlp = snt.nets.MLP([256, 128, NUM_CLASSES], use_dropout=True)

    def _build(self, images: tf.Tensor, is_training: bool = False) -> tf.Tensor:
        """Returns logits `[batch, classes]` for images `[batch, 28, 28]`."""
        return self._mlp(self._flatten(images), is_training, dropout_keep_prob=0.7)

    @tf.function(input_signature=[IMAGES])
    def predict(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the probability of each digit, `[batch, classes]`."""
        return tf.nn.softmax(self(images))


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean loss of a batch."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


# A module is a tf.Module too, so all that TensorFlow 2 has to train with works with it.


def train(model: DigitClassifier, digits: Digits, test: Digits, epochs: int, seed: int) -> list:
    """Trains the model, and returns how each epoch went."""
    optimizer = tf.keras.optimizers.Adam()
    rng = np.random.default_rng(seed)

    @tf.function
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(labels, model(images, is_training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    history = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        steps = progress.add_task("Training", total=epochs * (len(digits.labels) // BATCH_SIZE))
        for number in range(1, epochs + 1):
            losses = []
            for images, labels in digits.shuffled_batches(BATCH_SIZE, rng):
                losses.append(float(train_step(images, labels)))
                progress.advance(steps)
            history.append(evaluate(model, test, train_loss=np.mean(losses)))
            console.print(f"Epoch {number:2}   {history[-1]}")
    return history


def evaluate(model: DigitClassifier, test: Digits, train_loss: float) -> Epoch:
    """Returns how well the model does on digits that it was not trained with."""
    logits = model(test.images)
    accuracy = np.mean(logits.numpy().argmax(axis=-1) == test.labels)
    return Epoch(float(train_loss), float(cross_entropy(test.labels, logits)), float(accuracy))


# What was learnt is kept in two forms. A checkpoint holds the variables alone, for a program that
# constructs the module itself; a SavedModel holds the computation too, and needs no program.


def save_and_load(model: DigitClassifier, folder: Path, images: np.ndarray) -> dict:
    """Saves the model in both forms, loads them, and returns what each then predicts."""
    checkpoint = tf.train.Checkpoint(model=model).write(str(folder / "checkpoint" / "model"))
    other = DigitClassifier()
    status = tf.train.Checkpoint(model=other).read(checkpoint)  # has no variables yet
    from_checkpoint = other.predict(images)  # makes them, with the values that were read
    status.assert_consumed()

    tf.saved_model.save(model, str(folder / "saved_model"))
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    from_saved_model = loaded.predict(images)
    return {"checkpoint": from_checkpoint.numpy(), "SavedModel": from_saved_model.numpy()}


def main() -> None:
    """Does it all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=15, help="passes through the data")
    parser.add_argument("--output", type=Path, default=Path("out/quickstart"), help="a folder")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    tf.random.set_seed(arguments.seed)

    digits, test = load_digits(arguments.seed)
    console.print(f"{len(digits.labels)} digits to train with, {len(test.labels)} held out")

    model = DigitClassifier()
    model(digits.images[:1])  # the first call makes the variables
    console.print(f"\n{snt.format_variables(model.variables)}\n", markup=False)

    history = train(model, digits, test, arguments.epochs, arguments.seed)
    console.print(f"\nTest accuracy: {history[-1].test_accuracy:.3f}")

    probabilities = model.predict(test.images).numpy()
    plot_report(arguments.output / "report.png", history, test, probabilities)
    console.print(f"Picture:       {arguments.output / 'report.png'}")

    for form, again in save_and_load(model, arguments.output, test.images).items():
        if not np.allclose(again, probabilities, atol=1e-6):
            sys.exit(f"The {form} that was loaded does not predict what was saved.")
        console.print(f"{form + ':':14} loaded again, predicts the same")


if __name__ == "__main__":
    main()
