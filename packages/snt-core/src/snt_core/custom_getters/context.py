"""A custom getter that is switched on and off by a `with` block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import tensorflow.compat.v1 as tf1


class Context:
    """A custom getter that works only inside `with` blocks on itself.

    Whether the getter is on is decided whenever a variable is asked for, so at each connection of a
    module. A getter that only changes how variables are made, such as `non_trainable`, has no
    effect on variables that exist already.

    Blocks on one object may be nested, and the getter is on until the outermost is left. It is then
    on in every thread, so that a block around `tf.distribute.Strategy.run` reaches the replicas.

    Args:
        getter: Custom getter that is used inside the block.
        verbose: Whether to log every request for a variable, and the getter it goes to. Default
            `False`.
        default_getter: Custom getter that is used outside the block. Default `None`: variables are
            got plainly.

    Raises:
        TypeError: If a getter is not callable.

    Example:
        >>> import tensorflow as tf
        >>> import tensorflow.compat.v1 as tf1
        >>> from snt_core.custom_getters import stop_gradient
        >>> frozen = Context(stop_gradient)
        >>> with tf.Graph().as_default():
        ...     with tf1.variable_scope("net", custom_getter=frozen, reuse=tf1.AUTO_REUSE):
        ...         with frozen:
        ...             held = tf1.get_variable("w", [])
        ...         free = tf1.get_variable("w", [])
        ...     variables = tf1.trainable_variables()
        ...     tf1.gradients(held, variables), tf1.gradients(free, variables)[0] is None
        ([None], False)
    """

    def __init__(
        self,
        getter: Callable[..., Any],
        verbose: bool = False,
        default_getter: Callable[..., Any] | None = None,
    ) -> None:
        for role, value in (("getter", getter), ("default_getter", default_getter)):
            if not callable(value) and not (role == "default_getter" and value is None):
                raise TypeError(f"Context: {role} must be a custom getter, not {value!r}.")
        self._getter = getter
        self._verbose = verbose
        self._default_getter = default_getter
        self._depth = 0
        self._lock = threading.Lock()

    def __call__(self, getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        """Gets a variable: the custom getter protocol.

        Args:
            getter: The getter of the variable.
            name: Full name of the variable.
            *args: Further positional arguments of the request.
            **kwargs: Keyword arguments of the request.

        Returns:
            What the getter in force gives.
        """
        active = self._getter if self._depth else self._default_getter
        if self._verbose:
            tf1.logging.info(
                "Context, %s its block: variable %s through %s.",
                "inside" if self._depth else "outside",
                name,
                "the plain getter" if active is None else active,
            )
        if active is None:
            return getter(name, *args, **kwargs)
        return active(getter, name, *args, **kwargs)

    def __enter__(self) -> Context:
        with self._lock:
            self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._depth -= 1
