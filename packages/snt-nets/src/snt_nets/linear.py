"""`Linear`: a matrix product and a bias."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from snt_core.errors import IncompatibleShapeError
from snt_core.transposable import Transposable
from snt_nets.initializers import create_bias_initializer, create_linear_initializer
from snt_nets.layer import Layer


class Linear(Layer, Transposable):
    """Linear map of the last axis: `y = x w + b`.

    Variables, in the dtype of the input: `w` `[input_size, output_size]`, by default from a
    truncated normal distribution of standard deviation 1/√input_size; `b` `[output_size]`, by
    default zeros.

    Args:
        output_size: Number of output features; or a function without arguments that returns it,
            called when it is first needed.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        custom_getter: As for `snt.AbstractModule`.
        allow_many_batch_dims: Whether inputs may have more than two axes, of which the last one is
            mapped. Default: False.
        name: Name of the module. Default: "linear".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> linear = snt.Linear(output_size=3)
        >>> linear(tf.ones([8, 5])).shape
        TensorShape([8, 3])
        >>> linear.w.shape, linear.b.shape
        (TensorShape([5, 3]), TensorShape([3]))
    """

    def __init__(
        self,
        output_size: int | Callable[[], int],
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        allow_many_batch_dims: bool = False,
        name: str = "linear",
    ) -> None:
        keys = self.get_possible_initializer_keys(use_bias=use_bias)
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        self._output_size = output_size
        self._use_bias = use_bias
        self._allow_many_batch_dims = allow_many_batch_dims
        self._input_shape: tuple[Any, ...] | None = None
        self._w: Any = None
        self._b: Any = None

    @classmethod
    def get_possible_initializer_keys(cls, use_bias: bool = True) -> set[str]:
        """Returns the keys that `initializers` may have.

        Args:
            use_bias: Whether the module has a bias.
        """
        return {"w", "b"} if use_bias else {"w"}

    def _build(self, inputs: Any) -> Any:
        """Maps the last axis of `inputs`.

        Args:
            inputs: Tensor `[batch, input_size]`, or `[..., input_size]` with
                `allow_many_batch_dims`.

        Returns:
            Tensor `[batch, output_size]`, or `[..., output_size]`.

        Raises:
            IncompatibleShapeError: If the rank is not 2, the last dimension is unknown, or it is
                not that of an earlier connection.
            ValueError: If `inputs` is not of a floating-point type and there is no initializer
                for "w".
        """
        inputs = tf.convert_to_tensor(inputs)
        self._input_shape = self._checked_shape(inputs)
        input_size, dtype = self._input_shape[-1], inputs.dtype
        self._w = self._layer_variable(
            "w",
            [input_size, self.output_size],
            dtype,
            lambda: create_linear_initializer(input_size, dtype),
        )
        outputs = tf.matmul(inputs, self._w)
        if self._use_bias:
            shape = [self.output_size]
            self._b = self._layer_variable(
                "b", shape, dtype, lambda: create_bias_initializer(shape, dtype)
            )
            outputs += self._b
        return outputs

    def _checked_shape(self, inputs: Any) -> tuple[Any, ...]:
        shape = tuple(inputs.shape.as_list())
        if self._allow_many_batch_dims:
            if len(shape) < 2:
                raise IncompatibleShapeError(
                    f"{self.scope_name}: rank of shape must be at least 2, got the shape {shape}."
                )
        elif len(shape) != 2:
            raise IncompatibleShapeError(
                f"{self.scope_name}: rank of shape must be 2 ([batch, features]), got the shape "
                f"{shape}. For more batch dimensions construct with allow_many_batch_dims=True."
            )
        if shape[-1] is None:
            raise IncompatibleShapeError(
                f"{self.scope_name}: Input size must be specified at module build time, got the "
                f"shape {shape}, whose last dimension is unknown. Use set_shape on the input."
            )
        if self.is_connected and shape[-1] != self.input_shape[-1]:
            batch = "B" if len(self.input_shape) == 2 else "..."
            raise IncompatibleShapeError(
                f"{self.scope_name}: Input shape must be [{batch}, {self.input_shape[-1]}] as in "
                f"the connections before, got the shape {shape}."
            )
        return shape

    @property
    def w(self) -> Any:
        """The weights, `[input_size, output_size]`.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._w

    @property
    def b(self) -> Any:
        """The bias, `[output_size]`.

        Raises:
            NotConnectedError: If the module is not connected yet.
            AttributeError: If the module has no bias.
        """
        self._ensure_is_connected()
        if not self._use_bias:
            raise AttributeError("No bias Variable in Linear Module when `use_bias=False`.")
        return self._b

    @property
    def output_size(self) -> int:
        """Number of output features."""
        if callable(self._output_size):
            self._output_size = self._output_size()
        return operator.index(self._output_size)

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias."""
        return self._use_bias

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Static shape of the last input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        assert self._input_shape is not None
        return self._input_shape

    def clone(self, name: str | None = None) -> Linear:
        """Returns a new module of the same specification, with variables of its own.

        Args:
            name: Name of the new module. Default: the name of this one with "_clone" added.
        """
        return self._with_output_size(self.output_size, name or f"{self.module_name}_clone")

    def transpose(self, name: str | None = None) -> Linear:  # type: ignore[override]
        """Returns a new module that maps from the output size of this one to its input size.

        It may be made before this module is connected, and connected after.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
        """
        return self._with_output_size(
            lambda: self.input_shape[-1], name or f"{self.module_name}_transpose"
        )

    def _with_output_size(self, output_size: int | Callable[[], int], name: str) -> Linear:
        return Linear(
            output_size=output_size,
            use_bias=self._use_bias,
            initializers=self._given_initializers,
            partitioners=self._partitioners,
            regularizers=self._regularizers,
            custom_getter=self._custom_getter,
            allow_many_batch_dims=self._allow_many_batch_dims,
            name=name,
        )
