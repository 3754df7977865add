"""`RNNCellWrapper`: a cell from elsewhere as a core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snt_rnn.core import RNNCore


class RNNCellWrapper(RNNCore):
    """Makes a core of a recurrent cell that is not of this library.

    A cell is called as `cell(inputs, state)`, returns `(output, next_state)`, and has the
    attributes `state_size` and `output_size`. It is constructed, and called, in the variable scope
    of this module, which so contains what the cell gets by `tf.compat.v1.get_variable`. A cell of
    Keras will do too; it keeps its variables itself, and its initial state is zeros.

    Args:
        cell_ctor: Class of the cell, or function that makes one.
        *args: Arguments of `cell_ctor`.
        **kwargs: Likewise. `name` is used for this module as well, by default "rnn_cell_wrapper";
            `custom_getter` is for this module only, as for `snt.AbstractModule`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Sum:
        ...     def __init__(self, size):
        ...         self.state_size = self.output_size = size
        ...
        ...     def __call__(self, inputs, state):
        ...         return inputs + state, inputs + state
        >>> core = snt.RNNCellWrapper(Sum, 5)
        >>> outputs, state = core(tf.ones([8, 5]), core.initial_state(batch_size=8))
        >>> outputs.shape
        TensorShape([8, 5])
    """

    def __init__(self, cell_ctor: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(custom_getter=kwargs.pop("custom_getter", None), name=kwargs.get("name"))
        with self._enter_variable_scope(check_same_graph=False):
            self._cell = cell_ctor(*args, **kwargs)

    def _build(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Calls the cell.

        Args:
            inputs: Inputs of the cell, `[batch, ...]`.
            prev_state: State of the cell.

        Returns:
            Output of the cell, and its next state.
        """
        return self._cell(inputs, prev_state)

    @property
    def state_size(self) -> Any:
        """That of the cell."""
        return self._cell.state_size

    @property
    def output_size(self) -> Any:
        """That of the cell."""
        return self._cell.output_size
