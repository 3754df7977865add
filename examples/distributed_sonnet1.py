"""What each process of `distributed.py` does in Sonnet 1's way: servers, graphs and sessions.

But for the import of Sonnet, all of it is as it was written for TensorFlow 1.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import sonnet as snt
from digits import NUM_CLASSES, Digits, load_digits
from distributed import LEARNING_RATE, MOMENTUM, Batches, Settings
from distributed_processes import report
from quickstart import DigitClassifier, cross_entropy


class SpreadDigitClassifier(DigitClassifier):
    """The network of the quickstart with each weight matrix cut in two, one for each server."""

    def __init__(self, name: str = "digit_classifier") -> None:
        snt.AbstractModule.__init__(self, name=name)
        with self._enter_variable_scope():
            self._flatten = snt.BatchFlatten()
            self._mlp = snt.nets.MLP(
                [256, 128, NUM_CLASSES], partitioners={"w": tf.fixed_size_partitioner(2)}
            )


class Graph:
    """What a worker computes. The variables are on the servers, and shared by the workers.

    Args:
        num_workers: How many workers there are.
        num_steps: How many batches there are.

    Attributes:
        steps: How many steps each worker has done, `[workers]`.
        losses: The loss of each batch, `[steps]`: in a variable, so that they are saved, too.
    """

    def __init__(self, num_workers: int, num_steps: int) -> None:
        self._images = tf.placeholder(tf.float32, [None, 28, 28], name="images")
        self._labels = tf.placeholder(tf.int64, [None], name="labels")
        self._index = tf.placeholder(tf.int32, [], name="index")
        self._worker = tf.placeholder(tf.int32, [], name="worker")
        self.model = SpreadDigitClassifier()
        self._logits = self.model(self._images)
        self._loss = cross_entropy(self._labels, self._logits)
        zeros, keep = tf.zeros_initializer(), {"trainable": False, "use_resource": True}
        self.steps = tf.get_variable("steps", [num_workers], tf.int32, zeros, **keep)
        self.losses = tf.get_variable("losses", [num_steps], tf.float32, zeros, **keep)
        train = tf.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM).minimize(
            self._loss, tf.train.get_or_create_global_step()
        )
        with tf.control_dependencies([train]):
            self._step = tf.group(
                tf.scatter_update(self.losses, self._index, self._loss),
                tf.scatter_add(self.steps, self._worker, 1),
            )

    def train(self, session: tf.Session, batch: Digits, index: int, worker: int) -> None:
        """Trains with a batch."""
        places = {self._images: batch.images, self._labels: batch.labels}
        session.run(self._step, {**places, self._index: index, self._worker: worker})

    def accuracy(self, session: tf.Session, test: Digits) -> float:
        """Returns which part of the digits is recognised."""
        logits = session.run(self._logits, {self._images: test.images})
        return float(np.mean(logits.argmax(axis=-1) == test.labels))


def initial_checkpoint(settings: Settings) -> str:
    """Writes the values that `single` begins with, from the module of the quickstart, eagerly.

    They fit the graph, in which the same variables are cut in parts: a checkpoint by name has whole
    variables.
    """
    tf.set_random_seed(settings.seed)
    model = DigitClassifier()
    model(np.zeros([1, 28, 28], np.float32))
    path = str(Path(settings.folder) / "initial" / "model")
    return snt.get_saver(model).save(None, path, write_meta_graph=False)


def train(settings: Settings, cluster: tf.train.ClusterSpec, server: Any, worker: int) -> None:
    """Trains with every so-many-th batch. Workers do not wait for one another."""
    digits, test = load_digits(settings.seed)
    batches, num_steps = Batches(digits, settings.seed), settings.num_steps(digits)
    is_chief = worker == 0
    initial = initial_checkpoint(settings) if is_chief else ""

    with tf.Graph().as_default():
        task = f"/job:worker/task:{worker}"
        with tf.device(tf.train.replica_device_setter(worker_device=task, cluster=cluster)):
            graph = Graph(settings.workers, num_steps)
        # The optimizer's variables are in the scope of the model too, but are not trainable.
        initial_saver = snt.get_saver(graph.model, [tf.GraphKeys.TRAINABLE_VARIABLES])
        scaffold = tf.train.Scaffold(
            init_fn=lambda _, session: initial_saver.restore(session, initial),
            saver=tf.train.Saver(max_to_keep=2),
        )
        with tf.train.MonitoredTrainingSession(
            server.target,
            is_chief,
            checkpoint_dir=settings.folder,
            scaffold=scaffold,
            save_checkpoint_steps=settings.checkpoint_every,
            save_summaries_steps=0,
            log_step_count_steps=0,
            # A worker does not need the others; it must not wait for one that is dead.
            config=tf.ConfigProto(device_filters=["/job:ps", task]),
        ) as session:
            steps = session.run(graph.steps)
            report(begin=int(steps.sum()), of=num_steps)
            while (index := worker + settings.workers * int(steps[worker])) < num_steps:
                graph.train(session, batches[index], index, worker)
                steps = session.run(graph.steps)
                report(step=int(steps.sum()))
            while is_chief and steps.sum() < num_steps:  # the others are not done yet
                time.sleep(0.1)
                steps = session.run(graph.steps)
                report(step=int(steps.sum()))
            if is_chief:
                losses = session.run(graph.losses).tolist()
                report(losses=losses, test_accuracy=graph.accuracy(session, test))


def main(arguments: Sequence[str]) -> None:
    """Does what the environment variable TF_CONFIG and the settings say."""
    config = json.loads(os.environ["TF_CONFIG"])
    cluster = tf.train.ClusterSpec(config["cluster"])
    job, index = config["task"]["type"], config["task"]["index"]
    server = tf.train.Server(cluster, job, index)
    if job == "ps":
        server.join()
    train(Settings.read(arguments), cluster, server, index)
