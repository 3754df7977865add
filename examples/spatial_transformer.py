"""Learns to straighten digits that were turned and shifted, for a network that reads them.

    python examples/spatial_transformer.py --output out/spatial_transformer

A spatial transformer (Jaderberg et al., 2015) looks at a picture, decides on an affine map, and
hands on the picture that it samples there. Nobody tells it what is upright: it learns from what
the classifier behind it gets wrong, through the gradient of the resampler. The same classifier
without it is trained on the same batches.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import sonnet as snt
from affine import rotation, warp_parameters
from digits import NUM_CLASSES, Digits, load_digits
from trainer import ClassifierTrainer, count
from training_run import (
    History,
    Stopwatch,
    add_numbers,
    console,
    parse,
    plot_curves,
    plt,
    progress_bar,
)

DIGIT_SHAPE = (28, 28)
PLAIN, STRAIGHTENING = "classifier alone", "with a spatial transformer"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is done to the digits and how it is learnt; `RANGES` says what each is."""

    epochs: int = 40
    batch_size: int = 100
    max_angle: float = 60.0
    max_shift: int = 6
    learning_rate: float = 2e-3
    seed: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the pictures in which the digits are shifted."""
        return tuple(size + 2 * self.max_shift for size in DIGIT_SHAPE)


RANGES = {
    "epochs": (1, "passes through the data"),
    "batch_size": (1, 4000, "digits in a batch"),
    "max_angle": (0, 180, "degrees that digits are turned by at most, to either side"),
    "max_shift": (0, 28, "pixels that they are shifted by at most, each way"),
    "learning_rate": (0, "of Adam; it falls to a hundredth along a cosine"),
    "seed": (0, "of all that is random"),
}


class Distorted(NamedTuple):
    """Digits that were turned and shifted.

    Attributes:
        images: `[number, height, width, 1]`, float32.
        labels: `[number]`, int64.
        parameters: With which a grid warper made them of the digits, `[number, 6]`.
    """

    images: np.ndarray
    labels: np.ndarray
    parameters: np.ndarray


def distort(digits: Digits, settings: Settings, rng: np.random.Generator) -> Distorted:
    """Turns and shifts each digit at random, in a larger picture where it has room."""
    size = len(digits.labels)
    angles = rng.uniform(-settings.max_angle, settings.max_angle, size)
    shifts = rng.uniform(-settings.max_shift, settings.max_shift, [size, 2])
    parameters = warp_parameters(rotation(angles), shifts, DIGIT_SHAPE, settings.shape)
    grid = snt.AffineGridWarper(DIGIT_SHAPE, settings.shape)(tf.constant(parameters))
    images = snt.resampler(digits.images[..., np.newaxis], grid)
    return Distorted(images.numpy(), digits.labels, parameters)


class Classifier(snt.AbstractModule):
    """Tells digits apart by one linear map.

    It has a single picture of each digit to compare with. So it is worth much to it that digits
    stand as in that picture; a network that knows a digit in any pose would ask for nothing.
    """

    def __init__(self, name: str = "classifier") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._flatten = snt.BatchFlatten()
            self._linear = snt.Linear(NUM_CLASSES)

    def _build(self, images: tf.Tensor) -> tf.Tensor:
        """Returns logits `[batch, classes]` for images `[batch, height, width, 1]`."""
        return self._linear(self._flatten(images))


class Localisation(snt.AbstractModule):
    """Decides how a picture is to be straightened."""

    def __init__(self, name: str = "localisation") -> None:
        super().__init__(name=name)
        # It begins with the map that changes nothing: from there, gradients show the way.
        begin = {"w": tf.zeros_initializer()}
        with self._enter_variable_scope():
            self._convolutions = snt.nets.ConvNet2D(
                [16, 32, 32], [5, 3, 3], [2], [snt.SAME], activate_final=True
            )
            self._flatten = snt.BatchFlatten()
            self._hidden = snt.nets.MLP([32], activate_final=True)
            self._decision = snt.Linear(4, initializers=begin)

    def _build(self, images: tf.Tensor) -> tf.Tensor:
        """Returns parameters `[batch, 6]` of a warper for images `[batch, height, width, 1]`.

        Six numbers that are free learn to shear before they learn to turn. These four are an angle,
        in units of three radians, a zoom, and a shift.
        """
        features = self._flatten(self._convolutions(images))
        angle, zoom, x, y = tf.unstack(self._decision(self._hidden(features)), axis=-1)
        scale = tf.exp(-zoom)
        cos, sin = scale * tf.cos(3 * angle), scale * tf.sin(3 * angle)
        return tf.stack([cos, -sin, x, sin, cos, y], axis=-1)


class SpatialTransformer(snt.AbstractModule):
    """Straightens pictures.

    Args:
        shape: Height and width of the pictures.
        name: Name of the module.
    """

    def __init__(self, shape: tuple[int, int], name: str = "spatial_transformer") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self.localisation = Localisation()
            self._warper = snt.AffineGridWarper(source_shape=shape, output_shape=shape)

    def _build(self, images: tf.Tensor) -> tf.Tensor:
        """Returns images `[batch, height, width, 1]`, made of such images."""
        return snt.resampler(images, self._warper(self.localisation(images)))


def train(
    transformer: SpatialTransformer,
    digits: Digits,
    held_out: Distorted,
    settings: Settings,
    history: History,
) -> dict[str, float]:
    """Trains a classifier alone, and one behind a spatial transformer, on the same batches.

    Args:
        transformer: The spatial transformer.
        digits: Digits to train with; they are turned and shifted anew in each epoch.
        held_out: What the accuracy is measured on.
        settings: How it is learnt.
        history: Where loss and accuracy of both go, after each epoch.

    Returns:
        The last accuracy of each.
    """
    rng = np.random.default_rng(settings.seed)
    per_epoch = len(digits.labels) // settings.batch_size
    models = {PLAIN: Classifier(), STRAIGHTENING: snt.Sequential([transformer, Classifier()])}
    trainers = {}
    for name, model in models.items():
        model(held_out.images[:1])  # makes the variables
        trainers[name] = ClassifierTrainer(
            model, settings.learning_rate, settings.epochs * per_epoch, last_rate=0.01
        )
        console.print(f"{name:28}{count(model.trainable_variables):8,} numbers to learn")

    accuracies: dict[str, float] = {}
    with progress_bar() as progress:
        bar = progress.add_task("Training", total=settings.epochs * per_epoch)
        for epoch in range(1, settings.epochs + 1):
            losses: dict[str, list[float]] = {name: [] for name in trainers}
            for batch in digits.shuffled_batches(settings.batch_size, rng):
                images, labels, _ = distort(batch, settings, rng)
                for name, trainer in trainers.items():
                    losses[name].append(float(trainer.train_step(images, labels)))
                progress.advance(bar)
            report = f"Epoch {epoch:2}"
            for name, trainer in trainers.items():
                loss = float(np.mean(losses[name]))
                accuracies[name] = float(trainer.accuracy(held_out.images, held_out.labels))
                history.add(
                    epoch * per_epoch,
                    **{f"loss of {name}": loss, f"accuracy of {name}": accuracies[name]},
                )
                report += f"   {name}: loss {loss:.3f}, accuracy {accuracies[name]:.3f}"
            console.print(report)
            history.save()
    return accuracies


# Nothing fixes what the transformer takes for upright: it may well differ from digit to digit. So
# it is the spread among the pictures of one digit that tells whether they were straightened.


def pose(distortion: np.ndarray, straightening: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how far digits are turned and shifted, after both maps.

    Args:
        distortion: Parameters `[number, 6]` that made the pictures of the digits.
        straightening: Parameters `[number, 6]` that make other pictures of them.

    Returns:
        Angles `[number]`, in degrees; and where in the digit the middle of the picture is, in
        pixels from the digit's own middle, `[number, 2]`.
    """
    first, then = (np.reshape(parameters, [-1, 2, 3]) for parameters in (distortion, straightening))
    linear = first[:, :, :2] @ then[:, :, :2]
    middle = np.einsum("nij,nj->ni", first[:, :, :2], then[:, :, 2]) + first[:, :, 2]
    angles = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    return np.degrees(angles), middle * (np.array(DIGIT_SHAPE[::-1]) - 1) / 2


