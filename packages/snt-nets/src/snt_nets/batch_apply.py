"""`BatchApply`: a module for one batch axis, applied to tensors that have several."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule
from snt_nets.shapes import reshape


def merge_leading_dims(array_or_tensor: Any, n_dims: int = 2) -> Any:
    """Merges the leading axes of a tensor into one.

    Args:
        array_or_tensor: Tensor `[d_1, ..., d_n_dims, ...]`, or what can be converted to one.
        n_dims: Number of axes to merge. Default: 2.

    Returns:
        Tensor `[d_1 * ... * d_n_dims, ...]`. What has fewer than `n_dims` axes is returned as it
        was given.

    Raises:
        ValueError: If the rank is unknown.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.merge_leading_dims(tf.ones([5, 8, 3])).shape
        TensorShape([40, 3])
    """
    tensor = tf.convert_to_tensor(array_or_tensor)
    if tensor.shape.rank is None:
        raise ValueError(
            "Cannot merge the leading dimensions of a tensor of unknown rank. Use set_shape."
        )
    if tensor.shape.rank < n_dims:
        return array_or_tensor
    trailing = tensor.shape[n_dims:].as_list()

    def dynamic_shape() -> Any:
        shape = tf.shape(tensor)
        count = tf.reduce_prod(shape[:n_dims], keepdims=True)
        return tf.concat([count, shape[n_dims:]], axis=0)

    return reshape(tensor, [tensor.shape[:n_dims].num_elements(), *trailing], dynamic_shape)


def split_leading_dim(tensor: Any, inputs: Any, n_dims: int = 2) -> Any:
    """Splits the leading axis of a tensor into the leading axes of another.

    Args:
        tensor: Tensor `[d_1 * ... * d_n_dims, ...]`.
        inputs: Tensor `[d_1, ..., d_n_dims, ...]`, of which only the shape is used.
        n_dims: Number of axes to split into. Default: 2.

    Returns:
        Tensor `[d_1, ..., d_n_dims, ...]` with the other axes of `tensor`.

    Raises:
        ValueError: If one of the ranks is unknown, or the sizes do not fit (in graph mode).

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.split_leading_dim(tf.ones([40, 7]), inputs=tf.ones([5, 8, 3])).shape
        TensorShape([5, 8, 7])
    """
    tensor, inputs = tf.convert_to_tensor(tensor), tf.convert_to_tensor(inputs)
    if tensor.shape.rank is None or inputs.shape.rank is None:
        raise ValueError("Cannot split the leading dimension of a tensor of unknown rank.")
    return reshape(
        tensor,
        inputs.shape[:n_dims].concatenate(tensor.shape[1:]).as_list(),
        lambda: tf.concat([tf.shape(inputs)[:n_dims], tf.shape(tensor)[1:]], axis=0),
    )


class BatchApply(AbstractModule):
    """Merges the leading axes of its inputs, applies a module or function, and splits them again.

    Args:
        module_or_op: What is applied; it sees one batch axis.
        n_dims: Number of leading axes to merge. Default: 2, for instance time and batch.
        input_example_index: Which input, in the order of flattened arguments, gives the sizes for
            splitting the outputs. Default: the first one.
        name: Name of the module. Default: "batch_apply".

    Raises:
        TypeError: If `n_dims` is not an integer.
        ValueError: If `n_dims` is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.BatchApply(snt.Linear(7))(tf.ones([5, 8, 3])).shape
        TensorShape([5, 8, 7])
    """

    def __init__(
        self,
        module_or_op: Callable[..., Any],
        n_dims: int = 2,
        input_example_index: int = 0,
        name: str = "batch_apply",
    ) -> None:
        super().__init__(name=name)
        try:
            n_dims = operator.index(n_dims)
        except TypeError:
            raise TypeError(
                f"{self.scope_name}: n_dims should be an integer, got {n_dims!r}."
            ) from None
        if n_dims <= 0:
            raise ValueError(
                f"{self.scope_name}: n_dims should be greater than zero, got {n_dims}."
            )
        self._module = module_or_op
        self._n_dims = n_dims
        self._input_example_index = input_example_index

    def _build(self, *args: Any, **kwargs: Any) -> Any:
        """Applies the module or function to inputs with merged leading axes.

        Args:
            *args: Tensors `[d_1, ..., d_n_dims, ...]`, in nested structures or not. None, and what
                has fewer than `n_dims` axes, is handed on as it is.
            **kwargs: Likewise.

        Returns:
            What the module or function returns, the leading axis of each tensor split.

        Raises:
            ValueError: If the rank of an input is unknown, or the input that gives the sizes has
                fewer than `n_dims` axes.
        """
        leaves = tf.nest.flatten((args, kwargs))
        merged = [None if x is None else merge_leading_dims(x, self._n_dims) for x in leaves]
        args, kwargs = tf.nest.pack_sequence_as((args, kwargs), merged)
        results = self._module(*args, **kwargs)
        if results is None:
            return None
        example = self._example(leaves)
        return tf.nest.map_structure(
            lambda x: None if x is None else split_leading_dim(x, example, self._n_dims), results
        )

    def _example(self, leaves: list[Any]) -> Any:
        index = self._input_example_index
        if not -len(leaves) <= index < len(leaves):
            raise ValueError(
                f"{self.scope_name}: input_example_index is {index}, but there are {len(leaves)} "
                "inputs."
            )
        example = None if leaves[index] is None else tf.convert_to_tensor(leaves[index])
        if example is None or example.shape.rank < self._n_dims:
            raise ValueError(
                f"{self.scope_name}: the input that gives the sizes for splitting the outputs must "
                f"be a tensor with at least {self._n_dims} axes, got {leaves[index]!r}: choose "
                f"another one by input_example_index, which is {index}."
            )
        return example
