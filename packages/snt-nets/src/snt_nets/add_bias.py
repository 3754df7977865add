"""`AddBias`: a learnt offset."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_core.errors import IncompatibleShapeError, ParentNotBuiltError
from snt_core.transposable import Transposable
from snt_nets.initializers import create_bias_initializer
from snt_nets.layer import Layer


class AddBias(Layer, Transposable):
    """Adds a bias to a tensor: `y = x + b * multiplier`.

    The bias `b` has the dtype of the input and is by default zeros. Its shape is that of the
    input in the axes of `bias_dims`, and 1 in the others; leading axes of size 1 are left out.

    Args:
        output_shape: Expected shape of the input, batch included; or a function without arguments
            that returns it, called at the first connection. Default: whatever the input has.
        bias_dims: Axes along which the bias varies, negative ones counted from the last. Default:
            all but the batch. `[]` gives one scalar.
        initializers: An initializer for "b". Optional.
        partitioners: A partitioner, likewise.
        regularizers: A regularizer, likewise.
        name: Name of the module. Default: "add".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has another key than "b".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> per_channel = snt.AddBias(bias_dims=[-1])
        >>> per_channel(tf.ones([8, 28, 28, 3])).shape, per_channel.b.shape
        (TensorShape([8, 28, 28, 3]), TensorShape([3]))
    """

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {"b"}

    def __init__(
        self,
        output_shape: Iterable[int | None] | Callable[[], Any] | None = None,
        bias_dims: Iterable[int] | None = None,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        name: str = "add",
    ) -> None:
        keys = self.get_possible_initializer_keys()
        super().__init__(keys, initializers, partitioners, regularizers, name=name)
        self._output_shape = output_shape
        self._bias_dims = None if bias_dims is None else tuple(bias_dims)
        self._input_shape: tuple[int | None, ...] | None = None
        self._b: Any = None

    def _build(self, inputs: Any, multiplier: Any = 1) -> Any:
        """Adds the bias to `inputs`.

        Args:
            inputs: Tensor `[batch, ...]`.
            multiplier: Number or tensor that the bias is multiplied by; -1 subtracts it.

        Returns:
            Tensor of the shape and dtype of `inputs`.

        Raises:
            ValueError: If `bias_dims` names the batch or an axis that the input lacks, or the size
                of one of its axes is unknown.
            IncompatibleShapeError: If the input has no axis besides the batch, or is not of
                `output_shape` or of the shape of earlier connections, batch aside.
            ParentNotBuiltError: If this is the transpose of a module that is not connected yet.
        """
        inputs = tf.convert_to_tensor(inputs)
        input_shape = tuple(inputs.shape.as_list())
        bias_shape = self._bias_shape(input_shape)
        self._check_shape(input_shape)
        if None in bias_shape and not self.is_connected:
            raise ValueError(
                f"{self.scope_name}: the bias would have the shape {bias_shape}, which is not "
                f"fully defined, for inputs {input_shape}. Use set_shape on the input, or leave "
                "the unknown axes out of bias_dims."
            )
        dtype = inputs.dtype
        self._b = self._layer_variable(
            "b", bias_shape, dtype, lambda: create_bias_initializer(bias_shape, dtype)
        )
        self._input_shape = input_shape
        # Not so for tensors, whose comparison is a tensor.
        if isinstance(multiplier, numbers.Real) and multiplier == 1:
            return inputs + self._b
        return inputs + self._b * multiplier

    def _bias_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if self._bias_dims is None:
            return input_shape[1:]
        rank = len(input_shape)
        shape: list[int | None] = [1] * rank
        for dim in self._bias_dims:
            if not -rank <= dim < rank:
                raise ValueError(
                    f"{self.scope_name}: bias_dims has the axis {dim}, but the input has rank "
                    f"{rank}: {input_shape}."
                )
            if dim % rank == 0:
                raise ValueError(
                    f"{self.scope_name}: Cannot apply bias across the minibatch dimension, which "
                    f"bias_dims names: {list(self._bias_dims)}."
                )
            shape[dim] = input_shape[dim]
        while shape and shape[0] == 1:
            shape.pop(0)
        return tuple(shape)

    def _check_shape(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) < 2:
            raise IncompatibleShapeError(
                f"{self.scope_name}: Rank of input shape must be >=2, got {input_shape}."
            )
        if self.is_connected and not _compatible(input_shape, self.input_shape):
            raise IncompatibleShapeError(
                f"{self.scope_name}: Input shape has changed from {self.input_shape} to "
                f"{input_shape}; only the batch may."
            )
        if callable(self._output_shape):
            output_shape = self._output_shape()
            if output_shape is None:
                raise ParentNotBuiltError(
                    f"{self.scope_name}: Build the original untransposed module before building "
                    "this one."
                )
            self._output_shape = tuple(output_shape)
        if self._output_shape is not None and not _compatible(input_shape, self._output_shape):
            raise IncompatibleShapeError(
                f"{self.scope_name}: Input shape must be {tuple(self._output_shape)} apart from "
                f"the batch, got {input_shape}."
            )

    @property
    def b(self) -> Any:
        """The bias.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._b

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Static shape of the last input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        assert self._input_shape is not None
        return self._input_shape

    def transpose(self, name: str | None = None) -> AddBias:  # type: ignore[override]
        """Returns a new module that adds a bias of its own to inputs of the same shape.

        It may be made before this module is connected, and connected after.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
        """
        return AddBias(
            output_shape=lambda: self._input_shape,
            bias_dims=self._bias_dims,
            initializers=self._given_initializers,
            partitioners=self._partitioners,
            regularizers=self._regularizers,
            name=name or f"{self.module_name}_transpose",
        )


def _compatible(shape: Iterable[Any], other: Iterable[Any]) -> bool:
    """Compares shapes but for the batch; an unknown size fits any."""
    return tf.TensorShape(tuple(shape)[1:]).is_compatible_with(tf.TensorShape(tuple(other)[1:]))
