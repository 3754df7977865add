"""`SelectInput`: some of its inputs, in another order."""

from __future__ import annotations

import numbers
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule


class SelectInput(AbstractModule):
    """Returns the inputs with the given indices, in the given structure.

    Args:
        idx: An index, or a nested list or tuple of indices. An index may come several times.
        name: Name of the module. Default: "select_input".

    Raises:
        TypeError: If something in `idx` is neither an integer nor a list or tuple.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> select = snt.SelectInput(idx=[1, [0, 0]])
        >>> second, (first, again) = select(tf.constant("a"), tf.constant("b"))
        >>> second.numpy(), first.numpy(), again.numpy()
        (b'b', b'a', b'a')
    """

    def __init__(self, idx: Any, name: str = "select_input") -> None:
        super().__init__(name=name)
        self._idx = self._checked(idx)

    def _checked(self, idx: Any) -> Any:
        if isinstance(idx, (list, tuple)):
            return tuple(map(self._checked, idx))
        if not isinstance(idx, numbers.Integral):
            raise TypeError(
                f"{self.scope_name}: `idx` should be a (nested) array/tuple, or an integer, got "
                f"{idx!r}."
            )
        return int(idx)

    def _build(self, *inputs: Any) -> Any:
        """Selects some of `inputs`.

        Args:
            *inputs: Tensors.

        Returns:
            For an integer the input with this index; otherwise a tuple of what each entry of `idx`
            stands for. Each tensor is a copy, which can be fetched while the input is fed.

        Raises:
            ValueError: If there is no input of that index; negative indices are none either.
        """
        return self._select(inputs, self._idx)

    def _select(self, inputs: tuple[Any, ...], idx: Any) -> Any:
        if isinstance(idx, tuple):
            return tuple(self._select(inputs, entry) for entry in idx)
        if not 0 <= idx < len(inputs):
            raise ValueError(
                f"{self.scope_name}: `idx` contains out of bound entries, it should be in the "
                f"range [0, {len(inputs)}), got {self._idx!r}."
            )
        return tf.identity(inputs[idx])
