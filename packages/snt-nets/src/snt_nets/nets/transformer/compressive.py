"""`CompressiveTransformer`: a transformer that compresses what it would else forget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_nets.flags import conditional, known_flag
from snt_nets.nets.transformer.attention import AttentionState
from snt_nets.nets.transformer.compressors import ConvCompressor
from snt_nets.nets.transformer.core import TransformerCore
from snt_nets.nets.transformer.memory import CompressedMemoryState, newest, static_length
from snt_nets.nets.transformer.statistics import attention_statistics


class CompressiveTransformer(TransformerCore):
    """Recurrent core: a transformer with a memory of the latest steps and one of compressed ones.

    After Rae et al., "Compressive transformers for long-range sequence modelling", 2019,
    https://arxiv.org/abs/1911.05507.

    The state is a tuple with a `CompressedMemoryState` for each layer. What falls out of its
    episodic memory is compressed. The compressors learn from losses of their own: their mean over
    the layers is in the graph collection "auxiliary_losses" for each connection that is training,
    and is to be added to the loss of the program; outside graphs use `auxiliary_loss`. In a loop,
    such as `dynamic_rnn`, both stay inside of it: read chunks in a Python loop to train them.

    Variables are those of the perceptron `mlp` that brings the input to the size of the layers, of
    `transformer_tower`, and of a compressor for each layer.

    Args:
        core_config: Arguments of `snt.nets.TransformerTower`, of which `value_size`, `num_heads`
            and `num_layers` must be there.
        chunk_size: Number of steps of each call; 0 for inputs and outputs without an axis of time,
            for instance in `tf.compat.v1.nn.dynamic_rnn`.
        episodic_memory_size: Number of steps that are remembered as they were.
        compressed_memory_size: Number of compressed steps that are remembered.
        compression_rate: Number of steps that become one. Default: 2.
        compression_ctor: Class of the compressors, or function that makes one; see
            `ConvCompressor`, the default, and `PoolCompressor`.
        compression_config: Its arguments, besides `compression_rate`, `episodic_memory_size` and
            `compressed_memory_size`. Optional.
        export_stats: Whether to put statistics of each connection into the graph collection
            "stats_export", and into `stats`. Default: False.
        name: Name of the module. Default: "compressive_transformer".

    Raises:
        KeyError: If `core_config` lacks one of those three.
        ValueError: If a size is negative, or there is no episodic memory.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> config = {"value_size": 4, "num_heads": 2, "num_layers": 3}
        >>> core = snt.nets.CompressiveTransformer(
        ...     config, chunk_size=10, episodic_memory_size=16, compressed_memory_size=12
        ... )
        >>> outputs, state = core(tf.ones([5, 10, 3]), core.initial_state(batch_size=5))
        >>> outputs.shape, state[0].episodic_memory.shape, state[0].compressed_memory.shape
        (TensorShape([5, 10, 8]), TensorShape([5, 16, 8]), TensorShape([5, 12, 8]))
    """

    def __init__(
        self,
        core_config: Mapping[str, Any],
        chunk_size: int,
        episodic_memory_size: int,
        compressed_memory_size: int,
        compression_rate: int = 2,
        compression_ctor: Callable[..., Any] = ConvCompressor,
        compression_config: Mapping[str, Any] | None = None,
        export_stats: bool = False,
        name: str = "compressive_transformer",
    ) -> None:
        super().__init__(core_config, chunk_size, name)
        self._check_size("episodic_memory_size", episodic_memory_size, smallest=1)
        self._check_size("compressed_memory_size", compressed_memory_size)
        self._check_size("compression_rate", compression_rate, smallest=1)
        self._episodic_memory_size = episodic_memory_size
        self._compressed_memory_size = compressed_memory_size
        self._compression_rate = compression_rate
        config = {
            **(compression_config or {}),
            "compression_rate": compression_rate,
            "episodic_memory_size": episodic_memory_size,
            "compressed_memory_size": compressed_memory_size,
        }
        self._compression_window = compression_rate + config.get("kernel_size", 0)
        with self._enter_variable_scope(check_same_graph=False):
            self._compressors = [compression_ctor(**config) for _ in range(self._tower.num_layers)]
        self._export_stats = export_stats
        self._auxiliary_loss: Any = None
        self._stats: dict[str, Any] | None = None

    def _build(
        self, inputs: Any, prev_state: Any, is_training: Any = True
    ) -> tuple[Any, tuple[CompressedMemoryState, ...]]:
        """Reads a chunk.

        Args:
            inputs: Tensor `[batch, time, features]`, or `[batch, features]`, one step.
            prev_state: Tuple with a `CompressedMemoryState` for each layer.
            is_training: Whether dropout is active and the loss is collected: a boolean, or a
                boolean tensor. Default: True.

        Returns:
            Tensor `[batch, time, output_size]`, or `[batch, output_size]` if `chunk_size` is 0; and
            the next state.

        Raises:
            TypeError: If the state is not such a tuple, or not of the dtype of `inputs`.
            ValueError: If the shape of `inputs` is not as above, the number of steps is unknown,
                the state has not one entry for each layer, or there are too few steps to compress.
        """
        is_training = known_flag(is_training, f"{self.scope_name}: is_training")
        self._check_state(prev_state, CompressedMemoryState)
        outputs, attention_states = self._apply_tower(inputs, prev_state, is_training)
        next_state, losses = [], []
        for i, (state, attention_state) in enumerate(
            zip(prev_state, attention_states, strict=True)
        ):
            layer_state, loss = self._remember(i, state, attention_state, is_training)
            next_state.append(layer_state)
            losses.append(loss)
        self._auxiliary_loss = tf.add_n(losses) / len(losses)
        if is_training is not False:
            self._collect(
                "auxiliary_losses",
                conditional(
                    is_training,
                    lambda: self._auxiliary_loss,
                    lambda: tf.zeros_like(self._auxiliary_loss),
                ),
            )
        if self._export_stats:
            self._stats = attention_statistics(prev_state, attention_states)
            for i, loss in enumerate(losses):
                self._stats[f"compression_loss_l{i:02}"] = loss
            self._collect("stats_export", self._stats)
        return outputs, tuple(next_state)

    @staticmethod
    def _collect(collection: str, item: Any) -> None:
        if not tf.executing_eagerly():  # where a collection would keep it for ever
            tf1.add_to_collection(collection, item)

    def _remember(
        self, i: int, state: Any, attention_state: AttentionState, is_training: Any
    ) -> tuple[CompressedMemoryState, Any]:
        """Returns the next state of a layer, and the loss of its compressor."""
        embeddings = attention_state.embeddings
        episodic, compressed, index = map(tf.convert_to_tensor, state)
        steps = tf.concat([episodic, embeddings], axis=1)
        num_steps = static_length(embeddings, "input")
        num_oldest = min(
            max(self._compression_window, num_steps), static_length(steps, "memory") - 1
        )

        def compress() -> tuple[Any, Any]:
            made, loss = self._compressors[i](
                steps[:, :num_oldest],
                attention_state=attention_state,
                attention_module=self._tower.attention_module(i),
                is_training=is_training,
                dropout_keep_prob=1 - self._tower.dropout_rate,
            )
            both = tf.concat([compressed, made], axis=1)
            return newest(both, self._compressed_memory_size), tf.cast(loss, embeddings.dtype)

        if num_steps > 1:
            next_compressed, loss = compress()
        else:
            if not self.is_connected:
                compress()  # makes the variables now, whichever way the conditional goes
            next_compressed, loss = tf.cond(
                self._is_compression_due(index),
                compress,
                lambda: (compressed, tf.zeros([], embeddings.dtype)),
            )
        next_episodic = newest(steps, self._episodic_memory_size)
        return CompressedMemoryState(next_episodic, next_compressed, index + 1), loss

    def _is_compression_due(self, index: Any) -> Any:
        """Tells whether the first example has seen so many single steps as are compressed."""
        rate = self._compression_rate
        return tf.reduce_any(tf.equal(tf.math.floormod(index[:1], rate), rate - 1))

    @property
    def state_size(self) -> tuple[CompressedMemoryState, ...]:
        """Shapes of the state of each layer."""
        features = self._tower.embedding_size
        shapes = CompressedMemoryState(
            tf.TensorShape([self._episodic_memory_size, features]),
            tf.TensorShape([self._compressed_memory_size, features]),
            tf.TensorShape([1]),
        )
        return (shapes,) * self._tower.num_layers

    @property
    def auxiliary_loss(self) -> Any:
        """Mean loss of the compressors in the last connection, a scalar.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._auxiliary_loss

    @property
    def stats(self) -> dict[str, Any] | None:
        """Statistics of the last connection, or None without `export_stats`."""
        return self._stats
