"""Which vector is the n-th farthest from another one? A relational memory against an LSTM.

    python examples/nth_farthest.py --output out/nth_farthest

A network sees a few random vectors, one after the other. To answer it must compare all distances
from one of them: what the attention of a relational memory (Santoro et al., 2018) is made for,
and an LSTM has to find some other way for. Both are trained on the same batches.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

import sonnet as snt
from trainer import ClassifierTrainer, count
from training_run import (
    History,
    Stopwatch,
    add_numbers,
    console,
    number,
    parse,
    plot_curves,
    progress_bar,
)


class NthFarthest:
    """Questions "which vector is the n-th farthest from vector m?" and their answers.

    Args:
        batch_size: Questions in a batch.
        num_objects: Vectors to each question.
        num_features: Size of a vector.
        seed: Of what is random.
    """

    def __init__(self, batch_size: int, num_objects: int, num_features: int, seed: int = 0) -> None:
        self._batch_size = batch_size
        self._num_objects = num_objects
        self._num_features = num_features
        self._rng = np.random.default_rng(seed)

    @property
    def input_size(self) -> int:
        """Size of a row of the inputs."""
        return self._num_features + 3 * self._num_objects

    def get_batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the next batch.

        Returns:
            Inputs `[batch, objects, input_size]`, float32, and labels `[batch]`, int64. A row has
            a vector of numbers from -1 to 1 and, one-hot: which vector it is; from which one
            distances are measured; and n, from 0, the vector itself, to the farthest. Rows come
            in random order. The label is the number of the vector that is asked for.
        """
        batch, objects = self._batch_size, self._num_objects
        vectors = self._rng.uniform(-1, 1, [batch, objects, self._num_features])
        reference = self._rng.integers(objects, size=batch)
        nth = self._rng.integers(objects, size=batch)

        entries = np.arange(batch)
        distances = np.linalg.norm(vectors - vectors[entries, None, reference], axis=-1)
        labels = distances.argsort(axis=-1)[entries, nth]

        one_hot = np.eye(objects)
        question = np.concatenate([one_hot[reference], one_hot[nth]], axis=-1)
        rows = [
            vectors,
            np.broadcast_to(one_hot, [batch, objects, objects]),
            np.broadcast_to(question[:, None], [batch, objects, 2 * objects]),
        ]
        order = self._rng.permuted(np.tile(np.arange(objects), [batch, 1]), axis=1)
        inputs = np.concatenate(rows, axis=-1)[entries[:, None], order]
        return inputs.astype(np.float32), labels


