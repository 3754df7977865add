"""Trains the network of the quickstart in several processes, in one of TensorFlow's own ways.

    python examples/distributed.py multi_worker --epochs 3

starts the processes, which talk over the loopback device, and shows how far they are:

single            one process, one device: what the others are compared with
mirrored          `tf.distribute.MirroredStrategy`: one process, two devices
multi_worker      `tf.distribute.MultiWorkerMirroredStrategy`: two workers in step
parameter_server  `tf.distribute.ParameterServerStrategy`: a server holds the variables, a
                  coordinator hands out the steps, two workers compute
sonnet1           as with Sonnet 1: graphs and sessions, each weight spread over two servers

A process that dies is started again, and the training goes on from what the others hold or from the
last checkpoint; try `--kill worker:1@60`. The same command, given again, goes on as well.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from digits import Digits
from distributed_processes import Ended, Processes, Program, ProgramError, free_addresses
from training_run import (
    console,
    keep_settings,
    number,
    parse,
    plot_curves,
    progress_bar,
    write_whole,
)

# Of plain gradient descent with momentum, whose arithmetic TensorFlow 1 and Keras have in common.
LEARNING_RATE, MOMENTUM = 0.05, 0.9
BATCH_SIZE = 50  # of all workers together, where they work in step; else of each
MAX_RESTARTS = 10


class Settings(NamedTuple):
    """What the processes are told.

    Attributes:
        way: How the training is distributed.
        epochs: Passes through the data.
        workers: How many processes compute, or devices.
        seed: Of all that is random.
        checkpoint_every: Steps between two checkpoints.
        folder: Where the checkpoints are.
    """

    way: str
    epochs: int
    workers: int
    seed: int
    checkpoint_every: int
    folder: str

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Settings:
        """Reads what `write` wrote."""
        return cls(**json.loads(arguments[0]))

    def write(self) -> list[str]:
        """Returns arguments of a command line."""
        return [json.dumps(self._asdict())]

    def num_steps(self, digits: Digits) -> int:
        """Returns how many batches the training has."""
        return self.epochs * (len(digits.labels) // BATCH_SIZE)


class Batches:
    """The batches of a training: each is found by its number, so no state needs to be saved.

    Args:
        digits: Where they are from.
        seed: Decides the order.
    """

    def __init__(self, digits: Digits, seed: int) -> None:
        self._digits = digits
        self._seed = seed
        self._epoch = -1
        self._of_epoch: list[Digits] = []

    def __getitem__(self, index: int) -> Digits:
        """Returns batch number `index`, from 0."""
        epoch, index = divmod(index, len(self._digits.labels) // BATCH_SIZE)
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, epoch])
            self._epoch, self._of_epoch = epoch, self._digits.shuffled_batches(BATCH_SIZE, rng)
        return self._of_epoch[index]


class Way(NamedTuple):
    """A way to distribute a training.

    Attributes:
        module: The program of each process.
        jobs: How many processes there are of each kind; None for `--workers`.
        main: The process that saves, and with which the training ends.
        alone: The kind of process, if any, that is started again alone, while the others go on.
            When any other dies, the whole training goes back to the last checkpoint.
    """

    module: str
    jobs: dict[str, int | None]
    main: str = "worker:0"
    alone: str = ""


WAYS = {
    "single": Way("distributed_training", {"worker": 1}),
    "mirrored": Way("distributed_training", {"worker": 1}),
    "multi_worker": Way("distributed_training", {"worker": None}),
    "parameter_server": Way(
        "distributed_training", {"ps": 1, "worker": None, "chief": 1}, "chief:0", alone="worker"
    ),
    "sonnet1": Way("distributed_sonnet1", {"ps": 2, "worker": None}, alone="worker"),
}


class Training:
    """Starts the processes of a training, and again those that die.

    Args:
        settings: What the processes are told.
        kill: Which process to kill, and at which step, to see what happens. Optional.
    """

    def __init__(self, settings: Settings, kill: tuple[str, int] | None = None) -> None:
        self._way = WAYS[settings.way]
        self._settings = settings
        self._kill = kill
        self._restarts = 0
        self._tasks = {
            f"{job}:{index}": {"type": job, "index": index}
            for job, size in self._way.jobs.items()
            for index in range(size or settings.workers)
        }
        self._programs: dict[str, Program] = {}
        if kill is not None and kill[0] not in self._tasks:
            raise ProgramError(f"--kill: there is no {kill[0]}, but {', '.join(self._tasks)}")

    def run(self, logs: Path) -> dict[str, Any]:
        """Trains, and returns what the main process reports in the end.

        Args:
            logs: Folder for what the processes have to say beside.

        Raises:
            ProgramError: If one of the processes fails by itself, or they die again and again.
        """
        result: dict[str, Any] = {}
        with (
            free_addresses(len(self._tasks)) as addresses,
            Processes(logs) as processes,
            progress_bar() as progress,
        ):
            self._write_programs(addresses)
            bar = progress.add_task("Training", total=None)
            self._start(processes, *self._programs)
            for name, event in processes.events():
                if isinstance(event, Ended):
                    if event.status:
                        self._start_again(processes, name, event.status)
                    elif name == self._way.main:
                        break
                elif "begin" in event:
                    progress.update(bar, completed=event["begin"], total=event["of"])
                    if event["begin"] and (name == self._way.main or self._restarts):
                        console.print(f"{name} goes on from step {event['begin']}")
                elif "step" in event:
                    progress.update(bar, completed=event["step"])
                    self._shoot(processes, event["step"])
                else:
                    result = event
        return result

    def _write_programs(self, addresses: list[str]) -> None:
        cluster: dict[str, list[str]] = {}
        for task, address in zip(self._tasks.values(), addresses, strict=True):
            cluster.setdefault(task["type"], []).append(address)
        for name, task in self._tasks.items():
            environment = {
                "TF_CONFIG": json.dumps({"cluster": cluster, "task": task}),
                "TF_GRPC_REUSE_PORT": "1",  # see `free_addresses`
            }
            self._programs[name] = Program(self._way.module, self._settings.write(), environment)

    def _start(self, processes: Processes, *names: str) -> None:
        for name in names:
            processes.start(name, self._programs[name])

    def _start_again(self, processes: Processes, name: str, status: int) -> None:
        """Starts a process again that was killed, or all of them.

        When a process is killed, those that depend on it fail; some only when that one has been
        started again, since TensorFlow does not always see why a connection was lost. One that
        fails while all others are well has an error of its own, which would only come again.
        """
        victims = processes.killed()
        if not victims and self._restarts and processes.lost_connection(name):
            victims = [name]
        self._restarts += 1
        if not victims or self._restarts > MAX_RESTARTS:
            raise processes.failure(name, status)
        alone = {each for each in self._tasks if each.startswith(f"{self._way.alone}:")}
        if not {name, *victims} <= alone - {self._way.main}:
            victims = list(self._tasks)
        console.print(f"{name} died with status {status}; started again: {', '.join(victims)}")
        processes.kill(*victims)
        self._start(processes, *victims)

    def _shoot(self, processes: Processes, step: int) -> None:
        if self._kill is not None and step >= self._kill[1]:
            processes.shoot(self._kill[0])
            self._kill = None


def kill_option(text: str) -> tuple[str, int]:
    """Reads `worker:1@60`."""
    match = re.fullmatch(r"(\w+:\d+)@(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is not like worker:1@60")
    return match[1], int(match[2])


def main() -> None:
    """Trains, draws the loss, and says how many of the digits held out are recognised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--epochs", type=number(int, 1), default=3, help="passes through the data")
    parser.add_argument("--workers", type=int, default=2, choices=[1, 2, 5], help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument(
        "--checkpoint-every", type=number(int, 1), default=40, metavar="N", help="so many steps"
    )
    parser.add_argument(
        "--kill", type=kill_option, metavar="NAME@STEP", help="kill a process, to see what happens"
    )
    parser.add_argument("--output", type=Path, default=Path("out/distributed"), help="a folder")
    arguments = parse(parser)
    folder = arguments.output / arguments.way
    folder.mkdir(exist_ok=True)
    settings = Settings(
        *(getattr(arguments, name) for name in Settings._fields[:-1]), folder=str(folder)
    )
    keep_settings(folder, settings._replace(folder=".")._asdict())

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # by way of `Processes.__exit__`
    try:
        result = Training(settings, arguments.kill).run(folder / "logs")
    except ProgramError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")

    write_whole(folder / "result.json", json.dumps(result))
    console.print(f"Test accuracy: {result['test_accuracy']:.3f}")
    curves = dict(loss_curves(arguments.output, arguments.way))
    plot_curves(
        folder / "report.png",
        f"{arguments.way}: {result['test_accuracy']:.1%} of the held-out digits recognised",
        {"cross entropy of a batch": curves},
    )
    console.print(f"Picture:       {folder / 'report.png'}")


def loss_curves(output: Path, way: str) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Gives the loss of each batch, and that of `single` to compare with, if it was run."""
    for each in dict.fromkeys([way, "single"]):
        file = output / each / "result.json"
        if file.exists():
            yield each, list(enumerate(json.loads(file.read_text())["losses"], 1))


if __name__ == "__main__":
    main()
