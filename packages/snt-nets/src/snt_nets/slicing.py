"""`SliceByDim` and `TileByDim`: slicing and tiling along the axes that are named."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule


class SliceByDim(AbstractModule):
    """Takes a slice along some axes; along the others all of the input.

    Args:
        dims: The axes to slice, negative ones counted from the last.
        begin: For each of them, where the slice begins.
        size: For each of them, how long it is; -1 stands for all the rest.
        name: Name of the module. Default: "slice_by_dim".

    Raises:
        ValueError: If `dims` has an axis twice, or `begin` or `size` is of another length.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> crop = snt.SliceByDim(dims=[1, 2], begin=[2, 4], size=[24, -1])
        >>> crop(tf.ones([8, 28, 28, 3])).shape
        TensorShape([8, 24, 24, 3])
    """

    def __init__(
        self,
        dims: Iterable[int],
        begin: Iterable[Any],
        size: Iterable[Any],
        name: str = "slice_by_dim",
    ) -> None:
        super().__init__(name=name)
        self._dims = _checked_dims(dims, self.scope_name)
        self._begin = _checked_numbers(begin, self._dims, "begin", self.scope_name)
        self._size = _checked_numbers(size, self._dims, "size", self.scope_name)

    def _build(self, inputs: Any) -> Any:
        """Slices `inputs`.

        Args:
            inputs: Tensor of any dtype, with all the axes that `dims` names.

        Returns:
            The slice, a tensor of the rank and dtype of `inputs`; without `dims`, `inputs` itself.

        Raises:
            ValueError: If the input lacks an axis, or two of `dims` are the same one; in graph
                mode also where the slice reaches beyond the input.
        """
        inputs = tf.convert_to_tensor(inputs)
        rank = len(inputs.shape.as_list())
        axes = _axes(self._dims, rank, self.scope_name)
        if not axes:
            return inputs
        begin, size = [0] * rank, [-1] * rank
        for axis, axis_begin, axis_size in zip(axes, self._begin, self._size, strict=True):
            begin[axis], size[axis] = axis_begin, axis_size
        return tf.slice(inputs, begin, size)


class TileByDim(AbstractModule):
    """Repeats a tensor along some axes.

    Args:
        dims: The axes to tile, negative ones counted from the last.
        multiples: For each of them, how many times the input stands there.
        name: Name of the module. Default: "tile_by_dim".

    Raises:
        ValueError: If `dims` has an axis twice, or `multiples` is of another length.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.TileByDim(dims=[-1], multiples=[3])(tf.constant([[1, 2], [3, 4]])).numpy().tolist()
        [[1, 2, 1, 2, 1, 2], [3, 4, 3, 4, 3, 4]]
    """

    def __init__(
        self, dims: Iterable[int], multiples: Iterable[Any], name: str = "tile_by_dim"
    ) -> None:
        super().__init__(name=name)
        self._dims = _checked_dims(dims, self.scope_name)
        self._multiples = _checked_numbers(multiples, self._dims, "multiples", self.scope_name)

    def _build(self, inputs: Any) -> Any:
        """Tiles `inputs`.

        Args:
            inputs: Tensor of any dtype, with all the axes that `dims` names.

        Returns:
            Tensor of the rank and dtype of `inputs`; without `dims`, `inputs` itself.

        Raises:
            ValueError: If the input lacks an axis, or two of `dims` are the same one.
        """
        inputs = tf.convert_to_tensor(inputs)
        rank = len(inputs.shape.as_list())
        axes = _axes(self._dims, rank, self.scope_name)
        if not axes:
            return inputs
        multiples = [1] * rank
        for axis, multiple in zip(axes, self._multiples, strict=True):
            multiples[axis] = multiple
        return tf.tile(inputs, multiples)


def _checked_dims(dims: Iterable[int], module: str) -> tuple[int, ...]:
    checked = tuple(map(operator.index, dims))
    if len(set(checked)) < len(checked):
        raise ValueError(
            f"{module}: dims must not have any repeated integers, got {list(checked)}."
        )
    return checked


def _checked_numbers(
    given: Iterable[Any], dims: tuple[int, ...], name: str, module: str
) -> tuple[Any, ...]:
    numbers = tuple(map(tf1.dimension_value, given))
    if len(numbers) != len(dims):
        raise ValueError(
            f"{module}: {name} must have the same length as dims, got {list(numbers)} for the axes "
            f"{list(dims)}."
        )
    return numbers


def _axes(dims: tuple[int, ...], rank: int, module: str) -> list[int]:
    """Returns the axes that `dims` stands for in a tensor of that rank."""
    needed = max((dim + 1 if dim >= 0 else -dim for dim in dims), default=0)
    if rank < needed:
        raise ValueError(
            f"{module}: Rank of inputs must be at least {needed} for the axes {list(dims)}, got "
            f"the rank {rank}."
        )
    axes = [dim % rank for dim in dims]
    if len(set(axes)) < len(axes):
        raise ValueError(
            f"{module}: dims must not have any repeated integers, but in an input of rank {rank} "
            f"some of {list(dims)} are the same axis."
        )
    return axes
