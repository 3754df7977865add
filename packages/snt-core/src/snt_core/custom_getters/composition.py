"""How the custom getters of a module and of what surrounds it become one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from snt_core.custom_getters.router import custom_getter_router
from snt_core.naming import relative_name

Getter = Callable[..., Any]


def check_custom_getter(custom_getter: Any) -> None:
    """Checks what a module is given as its `custom_getter`.

    Raises:
        TypeError: If it is not None, a callable, or a mapping to callables.
    """
    getters = custom_getter.values() if isinstance(custom_getter, Mapping) else [custom_getter]
    for getter in getters:
        if not callable(getter) and custom_getter is not None:
            raise TypeError(
                f"Given custom_getter is not callable. Got {getter!r}; expected a function "
                "(getter, name, *args, **kwargs), or a mapping from regular expressions to such."
            )


def bind_custom_getter(custom_getter: Any, scope_name: str) -> Getter | None:
    """Returns the getter of a module; a mapping sees names as they are inside of `scope_name`."""
    if isinstance(custom_getter, Mapping):
        return custom_getter_router(
            custom_getter, functools.partial(relative_name, scope_name=scope_name)
        )
    return custom_getter


def compose(inner: Getter | None, outer: Getter | None) -> Getter | None:
    """Returns the getter that runs `inner`, whose own getter is `outer`."""
    getters = [_tolerating_constraint(getter) for getter in (inner, outer) if getter is not None]
    if len(getters) < 2:
        return getters[0] if getters else None
    first, second = getters

    def composed(getter: Getter, name: str, *args: Any, **kwargs: Any) -> Any:
        return first(functools.partial(second, getter), name, *args, **kwargs)

    return composed


def _tolerating_constraint(getter: Getter) -> Getter:
    """Keeps `constraint` from getters that cannot take it, as TensorFlow does."""
    try:
        parameters = inspect.signature(getter).parameters.values()
    except (TypeError, ValueError):
        return getter
    if any(p.kind is p.VAR_KEYWORD or p.name == "constraint" for p in parameters):
        return getter

    def without_constraint(inner: Getter, name: str, *args: Any, **kwargs: Any) -> Any:
        constraint = kwargs.pop("constraint", None)
        return getter(functools.partial(inner, constraint=constraint), name, *args, **kwargs)

    return without_constraint
