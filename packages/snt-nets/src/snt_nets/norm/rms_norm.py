"""`RMSNorm`: normalisation by the root mean square."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_core.errors import NotSupportedError
from snt_nets.layer import Layer
from snt_nets.norm.initializers import create_gamma_initializer
from snt_nets.norm.inputs import check_axes_exist, checked_axes, floating_tensor, statistics_dtype


class RMSNorm(Layer):
    """Normalisation by the root mean square: `y = gamma x / √(mean(x²) + eps)`.

    After Zhang and Sennrich, "Root mean square layer normalization", 2019,
    https://arxiv.org/abs/1910.07467. It is layer normalisation without the mean and the offset.

    The variable `gamma`, of the size of the last axis, is by default ones, in the dtype of the
    input, but float32 beside float16 and bfloat16, which are computed with in float32.

    Args:
        axis: Axis, or axes, that the mean is taken over; None stands for all but the first.
            Default: the last.
        scale: Whether there is the learnt factor `gamma`. Default: True.
        eps: Small number that is added to the mean square. Default: 1e-6.
        initializers: An initializer for "gamma". Optional.
        partitioners: A partitioner, likewise.
        regularizers: A regularizer, likewise.
        name: Name of the module. Default: "rms_norm".

    Raises:
        ValueError: If `axis` is neither an integer nor an iterable of integers.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> rms_norm = snt.RMSNorm()
        >>> rms_norm(tf.constant([[1.0, 7.0]])).numpy().round(2)
        array([[0.2, 1.4]], dtype=float32)
    """

    GAMMA = "gamma"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {GAMMA}
    POSSIBLE_PARTITIONER_KEYS: ClassVar[set[str]] = {GAMMA}
    POSSIBLE_REGULARIZER_KEYS: ClassVar[set[str]] = {GAMMA}

    def __init__(
        self,
        axis: int | Iterable[int] | None = -1,
        scale: bool = True,
        eps: float = 1e-6,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        name: str = "rms_norm",
    ) -> None:
        keys = self.get_possible_initializer_keys()
        super().__init__(keys, initializers, partitioners, regularizers, name=name)
        self._axis = checked_axes(axis, self.scope_name)
        self._scale = scale
        self._eps = eps
        self._gamma: Any = None

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
        if len(sizes) < 2:
            raise NotSupportedError(
                f"{self.scope_name}: RMS normalisation expects inputs of at least rank 2, got the "
                f"shape {sizes}."
            )
        axes = tuple(range(1, len(sizes))) if self._axis is None else self._axis
        check_axes_exist(axes, len(sizes), self.scope_name)
        dtype = statistics_dtype(inputs.dtype)
        values = tf.cast(inputs, dtype)
        mean_square = tf.reduce_mean(tf.square(values), axes, keepdims=True)
        outputs = values * tf.math.rsqrt(mean_square + self._eps)
        if self._scale:
            self._gamma = self._layer_variable(
                self.GAMMA, sizes[-1:], dtype, create_gamma_initializer
            )
            outputs *= self._gamma
        return tf.cast(outputs, inputs.dtype)

    @property
    def gamma(self) -> Any:
        """The factor, or None if there is none.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._gamma
