"""`IndexedStatsBatchNorm`: batch normalisation with moving averages for each step in time."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_nets.norm.batch_norm import BatchNorm


class IndexedStatsBatchNorm(AbstractModule):
    """Batch normalisation with several sets of moving averages, the step in time choosing one.

    Variables: those of the `snt.BatchNorm` modules `batch_norm`, `batch_norm_1` and so on in the
    scope of the module, all made by the first connection.

    Where a graph is built outside of loops, the updates of a single set go to the collection
    `tf.compat.v1.GraphKeys.UPDATE_OPS`, as for `snt.BatchNorm`. Eagerly, in a `tf.function`, in
    loops, and wherever one of several sets is chosen, each call makes them.

    Args:
        max_unique_stats: Number of sets; the last one is for all later steps too.
        name: Name of the module. Default: "indexed_stats_batch_norm".
    """

    def __init__(self, max_unique_stats: int, name: str | None = None) -> None:
        super().__init__(name=name)
        with self._enter_variable_scope(check_same_graph=False) as scope:
            # A reference variable is read once for all steps of a loop, before the loop.
            scope.set_use_resource(True)
            self._sets = [_BatchNorm(offset=False, scale=False) for _ in range(max_unique_stats)]

    def _build(self, inputs: Any, index: Any, is_training: Any, test_local_stats: Any) -> Any:
        """Normalises the inputs of one step.

        Args:
            inputs: Tensor `[batch, features]`.
            index: Number of the step, from 0: an integer tensor without axes. Not used where there
                is one set.
            is_training: As for `snt.BatchNorm`.
            test_local_stats: Likewise.

        Returns:
            Tensor of the shape and dtype of `inputs`.
        """
        if len(self._sets) == 1:
            return self._sets[0](inputs, is_training, test_local_stats)
        self._make_variables(inputs)
        outputs = tf.switch_case(
            tf.clip_by_value(index, 0, len(self._sets) - 1),
            [
                lambda batch_norm=batch_norm: batch_norm(inputs, is_training, test_local_stats)
                for batch_norm in self._sets
            ],
        )
        outputs.set_shape(inputs.shape)
        return outputs

    def _make_variables(self, inputs: Any) -> None:
        """Makes the variables of all sets, of which eagerly only the chosen one is called."""
        for batch_norm in self._sets:
            if not batch_norm.is_connected:
                batch_norm(tf.zeros([1, inputs.shape[-1]], inputs.dtype), is_training=False)


class _BatchNorm(BatchNorm):
    """Makes its updates at the call in the loops and branches of TensorFlow 1, too."""

    def __init__(self, offset: bool, scale: bool, name: str = "batch_norm") -> None:
        super().__init__(offset=offset, scale=scale, name=name)

    def _build(self, input_batch: Any, is_training: Any, test_local_stats: Any = True) -> Any:
        """Normalises `input_batch`; see `snt.BatchNorm`."""
        collection = None if _in_old_control_flow() else tf1.GraphKeys.UPDATE_OPS
        self._update_ops_collection = collection
        return super()._build(input_batch, is_training, test_local_stats)


def _in_old_control_flow() -> bool:
    """Tells whether this is in a loop or branch that is not a graph of its own.

    What is made there cannot be run from outside. TensorFlow does not tell publicly where one is;
    but in a loop or branch, it stands a gate between an op and a tensor from outside of it.
    """
    if tf.executing_eagerly() or tf1.get_default_graph().building_function:
        return False
    with tf1.name_scope("is_in_control_flow"):
        with tf.control_dependencies(None):  # which leads out
            outside = tf.constant(0)
        return tf.identity(outside).op.inputs[0] is not outside
