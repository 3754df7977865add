"""`Dropout`: features left out at random."""

from __future__ import annotations

import numbers
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule
from snt_nets.flags import conditional, known_flag


class Dropout(AbstractModule):
    """Sets elements to zero at random while training, and scales up the others to make up for it.

    After Srivastava et al., "Dropout: A simple way to prevent neural networks from overfitting",
    Journal of Machine Learning Research 15, 2014.

    Args:
        rate: Probability that an element is dropped: a number in [0, 1), or a scalar tensor.
            Default: 0.5.
        noise_shape: Shape of the random choices, which are broadcast to the input; for instance
            `[batch, 1, 1, channels]` drops whole channels of images. Default: that of the input.
        seed: Seed of the random choices, as for `tf.nn.dropout`. Optional.
        name: Name of the module. Default: "dropout".

    Raises:
        ValueError: If `rate` is a number outside of [0, 1).

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> dropout = snt.Dropout(rate=0.25)
        >>> outputs = dropout(tf.ones([8, 3]), is_training=True)
        >>> dropout(tf.constant([1.0, 2.0]), is_training=False).numpy().tolist()
        [1.0, 2.0]
    """

    def __init__(
        self,
        rate: Any = 0.5,
        noise_shape: Any = None,
        seed: int | None = None,
        name: str = "dropout",
    ) -> None:
        super().__init__(name=name)
        if isinstance(rate, numbers.Real) and not 0 <= float(rate) < 1:
            raise ValueError(
                f"{self.scope_name}: rate must be in [0, 1), the probability that an element is "
                f"dropped, got {rate}."
            )
        self._rate = rate
        self._noise_shape = noise_shape
        self._seed = seed

    def _build(self, inputs: Any, is_training: Any) -> Any:
        """Drops elements of `inputs`.

        Args:
            inputs: Tensor of any shape and of a floating-point type.
            is_training: Whether to drop any: a boolean, or a boolean tensor.

        Returns:
            Tensor of the shape and dtype of `inputs`; `inputs` itself if `is_training` is False.

        Raises:
            ValueError: If `inputs` is not of a floating-point type.
            TypeError: If `is_training` is not a boolean.
        """
        inputs = tf.convert_to_tensor(inputs)
        if not inputs.dtype.is_floating:
            raise ValueError(
                f"{self.scope_name}: inputs must be of a floating-point type, got "
                f"{inputs.dtype.name}."
            )
        return conditional(
            known_flag(is_training, f"{self.scope_name}: is_training"),
            lambda: tf.nn.dropout(
                inputs, rate=self._rate, noise_shape=self._noise_shape, seed=self._seed
            ),
            lambda: inputs,
        )
