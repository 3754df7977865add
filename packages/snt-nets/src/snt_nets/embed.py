"""`Embed`: a vector for each id."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_nets.layer import Layer


class Embed(Layer):
    """Looks up the embedding vectors of ids.

    The variable `embeddings` `[vocab_size, embed_dim]`, float32, is by default from a normal
    distribution of mean 0 and standard deviation 1.

    Args:
        vocab_size: Number of ids. Needed unless there is `existing_vocab`.
        embed_dim: Size of a vector. Default: 6 times the fourth root of `vocab_size`, rounded.
        existing_vocab: Array `[vocab_size, embed_dim]` of the initial embeddings. Optional.
        densify_gradients: Whether the gradient of the variable is a dense tensor, and not
            `tf.IndexedSlices` of the rows that were looked up. Default: False.
        initializers: An initializer for "embeddings". Optional.
        partitioners: A partitioner, likewise.
        regularizers: A regularizer, likewise; also for a variable that is not trainable.
        trainable: Whether the variable is trainable. Default: True.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "embed".
        partition_strategy: How ids are dealt out to the parts of a partitioned variable: "mod", in
            turn, so that an id does not stand for the row of its number; or "div", in order, so
            that it does. Either way the same id has always the same row, but checkpoints with
            "mod" fit that one number of parts. Default: "mod".

    Raises:
        ValueError: If neither `vocab_size` nor `existing_vocab` is given; if `existing_vocab` is
            given together with `vocab_size`, `embed_dim`, `initializers` or `partitioners`, or is
            not a matrix of known size; if `vocab_size` is not positive and `embed_dim` is not
            given; if there is no such `partition_strategy`.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has another key than "embeddings".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> embed = snt.Embed(vocab_size=10_000)
        >>> embed(tf.constant([[1, 7, 9999]])).shape, embed.embeddings.shape
        (TensorShape([1, 3, 60]), TensorShape([10000, 60]))
    """

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {"embeddings"}

    def __init__(
        self,
        vocab_size: int | None = None,
        embed_dim: int | None = None,
        existing_vocab: Any = None,
        densify_gradients: bool = False,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        trainable: bool = True,
        custom_getter: Any = None,
        name: str = "embed",
        partition_strategy: str = "mod",
    ) -> None:
        keys = self.get_possible_initializer_keys()
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        if partition_strategy not in ("mod", "div"):
            raise ValueError(
                f'{self.scope_name}: partition_strategy must be "mod" or "div", got '
                f"{partition_strategy!r}."
            )
        self._existing_vocab: Any = None
        if existing_vocab is not None:
            if any(x is not None for x in (vocab_size, embed_dim, initializers, partitioners)):
                raise ValueError(
                    f"{self.scope_name}: If existing_vocab is provided, vocab_size and embed_dim "
                    "are those of it, and there is no use for initializers and partitioners: give "
                    "none of these."
                )
            self._existing_vocab = self._table(existing_vocab)
            vocab_size, embed_dim = self._existing_vocab.shape
        if vocab_size is None:
            raise ValueError(f"{self.scope_name}: must be given vocab_size or existing_vocab.")
        self._vocab_size = operator.index(vocab_size)
        self._embed_dim = operator.index(embed_dim or self._default_embed_dim())
        self._densify_gradients = densify_gradients
        self._trainable = trainable
        self._partition_strategy = partition_strategy
        self._embeddings: Any = None

    def _table(self, existing_vocab: Any) -> Any:
        """Returns the given embeddings in float32, as an array if they are known by now."""
        if tf.is_tensor(existing_vocab):
            table = tf.cast(existing_vocab, tf.float32)
            value = tf.get_static_value(table)
            table = table if value is None else value
        else:
            table = np.array(existing_vocab, np.float32)
        shape = tf.TensorShape(table.shape)
        if shape.rank != 2 or not shape.is_fully_defined():
            raise ValueError(
                f"{self.scope_name}: existing_vocab must be a matrix [vocab_size, embed_dim] of "
                f"known size, got the shape {shape}."
            )
        return table

    def _default_embed_dim(self) -> int:
        if self._vocab_size <= 0:
            raise ValueError(
                f"{self.scope_name}: Invalid vocab_size {self._vocab_size}: must be positive for "
                "embed_dim to be inferred."
            )
        return round(6 * self._vocab_size**0.25)

    def _default_initializer(self) -> Any:
        table = self._existing_vocab
        if table is None:
            return tf1.random_normal_initializer()

        def existing(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
            offset = [0, 0] if partition_info is None else partition_info.var_offset
            part = tuple(slice(o, o + n) for o, n in zip(offset, shape, strict=True))
            return tf.convert_to_tensor(table[part])

        return existing

    def _build(self, ids: Any) -> Any:
        """Looks up the vectors of `ids`.

        Args:
            ids: Tensor of any shape, int32 or int64, with values from 0 to `vocab_size` - 1.

        Returns:
            Tensor `[*ids.shape, embed_dim]`, float32.

        Raises:
            TypeError: If `ids` is of another dtype.
            tf.errors.InvalidArgumentError: If there is no such id; raised on a CPU, and in graph
                mode when the tensor is evaluated. On a GPU the vector of such an id is zeros.
        """
        ids = tf.convert_to_tensor(ids)
        if ids.dtype not in (tf.int32, tf.int64):
            raise TypeError(
                f"{self.scope_name}: ids must be int32 or int64, got {ids.dtype.name}. Use tf.cast."
            )
        self._embeddings = self._layer_variable(
            "embeddings",
            [self._vocab_size, self._embed_dim],
            tf.float32,
            self._default_initializer,
            trainable=self._trainable,
        )
        table: Any = self._embeddings
        if isinstance(table, tf.Variable) or tf.is_tensor(table):
            return tf.gather(_densified(table) if self._densify_gradients else table, ids)
        parts = [_densified(part) if self._densify_gradients else part for part in table]
        return tf1.nn.embedding_lookup(parts, ids, partition_strategy=self._partition_strategy)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return self._vocab_size

    @property
    def embed_dim(self) -> int:
        """Size of a vector."""
        return self._embed_dim

    @property
    def embeddings(self) -> Any:
        """The embeddings, `[vocab_size, embed_dim]`.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._embeddings


def _densified(table: Any) -> Any:
    """Returns the value of a variable, in such a way that its gradient is a dense tensor."""

    @tf.custom_gradient
    def identity(x: Any) -> Any:
        return x, tf.convert_to_tensor

    return identity(tf.convert_to_tensor(table))