class Answerer(snt.AbstractModule):
    """Reads the vectors with a recurrent core and says which one is asked for.

    Args:
        core: The core.
        num_objects: Vectors to choose from.
        mlp_sizes: Hidden layers between the core's last output and the answer.
        name: Name of the module.
    """

    def __init__(
        self, core: snt.RNNCore, num_objects: int, mlp_sizes: list[int], name: str = "answerer"
    ) -> None:
        super().__init__(name=name)
        self._core = core
        with self._enter_variable_scope():
            self._mlp = snt.nets.MLP(mlp_sizes, activate_final=True)
            self._answer = snt.Linear(num_objects)

    def _build(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns logits `[batch, objects]` for inputs `[batch, objects, input_size]`."""
        # A relational memory does not begin with zeros: its slots would all stay the same.
        state = self._core.initial_state(tf.shape(inputs)[0])
        outputs, _ = snt.dynamic_unroll(self._core, inputs, state, time_major=False)
        return self._answer(self._mlp(outputs[:, -1]))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked and what is trained; `RANGES` says what each is."""

    num_objects: int = 3
    num_features: int = 1
    batch_size: int = 128
    mem_slots: int = 4
    head_size: int = 16
    num_heads: int = 2
    num_blocks: int = 1
    mlp_layers: int = 2
    mlp_size: int = 128
    learning_rate: float = 1e-3
    seed: int = 1


RANGES = {
    "num_objects": (2, "vectors to each question"),
    "num_features": (1, "size of a vector"),
    "batch_size": (1, "questions in a batch"),
    "mem_slots": (1, "slots of the relational memory"),
    "head_size": (1, "size of each of its heads"),
    "num_heads": (1, "number of its heads"),
    "num_blocks": (1, "how often it attends at each vector"),
    "mlp_layers": (1, "layers between a core and the answer"),
    "mlp_size": (1, "size of each of them"),
    "learning_rate": (0, "of Adam; it falls to a tenth along a cosine"),
    "seed": (0, "of all that is random"),
}


def lstm_of_like_size(num_variables: int, input_size: int, output_size: int) -> snt.LSTM:
    """Returns the smallest LSTM with which a network has as many numbers to learn as another one.

    Args:
        num_variables: How many that other network has in its core and in the layer above it.
        input_size: Size of the inputs.
        output_size: Size of the layer above the core.
    """
    hidden = 1
    while 4 * hidden * (input_size + hidden + 1) + (hidden + 1) * output_size < num_variables:
        hidden += 1
    return snt.LSTM(hidden)


def make_trainers(settings: Settings, steps: int) -> dict[str, ClassifierTrainer]:
    """Returns the two networks: a relational memory, and an LSTM of at least its size."""
    memory = snt.RelationalMemory(
        settings.mem_slots,
        settings.head_size,
        num_heads=settings.num_heads,
        num_blocks=settings.num_blocks,
    )
    data = NthFarthest(1, settings.num_objects, settings.num_features)
    memory(data.get_batch()[0][:, 0], memory.initial_state(1))  # makes the variables to count
    memory_size = memory.output_size.num_elements()
    size = count(memory.trainable_variables) + (memory_size + 1) * settings.mlp_size
    cores = {
        "relational memory": memory,
        "LSTM": lstm_of_like_size(size, data.input_size, settings.mlp_size),
    }
    trainers = {}
    for name, core in cores.items():
        model = Answerer(core, settings.num_objects, [settings.mlp_size] * settings.mlp_layers)
        model(data.get_batch()[0])
        trainers[name] = ClassifierTrainer(model, settings.learning_rate, steps, last_rate=0.1)
    return trainers


def build_and_train(
    settings: Settings, steps: int, report_interval: int, history: History
) -> dict[str, float]:
    """Trains both networks on the same questions.

    Args:
        settings: What is asked and what is trained.
        steps: Batches to train with.
        report_interval: Batches between reports.
        history: Where the reports go, one for each: of the loss in training since the last, and
            of the accuracy on questions that neither has seen.

    Returns:
        The last accuracy of each.
    """
    tf.keras.utils.set_random_seed(settings.seed)
    shape = settings.num_objects, settings.num_features
    train = NthFarthest(settings.batch_size, *shape, seed=settings.seed)
    held_out = NthFarthest(2000, *shape, seed=settings.seed + 1_000_000).get_batch()
    trainers = make_trainers(settings, steps)
    for name, trainer in trainers.items():
        console.print(f"{name:18}{count(trainer.model.trainable_variables):8,} numbers to learn")

    losses: dict[str, list[float]] = {name: [] for name in trainers}
    accuracies: dict[str, float] = {}
    with progress_bar() as progress:
        bar = progress.add_task("Training", total=steps)
        for step in range(1, steps + 1):
            batch = train.get_batch()
            for name, trainer in trainers.items():
                losses[name].append(float(trainer.train_step(*batch)))
            if step % report_interval == 0 or step == steps:
                report = f"Step {step:6}"
                for name, trainer in trainers.items():
                    loss, losses[name] = float(np.mean(losses[name])), []
                    accuracies[name] = float(trainer.accuracy(*held_out))
                    history.add(
                        step, **{f"loss of {name}": loss, f"accuracy of {name}": accuracies[name]}
                    )
                    report += f"   {name}: loss {loss:.3f}, accuracy {accuracies[name]:.3f}"
                console.print(report)
                history.save()
            progress.advance(bar)
    return accuracies


def main() -> None:
    """Reads the command line, trains and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    integer = number(int, 1)
    for name, default, meaning in (
        ("--steps", 4000, "batches to train with"),
        ("--report-interval", 250, "batches between reports"),
    ):
        parser.add_argument(
            name, type=integer, default=default, metavar="N", help=f"{meaning} (%(default)s)"
        )
    add_numbers(parser, Settings(), RANGES)
    parser.add_argument(
        "--output", type=Path, default=Path("out/nth_farthest"), help="a folder (%(default)s)"
    )
    arguments = parse(parser)

    watch = Stopwatch()
    settings = Settings(**{name: getattr(arguments, name) for name in RANGES})
    history = History(arguments.output / "history.json")
    accuracies = build_and_train(settings, arguments.steps, arguments.report_interval, history)

    console.print("\nRight answers to questions that were held out:")
    chance = 1 / settings.num_objects
    for name, accuracy in {"chance": chance, **accuracies}.items():
        console.print(f"  {name:18}{accuracy:.3f}")
    panels = {
        quantity: {name: history[f"{quantity} of {name}"] for name in accuracies}
        for quantity in ("accuracy", "loss")
    }
    picture = arguments.output / "report.png"
    plot_curves(
        picture,
        f"Which of {settings.num_objects} vectors is the n-th farthest from another?",
        panels,
        levels={"accuracy": {"chance": chance}},
        percent=("accuracy",),
    )
    console.print(f"Picture: {picture}\nIt took {watch}.")


if __name__ == "__main__":
    main()
