"""`MergeDims`: several axes made one."""

from __future__ import annotations

import operator
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule
from snt_nets.shapes import reshape


class MergeDims(AbstractModule):
    """Merges neighbouring axes of a tensor, or of each tensor of a nested structure.

    Args:
        start: The first axis to merge; a negative one is counted from the last.
        size: Number of axes to merge, at least 2.
        name: Name of the module. Default: "merge_dims".

    Raises:
        ValueError: If `size` is less than 2.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.MergeDims(start=1, size=2)(tf.ones([8, 28, 28, 3])).shape
        TensorShape([8, 784, 3])
        >>> snt.MergeDims(start=-2, size=2)({"image": tf.ones([8, 28, 28, 3])})["image"].shape
        TensorShape([8, 28, 84])
    """

    def __init__(self, start: int, size: int, name: str = "merge_dims") -> None:
        super().__init__(name=name)
        self._start = operator.index(start)
        self._size = operator.index(size)
        if self._size <= 1:
            raise ValueError(
                f"{self.scope_name}: `size` should be strictly greater than 1, got {self._size}."
            )

    def _build(self, inputs: Any) -> Any:
        """Merges the axes of each tensor.

        Args:
            inputs: Tensor, or nested structure of tensors, of any shape and dtype.

        Returns:
            The same structure of tensors `[..., d_start * ... * d_(start+size-1), ...]`.

        Raises:
            ValueError: If a tensor lacks one of the axes, or its rank is unknown.
        """
        return tf.nest.map_structure(self._merge, inputs)

    def _merge(self, tensor: Any) -> Any:
        tensor = tf.convert_to_tensor(tensor)
        sizes = tensor.shape.as_list()
        start = self._start + (len(sizes) if self._start < 0 else 0)
        stop = start + self._size
        if start < 0 or stop > len(sizes):
            needed = -self._start if start < 0 else stop
            raise ValueError(
                f"{self.scope_name}: Rank of inputs must be at least {needed} to merge "
                f"{self._size} axes from axis {self._start} on, got the shape {sizes}."
            )
        merged = tf.TensorShape(sizes[start:stop]).num_elements()

        def shape() -> Any:
            sizes = tf.shape(tensor)
            product = tf.reduce_prod(sizes[start:stop], keepdims=True)
            parts = [sizes[:start], product, sizes[stop:]]
            return tf.concat([part for part in parts if part.shape != [0]], axis=0)

        return reshape(tensor, [*sizes[:start], merged, *sizes[stop:]], shape)
