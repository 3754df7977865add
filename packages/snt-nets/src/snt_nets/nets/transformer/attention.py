"""`MultiheadAttention`: attention over a sequence and a memory, with relative positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_core.scoping import get_variable
from snt_nets.dot_product_attention import (
    attention_weights,
    project_from_heads,
    project_to_heads,
)
from snt_nets.flags import known_flag
from snt_nets.linear import Linear
from snt_nets.nets.transformer.memory import memories_of, memory_sizes
from snt_nets.nets.transformer.positions import rel_shift


class AttentionState(NamedTuple):
    """What a `MultiheadAttention` computed on its way.

    Attributes:
        queries: The queries, scaled, `[batch, heads, queries, key_size]`.
        keys: The keys, `[batch, heads, memory + time, key_size]`.
        values: The values, `[batch, heads, memory + time, value_size]`.
        logits: Logits by content, without those by position and the mask, `[batch, heads, queries,
            memory + time]`.
        weights: Weights after softmax and dropout, of the same shape.
        embeddings: The inputs, `[batch, time, features]`.
        read_words: The outputs, `[batch, queries, heads * value_size]`.
    """

    queries: Any
    keys: Any
    values: Any
    logits: Any
    weights: Any
    embeddings: Any
    read_words: Any


class MultiheadAttention(AbstractModule):
    """Attention in several heads, over a sequence and the memory of what came before it.

    After Vaswani et al., "Attention is all you need", 2017, https://arxiv.org/abs/1706.03762; with
    relative positions after Dai et al., "Transformer-XL: Attentive language models beyond a
    fixed-length context", 2019, https://arxiv.org/abs/1901.02860. For attention between sequences
    in general see `snt.MultiHeadAttention`.

    Variables, in the dtype of the input: `query/linear/w` and `key/linear/w` `[features, num_heads
    * key_size]`, `value/linear/w` `[features, num_heads * value_size]`, `linear/w` and `linear/b`
    of the map of all heads. With relative positions also `r_w_bias` and `r_r_bias` `[1, num_heads,
    1, key_size]` and `relative_keys/linear/w`; where there are two memories, the same with `_0` for
    the older one.

    Args:
        value_size: Size of the values of each head.
        key_size: Size of the keys and queries of each head.
        num_heads: Number of heads.
        mask: Tensor `[1, 1, queries, memory + time]`, added to the logits. Optional.
        scaling: Whether queries are multiplied by 1/√key_size. Default: True.
        positional_encodings: With relative positions, a list of pairs of tensors `[1, steps,
            features]`, encodings for keys and for queries: a pair for each kind of memory, the last
            one counting the sequence in. Otherwise one pair, added to the inputs of keys and of
            queries. What is longer than needed is cut to the newest steps. Optional, but with
            relative positions.
        use_relative_positions: Whether logits depend on the distance of two steps. Default: False.
        init_std: Scale of the variance of the weights by default, which is `init_std` / features.
            Default: 2.
        name: Name of the module. Default: "multihead_attention".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> attention = snt.nets.transformer.MultiheadAttention(
        ...     value_size=4, key_size=6, num_heads=2
        ... )
        >>> outputs, state = attention(tf.ones([5, 3, 8]))
        >>> outputs.shape, state.weights.shape
        (TensorShape([5, 3, 8]), TensorShape([5, 2, 3, 3]))
    """

    def __init__(
        self,
        value_size: int,
        key_size: int,
        num_heads: int,
        mask: Any = None,
        scaling: bool = True,
        positional_encodings: Any = None,
        use_relative_positions: bool = False,
        init_std: float = 2.0,
        name: str = "multihead_attention",
    ) -> None:
        super().__init__(name=name)
        self._num_heads = num_heads
        self._key_size = key_size
        self._mask = mask
        self._scaling = scaling
        self._positional_encodings = positional_encodings
        self._use_relative_positions = use_relative_positions
        initializer = tf1.variance_scaling_initializer(
            scale=init_std, mode="fan_in", distribution="truncated_normal"
        )
        head_sizes = {"query": key_size, "key": key_size, "value": value_size}
        if use_relative_positions:
            head_sizes.update(relative_keys_0=key_size, relative_keys=key_size)
        self._projections = {}
        with self._enter_variable_scope(check_same_graph=False):
            for projection, size in head_sizes.items():
                with tf1.variable_scope(projection, auxiliary_name_scope=False):
                    self._projections[projection] = Linear(
                        num_heads * size, use_bias=False, initializers={"w": initializer}
                    )
            self._linear = Linear(num_heads * value_size)

    def _build(
        self,
        inputs: Any,
        query_inputs: Any = None,
        state: Any = None,
        is_training: Any = False,
        dropout_keep_prob: Any = 0.5,
        mask: Any = None,
        positional_encodings: Any = None,
    ) -> tuple[Any, AttentionState]:
        """Attends to `inputs` and the memory.

        Args:
            inputs: Tensor `[batch, time, features]`.
            query_inputs: Tensor `[batch, queries, features]`, the steps that attend. Default:
                `inputs`.
            state: The memory: Tensor `[batch, memory, features]` or `CompressedMemoryState`.
                Optional.
            is_training: Whether weights are dropped: a boolean, or a boolean tensor. Default:
                False.
            dropout_keep_prob: Probability that a weight is kept in training. Default: 0.5.
            mask: Takes the place of the mask of the constructor. Optional.
            positional_encodings: Take the place of those of the constructor. Optional.

        Returns:
            Tensor `[batch, queries, num_heads * value_size]`, and the `AttentionState`.

        Raises:
            ValueError: If the rank of an input is not 3, encodings or a mask are too short, or
                relative positions do not suit the memory.
        """
        inputs = self._checked(inputs, "inputs")
        query_inputs = inputs if query_inputs is None else self._checked(query_inputs, "queries")
        mask = self._mask if mask is None else mask
        if positional_encodings is None:
            positional_encodings = self._positional_encodings
        attended = tf.concat([*memories_of(state), inputs], 1) if state is not None else inputs
        key_inputs = attended
        if positional_encodings is not None and not self._use_relative_positions:
            key_encodings, query_encodings = positional_encodings
            key_inputs += self._cropped(key_encodings, attended, "positional encodings")
            query_inputs += self._cropped(query_encodings, query_inputs, "positional encodings")

        queries = self._project(query_inputs, "query")
        keys = self._project(key_inputs, "key")
        values = self._project(attended, "value")
        if self._scaling:
            queries *= self._key_size**-0.5
        if self._use_relative_positions:
            content_queries = queries + self._head_bias("r_w_bias", inputs.dtype)
            content_logits = tf.matmul(content_queries, keys, transpose_b=True)
            logits = content_logits + self._relative_logits(
                queries, inputs, state, attended, positional_encodings
            )
        else:
            logits = content_logits = tf.matmul(queries, keys, transpose_b=True)
        if mask is not None:
            logits += self._cropped(mask, attended, "mask", axis=-1)
        is_training = known_flag(is_training, f"{self.scope_name}: is_training")
        weights = attention_weights(logits, 1 - dropout_keep_prob, is_training)
        outputs = project_from_heads(self._linear, tf.matmul(weights, values))
        return outputs, AttentionState(
            queries, keys, values, content_logits, weights, inputs, outputs
        )

    def multihead_linear(self, inputs: Any, name: str, stop_weight_gradients: bool = False) -> Any:
        """Maps inputs as the module does to get its queries, keys or values.

        Args:
            inputs: Tensor `[batch, time, features]`.
            name: "query", "key" or "value"; with relative positions also "relative_keys" and
                "relative_keys_0".
            stop_weight_gradients: Whether gradients end at the weights. Default: False.

        Returns:
            Tensor `[batch, num_heads, time, key_size or value_size]`.

        Raises:
            ValueError: If there is no such map.
        """
        if name not in self._projections:
            raise ValueError(
                f"{self.scope_name}: name must be one of {sorted(self._projections)}, got {name!r}."
            )
        with self._enter_variable_scope():
            return self._project(self._checked(inputs, "inputs"), name, stop_weight_gradients)

    def _project(self, inputs: Any, name: str, stop_weight_gradients: bool = False) -> Any:
        linear = self._projections[name]
        if not stop_weight_gradients:
            return project_to_heads(linear, inputs, self._num_heads)
        if not linear.is_connected:
            project_to_heads(linear, inputs, self._num_heads)
        return project_to_heads(
            lambda flat: tf.matmul(flat, tf.stop_gradient(linear.w)), inputs, self._num_heads
        )

    def _head_bias(self, name: str, dtype: Any) -> Any:
        return get_variable(name, [1, self._num_heads, 1, self._key_size], dtype)

    def _relative_logits(
        self, queries: Any, inputs: Any, state: Any, attended: Any, positional_encodings: Any
    ) -> Any:
        """Returns the logits by distance, `[batch, heads, queries, memory + time]`."""
        kinds = len(positional_encodings or [])
        sizes = memory_sizes(state)
        if kinds != len(sizes) and kinds != 1:
            raise ValueError(
                f"{self.scope_name}: use_relative_positions needs a list of pairs of positional "
                f"encodings, one for each of the {len(sizes)} kinds of memory, got {kinds}."
            )
        num_steps = inputs.shape.as_list()[1]
        logits = []
        for i, (key_encodings, _) in enumerate(positional_encodings):
            is_last = i == kinds - 1
            suffix = "" if is_last else f"_{i}"
            if kinds == 1 or num_steps is None:
                length = attended.shape.as_list()[1]
            else:
                length = sizes[i] + num_steps
            encodings = self._cropped_to(key_encodings, length, inputs.dtype, "encodings")
            relative_keys = self._project(encodings, f"relative_keys{suffix}")
            biased = queries + self._head_bias(f"r_r_bias{suffix}", inputs.dtype)
            by_step = rel_shift(tf.matmul(biased, relative_keys, transpose_b=True))
            logits.append(by_step if is_last else by_step[..., : sizes[i]])
        return logits[0] if kinds == 1 else tf.concat(logits, axis=-1)

    def _checked(self, inputs: Any, name: str) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        if inputs.shape.rank != 3:
            raise ValueError(
                f"{self.scope_name}: {name} must be of rank 3, [batch, time, features], got the "
                f"shape {inputs.shape}."
            )
        return inputs

    def _cropped(self, tensor: Any, attended: Any, name: str, axis: int = 1) -> Any:
        return self._cropped_to(tensor, attended.shape.as_list()[1], attended.dtype, name, axis)

    def _cropped_to(
        self, tensor: Any, length: int | None, dtype: Any, name: str, axis: int = 1
    ) -> Any:
        """Returns the newest `length` steps of encodings or of a mask."""
        tensor = tf.convert_to_tensor(tensor, dtype)
        size = tensor.shape.as_list()[axis]
        if length is None or size is None or size == length:
            return tensor
        if size < length:
            raise ValueError(
                f"{self.scope_name}: the {name} cover {size} steps, but {length} are attended to."
            )
        return tensor[:, size - length :] if axis == 1 else tensor[..., size - length :]
