"""`TransformerCore`: a transformer that reads a sequence in chunks and remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from snt_core.recurrent import RNNCore
from snt_nets.flags import known_flag
from snt_nets.nets.transformer.attention import AttentionState
from snt_nets.nets.transformer.blocks import default_mlp
from snt_nets.nets.transformer.tower import TransformerTower


class TransformerCore(RNNCore):
    """Base class of `TransformerXL` and `CompressiveTransformer`.

    Args:
        core_config: Arguments of `TransformerTower`, among them `value_size`, `num_heads` and
            `num_layers`.
        chunk_size: Number of steps of each call; 0 for inputs and outputs without an axis of time.
        name: Name of the module.

    Raises:
        KeyError: If `core_config` lacks one of those three.
        ValueError: If `chunk_size` is negative.
    """

    def __init__(self, core_config: Mapping[str, Any], chunk_size: int, name: str) -> None:
        super().__init__(name=name)
        for key in ("value_size", "num_heads", "num_layers"):
            if key not in core_config:
                raise KeyError(f"{self.scope_name}: core_config lacks {key!r}, got {core_config}.")
        self._check_size("chunk_size", chunk_size)
        self._chunk_size = chunk_size
        embedding_size = core_config["value_size"] * core_config["num_heads"]
        with self._enter_variable_scope(check_same_graph=False):
            self._input_layer = default_mlp([embedding_size], activate_final=True)
            self._tower = TransformerTower(**core_config)

    def _check_size(self, name: str, size: int, smallest: int = 0) -> None:
        if size < smallest:
            raise ValueError(f"{self.scope_name}: {name} must be at least {smallest}, got {size}.")

    def _check_state(self, state: Any, entry_type: type = object) -> None:
        if not isinstance(state, (list, tuple)) or not all(
            isinstance(s, entry_type) for s in state
        ):
            raise TypeError(
                f"{self.scope_name}: the state must be as initial_state(batch_size) returns it, "
                f"got {state!r}."
            )

    def _apply_tower(
        self, inputs: Any, state: Any, is_training: Any
    ) -> tuple[Any, list[AttentionState]]:
        """Maps a chunk to the size of the tower, and applies that.

        Args:
            inputs: Tensor `[batch, time, features]` or `[batch, features]`, one step.
            state: State of the tower.
            is_training: Whether dropout is active.

        Returns:
            Outputs, and the states of the tower.
        """
        inputs = tf.convert_to_tensor(inputs)
        if inputs.shape.rank == 2:
            inputs = tf.expand_dims(inputs, axis=1)
        if inputs.shape.rank != 3 or (self._chunk_size == 0 and inputs.shape.as_list()[1] != 1):
            wanted = "time, " if self._chunk_size else ""
            raise ValueError(
                f"{self.scope_name}: inputs must be of the shape [batch, {wanted}features] with "
                f"chunk_size={self._chunk_size}, got the shape {inputs.shape}."
            )
        is_training = known_flag(is_training, f"{self.scope_name}: is_training")
        embedded = self._input_layer(
            inputs, is_training=is_training, dropout_keep_prob=1 - self._tower.dropout_rate
        )
        outputs, states = self._tower(embedded, state=state, is_training=is_training)
        return (outputs if self._chunk_size else tf.squeeze(outputs, axis=1)), states

    @property
    def output_size(self) -> Any:
        """Shape of the output of each example, `[chunk_size, features]` or `[features]`."""
        size = [self._tower.output_size]
        return tf.TensorShape([self._chunk_size, *size] if self._chunk_size else size)
