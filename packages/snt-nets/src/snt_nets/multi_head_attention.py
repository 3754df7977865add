"""`MultiHeadAttention`: attention between two sequences, or of one to itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_core.checks import check_initializers, check_partitioners, check_regularizers
from snt_core.errors import IncompatibleShapeError
from snt_core.module import AbstractModule
from snt_nets.dot_product_attention import (
    attention_weights,
    project_from_heads,
    project_to_heads,
)
from snt_nets.flags import known_flag
from snt_nets.linear import Linear


class MultiHeadAttention(AbstractModule):
    """Attention by scaled dot products, in several heads.

    After Vaswani et al., "Attention is all you need", 2017, https://arxiv.org/abs/1706.03762. Each
    head computes `softmax(q kᵀ / √key_size) v`; the heads are put side by side and mapped to the
    output. The weights are computed in float32 for inputs of 16 bits.

    Variables, in the dtype of the input, are those of four `snt.Linear` modules: `query` and `key`
    with `num_heads * key_size` features, `value` with `num_heads * value_size`, and `output` with
    `output_size`.

    Args:
        num_heads: Number of heads.
        key_size: Size of the queries and keys of each head.
        value_size: Size of the values of each head. Default: `key_size`.
        output_size: Number of output features. Default: that of the query.
        causal: Whether a query attends to no later key, the last query standing where the last key
            does. Default: False.
        dropout_rate: Probability that a weight is dropped in training. Default: 0.
        use_bias: Whether the maps have biases. Default: True.
        initializers: Dictionaries of the initializers of each map, by "query", "key", "value" and
            "output". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "multi_head_attention".

    Raises:
        ValueError: If a size is not positive, or `dropout_rate` is outside of [0, 1).
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without biases.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> attention = snt.MultiHeadAttention(num_heads=2, key_size=4)
        >>> attention(tf.ones([5, 10, 8])).shape
        TensorShape([5, 10, 8])
        >>> decoder = snt.MultiHeadAttention(num_heads=2, key_size=4)
        >>> outputs, weights = decoder(
        ...     tf.ones([5, 3, 8]), key=tf.ones([5, 10, 6]), return_weights=True
        ... )
        >>> outputs.shape, weights.shape
        (TensorShape([5, 3, 8]), TensorShape([5, 2, 3, 10]))
    """

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {"query", "key", "value", "output"}

    def __init__(
        self,
        num_heads: int,
        key_size: int,
        value_size: int | None = None,
        output_size: int | None = None,
        causal: bool = False,
        dropout_rate: float = 0.0,
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "multi_head_attention",
    ) -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        value_size = key_size if value_size is None else value_size
        sizes = {"num_heads": num_heads, "key_size": key_size, "value_size": value_size}
        for size_name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{self.scope_name}: {size_name} must be positive, got {size}.")
        if not 0 <= dropout_rate < 1:
            raise ValueError(
                f"{self.scope_name}: dropout_rate must be in [0, 1), got {dropout_rate}."
            )
        keys = self.get_possible_initializer_keys()
        self._initializers = check_initializers(initializers, keys)
        self._partitioners = check_partitioners(partitioners, keys)
        self._regularizers = check_regularizers(regularizers, keys)
        self._num_heads = num_heads
        self._key_size = key_size
        self._value_size = value_size
        self._output_size = output_size
        self._causal = causal
        self._dropout_rate = dropout_rate
        self._use_bias = use_bias
        with self._enter_variable_scope(check_same_graph=False):
            self._query = self._linear("query", num_heads * key_size)
            self._key = self._linear("key", num_heads * key_size)
            self._value = self._linear("value", num_heads * value_size)
            self._output = self._linear("output", lambda: self.output_size)

    def _linear(self, name: str, output_size: Any) -> Linear:
        return Linear(
            output_size,
            use_bias=self._use_bias,
            initializers=self._initializers.get(name),
            partitioners=self._partitioners.get(name),
            regularizers=self._regularizers.get(name),
            name=name,
        )

    def _build(
        self,
        query: Any,
        key: Any = None,
        value: Any = None,
        mask: Any = None,
        is_training: Any = None,
        return_weights: bool = False,
    ) -> Any:
        """Attends from `query` to `key`, and reads `value`.

        Args:
            query: Tensor `[batch, queries, features]`.
            key: Tensor `[batch, keys, features]`. Default: `query`, which is self-attention.
            value: Tensor `[batch, keys, features]`. Default: `key`.
            mask: Boolean tensor `[batch, queries, keys]` or `[batch, heads, queries, keys]`, each
                size of which may be 1 for all: what may be attended to. A query that may attend to
                nothing attends to everything alike. Optional.
            is_training: Whether weights are dropped: a boolean, or a boolean tensor. Needed with a
                `dropout_rate` only.
            return_weights: Whether to return the weights too. Default: False.

        Returns:
            Tensor `[batch, queries, output_size]`; with `return_weights` also the weights, `[batch,
            heads, queries, keys]`.

        Raises:
            IncompatibleShapeError: If the rank of an input is not 3, the number of keys is not that
                of the values, or a number of features is unknown or not that of an earlier
                connection.
            ValueError: If the rank of `mask` is neither 3 nor 4, or `is_training` is missing.
            TypeError: If `mask` is not boolean.
        """
        query = self._checked(query, "query")
        key = query if key is None else self._checked(key, "key")
        value = key if value is None else self._checked(value, "value")
        if not key.shape[1:2].is_compatible_with(value.shape[1:2]):
            raise IncompatibleShapeError(
                f"{self.scope_name}: there must be as many keys as values, got the shapes "
                f"{key.shape} and {value.shape}."
            )
        if self._output_size is None:
            self._output_size = query.shape.as_list()[-1]
        queries = project_to_heads(self._query, query, self._num_heads)
        keys = project_to_heads(self._key, key, self._num_heads)
        values = project_to_heads(self._value, value, self._num_heads)
        logits = tf.matmul(queries * self._key_size**-0.5, keys, transpose_b=True)
        for allowed in self._masks(mask, logits):
            logits = tf.where(allowed, logits, logits.dtype.min)
        weights = attention_weights(logits, self._dropout_rate, self._is_dropping(is_training))
        outputs = project_from_heads(self._output, tf.matmul(weights, values))
        return (outputs, weights) if return_weights else outputs

    def _checked(self, inputs: Any, name: str) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        if inputs.shape.rank != 3:
            raise IncompatibleShapeError(
                f"{self.scope_name}: {name} must be of rank 3, [batch, time, features], got the "
                f"shape {inputs.shape}."
            )
        return inputs

    def _masks(self, mask: Any, logits: Any) -> list[Any]:
        """Returns boolean tensors, what each of which forbids is not attended to."""
        masks = []
        if mask is not None:
            mask = tf.convert_to_tensor(mask)
            if mask.dtype != tf.bool:
                raise TypeError(
                    f"{self.scope_name}: mask must be boolean, True for what may be attended to, "
                    f"got {mask.dtype.name}."
                )
            if mask.shape.rank not in (3, 4):
                raise ValueError(
                    f"{self.scope_name}: mask must be of rank 3, [batch, queries, keys], or 4, "
                    f"[batch, heads, queries, keys], got the shape {mask.shape}."
                )
            masks.append(mask if mask.shape.rank == 4 else tf.expand_dims(mask, axis=1))
        if self._causal:
            masks.append(_not_after(logits))
        return masks

    def _is_dropping(self, is_training: Any) -> Any:
        if not self._dropout_rate:
            return False
        if is_training is None:
            raise ValueError(
                f"{self.scope_name}: is_training must be given where there is dropout, with "
                f"dropout_rate={self._dropout_rate}."
            )
        return known_flag(is_training, f"{self.scope_name}: is_training")

    @property
    def output_size(self) -> int:
        """Number of output features.

        Raises:
            NotConnectedError: If it was not given, and the module is not connected yet.
        """
        if self._output_size is None:
            self._ensure_is_connected()
        assert self._output_size is not None
        return self._output_size

    @property
    def num_heads(self) -> int:
        """Number of heads."""
        return self._num_heads

    @property
    def key_size(self) -> int:
        """Size of the queries and keys of each head."""
        return self._key_size

    @property
    def value_size(self) -> int:
        """Size of the values of each head."""
        return self._value_size

    @property
    def initializers(self) -> dict[str, Any]:
        """The given initializers."""
        return self._initializers

    @property
    def partitioners(self) -> Mapping[str, Any]:
        """The given partitioners."""
        return self._partitioners

    @property
    def regularizers(self) -> dict[str, Any]:
        """The given regularizers."""
        return self._regularizers


def _not_after(logits: Any) -> Any:
    """Returns for each query and key of `logits` whether the key is not after the query."""
    num_queries, num_keys = logits.shape.as_list()[2:]
    if num_queries is not None and num_queries == num_keys:
        keys = queries = tf.range(num_keys)
    else:
        sizes = tf.shape(logits)
        num_queries = sizes[2] if num_queries is None else num_queries
        num_keys = sizes[3] if num_keys is None else num_keys
        keys, queries = tf.range(num_keys), tf.range(num_keys - num_queries, num_keys)
    return tf.expand_dims(queries, axis=1) >= keys
