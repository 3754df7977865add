"""A relational memory learns to execute small programs, easy ones first.

    python examples/learn_to_execute.py --output out/learn_to_execute

It reads a program character by character, such as `(62if67<46else27)-96`, and then tells its
result, without being told how programs work. What it is trained with becomes harder as it learns:
see `learn_to_execute_data.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

import sonnet as snt
from learn_to_execute_data import Batch, Mode, State, TaskType, learn_to_execute
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


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the programs and the network are like; `RANGES` says what each is."""

    max_length: int = 2
    max_nesting: int = 1
    batch_size: int = 64
    mem_slots: int = 4
    head_size: int = 16
    num_heads: int = 2
    num_blocks: int = 1
    mlp_layers: int = 2
    mlp_size: int = 128
    learning_rate: float = 2e-3
    loss_threshold: float = 0.1
    min_tries: int = 10
    seed: int = 1


RANGES = {
    "max_length": (1, "digits of a number in the hardest programs"),
    "max_nesting": (1, "operations in the hardest programs"),
    "batch_size": (1, "programs in a batch"),
    "mem_slots": (1, "slots of the relational memory"),
    "head_size": (1, "size of each of its heads"),
    "num_heads": (1, "number of its heads"),
    "num_blocks": (1, "how often it attends at each character"),
    "mlp_layers": (1, "layers between the memory and a character of the result"),
    "mlp_size": (1, "size of each of them"),
    "learning_rate": (0, "of Adam; it falls to a tenth along a cosine"),
    "loss_threshold": (0, "the loss must change by less, from report to report, for harder ones"),
    "min_tries": (1, "reports before harder ones at the least"),
    "seed": (0, "of all that is random"),
}


class Executor(snt.AbstractModule):
    """Reads programs with a recurrent core, and lets the same core tell the results.

    Args:
        core: The core.
        mlp_sizes: Hidden layers between the core and each token of the result.
        num_tokens: Size of the vocabulary.
        name: Name of the module.
    """

    def __init__(
        self, core: snt.RNNCore, mlp_sizes: list[int], num_tokens: int, name: str = "executor"
    ) -> None:
        super().__init__(name=name)
        self._core = core
        with self._enter_variable_scope():
            self._mlp = snt.nets.MLP(mlp_sizes, activate_final=True)
            self._output = snt.Linear(num_tokens)

    def _build(self, batch: Batch) -> tf.Tensor:
        """Returns logits `[time of results, batch, vocabulary]`."""
        # A relational memory does not begin with zeros: its slots would all stay the same.
        state = self._core.initial_state(tf.shape(batch.programs)[1])
        _, state = snt.dynamic_unroll(self._core, batch.programs, state, batch.program_lengths)
        silence = tf.zeros_like(batch.decoder_inputs)
        hidden, _ = snt.dynamic_unroll(self._core, silence, state, batch.result_lengths)
        return snt.BatchApply(self._output)(snt.BatchApply(self._mlp)(hidden))


class Measure(NamedTuple):
    """How well a batch was executed.

    Attributes:
        loss: Mean cross entropy of the tokens.
        accuracy: Fraction of the tokens that are right.
        solved: Fraction of the programs whose result is right as a whole.
    """

    loss: tf.Tensor
    accuracy: tf.Tensor
    solved: tf.Tensor


def measure(logits: tf.Tensor, batch: Batch) -> Measure:
    """Compares what the network tells with the results; padding counts for nothing."""
    mask = tf.transpose(tf.sequence_mask(batch.result_lengths, tf.shape(logits)[0]))
    losses = tf.nn.softmax_cross_entropy_with_logits(batch.results, logits)
    right = tf.argmax(logits, axis=-1) == tf.argmax(batch.results, axis=-1)
    solved = tf.reduce_all(right | ~mask, axis=0)
    return Measure(
        loss=tf.reduce_mean(losses[mask]),
        accuracy=tf.reduce_mean(tf.cast(right[mask], tf.float32)),
        solved=tf.reduce_mean(tf.cast(solved, tf.float32)),
    )


class Trainer:
    """A network in training.

    Args:
        settings: What the network is like.
        num_tokens: Size of the vocabulary.
        steps: How many steps it will be trained.
    """

    def __init__(self, settings: Settings, num_tokens: int, steps: int) -> None:
        core = snt.RelationalMemory(
            settings.mem_slots,
            settings.head_size,
            num_heads=settings.num_heads,
            num_blocks=settings.num_blocks,
        )
        self.model = Executor(core, [settings.mlp_size] * settings.mlp_layers, num_tokens)
        self._optimizer = tf.keras.optimizers.Adam(
            tf.keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps, alpha=0.1),
            global_clipnorm=1.0,
        )

    @tf.function
    def train_step(self, batch: Batch) -> Measure:
        """Trains with a batch, and returns how well it was executed before."""
        with tf.GradientTape() as tape:
            measured = measure(self.model(batch), batch)
        variables = self.model.trainable_variables
        self._optimizer.apply_gradients(
            zip(tape.gradient(measured.loss, variables), variables, strict=True)
        )
        return measured

    @tf.function
    def execute(self, batch: Batch) -> tuple[tf.Tensor, Measure]:
        """Returns the results that it tells, `[time, batch, vocabulary]`, and how well."""
        logits = self.model(batch)
        return logits, measure(logits, batch)


