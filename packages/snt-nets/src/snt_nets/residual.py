"""`Residual`: what a module adds to its input."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule


class Residual(AbstractModule):
    """Adds the inputs to the outputs of a module: `y = x + f(x)`.

    After He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015,
    https://arxiv.org/abs/1512.03385.

    Args:
        base_module: Module or function whose outputs have the structure of its inputs; its
            variables stay in its own scope.
        name: Name of the module. Default: "residual".

    Raises:
        TypeError: If `base_module` cannot be called.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> residual = snt.Residual(snt.nets.MLP([16, 5]))
        >>> residual(tf.ones([8, 5])).shape
        TensorShape([8, 5])
    """

    def __init__(self, base_module: Callable[..., Any], name: str = "residual") -> None:
        super().__init__(name=name)
        if not callable(base_module):
            raise TypeError(
                f"{self.scope_name}: base_module must be a module or a function, got "
                f"{base_module!r}."
            )
        self._base_module = base_module

    def _build(self, inputs: Any, **kwargs: Any) -> Any:
        """Applies the base module, and adds the inputs.

        Args:
            inputs: Tensor, or nested structure of tensors.
            **kwargs: Handed on to the base module.

        Returns:
            Structure of the inputs, each tensor with that of the outputs added to it.

        Raises:
            ValueError: If the outputs are structured otherwise than the inputs.
            TypeError: If a container among them is of another type.
        """
        outputs = self._base_module(inputs, **kwargs)
        try:
            tf.nest.assert_same_structure(inputs, outputs)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{self.scope_name}: the outputs of base_module must have the structure of its "
                f"inputs, to be added to them. {error}"
            ) from None
        return tf.nest.map_structure(operator.add, inputs, outputs)
