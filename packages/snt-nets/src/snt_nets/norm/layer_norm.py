"""`LayerNorm`: normalisation of each example by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_core.errors import NotSupportedError
from snt_nets.layer import Layer
from snt_nets.norm.initializers import create_beta_initializer, create_gamma_initializer
from snt_nets.norm.inputs import check_axes_exist, checked_axes, floating_tensor, statistics_dtype


class LayerNorm(Layer):
    """Layer normalisation: by mean and variance of each example.

    After Ba, Kiros and Hinton, "Layer normalization", 2016, https://arxiv.org/abs/1607.06450. It
    computes `y = gamma (x - mean) / √(variance + eps) + beta`.

    Variables, both of the size of the last axis, whatever `axis` is, in the dtype of the input, but
    float32 beside float16 and bfloat16: `gamma`, by default ones, and `beta`, by default zeros.
    Inputs of 16 bits are computed with in float32.

    Args:
        axis: Axis, or axes, that the statistics are taken over. Default: all but the first.
        offset: Whether there is the learnt offset `beta`. Default: True.
        scale: Whether there is the learnt factor `gamma`. Default: True.
        eps: Small number that is added to the variance. Default: 1e-5.
        initializers: Initializers "gamma" and "beta". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        name: Name of the module. Default: "layer_norm".

    Raises:
        ValueError: If `axis` is neither an integer nor an iterable of integers.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> layer_norm = snt.LayerNorm()
        >>> layer_norm(tf.constant([[1.0, 2.0, 3.0]])).numpy().round(2)
        array([[-1.22,  0.  ,  1.22]], dtype=float32)
        >>> layer_norm.gamma.shape
        TensorShape([3])
    """

    GAMMA = "gamma"
    BETA = "beta"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}
    POSSIBLE_PARTITIONER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}
    POSSIBLE_REGULARIZER_KEYS: ClassVar[set[str]] = {GAMMA, BETA}

    def __init__(
        self,
        axis: int | Iterable[int] | None = None,
        offset: bool = True,
        scale: bool = True,
        eps: float = 1e-5,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        name: str = "layer_norm",
    ) -> None:
        keys = self.get_possible_initializer_keys()
        super().__init__(keys, initializers, partitioners, regularizers, name=name)
        self._axis = checked_axes(axis, self.scope_name)
        self._offset = offset
        self._scale = scale
        self._eps = eps
        self._gamma: Any = None
        self._beta: Any = None

    def _build(self, inputs: Any) -> Any:
        """Normalises `inputs`.

        Args:
            inputs: Tensor `[batch, ..., features]` of a floating-point type.

        Returns:
            Tensor of the shape and dtype of `inputs`.

        Raises:
            NotSupportedError: If the input has fewer than 2 axes.
            ValueError: If the input lacks an axis that `axis` names, or the size of its last axis
                is unknown, or another one than before.
            TypeError: If the input is not of a floating-point type.
        """
        inputs = floating_tensor(inputs, self.scope_name)
        sizes = inputs.shape.as_list()
        rank = len(sizes)
        if rank < 2:
            raise NotSupportedError(
                f"{self.scope_name}: layer normalisation expects inputs of at least rank 2, got "
                f"the shape {sizes}."
            )
        axes = tuple(range(1, rank)) if self._axis is None else self._axis
        check_axes_exist(axes, rank, self.scope_name)
        dtype = statistics_dtype(inputs.dtype)
        if self._scale:
            self._gamma = self._layer_variable(
                self.GAMMA, sizes[-1:], dtype, create_gamma_initializer
            )
        if self._offset:
            self._beta = self._layer_variable(self.BETA, sizes[-1:], dtype, create_beta_initializer)
        values = tf.cast(inputs, dtype)
        mean, variance = tf.nn.moments(values, axes, keepdims=True)
        outputs = tf.nn.batch_normalization(
            values, mean, variance, self._beta, self._gamma, self._eps
        )
        return tf.cast(outputs, inputs.dtype)

    @property
    def gamma(self) -> Any:
        """The factor, or None if there is none.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._gamma

    @property
    def beta(self) -> Any:
        """The offset, or None if there is none.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._beta