def build_and_train(
    settings: Settings,
    task_type: TaskType,
    mode: Mode,
    steps: int,
    report_interval: int,
    history: History,
) -> tuple[Trainer, State]:
    """Trains a network on programs that become harder as it learns.

    Args:
        settings: What the programs and the network are like.
        task_type: What programs are made of.
        mode: Which levels come when.
        steps: Batches to train with.
        report_interval: Batches between reports, by which the level rises.
        history: Where the reports go: of the training, and of a test with the hardest programs.

    Returns:
        The network in training, and the state of what it was trained with.
    """
    tf.keras.utils.set_random_seed(settings.seed)
    hardest = settings.max_length, settings.max_nesting
    train = learn_to_execute(
        settings.batch_size,
        *hardest,
        mode=mode,
        loss_threshold=settings.loss_threshold,
        min_tries=settings.min_tries,
        task_type=task_type,
        seed=settings.seed,
    )
    test_batch = hardest_programs(settings, task_type)[0]
    trainer = Trainer(settings, train.state.vocab_size, steps)
    batches: Iterator[Batch] = iter(train)
    measured: list[list[float]] = []
    with progress_bar() as progress:
        bar = progress.add_task("Training", total=steps)
        for step in range(1, steps + 1):
            measured.append([float(value) for value in trainer.train_step(next(batches))])
            if step % report_interval == 0 or step == steps:
                loss, accuracy, solved = np.mean(measured, axis=0)
                measured.clear()
                _, test = trainer.execute(test_batch)
                level = train.state.level
                raised = train.state.evaluate_curriculum(loss)
                history.add(
                    step,
                    loss=loss,
                    solved=solved,
                    raised=raised,
                    **{"test loss": test.loss, "test solved": test.solved},
                )
                history.save()
                console.print(
                    f"Step {step:5}   level {level}   loss {loss:.3f}   accuracy {accuracy:.3f}   "
                    f"solved {solved:.3f}   test: accuracy {float(test.accuracy):.3f}   "
                    f"solved {float(test.solved):.3f}"
                )
                if raised:
                    console.print(f"             level rises to {train.state.level}")
            progress.advance(bar)
    return trainer, train.state


def hardest_programs(
    settings: Settings, task_type: TaskType, size: int = 500
) -> tuple[Batch, State]:
    """Returns a batch of the hardest programs, other ones than in training but for chance."""
    dataset = learn_to_execute(
        size,
        settings.max_length,
        settings.max_nesting,
        mode=Mode.TEST,
        task_type=task_type,
        seed=settings.seed + 1_000_000,
    )
    return next(iter(dataset)), dataset.state


def main() -> None:
    """Reads the command line, trains, and shows what the network makes of some programs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    integer = number(int, 1)
    for name, default, meaning in (
        ("--steps", 4000, "batches to train with"),
        ("--report-interval", 50, "batches between reports, by which programs become harder"),
    ):
        parser.add_argument(
            name, type=integer, default=default, metavar="N", help=f"{meaning} (%(default)s)"
        )
    for name, kind, chosen, meaning in (
        ("--task", TaskType, TaskType.ALG_CTRL, "what programs are made of"),
        ("--mode", Mode, Mode.TRAIN_COMBINE, "which programs come when"),
    ):
        names = [member.name.lower() for member in kind]
        parser.add_argument(
            name, choices=names, default=chosen.name.lower(), help=f"{meaning} (%(default)s)"
        )
    add_numbers(parser, Settings(), RANGES)
    parser.add_argument(
        "--output", type=Path, default=Path("out/learn_to_execute"), help="a folder (%(default)s)"
    )
    arguments = parse(parser)

    watch = Stopwatch()
    settings = Settings(**{name: getattr(arguments, name) for name in RANGES})
    task_type = TaskType[arguments.task.upper()]
    history = History(arguments.output / "history.json")
    trainer, state = build_and_train(
        settings,
        task_type,
        Mode[arguments.mode.upper()],
        arguments.steps,
        arguments.report_interval,
        history,
    )

    batch, _ = hardest_programs(settings, task_type)
    logits, measured = trainer.execute(batch)
    console.print(f"\nThe hardest programs: {float(measured.solved):.1%} are solved. Some of them:")
    texts = [
        state.to_human_readable(one_hot.numpy(), lengths.numpy())
        for one_hot, lengths in (
            (batch.programs, batch.program_lengths),
            (batch.results, batch.result_lengths),
            (logits, batch.result_lengths),
        )
    ]
    for program, result, told in list(zip(*texts, strict=True))[:10]:
        verdict = "right" if told == result else f"not {result}"
        console.print(
            f"  {program:>{state.num_steps}} -> {told:{state.num_steps_out}} {verdict}",
            markup=False,
        )
    picture = arguments.output / "report.png"
    plot_curves(
        picture,
        "Learning to execute programs",
        {
            "solved": {"training": history["solved"], "hardest programs": history["test solved"]},
            "loss": {"training": history["loss"], "hardest programs": history["test loss"]},
        },
        percent=("solved",),
        rises=[step for (step, raised) in history["raised"] if raised],
    )
    console.print(f"Picture: {picture}\nIt took {watch}.")


if __name__ == "__main__":
    main()
