"""Batch normalisation on two mirrored devices; run by `test_distributed_batch_norm.py`."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import tensorflow as tf

import sonnet as snt

DECAY = 0.75
INPUTS = [[[1.0, 2.0], [3.0, 8.0]], [[10.0, 0.0], [14.0, 1.0]]]  # of each device


def parts(value: Any) -> Any:
    return [part.numpy().tolist() for part in getattr(value, "values", [value])]


def main() -> None:
    (device,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        module = snt.BatchNorm(decay_rate=DECAY, scale=True, eps=0.0)
    inputs = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(INPUTS[context.replica_id_in_sync_group])
    )

    @tf.function
    def train(inputs: Any) -> Any:
        return strategy.run(module, args=(inputs, True))

    def test(module: Any, inputs: Any) -> Any:
        return tf.function(lambda: strategy.run(module, args=(inputs, False, False)))()

    found = {"outputs": parts(train(inputs))}
    train(inputs)
    found["means"] = parts(module.moving_mean)
    found["variances"] = parts(module.moving_variance)
    found["mean outside"] = module.moving_mean.numpy().tolist()
    found["test outputs"] = parts(test(module, inputs))

    prefix = tf.train.Checkpoint(module=module).save(os.path.join(tempfile.mkdtemp(), "model"))
    with strategy.scope():
        twin = snt.BatchNorm(scale=True, eps=0.0)
    tf.train.Checkpoint(module=twin).restore(prefix)
    found["restored test outputs"] = parts(test(twin, inputs))
    found["restored means"] = parts(twin.moving_mean)
    found["types"] = [type(v).__name__ for v in (module.gamma, module.moving_mean)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
