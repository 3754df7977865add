"""`TransformerTower`: layers of attention and perceptrons."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_nets.batch_apply import BatchApply
from snt_nets.flags import conditional, known_flag
from snt_nets.linear import Linear
from snt_nets.nets.transformer.attention import AttentionState, MultiheadAttention
from snt_nets.nets.transformer.blocks import ResidualDropoutWrapper, default_mlp
from snt_nets.nets.transformer.masks import create_mask
from snt_nets.nets.transformer.memory import (
    CompressedMemoryState,
    memories_of,
    memory_sizes,
    static_length,
)
from snt_nets.nets.transformer.positions import get_position_encodings


class TransformerTower(AbstractModule):
    """Transformer over a sequence and, for each layer, a memory of what came before it.

    After Vaswani et al., "Attention is all you need", 2017, https://arxiv.org/abs/1706.03762; with
    relative positions after Dai et al., "Transformer-XL: Attentive language models beyond a
    fixed-length context", 2019, https://arxiv.org/abs/1901.02860.

    Each layer is a `MultiheadAttention` and a `snt.nets.MLP`, each in a `ResidualDropoutWrapper`.
    Their variables are in the scopes `layer_0`, `layer_1` and so on, in the dtype of the input.

    Args:
        value_size: Size of the values of each head. All layers have `value_size * num_heads`
            features, an even number.
        num_heads: Number of heads.
        num_layers: Number of layers.
        causal: Whether steps attend to earlier ones only. Default: True.
        key_size: Size of the keys of each head. Default: `value_size`.
        shared_attention: Whether all layers use the attention of the first one. Default: False.
        output_size: Number of output features, got by a last linear map. Default: those of the
            layers, without a map.
        mlp_hidden_sizes: Sizes of the hidden layers of each perceptron. Default: (1024,).
        dropout_rate: Probability that an element is dropped in training: of the encodings, of the
            attention weights, inside the perceptrons, and behind each sublayer. Default: 0.1.
        use_relative_positions: Whether attention depends on the distance of two steps; otherwise
            encodings of positions are added to the inputs of keys and queries. Default: True.
        clamp_time_range: Largest distance that is told from those beyond it; 0 for no such limit.
            Default: 0.
        same_attention_length: Whether each step attends to as many steps as the first one, given a
            memory at least as long as the sequence. Default: False.
        layer_norm: As for `ResidualDropoutWrapper`. Default: "input".
        name: Name of the module. Default: "transformer_tower".

    Raises:
        ValueError: If `num_layers` is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> tower = snt.nets.TransformerTower(value_size=4, num_heads=2, num_layers=3)
        >>> outputs, states = tower(tf.ones([5, 10, 8]), is_training=False)
        >>> outputs.shape, len(states)
        (TensorShape([5, 10, 8]), 3)
    """

    def __init__(
        self,
        value_size: int,
        num_heads: int,
        num_layers: int,
        causal: bool = True,
        key_size: int | None = None,
        shared_attention: bool = False,
        output_size: int | None = None,
        mlp_hidden_sizes: Iterable[int] = (1024,),
        dropout_rate: float = 0.1,
        use_relative_positions: bool = True,
        clamp_time_range: float = 0,
        same_attention_length: bool = False,
        layer_norm: str | None = "input",
        name: str = "transformer_tower",
    ) -> None:
        super().__init__(name=name)
        if num_layers < 1:
            raise ValueError(f"{self.scope_name}: num_layers must be positive, got {num_layers}.")
        self._value_size = value_size
        self._key_size = value_size if key_size is None else key_size
        self._num_heads = num_heads
        self._num_layers = num_layers
        self._causal = causal
        self._shared_attention = shared_attention
        self._output_size = output_size
        self._mlp_hidden_sizes = tuple(mlp_hidden_sizes)
        self._dropout_rate = dropout_rate
        self._use_relative_positions = use_relative_positions
        self._clamp_time_range = clamp_time_range
        self._same_attention_length = same_attention_length
        self._layer_norm = layer_norm
        self._attention_modules: list[MultiheadAttention] = []
        self._sublayers: list[tuple[ResidualDropoutWrapper, ResidualDropoutWrapper]] = []
        self._output_layer: BatchApply | None = None
        with self._enter_variable_scope(check_same_graph=False):
            for i in range(num_layers):
                with tf1.variable_scope(f"layer_{i}", auxiliary_name_scope=False):
                    self._add_layer()
            if output_size is not None:
                self._output_layer = BatchApply(Linear(output_size, use_bias=False))

    def _add_layer(self) -> None:
        init_std = 2 / math.sqrt(self._num_layers)
        if self._shared_attention and self._attention_modules:
            attention = self._attention_modules[0]
        else:
            attention = MultiheadAttention(
                value_size=self._value_size,
                key_size=self._key_size,
                num_heads=self._num_heads,
                use_relative_positions=self._use_relative_positions,
                init_std=init_std,
            )
        self._attention_modules.append(attention)
        mlp_sizes = (*self._mlp_hidden_sizes, self.embedding_size)
        self._sublayers.append(
            (
                ResidualDropoutWrapper(attention, self._dropout_rate, self._layer_norm),
                ResidualDropoutWrapper(
                    default_mlp(mlp_sizes, init_std=init_std), self._dropout_rate, self._layer_norm
                ),
            )
        )

    def _build(
        self, inputs: Any, state: Any = None, condition: Any = None, is_training: Any = True
    ) -> tuple[Any, list[AttentionState]]:
        """Applies the layers.

        Args:
            inputs: Tensor `[batch, time, features]`. With those of `condition` there must be
                `value_size * num_heads` features.
            state: The memory, a list with one entry for each layer: Tensor `[batch, memory,
                value_size * num_heads]` or `CompressedMemoryState`. Optional.
            condition: Tensor `[batch, features]`, appended to the input at each step. Optional.
            is_training: Whether dropout is active: a boolean, or a boolean tensor. Default: True.

        Returns:
            Tensor `[batch, time, output_size]`, and a list with the `AttentionState` of each layer.

        Raises:
            TypeError: If `state` is not a list or tuple, or not of the dtype of `inputs`.
            ValueError: If the number of features is not right, a number of steps is unknown, or
                `state` has not one entry for each layer.
        """
        is_training = known_flag(is_training, f"{self.scope_name}: is_training")
        outputs = self._checked_inputs(inputs, condition)
        states = self._checked_states(state, outputs.dtype)
        mask = None
        if self._causal:
            mask = create_mask(outputs, states, self._same_attention_length)
        encodings = self._position_encodings(outputs, states, is_training)
        keep_prob = 1 - self._dropout_rate
        attention_states = []
        for i, (attention, mlp) in enumerate(self._sublayers):
            with tf1.name_scope(f"layer_{i}"):
                outputs, attention_state = attention(
                    outputs,
                    state=states[i],
                    is_training=is_training,
                    dropout_keep_prob=keep_prob,
                    mask=mask,
                    positional_encodings=encodings,
                )
                attention_states.append(attention_state)
                outputs = mlp(outputs, is_training=is_training, dropout_keep_prob=keep_prob)
        if self._output_layer is not None:
            outputs = self._output_layer(outputs)
        return outputs, attention_states

    def _checked_inputs(self, inputs: Any, condition: Any) -> Any:
        """Returns the inputs with the condition."""
        inputs = tf.convert_to_tensor(inputs)
        if inputs.shape.rank != 3:
            raise ValueError(
                f"{self.scope_name}: inputs must be of rank 3, [batch, time, features], got the "
                f"shape {inputs.shape}."
            )
        if condition is not None:
            length = static_length(inputs, "input")
            condition = tf.expand_dims(tf.convert_to_tensor(condition, inputs.dtype), axis=1)
            inputs = tf.concat([inputs, tf.tile(condition, [1, length, 1])], axis=-1)
        if inputs.shape.as_list()[-1] != self.embedding_size:
            raise ValueError(
                f"{self.scope_name}: the input, with the condition if there is one, must have "
                f"value_size * num_heads = {self.embedding_size} features, got the shape "
                f"{inputs.shape}."
            )
        return inputs

    def _checked_states(self, state: Any, dtype: Any) -> list[Any]:
        """Returns the state of each layer, None where there is none."""
        if state is None:
            return [None] * self._num_layers
        if not isinstance(state, (list, tuple)) or isinstance(state, CompressedMemoryState):
            raise TypeError(
                f"{self.scope_name}: state must be a list or a tuple with one entry for each of "
                f"the {self._num_layers} layers, got {state!r}."
            )
        if len(state) != self._num_layers:
            raise ValueError(
                f"{self.scope_name}: state must have one entry for each of the {self._num_layers} "
                f"layers, got {len(state)}."
            )
        states = [tf.nest.map_structure(tf.convert_to_tensor, entry) for entry in state]
        dtypes = {memory.dtype for entry in states for memory in memories_of(entry)}
        if dtypes - {dtype}:
            raise TypeError(
                f"{self.scope_name}: state must be of the dtype of the input, {dtype.name}, got "
                f"{sorted(d.name for d in dtypes)}. See the argument dtype of initial_state."
            )
        return states

    def _position_encodings(self, inputs: Any, states: list[Any], is_training: Any) -> Any:
        """Returns what the attention takes as `positional_encodings`."""
        chunk_size = static_length(inputs, "input")
        sizes_by_layer = [memory_sizes(state) for state in states]
        if len({len(sizes) for sizes in sizes_by_layer}) > 1:
            raise ValueError(
                f"{self.scope_name}: the states of all layers must be of one kind, tensors or "
                "CompressedMemoryState."
            )
        if not self._use_relative_positions:
            sizes_by_layer = [[sum(sizes)] for sizes in sizes_by_layer]
        pairs = []
        for sizes in zip(*sizes_by_layer, strict=True):
            keys = get_position_encodings(
                sequence_length=chunk_size + max(sizes),
                hidden_size=self.embedding_size,
                clamp_value=self._clamp_time_range,
                dtype=inputs.dtype,
            )
            keys = self._dropped(keys, is_training)
            pairs.append((keys, keys[:, max(sizes) :]))
        return pairs if self._use_relative_positions else pairs[0]

    def _dropped(self, encodings: Any, is_training: Any) -> Any:
        return conditional(
            is_training,
            lambda: tf.nn.dropout(encodings, rate=self._dropout_rate),
            lambda: encodings,
        )

    def get_sublayers(
        self,
        is_training: Any = None,
    ) -> list[tuple[ResidualDropoutWrapper, ResidualDropoutWrapper]]:
        """Returns the attention and the perceptron of each layer, as they are wrapped.

        Args:
            is_training: Not used: the sublayers are told when they are called.
        """
        return list(self._sublayers)

    def attention_module(self, i: int) -> MultiheadAttention:
        """Returns the attention of a layer.

        Args:
            i: Number of the layer, from 0.
        """
        return self._attention_modules[i]

    @property
    def embedding_size(self) -> int:
        """Number of features of the layers, `value_size * num_heads`."""
        return self._value_size * self._num_heads

    @property
    def output_size(self) -> int:
        """Number of output features."""
        return self.embedding_size if self._output_size is None else self._output_size

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return self._num_layers

    @property
    def dropout_rate(self) -> float:
        """Probability that an element is dropped in training."""
        return self._dropout_rate
