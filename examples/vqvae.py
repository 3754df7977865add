"""Learns to write a digit in 37 bytes: a VQ-VAE, trained on 4,000 of them.

    python examples/vqvae.py --output out/vqvae

A VQ-VAE (van den Oord et al., 2017) is an encoder, a code book, and a decoder. The encoder makes
7 × 7 vectors of a picture, and each is replaced by the nearest one in the code book: the picture
is then a map of 7 × 7 numbers, and from these alone the decoder draws it again. All three are
learnt together. Run it again with the same --output to go on with a training.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

import sonnet as snt
from digits import NUM_CLASSES, Digits, load_digits
from pca_coder import PCACoder
from trainer import Trainer, count
from training_run import (
    History,
    Stopwatch,
    add_numbers,
    console,
    keep_settings,
    parse,
    plot_curves,
    plt,
    progress_bar,
)

BITS_OF_A_PIXEL = 8
MAP_SIZE = 7 * 7


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the model is and how it is trained; `RANGES` says what each number is."""

    quantizer: str = "ema"
    num_embeddings: int = 64
    embedding_dim: int = 16
    channels: int = 64
    commitment_cost: float = 0.25
    decay: float = 0.95
    epochs: int = 20
    batch_size: int = 50
    learning_rate: float = 2e-3
    seed: int = 1

    @property
    def bits(self) -> int:
        """How many bits a picture has when it is coded."""
        return math.ceil(MAP_SIZE * math.log2(self.num_embeddings))


RANGES = {
    "num_embeddings": (2, "vectors in the code book"),
    "embedding_dim": (1, "size of each of them"),
    "channels": (2, "of the hidden layers"),
    "commitment_cost": (0, "how much the encoder must keep to the code book"),
    "decay": (0, 0.9999, "of the moving averages; for --quantizer ema only"),
    "epochs": (1, "passes through the data"),
    "batch_size": (1, 4000, "digits in a batch"),
    "learning_rate": (0, "of Adam; it falls to a twentieth along a cosine"),
    "seed": (0, "of all that is random"),
}


