"""`TransformerXL`: a transformer that remembers the latest steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from snt_nets.nets.transformer.core import TransformerCore
from snt_nets.nets.transformer.memory import newest


class TransformerXL(TransformerCore):
    """Recurrent core: a transformer that attends to the latest steps of the chunks before, too.

    After Dai et al., "Transformer-XL: Attentive language models beyond a fixed-length context",
    2019, https://arxiv.org/abs/1901.02860.

    The state is a list with a tensor `[batch, memory_size, value_size * num_heads]` for each layer:
    the latest inputs of its attention. Variables are those of the perceptron `mlp` that brings the
    input to the size of the layers, and those of `transformer_tower`.

    Args:
        core_config: Arguments of `snt.nets.TransformerTower`, of which `value_size`, `num_heads`
            and `num_layers` must be there.
        memory_size: Number of steps that are remembered.
        chunk_size: Number of steps of each call; 0 for inputs and outputs without an axis of time,
            for instance in `tf.compat.v1.nn.dynamic_rnn`.
        name: Name of the module. Default: "transformer_xl".

    Raises:
        KeyError: If `core_config` lacks one of those three.
        ValueError: If a size is negative.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> config = {"value_size": 4, "num_heads": 2, "num_layers": 3}
        >>> core = snt.nets.TransformerXL(config, memory_size=16, chunk_size=10)
        >>> outputs, state = core(tf.ones([5, 10, 3]), core.initial_state(batch_size=5))
        >>> outputs.shape, len(state), state[0].shape
        (TensorShape([5, 10, 8]), 3, TensorShape([5, 16, 8]))
    """

    def __init__(
        self,
        core_config: Mapping[str, Any],
        memory_size: int,
        chunk_size: int,
        name: str = "transformer_xl",
    ) -> None:
        super().__init__(core_config, chunk_size, name)
        self._check_size("memory_size", memory_size)
        self._memory_size = memory_size

    def _build(
        self, inputs: Any, prev_state: Any, is_training: Any = True
    ) -> tuple[Any, list[Any]]:
        """Reads a chunk.

        Args:
            inputs: Tensor `[batch, time, features]`, or `[batch, features]`, one step.
            prev_state: List of tensors `[batch, memory_size, value_size * num_heads]`.
            is_training: Whether dropout is active: a boolean, or a boolean tensor. Default: True.

        Returns:
            Tensor `[batch, time, output_size]`, or `[batch, output_size]` if `chunk_size` is 0; and
            the next state.

        Raises:
            TypeError: If the state is not a list or tuple, or not of the dtype of `inputs`.
            ValueError: If the shape of `inputs` is not as above, the number of steps is unknown, or
                the state has not one entry for each layer.
        """
        self._check_state(prev_state)
        if not self._memory_size:
            outputs, _ = self._apply_tower(inputs, None, is_training)
            return outputs, list(prev_state)
        outputs, states = self._apply_tower(inputs, prev_state, is_training)
        return outputs, [
            newest(tf.concat([memory, state.embeddings], axis=1), self._memory_size)
            for memory, state in zip(prev_state, states, strict=True)
        ]

    @property
    def state_size(self) -> list[Any]:
        """Shape of the memory of each layer."""
        shape = tf.TensorShape([self._memory_size, self._tower.embedding_size])
        return [shape] * self._tower.num_layers
