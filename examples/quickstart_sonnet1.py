"""The network of `quickstart.py` in the style of Sonnet 1: first a graph, then a session.

    python examples/quickstart_sonnet1.py --epochs 15 --output out/quickstart_sonnet1

Only the import of TensorFlow differs from what one wrote for TensorFlow 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import sonnet as snt
import tensorflow.compat.v1 as tf
from digits import NUM_CLASSES, Epoch, load_digits, plot_report
from rich.console import Console
from rich.progress import Progress

BATCH_SIZE = 50

console = Console(highlight=False, soft_wrap=True)


class DigitClassifier(snt.AbstractModule):
    """Tells handwritten digits apart."""

    def __init__(self, name: str = "digit_classifier") -> None:
        super().__init__(name=name)

    def _build(self, images: tf.Tensor, is_training: bool = False) -> tf.Tensor:
        """Returns logits `[batch, classes]` for images `[batch, 28, 28]`."""
        mlp = snt.nets.MLP([256, 128, NUM_CLASSES], use_dropout=True)
        return mlp(snt.BatchFlatten()(images), is_training, dropout_keep_prob=0.7)


def main() -> None:
    """Builds the graph, then trains, tests, saves and restores in sessions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=15, help="passes through the data")
    parser.add_argument("--output", type=Path, default=Path("out/quickstart_sonnet1"))
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    digits, test = load_digits(arguments.seed)
    console.print(f"{len(digits.labels)} digits to train with, {len(test.labels)} held out")
    with tf.Graph().as_default():
        tf.set_random_seed(arguments.seed)
        run(arguments, digits, test)


def run(arguments: argparse.Namespace, digits, test) -> None:
    pass


if __name__ == "__main__":
    main()
