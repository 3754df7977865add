"""Initialisers of variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1


class restore_initializer:  # noqa: N801 (an initialiser's class is called like a function)
    """Initialises a variable with a tensor of a checkpoint.

    The tensor's name in the checkpoint is `<scope>/<var_name>`, or `var_name` alone where the scope
    is empty. The checkpoint is read when the variable is initialised, and then a tensor of another
    shape than the variable's, of another dtype, or one that isn't there is an error. A partitioned
    variable reads its parts from the whole tensor.

    Args:
        filename: Prefix of the checkpoint, as `tf.compat.v1.train.Saver` returns it.
        var_name: Name of the tensor within the scope.
        scope: Where in the checkpoint the tensor is: a name, or `""` for the root; a function from
            the name of the variable scope in which the variable is made to such a name; or `None`,
            the default, for that name itself, so that one initialiser can serve several modules.

    Raises:
        TypeError: If `filename` or `var_name` is not a string, or `scope` not one of the above.

    Example:
        >>> import os, tempfile
        >>> import tensorflow as tf
        >>> import tensorflow.compat.v1 as tf1
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model.ckpt")
        >>> with tf.Graph().as_default(), tf1.Session() as session:
        ...     w = tf1.get_variable("linear/w", initializer=[1.0, 2.0])
        ...     session.run(w.initializer)
        ...     path = tf1.train.Saver([w]).save(session, prefix)
        >>> restore_initializer(prefix, "w", scope="linear")([2]).numpy()
        array([1., 2.], dtype=float32)
    """

    def __init__(
        self, filename: str, var_name: str, scope: str | Callable[[str], str] | None = None
    ) -> None:
        for role, value in (("filename", filename), ("var_name", var_name)):
            if not isinstance(value, str):
                raise TypeError(f"restore_initializer: {role} must be a string, not {value!r}.")
        if not (scope is None or isinstance(scope, str) or callable(scope)):
            raise TypeError(
                "restore_initializer: scope must be a string, a function from the current scope "
                f"to a string, or None, not {scope!r}."
            )
        self._filename = filename
        self._var_name = var_name
        self._scope = scope

    def __call__(
        self, shape: Sequence[int], dtype: Any = None, partition_info: Any = None
    ) -> tf.Tensor:
        """Reads the tensor.

        Args:
            shape: Shape of the variable, or of the part of it that is made.
            dtype: dtype of the variable. Default `None`: float32.
            partition_info: For a part of a partitioned variable, an object with the `full_shape` of
                the variable and the `var_offset` of the part. Default `None`.

        Returns:
            A tensor of this shape and dtype.

        Raises:
            tf.errors.InvalidArgumentError: If the shape or the dtype isn't the one in the
                checkpoint. In graph mode when the tensor is evaluated; so with the next.
            tf.errors.NotFoundError: If there is no such tensor, or no such checkpoint.
        """
        static_shape = tf.TensorShape(shape)
        name = self._name_in_checkpoint()
        (tensor,) = tf.raw_ops.RestoreV2(
            prefix=self._filename,
            tensor_names=[name],
            shape_and_slices=[_slice_spec(static_shape, partition_info)],
            dtypes=[tf.as_dtype(dtype or tf.float32).base_dtype],
        )
        # RestoreV2 looks at the shape only where it reads a part.
        if tf.executing_eagerly() and not static_shape.is_compatible_with(tensor.shape):
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"restore_initializer: '{name}' in '{self._filename}' has shape {tensor.shape}, "
                f"but the variable has shape {static_shape}.",
            )
        return tf.ensure_shape(tensor, static_shape, name="same_shape_as_in_checkpoint")

    def _name_in_checkpoint(self) -> str:
        scope = self._scope
        if scope is None or callable(scope):
            current = tf1.get_variable_scope().name
            scope = current if scope is None else scope(current)
        return f"{scope}/{self._var_name}" if scope else self._var_name


def _slice_spec(shape: tf.TensorShape, partition_info: Any) -> str:
    """The text by which RestoreV2 is told which part of a tensor to read; empty for all of it."""
    if partition_info is None:
        return ""
    full_shape = " ".join(str(int(size)) for size in partition_info.full_shape)
    extents = zip(partition_info.var_offset, shape.as_list(), strict=True)
    return f"{full_shape} " + ":".join(f"{offset},{length}" for offset, length in extents)
