"""Which graphs can be used from where one stands, and how to build outside loops.

The body of a loop and the branches of a conditional are graphs of their own. They can use what is
in the graph around them, but nothing can use what is in them. The same holds of the graph of a
`tf.function`; that of an inner function, however, must not use what is in an outer one, since it is
traced once and may then be called from anywhere. Only the outermost graph of TensorFlow 1 is there
for all of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.graphs import outermost_graph


def usable_graphs() -> list[Any]:
    """Returns the graphs whose tensors can be used here, from the current one outwards."""
    in_graph = outermost_graph() is not None
    graphs = [tf1.get_default_graph()]
    while graphs[-1].building_function and (in_graph or _is_control_flow(graphs[-1])):
        graphs.append(graphs[-1].outer_graph)
    return graphs


@contextlib.contextmanager
def outside_control_flow() -> Iterator[None]:
    """Builds outside all loops and conditionals, in the outermost graph that can be used here.

    `tf.init_scope` would leave functions too, and would hide the ops from a `tf.GradientTape`.
    """
    if tf.executing_eagerly():
        yield
        return
    with contextlib.ExitStack() as contexts:
        current, outermost = tf1.get_default_graph(), usable_graphs()[-1]
        if outermost is not current:
            contexts.enter_context(outermost.as_default())
            # `tf1.get_variable` has left the name scopes of the current graph, but not of that one.
            contexts.enter_context(tf1.name_scope(None))
        contexts.enter_context(tf.control_dependencies(None))
        yield


def _is_control_flow(graph: Any) -> bool:
    # These classes are not public, but the name of their base has been the same since 2.0.
    return any(kind.__name__ == "ControlFlowFuncGraph" for kind in type(graph).__mro__)
