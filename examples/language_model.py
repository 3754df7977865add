"""Trains a language model of characters on English text, and writes some of its own.

    python examples/language_model.py --output out/language_model

Deep LSTMs with skip connections learn the text as they read on in it. Kill the program and start
it again: it goes on from its last checkpoint, and ends exactly as if it had never stopped.
`language_model_sonnet1.py` does the like in the style of TensorFlow 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import sonnet as snt
from text import (
    Baselines,
    Batch,
    Corpus,
    TrainingBatches,
    evaluation_batches,
    load_corpus,
    measure_baselines,
)
from training_run import (
    History,
    Stopwatch,
    add_numbers,
    console,
    keep_settings,
    number,
    parse,
    plot_curves,
    progress_bar,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training is made of; `RANGES` says what each is."""

    embedding: int = 32
    hidden: int = 128
    depth: int = 3
    batch_size: int = 32
    num_steps: int = 64
    learning_rate: float = 0.006
    half_life: int = 500
    clip_norm: float = 1.0
    seed: int = 1


RANGES = {
    "embedding": (1, "size that a character is embedded in"),
    "hidden": (1, "size of each LSTM"),
    "depth": (1, "number of LSTMs, one above the other"),
    "batch_size": (1, "places in the text that are read side by side"),
    "num_steps": (1, "characters that each of them reads at a step"),
    "learning_rate": (0, "to begin with"),
    "half_life": (1, "steps in which the learning rate falls by half"),
    "clip_norm": (0, "gradients that are longer than this together are shortened"),
    "seed": (0, "of all that is random"),
}


class LanguageModel(snt.AbstractModule):
    """Tells which character comes next: LSTMs, each of which sees all below it and the input.

    Args:
        settings: The sizes.
        num_characters: Size of the vocabulary.
        name: Name of the module.
    """

    def __init__(
        self, settings: Settings, num_characters: int, name: str = "language_model"
    ) -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._embed = snt.Embed(num_characters, settings.embedding)
            self._core = snt.DeepRNN(
                [
                    snt.SkipConnectionCore(
                        snt.LSTM(settings.hidden),
                        input_shape=[settings.embedding + i * settings.hidden],
                    )
                    for i in range(settings.depth)
                ],
                skip_connections=False,
            )
            self._output = snt.Linear(num_characters)

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first character."""
        return self._core.initial_state(batch_size)

    def _build(self, ids: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        """Reads characters.

        Args:
            ids: Numbers of characters, `[time, batch]`.
            state: The state before them.

        Returns:
            Logits of the character after each, `[time, batch, characters]`, and the state after
            the last.
        """
        hidden, state = snt.dynamic_unroll(self._core, self._embed(ids), state)
        return snt.BatchApply(self._output)(hidden), state

    def read_one(self, ids: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        """Reads one character of each entry of a batch: as `__call__`, without the time."""
        hidden, state = self._core(self._embed(ids), state)
        return self._output(hidden), state


def bits_per_character(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross entropy in bits."""
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(nats) / np.log(2)


