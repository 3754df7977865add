"""`Module`: a function made into a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snt_core.module import AbstractModule
from snt_core.naming import name_for_callable


class Module(AbstractModule):
    """Wraps a function, so that the variables that it makes are shared between its calls.

    Args:
        build: Called with the arguments of each call of the module. Its configuration is bound
            with `functools.partial`.
        custom_getter: As for `AbstractModule`.
        name: Name of the module. Default: the name of the function, or "module" if it has none.

    Raises:
        TypeError: If `build` cannot be called.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> def affine(x):
        ...     return x * tf.compat.v1.get_variable("a", []) + tf.compat.v1.get_variable("b", [])
        >>> module = snt.Module(affine)
        >>> first, second = module(tf.constant(1.0)), module(tf.constant(1.0))
        >>> bool(first == second), [v.name for v in module.get_variables()]
        (True, ['affine/a:0', 'affine/b:0'])
    """

    def __init__(
        self,
        build: Callable[..., Any],
        custom_getter: Any = None,
        name: str | None = None,
    ) -> None:
        if not callable(build):
            raise TypeError(f"Input 'build' must be callable. Got {build!r}.")
        if name is None:
            name = name_for_callable(build)
        super().__init__(custom_getter=custom_getter, name=name)
        self._function = build

    def _build(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the wrapped function with the same arguments."""
        return self._function(*args, **kwargs)
