"""Modules on two parameter servers; run by `test_parameter_servers.py`.

The servers and the worker are in this process: only how they talk is as in a cluster.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import tensorflow as tf

import sonnet as snt

INPUTS = [[1.0, 2.0], [3.0, 8.0], [5.0, 2.0]]


def begin_cluster() -> Any:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    first, second, third = (f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    cluster = tf.train.ClusterSpec({"ps": [first, second], "worker": [third]})
    for job, index in (("ps", 0), ("ps", 1), ("worker", 0)):
        SERVERS.append(tf.distribute.Server(cluster, job, index, protocol="grpc"))
    return tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, rpc_layer="grpc")


SERVERS: list[Any] = []


def connect(strategy: Any, coordinator: Any, make: Any, *args: Any) -> dict[str, Any]:
    """Connects a module in the scope of the strategy, and again in a step of the worker."""
    with strategy.scope():
        module = make()
        module(tf.constant(INPUTS), *args)
    step = tf.function(lambda inputs: strategy.run(module, args=(inputs, *args)))
    outputs = coordinator.schedule(step, args=(tf.constant(INPUTS),)).fetch()
    return {
        "outputs": outputs.tolist(),
        "values": {variable.name: variable.numpy().tolist() for variable in module.variables},
        "servers": {
            variable.name: tf.DeviceSpec.from_string(variable.device).task
            for variable in module.variables
        },
    }


def main() -> None:
    resolver = begin_cluster()
    found = {}
    partitioners = {
        "whole": None,
        "sharded": tf.distribute.experimental.partitioners.FixedShardsPartitioner(2),
    }
    for name, partitioner in partitioners.items():
        strategy = tf.distribute.ParameterServerStrategy(resolver, partitioner)
        coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        found[name] = {
            "linear": connect(strategy, coordinator, lambda: snt.Linear(3)),
            "norm": connect(strategy, coordinator, lambda: snt.BatchNorm(decay_rate=0.5), True),
        }
    print(json.dumps(found), flush=True)
    sys.stderr.flush()
    os._exit(0)  # servers do not end


if __name__ == "__main__":
    main()