class ResidualBlock(snt.AbstractModule):
    """Adds to each place of a picture something that it sees around there."""

    def _build(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a tensor of the shape of `inputs`, `[batch, height, width, channels]`."""
        channels = inputs.shape[-1]
        look_around = snt.Conv2D(channels // 2, kernel_shape=3, name="look_around")
        combine = snt.Conv2D(channels, kernel_shape=1, name="combine")
        return snt.Residual(snt.Sequential([tf.nn.relu, look_around, tf.nn.relu, combine]))(inputs)


class Coded(NamedTuple):
    """What the model makes of pictures.

    Attributes:
        images: The pictures that are drawn again, `[batch, 28, 28]`.
        codes: Maps of numbers in the code book, `[batch, 7, 7]`, int64.
        loss: How far vectors and code book are apart, a scalar.
        perplexity: How many vectors of the code book are in use: this many that are equally
            frequent would be as hard to guess.
    """

    images: tf.Tensor
    codes: tf.Tensor
    loss: tf.Tensor
    perplexity: tf.Tensor


class VQVAE(snt.AbstractModule):
    """Codes pictures as maps of numbers, and draws them again.

    Args:
        settings: Of what size it is, and which quantizer it has.
        name: Name of the module.
    """

    def __init__(self, settings: Settings, name: str = "vqvae") -> None:
        # Moving averages are not for the optimizer: no gradient comes to them.
        getters = {"VectorQuantizerEMA/.*": snt.custom_getters.non_trainable}
        super().__init__(name=name, custom_getter=getters)
        wide, narrow = settings.channels, settings.channels // 2
        code_book = settings.embedding_dim, settings.num_embeddings, settings.commitment_cost
        with self._enter_variable_scope():
            self._encoder = snt.Sequential(
                [
                    snt.Conv2D(narrow, kernel_shape=4, stride=2),  # 14 × 14
                    tf.nn.relu,
                    snt.Conv2D(wide, kernel_shape=4, stride=2),  # 7 × 7
                    ResidualBlock(),
                    tf.nn.relu,
                    snt.Conv2D(settings.embedding_dim, kernel_shape=1),
                ],
                name="encoder",
            )
            if settings.quantizer == "ema":
                self.quantizer: Any = snt.nets.VectorQuantizerEMA(*code_book, settings.decay)
            else:
                self.quantizer = snt.nets.VectorQuantizer(*code_book)
            self._decoder = snt.Sequential(
                [
                    snt.Conv2D(wide, kernel_shape=3),
                    ResidualBlock(),
                    tf.nn.relu,
                    snt.Conv2DTranspose(narrow, kernel_shape=4, stride=2),  # 14 × 14
                    tf.nn.relu,
                    snt.Conv2DTranspose(1, kernel_shape=4, stride=2),  # 28 × 28
                ],
                name="decoder",
            )

    def _build(self, images: tf.Tensor, is_training: bool) -> Coded:
        """Codes pictures `[batch, 28, 28]` and draws them again; in training, learns the codes."""
        quantized = self.quantizer(self._encoder(images[..., tf.newaxis]), is_training)
        drawn = self._decoder(quantized["quantize"])[..., 0]
        return Coded(
            drawn, quantized["encoding_indices"], quantized["loss"], quantized["perplexity"]
        )

    @tf.function
    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the codes of pictures, `[batch, 7, 7]`."""
        return self(images, is_training=False).codes

    @tf.function
    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns the pictures `[batch, 28, 28]`, from 0 to 1, that have these codes."""
        drawn = self._decoder(self.quantizer.quantize(codes))[..., 0]
        return tf.clip_by_value(drawn, 0, 1)


class Measured(NamedTuple):
    """What is measured on a batch in training: what is made small, and what it is to achieve."""

    loss: tf.Tensor
    error: tf.Tensor
    perplexity: tf.Tensor


class VQVAETrainer(Trainer):
    """A VQ-VAE in training, with all that must be saved for the training to go on exactly.

    Args:
        settings: What is trained and how.
        digits: To train with.

    Attributes:
        digits: To train with.
        mean: The mean of these digits, `[28, 28]`.
        epoch: How many epochs it has been trained.
        checkpoint: The model, the optimizer and the epoch.
    """

    def __init__(self, settings: Settings, digits: Digits) -> None:
        tf.keras.utils.set_random_seed(settings.seed)
        steps = settings.epochs * (len(digits.labels) // settings.batch_size)
        super().__init__(VQVAE(settings), settings.learning_rate, steps, last_rate=0.05)
        self.model(digits.images[:1], is_training=False)  # the first call makes the variables
        self.optimizer.build(self.model.trainable_variables)
        self._settings, self.digits = settings, digits
        self.mean = digits.images.mean(axis=0)
        self._variance = float(np.mean(np.square(digits.images - self.mean)))
        self.epoch = tf.Variable(0, dtype=tf.int64)
        self.checkpoint = tf.train.Checkpoint(
            model=self.model, optimizer=self.optimizer, epoch=self.epoch
        )

    def error(self, images: Any, drawn: Any) -> Any:
        """Returns the mean square error, in units of that of the mean image in training."""
        return tf.reduce_mean(tf.square(images - tf.cast(drawn, tf.float32))) / self._variance

    def loss(self, images: tf.Tensor) -> Measured:
        """Returns the loss of a batch of pictures, and what else is told of it."""
        coded = self.model(images, is_training=True)
        error = self.error(images, coded.images)
        return Measured(error + coded.loss, error, coded.perplexity)

    def train_epoch(self, advance: Any) -> Measured:
        """Trains with all digits once; `advance` is called after each batch.

        Returns:
            The means over the batches.
        """
        rng = np.random.default_rng([self._settings.seed, int(self.epoch)])
        measured = []
        for batch in self.digits.shuffled_batches(self._settings.batch_size, rng):
            measured.append([float(value) for value in self.train_step(batch.images)])
            advance()
        self.epoch.assign_add(1)
        return Measured(*np.mean(measured, axis=0))


def perplexity(codes: np.ndarray) -> float:
    """Returns how many equally frequent codes would be as hard to guess as these."""
    frequencies = np.unique(codes, return_counts=True)[1] / codes.size
    return float(np.exp(-np.sum(frequencies * np.log(frequencies))))


def train(trainer: VQVAETrainer, folder: Path, settings: Settings, held_out: Digits) -> History:
    """Trains, from where the last run in the folder came to.

    Args:
        trainer: The model in training.
        folder: Where the checkpoints and the history are.
        settings: How long it is trained.
        held_out: Digits to watch the training by.

    Returns:
        After each epoch: "loss" and "train error" of the training, and on the digits held out
        "error" and "perplexity".
    """
    manager = tf.train.CheckpointManager(trainer.checkpoint, str(folder), max_to_keep=2)
    if manager.latest_checkpoint:
        trainer.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        console.print(f"Goes on after epoch {int(trainer.epoch)}: {manager.latest_checkpoint}")
    begin = int(trainer.epoch)
    history = History(folder / "history.json", resumed_at=begin)

    with progress_bar() as progress:
        steps = len(trainer.digits.labels) // settings.batch_size
        bar = progress.add_task("Training", total=settings.epochs * steps, completed=begin * steps)
        for epoch in range(begin + 1, settings.epochs + 1):
            measured = trainer.train_epoch(lambda: progress.advance(bar))
            codes = trainer.model.encode(held_out.images)
            error = float(trainer.error(held_out.images, trainer.model.decode(codes)))
            used = perplexity(codes.numpy())
            history.add(
                epoch, loss=measured.loss, train=measured.error, error=error, perplexity=used
            )
            console.print(
                f"Epoch {epoch:2}   loss {measured.loss:.3f}   error {measured.error:.3f}   "
                f"held out: error {error:.3f}, perplexity {used:.1f}"
            )
            # First the history: it may know more than the checkpoint, not less.
            history.save()
            manager.save(checkpoint_number=epoch)
    return history


def load(folder: Path, settings: Settings) -> VQVAE:
    """Returns the model that a training has left in a folder."""
    model = VQVAE(settings)
    status = tf.train.Checkpoint(model=model).restore(tf.train.latest_checkpoint(str(folder)))
    model(tf.zeros([1, 28, 28]), is_training=False)  # makes the variables, with the values saved
    status.expect_partial().assert_existing_objects_matched()  # the optimizer is left there
    return model


# The codes as a picture: codes have similar colours where their vectors are near to each other.


def code_colors(embeddings: np.ndarray) -> np.ndarray:
    """Returns a colour, `[number, 3]` from 0 to 1, for each of the vectors `[size, number]`."""
    centred = embeddings.T - embeddings.mean(axis=1)
    along = np.zeros([len(centred), 3])
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    along[:, : len(axes)] = centred @ axes.T
    ranks = along.argsort(axis=0).argsort(axis=0)
    return 0.15 + 0.8 * ranks / max(len(centred) - 1, 1)


def plot_digits(
    path: Path, held_out: Digits, rows: dict[str, np.ndarray], colors: np.ndarray, blocks: int = 2
) -> None:
    """Draws held-out digits into a PNG.

    Args:
        path: The file.
        held_out: The digits.
        rows: What to show of each below the other: pictures, or codes.
        colors: Of the codes.
        blocks: How many digits of each class to show.
    """
    figure, grid = plt.subplots(
        blocks * len(rows), NUM_CLASSES, figsize=(10, 1.05 * blocks * len(rows) + 0.7), dpi=110,
        layout="constrained",
    )  # fmt: skip
    figure.suptitle("Held-out digits, their codes in colours, and what is drawn from these alone")
    for label in range(NUM_CLASSES):
        members = np.flatnonzero(held_out.labels == label)
        for i, axes in enumerate(grid[:, label]):
            name, pictures = list(rows.items())[i % len(rows)]
            shown = pictures[members[i // len(rows)]]
            if shown.dtype.kind == "i":
                axes.imshow(colors[shown])
            else:
                axes.imshow(shown, cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            if label == 0:
                axes.set_ylabel(name)
    figure.savefig(path)
    plt.close(figure)


def read_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Run it again with the same --output to go on with a training.",
    )
    parser.add_argument(
        "--quantizer",
        choices=("ema", "gradient"),
        default="ema",
        help="how the code book is learnt: by moving averages, or by gradients (%(default)s)",
    )
    add_numbers(parser, Settings(), RANGES)
    parser.add_argument(
        "--output", type=Path, default=Path("out/vqvae"), help="a folder (%(default)s)"
    )
    return parse(parser)


def main() -> None:
    """Trains, compares and draws."""
    arguments = read_arguments()
    watch = Stopwatch()
    settings = Settings(arguments.quantizer, **{name: getattr(arguments, name) for name in RANGES})
    keep_settings(arguments.output, dataclasses.asdict(settings))

    digits, held_out = load_digits(settings.seed)
    pixels = BITS_OF_A_PIXEL * held_out.images[0].size
    console.print(f"{len(digits.labels)} digits to train with, {len(held_out.labels)} held out")
    console.print(
        f"A digit has {pixels} bits; coded it has {settings.bits}, "
        f"one in {pixels / settings.bits:.0f}"
    )
    trainer = VQVAETrainer(settings, digits)
    console.print(f"{count(trainer.model.trainable_variables):,} numbers to learn by gradients\n")
    history = train(trainer, arguments.output, settings, held_out)

    codes = trainer.model.encode(held_out.images).numpy()
    drawn = load(arguments.output, settings).decode(codes).numpy()
    if not np.allclose(drawn, trainer.model.decode(codes), atol=1e-6):
        sys.exit("The checkpoint that was loaded does not draw what was saved.")
    coder = PCACoder(digits.images, settings.bits)
    pca = coder.reconstruct(held_out.images)
    errors = {
        "mean image, 0 bits": trainer.error(held_out.images, trainer.mean),
        f"PCA, {settings.bits} bits": trainer.error(held_out.images, pca),
        f"VQ-VAE, {settings.bits} bits": trainer.error(held_out.images, drawn),
    }
    console.print("\nReconstruction error on held-out digits, in units of their variance:")
    for name, error in errors.items():
        console.print(f"  {name:28}{float(error):.3f}")
    console.print(
        f"Codes in use: {len(np.unique(codes))} of {settings.num_embeddings}, "
        f"perplexity {perplexity(codes):.1f}"
    )
    console.print("The checkpoint, loaded into another model, draws the same.")

    pictures = [arguments.output / name for name in ("digits.png", "report.png")]
    colors = code_colors(trainer.model.quantizer.embeddings.numpy())
    rows = {"digit": held_out.images, "codes": codes, "VQ-VAE": drawn, "PCA": pca}
    plot_digits(pictures[0], held_out, rows, colors)
    plot_curves(
        pictures[1],
        f"A VQ-VAE codes digits in {settings.bits} bits",
        {
            "error, of the variance": {"train": history["train"], "held out": history["error"]},
            "perplexity of the codes": {"held out": history["perplexity"]},
        },
        levels={
            "error, of the variance": {
                f"PCA, {settings.bits} bits": float(list(errors.values())[1])
            }
        },
        x="epoch",
    )
    console.print(f"Pictures: {pictures[0]} and {pictures[1]}\nIt took {watch}.")


if __name__ == "__main__":
    main()