class Trainer:
    """A model in training, with all that must be saved for the training to go on exactly.

    Args:
        settings: What the training is made of.
        corpus: The text.

    Attributes:
        model: What is trained.
        step: How many steps it has been trained.
        checkpoint: The model, the optimizer, the state of the LSTMs and the step.
    """

    def __init__(self, settings: Settings, corpus: Corpus) -> None:
        tf.keras.utils.set_random_seed(settings.seed)
        self._settings = settings
        self._corpus = corpus
        # Batch after batch is found by the step alone: there is no more to save of the data.
        self._batches = TrainingBatches(
            corpus.train, settings.batch_size, settings.num_steps, seed=settings.seed
        )
        self.model = LanguageModel(settings, len(corpus.vocabulary))
        zeros = self.model.initial_state(settings.batch_size)
        self.model(self._batches[0].inputs[:1], zeros)  # the first call makes the variables

        # The state after a batch is the one before the next, in which the heads read on.
        self._state = tf.nest.map_structure(tf.Variable, zeros)
        self._optimizer = tf.keras.optimizers.Adam(
            tf.keras.optimizers.schedules.ExponentialDecay(
                settings.learning_rate, settings.half_life, decay_rate=0.5
            )
        )
        self._optimizer.build(self.model.trainable_variables)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.checkpoint = tf.train.Checkpoint(
            model=self.model,
            optimizer=self._optimizer,
            state=tf.nest.flatten(self._state),
            step=self.step,
        )

    def train_step(self) -> float:
        """Trains with the next batch, and returns its bits per character."""
        loss = self._train_step(*self._batches[int(self.step)])
        self.step.assign_add(1)
        return float(loss)

    @tf.function
    def _train_step(self, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            before = tf.nest.map_structure(tf.identity, self._state)
            logits, after = self.model(inputs, before)
            loss = bits_per_character(targets, logits)
        gradients, _ = tf.clip_by_global_norm(
            tape.gradient(loss, variables), self._settings.clip_norm
        )
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        tf.nest.map_structure(lambda variable, value: variable.assign(value), self._state, after)
        return loss

    def held_out(self, subset: str) -> Iterable[Batch]:
        """Returns the batches of a subset, to be read in their order."""
        ids = self._corpus.subset(subset)
        return evaluation_batches(ids, self._settings.batch_size, self._settings.num_steps)

    def evaluate(self, batches: Iterable[Batch]) -> float:
        """Returns the bits per character of a text that is read batch by batch."""
        state, losses = self.model.initial_state(self._settings.batch_size), []
        for inputs, targets in batches:
            loss, state = self._read(inputs, targets, state)
            losses.append(float(loss))
        return float(np.mean(losses))

    @tf.function
    def _read(self, inputs: tf.Tensor, targets: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        logits, state = self.model(inputs, state)
        return bits_per_character(targets, logits), state

    def write(self, prompt: str, length: int, temperature: float = 1.0, seed: int = 0) -> str:
        """Returns `prompt` and what the model writes after it.

        Args:
            prompt: The beginning, not empty.
            length: How many characters to write.
            temperature: Below 1, what is likely becomes likelier still; above 1, less so.
            seed: Of the choice among the characters.
        """
        vocabulary = self._corpus.vocabulary
        ids = self._write(vocabulary.encode(prompt), length, temperature, [self.step, seed])
        return prompt + vocabulary.decode(ids.numpy())

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([2], tf.int64),
        ]
    )
    def _write(
        self, prompt: tf.Tensor, length: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        all_logits, state = self.model(prompt[:, None], self.model.initial_state(1))
        logits = all_logits[-1]
        written = tf.TensorArray(tf.int32, size=length, element_shape=[])
        seeds = tf.random.experimental.stateless_split(seed, length)
        for i in tf.range(length):
            chosen = tf.random.stateless_categorical(
                logits / temperature, 1, seeds[i], dtype=tf.int32
            )[:, 0]
            written = written.write(i, chosen[0])
            logits, state = self.model.read_one(chosen, state)
        return written.stack()


def train(
    trainer: Trainer,
    folder: Path,
    steps: int,
    report_interval: int = 500,
    checkpoint_interval: int = 250,
    sample_length: int = 300,
) -> History:
    """Trains up to a step, from where the last run in the folder came to.

    Args:
        trainer: The model in training.
        folder: Where the checkpoints and the history are.
        steps: The step to end at.
        report_interval: After how many steps to validate, and to write a text.
        checkpoint_interval: After how many steps to save.
        sample_length: Length of the texts that it writes.

    Returns:
        Bits per character over the training: "train" and "valid".
    """
    manager = tf.train.CheckpointManager(trainer.checkpoint, str(folder), max_to_keep=2)
    if manager.latest_checkpoint:
        trainer.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        console.print(f"Goes on from step {int(trainer.step)}: {manager.latest_checkpoint}")
    begin = int(trainer.step)
    history = History(folder / "history.json", resumed_at=begin)

    with progress_bar() as progress:
        bar = progress.add_task("Training", total=steps, completed=begin)
        for step in range(begin + 1, steps + 1):
            loss = trainer.train_step()
            history.add(step, train=loss)
            if step % report_interval == 0:
                valid = trainer.evaluate(itertools.islice(trainer.held_out("valid"), 50))
                history.add(step, valid=valid)
                console.print(
                    f"Step {step:5}   train {loss:.3f}   validation {valid:.3f} bits per character"
                )
                console.print(trainer.write("\n", sample_length) + "\n", markup=False)
            if step % checkpoint_interval == 0 or step == steps:
                # First the history: it may know more than the checkpoint, not less.
                history.save()
                manager.save(checkpoint_number=step)
            progress.advance(bar)
    return history


def test(trainer: Trainer, corpus: Corpus) -> tuple[float, Baselines]:
    """Returns bits per character of the text held out for the test: ours, and the baselines'."""
    batches = list(trainer.held_out("test"))
    baselines = measure_baselines(corpus.train, batches, len(corpus.vocabulary))
    return trainer.evaluate(batches), baselines


def read_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Run it again with the same --output to go on with a training; with no more "
        "--steps than it has, it only tests and writes.",
    )
    for name, default, meaning in (
        ("--steps", 1500, "the step to end at"),
        ("--report-interval", 500, "steps between reports, each with a sample"),
        ("--checkpoint-interval", 250, "steps between checkpoints"),
        ("--sample-length", 600, "length of the text that it writes in the end"),
    ):
        parser.add_argument(
            name, type=number(int, 1), default=default, metavar="N", help=f"{meaning} (%(default)s)"
        )
    add_numbers(parser, Settings(), RANGES)
    parser.add_argument("--prompt", default="\n", help="what that text begins with")
    parser.add_argument(
        "--temperature",
        type=number(float, 0.01),
        default=0.8,
        metavar="X",
        help="below 1, it writes what is likely; above 1, it dares more (%(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/language_model"), help="a folder (%(default)s)"
    )
    arguments = parse(parser)
    if not arguments.prompt:
        parser.error("--prompt must not be empty")
    return arguments


