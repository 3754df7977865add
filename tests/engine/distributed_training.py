"""Trains a small net on one device or on two mirrored ones; run by `test_distribution.py`."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tensorflow as tf

import sonnet as snt

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(8, 4)).astype(np.float32)
TARGETS = RANDOM.normal(size=(8, 2)).astype(np.float32)
RATE, STEPS = 0.1, 3


class Net(snt.AbstractModule):
    """Has variables of a method, of a submodule made anew, and one that is not trained."""

    def __init__(self, name: str = "net") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._last = snt.Linear(2, name="last")

    @snt.reuse_variables
    def encode(self, inputs: Any) -> Any:
        return tf.tanh(snt.Linear(3, name="first")(inputs))

    def _build(self, inputs: Any) -> Any:
        scale = tf.compat.v1.get_variable("scale", [], trainable=False)
        return self._last(self.encode(inputs)) * scale


def set_values(variables: Any) -> None:
    random = np.random.default_rng(1)
    for variable in variables:
        variable.assign(random.normal(size=variable.shape))


def replicas_agree(variables: Any) -> bool:
    return all(
        np.array_equal(*(part.numpy() for part in variable.values))
        for variable in variables
        if hasattr(variable, "values")
    )


def update(variable: Any, gradient: Any) -> Any:
    return variable.assign_sub(RATE * gradient)


def step(net: Any, inputs: Any, targets: Any) -> Any:
    """Takes one step of gradient descent on the mean over the global batch, in each replica."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(net(inputs) - targets)) / len(INPUTS)
    variables = net.trainable_variables
    gradients = tape.gradient(loss, variables)

    def merge(strategy: Any, *gradients: Any) -> None:
        pairs = list(zip(gradients, variables, strict=True))
        reduced = strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs)
        for gradient, variable in zip(reduced, variables, strict=True):
            strategy.extended.update(variable, update, args=(gradient,))

    tf.distribute.get_replica_context().merge_call(merge, args=tuple(gradients))
    return loss


def connect_first(net: Any, strategy: Any, first: str) -> None:
    inputs = tf.constant(INPUTS)
    if first == "eager":
        with strategy.scope():
            net(inputs)
    elif first == "function":
        with strategy.scope():
            tf.function(net)(inputs)
    elif first == "run":
        strategy.run(net, args=(inputs,))
    elif first == "run in a function":
        tf.function(lambda: strategy.run(net, args=(inputs,)))()
    elif first == "run of a function":
        strategy.run(tf.function(net), args=(inputs,))


def train(strategy: Any, first: str) -> dict[str, Any]:
    with strategy.scope():
        net = Net()
    connect_first(net, strategy, first)
    initially_equal = replicas_agree(net.variables)
    set_values(net.variables)
    dataset = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(len(INPUTS))
    batches = list(strategy.experimental_distribute_dataset(dataset.repeat(STEPS)))

    def run(batch: Any) -> Any:
        losses = strategy.run(lambda inputs, targets: step(net, inputs, targets), args=batch)
        return strategy.reduce("SUM", losses, axis=None)

    # One step is taken without a function, the others with it.
    losses = [run(batches[0]), *map(tf.function(run), batches[1:])]
    return {
        "losses": [float(loss) for loss in losses],
        "names": [variable.name for variable in net.variables],
        "types": sorted({type(variable).__name__ for variable in net.variables}),
        "values": [variable.numpy().tolist() for variable in net.variables],
        "replicas agree": initially_equal and replicas_agree(net.variables),
        "in its scope": len(net.get_variables()),
        "outside": np.asarray(net(tf.constant(INPUTS))).tolist(),
    }


def main() -> None:
    (device,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    results = {"one device": train(tf.distribute.get_strategy(), "eager")}
    for first in sys.argv[1:]:
        tf.compat.v1.reset_default_graph()
        results[first] = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), first)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