def spread(
    distortion: np.ndarray, straightening: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Returns how much the poses of equal digits differ: root mean squares, degrees and pixels."""
    angles, middles = pose(distortion, straightening)
    turned, shifted = [], []
    for label in np.unique(labels):
        directions = np.exp(1j * np.radians(angles[labels == label]))
        turned.append(np.angle(directions / directions.mean(), deg=True))
        shifted.append(middles[labels == label] - middles[labels == label].mean(axis=0))
    return tuple(float(np.sqrt(np.mean(np.concatenate(d) ** 2))) for d in (turned, shifted))


def plot_digits(path: Path, held_out: Distorted, straight: np.ndarray, pairs: int = 3) -> None:
    """Draws held-out digits before and after into a PNG, and the mean of all in the last rows."""
    figure, rows = plt.subplots(
        2 * pairs + 2, NUM_CLASSES, figsize=(10, 2 * pairs + 3), dpi=110, layout="constrained"
    )
    figure.suptitle("Held-out digits, and below each what the spatial transformer makes of it")
    for label in range(NUM_CLASSES):
        members = np.flatnonzero(held_out.labels == label)
        for row, pictures in enumerate([held_out.images, straight] * (pairs + 1)):
            of_this = pictures[members, :, :, 0]
            if row < 2 * pairs:
                rows[row, label].imshow(of_this[row // 2], cmap="gray_r", vmin=0, vmax=1)
            else:
                rows[row, label].imshow(of_this.mean(axis=0), cmap="gray_r", vmin=0)
    for row, axes in enumerate(rows):
        kind = "" if row < 2 * pairs else "mean\n"
        axes[0].set_ylabel(kind + ("after" if row % 2 else "before"))
    for axes in rows.flat:
        axes.set(xticks=[], yticks=[])
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Reads the command line, trains and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_numbers(parser, Settings(), RANGES)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("out/spatial_transformer"),
        help="a folder (%(default)s)",
    )
    arguments = parse(parser)

    watch = Stopwatch()
    settings = Settings(**{name: getattr(arguments, name) for name in RANGES})
    tf.keras.utils.set_random_seed(settings.seed)
    digits, test = load_digits(settings.seed)
    held_out = distort(test, settings, np.random.default_rng(settings.seed + 1_000_000))
    history = History(arguments.output / "history.json")
    transformer = SpatialTransformer(settings.shape)
    accuracies = train(transformer, digits, held_out, settings, history)

    console.print("\nHeld-out digits that were read rightly:")
    for name, accuracy in accuracies.items():
        console.print(f"  {name:28}{accuracy:.3f}")
    straightening = transformer.localisation(held_out.images).numpy()
    unchanged = np.broadcast_to(np.eye(2, 3).ravel(), straightening.shape)
    console.print("How pictures of the same digit differ:")
    for when, parameters in {"before": unchanged, "straightened": straightening}.items():
        degrees, pixels = spread(held_out.parameters, parameters, held_out.labels)
        console.print(
            f"  {when:28}turned by σ = {degrees:.1f}°, shifted by σ = {pixels:.1f} pixels"
        )

    pictures = [arguments.output / name for name in ("digits.png", "report.png")]
    plot_digits(pictures[0], held_out, transformer(held_out.images).numpy())
    panels = {
        quantity: {name: history[f"{quantity} of {name}"] for name in accuracies}
        for quantity in ("accuracy", "loss")
    }
    plot_curves(pictures[1], "Digits that were turned and shifted", panels, percent=("accuracy",))
    console.print(f"Pictures: {pictures[0]} and {pictures[1]}\nIt took {watch}.")


if __name__ == "__main__":
    main()
