"""Compressors: what makes fewer steps of old memory out of many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule
from snt_nets.conv.conv import Conv1D
from snt_nets.conv.transpose import Conv1DTranspose
from snt_nets.nets.transformer.attention import AttentionState, MultiheadAttention
from snt_nets.nets.transformer.memory import static_length


class ConvCompressor(AbstractModule):
    """Compresses memory by a convolution, which is learnt from a loss of its own.

    After Rae et al., "Compressive transformers for long-range sequence modelling", 2019,
    https://arxiv.org/abs/1911.05507.

    Variables, in the dtype of the memory: `conv_rate_<r>/w` `[2, features, features]` for each rate
    of dilation, `conv_1d/w` `[compression_rate + kernel_size, features, features]`, and
    `conv_1d_transpose/w` for the loss "ae".

    Args:
        compression_rate: Number of steps that become one.
        compressed_memory_size: Not used; every compressor is told.
        episodic_memory_size: Not used; every compressor is told.
        kernel_size: Number of further steps that each new one sees. Default: 0.
        dilation_rates: Rates of dilated convolutions with ReLU that come first. Optional.
        loss: What the convolutions learn: "mha", that attention to the compressed memory reads what
            attention to the memory does; "ae", that the memory can be restored. Default: "mha".
        name: Name of the module. Default: "conv_compressor".

    Raises:
        NotImplementedError: If the loss is neither.
    """

    def __init__(
        self,
        compression_rate: int,
        compressed_memory_size: int,
        episodic_memory_size: int,
        kernel_size: int = 0,
        dilation_rates: Iterable[int] | None = None,
        loss: str = "mha",
        name: str = "conv_compressor",
    ) -> None:
        super().__init__(name=name)
        if loss not in ("mha", "ae"):
            raise NotImplementedError(
                f"{self.scope_name}: Unrecognised loss {loss!r}, it must be 'mha' or 'ae'."
            )
        self._compression_rate = compression_rate
        self._window = compression_rate + kernel_size
        self._dilation_rates = tuple(dilation_rates or ())
        self._loss = loss

    def _build(
        self,
        memory: Any,
        attention_state: AttentionState | None = None,
        attention_module: MultiheadAttention | None = None,
        is_training: Any = False,
        dropout_keep_prob: Any = 0.5,
    ) -> tuple[Any, Any]:
        """Compresses `memory`. No gradient goes to it, nor to the weights of the attention.

        Args:
            memory: Tensor `[batch, time, features]`.
            attention_state: What the attention of the layer computed; for the loss "mha".
            attention_module: The attention of the layer; for the loss "mha".
            is_training: Not used; every compressor is told.
            dropout_keep_prob: Not used; every compressor is told.

        Returns:
            Tensor `[batch, compressed, features]`, and the loss.

        Raises:
            ValueError: If there are fewer steps than one of the new ones needs, their number is
                unknown, or what the loss needs is missing.
        """
        _check_length(memory, self._window, self.scope_name)
        memory = tf.stop_gradient(memory)
        channels = memory.shape.as_list()[-1]
        hidden = memory
        for rate in self._dilation_rates:
            conv = Conv1D(channels, 2, rate=rate, use_bias=False, name=f"conv_rate_{rate}")
            hidden = tf.nn.relu(conv(hidden))
        window: dict[str, Any] = {
            "kernel_shape": self._window,
            "stride": self._compression_rate,
            "padding": "VALID",
            "use_bias": False,
        }
        compressed = Conv1D(channels, **window)(hidden)
        if self._loss == "ae":
            length = static_length(memory, "memory")
            restored = Conv1DTranspose(channels, output_shape=[length], **window)(compressed)
            return compressed, tf.reduce_mean(tf.math.squared_difference(memory, restored))
        if attention_state is None or attention_module is None:
            raise ValueError(
                f"{self.scope_name}: the loss 'mha' needs attention_state and attention_module."
            )
        queries = tf.stop_gradient(attention_state.queries)
        read, reread = (
            _read(attention_module, queries, contents) for contents in (memory, compressed)
        )
        return compressed, tf.reduce_mean(tf.math.squared_difference(read, reread))


class PoolCompressor(AbstractModule):
    """Compresses memory by pooling; nothing is learnt.

    Args:
        compression_rate: Number of steps that become one. Default: 2.
        kernel_size: Number of further steps that each new one sees. Default: 0.
        pooling: "AVG" or "MAX". Default: "AVG".
        compressed_memory_size: Not used; every compressor is told.
        episodic_memory_size: Not used; every compressor is told.
        name: Name of the module. Default: "pool_compressor".

    Raises:
        ValueError: If `pooling` is neither.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> compressor = snt.nets.transformer.PoolCompressor(compression_rate=3)
        >>> compressed, loss = compressor(tf.ones([5, 12, 8]))
        >>> compressed.shape
        TensorShape([5, 4, 8])
    """

    def __init__(
        self,
        compression_rate: int = 2,
        kernel_size: int = 0,
        pooling: str = "AVG",
        compressed_memory_size: int | None = None,
        episodic_memory_size: int | None = None,
        name: str = "pool_compressor",
    ) -> None:
        super().__init__(name=name)
        if pooling not in ("AVG", "MAX"):
            raise ValueError(f"{self.scope_name}: pooling must be 'AVG' or 'MAX', got {pooling!r}.")
        self._compression_rate = compression_rate
        self._window = compression_rate + kernel_size
        self._pooling = pooling

    def _build(self, memory: Any, **unused_kwargs: Any) -> tuple[Any, Any]:
        """Compresses `memory`.

        Args:
            memory: Tensor `[batch, time, features]`.
            **unused_kwargs: Not used; what other compressors take.

        Returns:
            Tensor `[batch, compressed, features]`, and 0 for a loss.

        Raises:
            ValueError: If there are fewer steps than one of the new ones needs, or their number is
                unknown.
        """
        _check_length(memory, self._window, self.scope_name)
        compressed = tf.nn.pool(
            memory, [self._window], self._pooling, strides=[self._compression_rate], padding="VALID"
        )
        return compressed, tf.zeros([], compressed.dtype)


def _check_length(memory: Any, window: int, scope_name: str) -> None:
    length = static_length(memory, "memory")
    if length < window:
        raise ValueError(
            f"{scope_name}: cannot compress {length} steps of memory, compression_rate + "
            f"kernel_size = {window} are needed. Make the chunks or the episodic memory longer."
        )


def _read(attention: MultiheadAttention, queries: Any, memory: Any) -> Any:
    """Returns what queries read from memory by content, without training the attention."""
    keys = attention.multihead_linear(memory, "key", stop_weight_gradients=True)
    values = attention.multihead_linear(memory, "value", stop_weight_gradients=True)
    weights = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True))
    return tf.matmul(weights, values)
