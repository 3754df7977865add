"""The network of `quickstart.py` in the style of Sonnet 1: a graph first, then sessions.

    python examples/quickstart_sonnet1.py --epochs 15 --output out/quickstart_sonnet1

But for the import, all that concerns TensorFlow is as it was written for TensorFlow 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf
from rich.console import Console
from rich.progress import Progress

import sonnet as snt
from digits import NUM_CLASSES, Digits, Epoch, load_digits, plot_report

BATCH_SIZE = 50

console = Console(highlight=False, soft_wrap=True)


class DigitClassifier(snt.AbstractModule):
    """Tells handwritten digits apart."""

    def __init__(self, name: str = "digit_classifier") -> None:
        super().__init__(name=name)

    def _build(self, images: tf.Tensor, is_training: bool = False) -> tf.Tensor:
        """Returns logits `[batch, classes]` for images `[batch, 28, 28]`."""
        flat = snt.BatchFlatten()(images)
        mlp = snt.nets.MLP([256, 128, NUM_CLASSES], use_dropout=True)
        return mlp(flat, is_training, dropout_keep_prob=0.7)


class Graph:
    """All that the sessions compute.

    Attributes:
        images: Placeholder `[batch, 28, 28]`.
        labels: Placeholder `[batch]`.
    """

    def __init__(self) -> None:
        self.images = tf.placeholder(tf.float32, [None, 28, 28], name="images")
        self.labels = tf.placeholder(tf.int64, [None], name="labels")

        # The module is connected twice, to train with dropout and to predict without. The
        # variables, and those of the modules inside it, are made once.
        self.model = DigitClassifier()
        self.train_loss = self.cross_entropy(self.model(self.images, is_training=True))
        logits = self.model(self.images)
        self.test_loss = self.cross_entropy(logits)
        self.probabilities = tf.nn.softmax(logits)

        self.train_step = tf.train.AdamOptimizer().minimize(self.train_loss)
        self.initialize = tf.global_variables_initializer()
        self.saver = tf.train.Saver(self.model.get_variables())

    def cross_entropy(self, logits: tf.Tensor) -> tf.Tensor:
        """Returns the mean loss of a batch."""
        return tf.losses.sparse_softmax_cross_entropy(self.labels, logits)

    def feed(self, digits: Digits) -> dict:
        """Returns what to feed for a batch."""
        return {self.images: digits.images, self.labels: digits.labels}


def train(
    session: tf.Session, graph: Graph, digits: Digits, test: Digits, epochs: int, seed: int
) -> list[Epoch]:
    """Trains the variables of the session, and returns how each epoch went."""
    rng = np.random.default_rng(seed)
    history = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        steps = progress.add_task("Training", total=epochs * (len(digits.labels) // BATCH_SIZE))
        for number in range(1, epochs + 1):
            losses = []
            for batch in digits.shuffled_batches(BATCH_SIZE, rng):
                loss, _ = session.run([graph.train_loss, graph.train_step], graph.feed(batch))
                losses.append(loss)
                progress.advance(steps)
            test_loss, probabilities = session.run(
                [graph.test_loss, graph.probabilities], graph.feed(test)
            )
            accuracy = np.mean(probabilities.argmax(axis=-1) == test.labels)
            history.append(Epoch(float(np.mean(losses)), float(test_loss), float(accuracy)))
            console.print(f"Epoch {number:2}   {history[-1]}")
    return history


def main() -> None:
    """Builds the graph; trains and saves in one session, restores in another."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=15, help="passes through the data")
    parser.add_argument(
        "--output", type=Path, default=Path("out/quickstart_sonnet1"), help="a folder"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    digits, test = load_digits(arguments.seed)
    console.print(f"{len(digits.labels)} digits to train with, {len(test.labels)} held out")

    with tf.Graph().as_default():
        tf.set_random_seed(arguments.seed)
        graph = Graph()
        console.print(f"\n{snt.format_variables(graph.model.get_variables())}\n", markup=False)

        with tf.Session() as session:
            session.run(graph.initialize)
            history = train(session, graph, digits, test, arguments.epochs, arguments.seed)
            probabilities = session.run(graph.probabilities, graph.feed(test))
            checkpoint = graph.saver.save(session, str(arguments.output / "checkpoint" / "model"))
        console.print(f"\nTest accuracy: {history[-1].test_accuracy:.3f}")

        plot_report(arguments.output / "report.png", history, test, probabilities)
        console.print(f"Picture:       {arguments.output / 'report.png'}")

        with tf.Session() as session:
            graph.saver.restore(session, checkpoint)
            restored = session.run(graph.probabilities, graph.feed(test))
        if not np.allclose(restored, probabilities, atol=1e-6):
            sys.exit("The checkpoint that was restored does not predict what was saved.")
        console.print("Checkpoint:    restored, predicts the same")


if __name__ == "__main__":
    main()
