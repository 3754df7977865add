"""`RelationalMemory`: a memory whose slots attend to each other and to the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_nets.batch_apply import merge_leading_dims, split_leading_dim
from snt_nets.dot_product_attention import (
    attention_weights,
    project_from_heads,
    project_to_heads,
)
from snt_nets.linear import Linear
from snt_nets.nets.mlp import MLP
from snt_nets.norm.layer_norm import LayerNorm
from snt_nets.reshape import BatchFlatten
from snt_rnn.core import RNNCore, trainable_initial_state

_GATE_STYLES = ("unit", "memory", None)


class RelationalMemory(RNNCore):
    """Recurrent memory whose slots attend to each other and to the input.

    After Santoro et al., "Relational recurrent neural networks", 2018,
    https://arxiv.org/abs/1806.01822. The input becomes rows beside those of the memory; blocks of
    multi-head attention and of an MLP, each with a residual connection and a layer normalisation,
    work on all rows; gates then mix what stands in the place of the memory with the memory.

    The memory is `[batch, mem_slots, head_size * num_heads]`, the output is the memory, flattened.

    Start from `initial_state`, by which each slot differs from the others: from zeros
    (`zero_state`, which TensorFlow's loops use unless they are given a state) all slots become the
    same, and remain so.

    Variables, in the dtype of the input: those of `snt.Linear` modules `linear` (of the input), one
    for each block (of queries, keys and values), and one each for the gates by input and by memory;
    of three `snt.LayerNorm` modules for each block; and of one `snt.nets.MLP` for all blocks.

    Args:
        mem_slots: Number of slots.
        head_size: Size of each head of the attention.
        num_heads: Number of heads. Default: 1.
        num_blocks: Number of times that the rows attend to each other. Default: 1.
        forget_bias: Added to the forget gate before the sigmoid. Default: 1.
        input_bias: Added to the input gate, likewise. Default: 0.
        gate_style: "unit" for a gate for each number in the memory, "memory" for one for each slot,
            None for no gates. Default: "unit".
        attention_mlp_layers: Number of layers of the MLP. Default: 2.
        key_size: Size of keys and queries of each head. Default: `head_size`.
        name: Name of the module. Default: "relational_memory".

    Raises:
        ValueError: If there is no such gate style, or `num_blocks` or `attention_mlp_layers` is
            less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.RelationalMemory(mem_slots=4, head_size=8, num_heads=2)
        >>> outputs, memory = core(tf.ones([5, 3]), core.initial_state(batch_size=5))
        >>> outputs.shape, memory.shape
        (TensorShape([5, 64]), TensorShape([5, 4, 16]))
    """

    def __init__(
        self,
        mem_slots: int,
        head_size: int,
        num_heads: int = 1,
        num_blocks: int = 1,
        forget_bias: float = 1.0,
        input_bias: float = 0.0,
        gate_style: str | None = "unit",
        attention_mlp_layers: int = 2,
        key_size: int | None = None,
        name: str = "relational_memory",
    ) -> None:
        super().__init__(name=name)
        for what, number in (
            ("num_blocks", num_blocks),
            ("attention_mlp_layers", attention_mlp_layers),
        ):
            if number < 1:
                raise ValueError(f"{self.scope_name}: {what} must be >= 1, got {number}.")
        if gate_style not in _GATE_STYLES:
            raise ValueError(
                f"{self.scope_name}: gate_style must be one of {_GATE_STYLES}, got {gate_style!r}."
            )
        self._mem_slots = mem_slots
        self._num_heads = num_heads
        self._head_sizes = [key_size or head_size, key_size or head_size, head_size]
        self._mem_size = head_size * num_heads
        self._forget_bias = forget_bias
        self._input_bias = input_bias
        self._input_gate: Any = None
        self._forget_gate: Any = None
        self._flatten = BatchFlatten()
        self._flatten_rows = BatchFlatten(preserve_dims=2)
        # Constructed in the order that gives them the names which checkpoints know.
        with self._enter_variable_scope(check_same_graph=False):
            self._input_linear = Linear(self._mem_size, allow_many_batch_dims=True)
            self._blocks = [
                (
                    Linear(num_heads * sum(self._head_sizes)),
                    [LayerNorm(axis=-1) for _ in range(3)],
                )
                for _ in range(num_blocks)
            ]
            self._mlp = MLP([self._mem_size] * attention_mlp_layers)
            self._gates: list[Linear] = []
            if gate_style is not None:
                units = self._mem_size if gate_style == "unit" else 1
                self._gates = [Linear(2 * units, allow_many_batch_dims=True) for _ in range(2)]

    def _build(
        self, inputs: Any, memory: Any, treat_input_as_matrix: bool = False
    ) -> tuple[Any, Any]:
        """Advances the memory by one step.

        Args:
            inputs: Tensor `[batch, ...]`, which is flattened to one row, or `[batch, rows, ...]`.
            memory: Tensor `[batch, mem_slots, head_size * num_heads]`.
            treat_input_as_matrix: Whether the second axis of the input is that of rows, each of
                which the memory attends to by itself. Default: False.

        Returns:
            Output `[batch, mem_slots * head_size * num_heads]`, and the next memory.

        Raises:
            ValueError: If a size of the input, but for the batch, is unknown.
            IncompatibleShapeError: If the sizes are not those of an earlier connection.
        """
        inputs, memory = tf.convert_to_tensor(inputs), tf.convert_to_tensor(memory)
        if treat_input_as_matrix:
            rows = self._input_linear(self._flatten_rows(inputs))
        else:
            rows = tf.expand_dims(self._input_linear(self._flatten(inputs)), axis=1)
        new = tf.concat([memory, rows], axis=1)
        for project, (norm_projected, norm_attended, norm_mapped) in self._blocks:
            new = norm_attended(new + self._attended(new, project, norm_projected))
            mapped = split_leading_dim(self._mlp(merge_leading_dims(new)), new)
            new = norm_mapped(new + mapped)
        next_memory = new[:, : self._mem_slots]
        if self._gates:
            next_memory = self._gated(rows, memory, next_memory)
        return self._flatten(next_memory), next_memory

    def _attended(self, rows: Any, project: Any, norm: Any) -> Any:
        """Returns what each row reads from all rows."""
        heads = project_to_heads(lambda x: norm(project(x)), rows, self._num_heads)
        queries, keys, values = tf.split(heads, self._head_sizes, axis=-1)
        logits = tf.matmul(queries * self._head_sizes[0] ** -0.5, keys, transpose_b=True)
        return project_from_heads(lambda x: x, tf.matmul(attention_weights(logits), values))

    def _gated(self, rows: Any, memory: Any, new: Any) -> Any:
        """Mixes what is new with the memory."""
        by_input, by_memory = self._gates
        gates = tf.expand_dims(by_input(self._flatten(rows)), axis=1) + by_memory(tf.tanh(memory))
        input_gate, forget_gate = tf.split(gates, 2, axis=2)
        self._input_gate = tf.sigmoid(input_gate + self._input_bias)
        self._forget_gate = tf.sigmoid(forget_gate + self._forget_bias)
        return self._input_gate * tf.tanh(new) + self._forget_gate * memory

    def initial_state(  # type: ignore[override]
        self,
        batch_size: Any,
        trainable: bool = False,
        dtype: Any = tf.float32,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
    ) -> Any:
        """Returns the memory to begin with, each slot of which is unlike the others.

        It is the identity matrix, with columns of zeros added, or columns cut off.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            trainable: Whether the memory is learnt: then each call makes a new variable, except
                inside the `_build` of a module. Default: False.
            dtype: Type of the memory. Default: float32.
            trainable_initializers: Initializer of a memory that is learnt. Default: the identity.
            trainable_regularizers: Its regularizer. Optional.
            name: Name scope of the ops, and start of the name of the variable. Default: the name of
                the module's scope with "_initial_state".

        Returns:
            Tensor `[batch_size, mem_slots, head_size * num_heads]`.

        Raises:
            TypeError: If `trainable` is not a boolean; other cores take `dtype` in this place.
            ValueError: As `snt.trainable_initial_state` does.
        """
        if not isinstance(trainable, (bool, np.bool_)):
            raise TypeError(
                f"{self.scope_name}: trainable, the second argument of initial_state, must be a "
                f"boolean, got {trainable!r}. Give the type as dtype=."
            )
        name = name or f"{self.scope_name}_initial_state"
        with tf1.name_scope(name):
            if trainable:
                return trainable_initial_state(
                    batch_size,
                    self.state_size,
                    dtype,
                    initializers=trainable_initializers or _identity,
                    regularizers=trainable_regularizers,
                    name=name,
                )
            return self.zero_state(batch_size, dtype) + _identity(
                [1, self._mem_slots, self._mem_size], dtype
            )

    @property
    def state_size(self) -> Any:
        """Shape of the memory without the batch, `[mem_slots, head_size * num_heads]`."""
        return tf.TensorShape([self._mem_slots, self._mem_size])

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch, `[mem_slots * head_size * num_heads]`."""
        return tf.TensorShape([self._mem_slots * self._mem_size])

    @property
    def input_gate(self) -> Any:
        """The input gate of the last connection, `[batch, mem_slots, units]`.

        Raises:
            NotConnectedError: If the module is not connected yet.
            AttributeError: If there are no gates.
        """
        return self._checked_gate("input_gate", self._input_gate)

    @property
    def forget_gate(self) -> Any:
        """The forget gate of the last connection, `[batch, mem_slots, units]`.

        Raises:
            NotConnectedError: If the module is not connected yet.
            AttributeError: If there are no gates.
        """
        return self._checked_gate("forget_gate", self._forget_gate)

    def _checked_gate(self, name: str, gate: Any) -> Any:
        self._ensure_is_connected()
        if not self._gates:
            raise AttributeError(
                f"{self.scope_name} has no {name}: it was constructed with gate_style=None."
            )
        return gate


def _identity(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
    """Initialises a memory `[1, slots, size]`: slot i has a one in column i."""
    _, slots, size = shape
    return tf.eye(slots, size, batch_shape=[1], dtype=dtype or tf.float32)
