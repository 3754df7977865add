"""`TrainableInitialState`: a given state, parts of which are learnt. Deprecated."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from snt_core.module import AbstractModule
from snt_core.scoping import get_variable


class TrainableInitialState(AbstractModule):
    """Makes a given state, which is the same for all examples of a batch, learnable.

    Deprecated: use the flag `trainable` of `initial_state`.

    Variables: `initial_state_<i>` `[1, ...]` for each learnable part, where i counts all parts; it
    begins as the first row of the part.

    Args:
        initial_state: Structure of tensors `[batch, ...]`, of which the rows are equal; the shapes
            of learnable parts must be known, of the others the batch size.
        mask: Structure of booleans like `initial_state`: which parts are learnt. Default: all.
        name: Name of the module. Default: "trainable_initial_state".

    Raises:
        TypeError: If something in `mask` is not a boolean, or a container in it is of another type
            than in `initial_state`.
        ValueError: If `mask` is nested in another way than `initial_state`.

    Example:
        >>> import warnings
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", DeprecationWarning)
        ...     state = snt.TrainableInitialState(tf.ones([4, 2]))
        >>> state().shape, [v.shape for v in state.get_variables()]
        (TensorShape([4, 2]), [TensorShape([1, 2])])
    """

    def __init__(
        self, initial_state: Any, mask: Any = None, name: str = "trainable_initial_state"
    ) -> None:
        super().__init__(name=name)
        warnings.warn(
            "TrainableInitialState is deprecated. Use the trainable flag in initial_state instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        if mask is not None:
            odd = [m for m in tf.nest.flatten(mask) if not isinstance(m, (bool, np.bool_))]
            if odd:
                raise TypeError(
                    f"{self.scope_name}: Mask should be None, or a structure of booleans like "
                    f"initial_state; got {odd[0]!r} in it."
                )
            tf.nest.assert_same_structure(initial_state, mask)
        self._leaves = tuple(tf.nest.flatten(initial_state))
        self._mask = (True,) * len(self._leaves) if mask is None else tuple(tf.nest.flatten(mask))
        self._pack = functools.partial(tf.nest.pack_sequence_as, initial_state)

    def _build(self) -> Any:
        """Returns the state.

        Returns:
            Structure of tensors like the given ones.

        Raises:
            ValueError: If the batch size is unknown, or the shape of a learnable part.
            InvalidArgumentError: If the rows of a part are not equal; in a graph when it is run,
                unless it is known before.
        """
        return self._pack(
            [
                self._learnable(i, leaf) if is_learnt else self._with_equal_rows(i, leaf)
                for i, (leaf, is_learnt) in enumerate(zip(self._leaves, self._mask, strict=True))
            ]
        )

    def _with_equal_rows(self, i: int, leaf: Any) -> Any:
        leaf = tf.convert_to_tensor(leaf)
        if not leaf.shape.rank or leaf.shape.as_list()[0] is None:
            raise ValueError(
                f"{self.scope_name}: the batch size must be known when the graph is built, got "
                f"the shape {leaf.shape} for part {i} of initial_state."
            )
        known = tf.get_static_value(leaf)
        rows = leaf if known is None else known
        check = tf.debugging.assert_equal(
            rows, rows[:1], f"{self.scope_name}: the rows of part {i} of initial_state differ."
        )
        with tf.control_dependencies([check]):
            return tf.identity(leaf)

    def _learnable(self, i: int, leaf: Any) -> Any:
        leaf = self._with_equal_rows(i, leaf)
        if not leaf.shape.is_fully_defined():
            raise ValueError(
                f"{self.scope_name}: a part that is learnt needs a shape that is fully defined, "
                f"got {leaf.shape} for part {i} of initial_state. Use set_shape, or mask it."
            )
        batch_size, *sizes = leaf.shape.as_list()
        # Where a function is traced, its own tensors are of no use to variables, which live
        # outside of it, but constants are.
        known = tf.get_static_value(leaf)
        first_row = leaf[:1] if known is None else known[:1]
        variable = get_variable(
            f"initial_state_{i}",
            shape=[1, *sizes],
            dtype=leaf.dtype,
            initializer=lambda *args, **kwargs: tf.convert_to_tensor(first_row),
        )
        with tf.control_dependencies([leaf]):  # whose rows are compared
            return tf.tile(variable, [batch_size, *[1] * len(sizes)])
