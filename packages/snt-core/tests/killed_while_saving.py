"""Program that saves in a loop, in a process of its own, and is killed at random moments.

    killed_while_saving.py FOLDER ROUNDS

For each way of saving, each round forks a process that sets all variables of a network to one
number after another, saves each time, and says so; kills it; and forks another one that loads what
is there. Prints, in JSON, for each way and round the number that was last said to be saved, the
distinct values of the variables that were loaded, and what else was left in the folder.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import select
import signal
import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

INPUT = tf.TensorSpec([None, 300])


class Net(snt.AbstractModule):
    """Three layers of a size that takes a while to write."""

    def __init__(self, name: str = "net") -> None:
        super().__init__(name=name)

    def _build(self, inputs: tf.Tensor) -> tf.Tensor:
        for i in range(3):
            inputs = tf.matmul(inputs, tf1.get_variable(f"w_{i}", [300, 300]))
        return inputs


def checkpoint_of(net: Net, folder: pathlib.Path) -> tf.train.CheckpointManager:
    return tf.train.CheckpointManager(tf.train.Checkpoint(net), str(folder), max_to_keep=2)


def eager_saver(folder: pathlib.Path, kind: str) -> Callable[[int], object]:
    net = Net()
    net(tf.zeros([1, 300]))
    manager = checkpoint_of(net, folder)

    def save(number: int) -> None:
        for variable in net.variables:
            variable.assign(tf.fill(variable.shape, float(number)))
        if kind == "checkpoint":
            manager.save(checkpoint_number=number)
        else:
            snt.export(net, folder / "model", INPUT)

    return save


def graph_saver(folder: pathlib.Path) -> Callable[[int], object]:
    x = tf1.placeholder(tf.float32, [None, 300])
    number_ = tf1.placeholder(tf.float32, [])
    net = Net()
    y = net(x)
    fill = [variable.assign(tf.fill(variable.shape, number_)) for variable in net.variables]
    session = tf1.Session()

    def save(number: int) -> None:
        session.run(fill, {number_: number})
        snt.export_graph(session, folder / "model", {"x": x}, {"y": y})

    return save


def save_for_ever(folder: pathlib.Path, kind: str, number: int, report: int) -> None:
    with tf.Graph().as_default() if kind == "graph" else tf.init_scope():
        save = graph_saver(folder) if kind == "graph" else eager_saver(folder, kind)
        while True:
            number += 1
            save(number)
            os.write(report, b"%d\n" % number)


def load(folder: pathlib.Path, kind: str, report: int) -> None:
    """Writes the distinct values of all variables."""
    if kind == "checkpoint":
        net = Net()
        manager = checkpoint_of(net, folder)
        status = manager.checkpoint.restore(manager.latest_checkpoint)
        net(tf.zeros([1, 300]))  # which makes the variables, restored
        status.assert_consumed()
        variables = net.variables
    else:
        variables = tf.saved_model.load(str(folder / "model")).variables
    assert len(variables) == 3, variables
    values = np.unique(np.concatenate([variable.numpy().ravel() for variable in variables]))
    os.write(report, json.dumps(values.tolist()).encode())


def fork(function: Callable[..., None], *arguments: object) -> tuple[int, int]:
    """Returns the process that runs `function`, and where it reports to."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(ours)
        try:
            function(*arguments, theirs)
            os._exit(0)
        except BaseException as error:
            print(f"{function.__name__}: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os.close(theirs)
    return process, ours


def read_all(report: int) -> str:
    with os.fdopen(report) as file:
        return file.read()


def killed(folder: pathlib.Path, kind: str, number: int, moment: float) -> tuple[int, list[float]]:
    """Kills a process that saves, and returns what it saved last and what can be loaded.

    Args:
        folder: Where it saves.
        kind: How it saves: "checkpoint", "export" or "graph".
        number: After which number to begin.
        moment: When to kill it, after its second saving: in units of how long that took.
    """
    process, report = fork(save_for_ever, folder, kind, number)
    lines = []
    for _ in range(2):
        began = time.monotonic()
        assert select.select([report], [], [], 120)[0], "nothing is saved"
        lines.append(os.read(report, 100))
    assert all(lines), "the process that saves has failed"
    time.sleep(moment * (time.monotonic() - began))
    os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    assert os.WIFSIGNALED(status), "it was not killed, but failed"
    said = b"".join(lines).decode() + read_all(report)
    process, report = fork(load, folder, kind)
    values = json.loads(read_all(report) or "[]")
    os.waitpid(process, 0)
    return int(said.split()[-1]), values


def main(folder: str, rounds: str) -> None:
    moments = random.Random(3)
    results: dict[str, list[object]] = {}
    for kind in ("checkpoint", "export", "graph"):
        place = pathlib.Path(folder, kind)
        place.mkdir()
        results[kind] = []
        for i in range(int(rounds)):
            said, values = killed(place, kind, 1000 * i, moments.uniform(0, 2))
            results[kind].append([said, values, sorted(os.listdir(place))])
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
