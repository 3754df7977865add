"""Which graph counts: functions and loops have graphs of their own inside the one around them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1


def outermost_graph() -> Any:
    """Returns the graph that variables live in: the outermost one, or None if that is eager."""
    if tf.executing_eagerly():
        return None
    graph = tf1.get_default_graph()
    if not graph.building_function:
        return graph
    with tf.init_scope():
        return None if tf.executing_eagerly() else tf1.get_default_graph()


def default_graph_outside_functions() -> Any:
    """Returns the current graph or, where a function is being traced, the one around it."""
    graph = tf1.get_default_graph()
    while graph.building_function:
        graph = graph.outer_graph
    return graph


def in_replica_context() -> bool:
    """Tells whether this is one of several replicas that compute side by side."""
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()


@contextlib.contextmanager
def losses_reach_outermost_graph() -> Iterator[None]:
    """Hands on regularisation losses of variables that are made while a function is traced.

    Outside graphs TensorFlow makes each loss on demand, and puts it in the collection of the
    current graph; that of a function dies with its trace.
    """
    graph, outermost = tf1.get_default_graph(), default_graph_outside_functions()
    if outermost is graph:
        yield
        return
    losses = graph.get_collection_ref(tf1.GraphKeys.REGULARIZATION_LOSSES)
    before = len(losses)
    yield
    for loss in losses[before:]:
        outermost.add_to_collection(tf1.GraphKeys.REGULARIZATION_LOSSES, loss)
