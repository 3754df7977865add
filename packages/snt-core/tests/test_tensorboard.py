"""The graph that TensorBoard draws: operations lie in the scopes of their modules."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


class Inner(snt.AbstractModule):
    def _build(self, inputs: Any) -> Any:
        w = tf1.get_variable("w", [3, 3], initializer=tf1.ones_initializer())
        return tf.matmul(inputs, w)


class Outer(snt.AbstractModule):
    def __init__(self, name: str = "outer") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._made_before = Inner(name="made_before")

    def _build(self, inputs: Any) -> Any:
        return Inner(name="made_in_build")(self._made_before(inputs))


# Of the second connection the name scope is a new one, so that TensorBoard shows it apart.
PRODUCTS = {
    "outer/made_before/MatMul",
    "outer/made_in_build/MatMul",
    "outer_1/made_before/MatMul",
    "outer_1/made_in_build/MatMul",
}


def written_graphs(folder: pathlib.Path) -> list[tf1.GraphDef]:
    """Returns the graphs in the event file, which is what TensorBoard reads."""
    (file,) = folder.glob("events.out.tfevents.*")
    events = tf1.train.summary_iterator(str(file))
    return [tf1.GraphDef.FromString(event.graph_def) for event in events if event.graph_def]


def products(graph: tf1.GraphDef) -> set[str]:
    return {node.name for node in graph.node if node.op == "MatMul"}


def test_a_graph_shows_modules_inside_one_another(tmp_path: pathlib.Path) -> None:
    with tf.Graph().as_default() as graph:
        outer = Outer()
        inputs = tf.ones([2, 3])
        outer(inputs)
        outer(inputs)
        tf1.summary.FileWriter(str(tmp_path), graph).close()
    (written,) = written_graphs(tmp_path)
    assert products(written) == PRODUCTS
    variables = {node.name for node in written.node if node.op == "VarHandleOp"}
    assert variables == {"outer/made_before/w", "outer/made_in_build/w"}


def test_a_function_shows_modules_inside_one_another(tmp_path: pathlib.Path) -> None:
    outer = Outer()

    @tf.function
    def twice(inputs: Any) -> Any:
        return outer(inputs) + outer(inputs)

    graph = twice.get_concrete_function(tf.TensorSpec([None, 3])).graph
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        tf.summary.graph(graph)
    writer.close()
    (written,) = written_graphs(tmp_path)
    assert products(written) == PRODUCTS
