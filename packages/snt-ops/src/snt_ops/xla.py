"""Whether XLA compiles what is being built: it knows none of the compiled ops."""

from __future__ import annotations

import weakref

import tensorflow as tf
import tensorflow.compat.v1 as tf1

_answers: weakref.WeakKeyDictionary[tf.Graph, bool] = weakref.WeakKeyDictionary()


def compiles_this() -> bool:
    """Returns whether XLA compiles the function that is being traced.

    TensorFlow has no public question for it, but a public answer: it marks conditionals for
    lowering, except where XLA compiles them, since XLA wants them whole. So one is built in a
    function of its own, which is then forgotten. Each function pays for that once, as it is traced.
    """
    if not tf.inside_function():
        return False
    graph = tf1.get_default_graph()
    answer = _answers.get(graph)
    if answer is None:
        answer = _answers[graph] = _conditional_is_kept_whole()
    return answer


def _conditional_is_kept_whole() -> bool:
    @tf.function(autograph=False)
    def conditional(choice: tf.Tensor) -> tf.Tensor:
        return tf.cond(choice, lambda: tf.constant(1), lambda: tf.constant(0))

    graph = conditional.get_concrete_function(tf.TensorSpec([], tf.bool)).graph
    found = [op for op in graph.get_operations() if op.type in ("If", "StatelessIf")]
    return bool(found) and not any("_lower_using_switch_merge" in op.node_def.attr for op in found)
