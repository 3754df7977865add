"""`BatchReshape`, `BatchFlatten` and `FlattenTrailingDimensions`: other shapes, same elements."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_core.transposable import Transposable
from snt_nets.shapes import reshape


class BatchReshape(AbstractModule, Transposable):
    """Reshapes all axes but the first ones.

    Args:
        shape: Wanted sizes of the axes that are not preserved, of which one may be -1, to be
            inferred; or a function without arguments that returns them, called at the first
            connection.
        preserve_dims: Number of leading axes that are kept, at least 1. Default: 1, the batch.
        name: Name of the module. Default: "batch_reshape".

    Raises:
        ValueError: If `preserve_dims` is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> to_image = snt.BatchReshape([28, 28, 1])
        >>> images = to_image(tf.ones([8, 784]))
        >>> images.shape, to_image.transpose()(images).shape
        (TensorShape([8, 28, 28, 1]), TensorShape([8, 784]))
    """

    def __init__(
        self,
        shape: Iterable[int] | Callable[[], Iterable[int]],
        preserve_dims: int = 1,
        name: str = "batch_reshape",
    ) -> None:
        super().__init__(name=name)
        if preserve_dims <= 0:
            raise ValueError(
                f"{self.scope_name}: preserve_dims must be at least 1, got {preserve_dims}."
            )
        self._shape = shape if callable(shape) else tuple(shape)
        self._preserve_dims = preserve_dims
        self._input_shape: list[int | None] | None = None

    def _build(self, inputs: Any) -> Any:
        """Reshapes `inputs`.

        Args:
            inputs: Tensor `[d_1, ..., d_preserve_dims, ...]`; the preserved sizes may be unknown.

        Returns:
            Tensor `[d_1, ..., d_preserve_dims, *shape]`; `inputs` itself if that is its shape.

        Raises:
            ValueError: If the input has fewer axes than are preserved, the sizes do not fit, or a
                size is unknown that must be known.
        """
        inputs = tf.convert_to_tensor(inputs)
        sizes = inputs.shape.as_list()
        if len(sizes) < self._preserve_dims:
            raise ValueError(
                f"{self.scope_name}: Input tensor has {len(sizes)} dimensions, but "
                f"{self._too_few(self._preserve_dims)}: {sizes}."
            )
        preserved, trailing = sizes[: self._preserve_dims], sizes[self._preserve_dims :]
        if callable(self._shape):
            self._shape = tuple(self._shape())
        if len(trailing) == len(self._shape) == 1 and self._shape[0] in (-1, trailing[0]):
            self._input_shape = trailing
            return inputs
        target = self._inferred(self._shape, trailing)
        self._input_shape = trailing
        return reshape(
            inputs,
            [*preserved, *target],
            lambda: tf.concat([tf.shape(inputs)[: self._preserve_dims], target], axis=0),
        )

    def _too_few(self, preserve_dims: int) -> str:
        return f"preserve_dims is {preserve_dims}"

    def _inferred(self, target: tuple[Any, ...], trailing: list[int | None]) -> list[int]:
        """Checks the wanted sizes, and returns them with -1 replaced by what it stands for."""
        incompatible = (
            f"{self.scope_name}: Output shape is incompatible with input shape: the sizes "
            f"{trailing} cannot become {list(target)}."
        )
        unknown = (
            f"{self.scope_name}: Unknown non-preserved dimensions are not allowed in the input "
            f"to be reshaped to {list(target)}, got {trailing}. Use set_shape on the input."
        )
        if len(trailing) == len(target) == 1:
            raise ValueError(unknown if trailing[0] is None else incompatible)
        for size in target:
            size = tf1.dimension_value(size)
            if not isinstance(size, numbers.Integral) or (size <= 0 and size != -1):
                raise ValueError(
                    f"{self.scope_name}: Desired shape can only contain positive integral numbers "
                    f"and the wildcard -1, got {list(target)}."
                )
        wanted = [int(size) for size in target]
        if wanted.count(-1) > 1:
            raise ValueError(
                f"{self.scope_name}: Wildcard -1 can appear only once in desired output shape, got "
                f"{wanted}."
            )
        known = [size for size in trailing if size is not None]
        if len(known) < len(trailing):
            raise ValueError(unknown)
        elements = math.prod(known)
        if -1 in wanted:
            rest = math.prod(size for size in wanted if size != -1)
            wanted[wanted.index(-1)] = elements // rest
        if math.prod(wanted) != elements:
            raise ValueError(incompatible)
        return wanted

    @property
    def input_shape(self) -> list[int | None]:
        """Static sizes of the axes of the last input that were not preserved.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        assert self._input_shape is not None
        return self._input_shape

    def transpose(self, name: str | None = None) -> BatchReshape:  # type: ignore[override]
        """Returns a new module that restores the shape of the input of this one.

        It may be made before this module is connected, and connected after.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
        """
        return BatchReshape(
            shape=lambda: self.input_shape,  # type: ignore[arg-type, return-value]
            preserve_dims=self._preserve_dims,
            name=name or f"{self.module_name}_transpose",
        )


class BatchFlatten(BatchReshape):
    """Flattens all axes but the first ones into one.

    Args:
        preserve_dims: Number of leading axes that are kept, at least 1. Default: 1, the batch.
        name: Name of the module. Default: "batch_flatten".

    Raises:
        ValueError: If `preserve_dims` is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.BatchFlatten()(tf.ones([8, 28, 28, 1])).shape
        TensorShape([8, 784])
    """

    def __init__(self, preserve_dims: int = 1, name: str = "batch_flatten") -> None:
        super().__init__(shape=(-1,), preserve_dims=preserve_dims, name=name)


class FlattenTrailingDimensions(BatchFlatten):
    """Flattens the axes from `dim_from` on into one.

    Args:
        dim_from: The first axis that is flattened, at least 1.
        name: Name of the module. Default: "batch_dim_from".

    Raises:
        ValueError: If `dim_from` is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.FlattenTrailingDimensions(2)(tf.ones([8, 5, 3, 4])).shape
        TensorShape([8, 5, 12])
    """

    def __init__(self, dim_from: int, name: str = "batch_dim_from") -> None:
        if dim_from <= 0:
            raise ValueError(f"dim_from must be at least 1, got {dim_from}.")
        super().__init__(preserve_dims=dim_from, name=name)

    def _too_few(self, preserve_dims: int) -> str:
        return f"dim_from, and so preserve_dims, is {preserve_dims}"
