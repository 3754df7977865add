"""What each process of `distributed.py` does in the ways of `tf.distribute`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from digits import Digits, load_digits
from distributed import LEARNING_RATE, MOMENTUM, Batches, Settings
from distributed_processes import report
from quickstart import DigitClassifier, cross_entropy, evaluate


class Trainer:
    """The network of the quickstart, with all that must be saved for its training to go on exactly.

    Dropout is left out: it would draw other numbers in each replica, and the ways could not be
    compared.

    Args:
        strategy: How the training is distributed.
        settings: What it is made of.
        saves: Whether this process saves. The others have to take part, and save elsewhere.
    """

    def __init__(self, strategy: Any, settings: Settings, saves: bool = True) -> None:
        tf.random.set_seed(settings.seed)
        self._strategy = strategy
        self._settings = settings
        digits, self._test = load_digits(settings.seed)
        self._batches = Batches(digits, settings.seed)
        self.num_steps = settings.num_steps(digits)
        # Variables that are made in the scope of a strategy are where it wants them.
        with strategy.scope():
            self._model = DigitClassifier()
            self._model(digits.images[:1])
            self._optimizer = tf.keras.optimizers.SGD(LEARNING_RATE, MOMENTUM)
            self._optimizer.build(self._model.trainable_variables)
        self.step = tf.Variable(0, dtype=tf.int64)
        # A part of what is saved: no point of the curve is ever lost.
        self._losses = tf.Variable(np.full(self.num_steps, np.nan))
        checkpoint = tf.train.Checkpoint(
            model=self._model, optimizer=self._optimizer, step=self.step, losses=self._losses
        )
        checkpoint.restore(tf.train.latest_checkpoint(settings.folder))
        folder = settings.folder if saves else tempfile.mkdtemp()
        self._checkpoints = tf.train.CheckpointManager(checkpoint, folder, max_to_keep=2)

    def batch(self, index: int) -> Digits:
        """Returns a batch by its number, which is that of the step before it."""
        return self._batches[index]

    @tf.function
    def train_step(self, images: Any, labels: Any) -> Any:
        """Trains with a batch, of which each replica has a part; returns its loss."""

        def train_replica(images: Any, labels: Any) -> Any:
            variables = self._model.trainable_variables
            with tf.GradientTape() as tape:
                loss = cross_entropy(labels, self._model(images))
                # The optimizer adds up the gradients of the replicas, and the mean is wanted.
                share = loss / self._strategy.num_replicas_in_sync
            gradients = tape.gradient(share, variables)
            self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        losses = self._strategy.run(train_replica, args=(images, labels))
        return self._strategy.reduce("MEAN", losses, axis=None)

    def next_save(self) -> int:
        """Returns the step after which a checkpoint is due."""
        every = self._settings.checkpoint_every
        return min((int(self.step) // every + 1) * every, self.num_steps)

    def keep(self, loss: Any) -> None:
        """Notes the loss of a step, and saves from time to time."""
        due = self.next_save()
        self._losses[self.step].assign(tf.cast(loss, self._losses.dtype))
        self.step.assign_add(1)
        if self.step == due:
            self._checkpoints.save()

    def result(self) -> dict[str, Any]:
        """Returns how it went."""
        losses = self._losses.numpy().tolist()
        accuracy = evaluate(self._model, self._test, losses[-1]).test_accuracy
        return {"losses": losses, "test_accuracy": accuracy}


def train_in_step(trainer: Trainer, strategy: Any, tell: Callable[..., None]) -> None:
    """Trains with replicas that do each step together, each with its part of the batch."""
    replicas = strategy.num_replicas_in_sync
    tell(begin=int(trainer.step), of=trainer.num_steps)
    while trainer.step < trainer.num_steps:
        batch = trainer.batch(int(trainer.step))
        parts = [[tf.constant(part) for part in np.split(array, replicas)] for array in batch]
        # Asked only for those replicas that this process has.
        images, labels = (
            strategy.experimental_distribute_values_from_function(
                lambda context, of=of: of[context.replica_id_in_sync_group]
            )
            for of in parts
        )
        trainer.keep(trainer.train_step(images, labels))
        tell(step=int(trainer.step))
    tell(**trainer.result())


def coordinate(trainer: Trainer, strategy: Any) -> None:
    """Hands out the steps to workers, which do not wait for one another.

    A step that a worker did not finish, since it died, is done by another one.
    """
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    report(begin=int(trainer.step), of=trainer.num_steps)
    while trainer.step < trainer.num_steps:
        # When the last of these is done, and a checkpoint is due, none is under way.
        indices = range(int(trainer.step), trainer.next_save())
        losses = [
            coordinator.schedule(trainer.train_step, args=tuple(map(tf.constant, trainer.batch(i))))
            for i in indices
        ]
        for loss in losses:
            trainer.keep(fetch(loss, coordinator))
            report(step=int(trainer.step))
    report(**trainer.result())


def fetch(value: Any, coordinator: Any) -> Any:
    """Returns what a worker computed.

    TensorFlow calls a value ready when it is still with the worker, which may die before it is
    fetched. Then the coordinator has another worker compute it.

    Raises:
        tf.errors.OpError: If the computation failed, or a parameter server did.
    """
    try:
        return value.fetch()
    except tf.errors.OpError:
        coordinator.join()  # raises what no other worker can do better
        return value.fetch()


def main(arguments: Sequence[str]) -> None:
    """Does what the environment variable TF_CONFIG and the settings say."""
    settings = Settings.read(arguments)
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
    if settings.way == "parameter_server":
        if cluster.task_type != "chief":
            serve(cluster)
        strategy = tf.distribute.ParameterServerStrategy(cluster)
        coordinate(Trainer(strategy, settings), strategy)
    elif settings.way == "multi_worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster)
        first = cluster.task_id == 0
        train_in_step(Trainer(strategy, settings, first), strategy, report if first else ignore)
    else:
        strategy = tf.distribute.get_strategy()
        if settings.way == "mirrored":
            strategy = tf.distribute.MirroredStrategy(split_processor(settings.workers))
        train_in_step(Trainer(strategy, settings), strategy, report)


def serve(cluster: Any) -> None:
    """Does what others ask for, for ever."""
    tf.distribute.Server(
        cluster.cluster_spec(), cluster.task_type, cluster.task_id, protocol="grpc"
    ).join()


def split_processor(number: int) -> list[str]:
    """Makes several devices of the processor, and returns their names."""
    (processor,) = tf.config.list_physical_devices("CPU")
    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [device] * number)
    return [f"CPU:{index}" for index in range(number)]


def ignore(**_: Any) -> None:
    """Reports nothing: all workers know the same, and one tells it."""
