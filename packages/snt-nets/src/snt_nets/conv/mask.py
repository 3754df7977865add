"""Masks: constants that the weights of a convolution are multiplied by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from snt_core.errors import IncompatibleShapeError
from snt_nets.conv.base import DTYPES


class Mask:
    """A mask as it was given; each connection makes its own tensor of it.

    A module may be constructed in one graph, or eagerly, and connected in another one.

    Args:
        given: Tensor, array, list or tuple.
        module: Name of the module.

    Raises:
        TypeError: If it is something else, or not of a floating-point type.
        IncompatibleShapeError: If it is a tensor whose shape is not known.
    """

    def __init__(self, given: Any, module: str) -> None:
        if isinstance(given, (list, tuple, np.ndarray)):
            # As an array, but of the type that TensorFlow gives to such a list.
            given = tf.make_ndarray(tf.make_tensor_proto(given))
        elif not isinstance(given, tf.Tensor):
            raise TypeError(
                f"{module}: Invalid type for mask: {type(given).__name__}, must be a tensor, an "
                "array, a list or a tuple."
            )
        dtype = tf.as_dtype(given.dtype)
        if dtype not in DTYPES:
            raise TypeError(
                "Mask needs to have dtype float16, bfloat16, float32 or float64, got "
                f"{dtype.name} for the mask of {module}."
            )
        shape = tf.TensorShape(given.shape)
        if not shape.is_fully_defined():
            raise IncompatibleShapeError(
                f"{module}: Invalid mask shape: {shape}. It must be fully defined: use set_shape "
                "on the mask."
            )
        self.given = given
        self._shape = tuple(shape.as_list())
        self._module = module

    def tensor(self) -> Any:
        """Returns the mask as a tensor, in the shape and type in which it was given."""
        return tf.convert_to_tensor(self.given)

    def apply(self, weights: Any, shape: Sequence[int], dtype: Any) -> Any:
        """Returns `weights` multiplied by the mask, which lacks none but their last axes.

        Args:
            weights: The weights.
            shape: Their shape.
            dtype: Their type.

        Raises:
            IncompatibleShapeError: If the mask has more axes, or other sizes.
        """
        rank = len(self._shape)
        if rank > len(shape):
            raise IncompatibleShapeError(
                f"Invalid mask shape: {rank} axes, {self._shape}, of the mask of {self._module}, "
                f"whose weights have the shape {tuple(shape)}."
            )
        if self._shape != tuple(shape[:rank]):
            raise IncompatibleShapeError(
                f"Invalid mask shape: {self._shape} of the mask of {self._module}: must be the "
                f"start of the shape of its weights, {tuple(shape)}."
            )
        expanded = (*self._shape, *(1,) * (len(shape) - rank))
        if isinstance(self.given, np.ndarray):
            mask = tf.constant(self.given.astype(dtype.as_numpy_dtype).reshape(expanded))
        else:
            mask = tf.cast(self.given, dtype)
            mask = mask if rank == len(shape) else tf.reshape(mask, expanded)
        return tf.multiply(weights, mask)