def main() -> None:
    """Trains, tests and writes."""
    arguments = read_arguments()
    watch = Stopwatch()
    settings = Settings(**{name: getattr(arguments, name) for name in RANGES})
    keep_settings(arguments.output, dataclasses.asdict(settings))

    corpus = load_corpus()
    console.print(
        f"{len(corpus.train):,} characters to train with, {len(corpus.valid):,} for validation, "
        f"{len(corpus.test):,} held out for the test"
    )
    trainer = Trainer(settings, corpus)
    console.print(f"\n{snt.format_variables(trainer.model.variables)}\n", markup=False)

    history = train(
        trainer,
        arguments.output,
        arguments.steps,
        arguments.report_interval,
        arguments.checkpoint_interval,
    )
    bits, baselines = test(trainer, corpus)
    console.print("Bits per character of the text held out for the test:")
    for name, value in {**baselines._asdict(), "LSTM": bits}.items():
        console.print(f"  {name:8}{value:.3f}")
    picture = arguments.output / "report.png"
    plot_curves(
        picture,
        f"Language model: {bits:.3f} bits per character on held-out text",
        {"bits per character": {name: history[name] for name in ("train", "valid")}},
        levels={"bits per character": baselines._asdict()},
    )
    console.print(f"Picture: {picture}\n\nIt writes:")
    written = trainer.write(arguments.prompt, arguments.sample_length, arguments.temperature)
    console.print(f"{written}\n", markup=False)
    console.print(f"It took {watch}.")


if __name__ == "__main__":
    main()
