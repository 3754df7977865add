"""A custom getter that chooses among others by the name of the variable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any


def custom_getter_router(
    custom_getter_map: Mapping[str, Callable[..., Any]], name_fn: Callable[[str], str]
) -> Callable[..., Any]:
    """Makes a custom getter that sends each variable to the getter whose pattern it matches.

    Patterns are matched at the start of the name, as by `re.match`, and need not reach its end:
    `"w"` matches `w` and `w_gates`, but not `linear_1/w`, for which `".*/w"` is the pattern. A
    variable that no pattern matches is got plainly.

    Args:
        custom_getter_map: Custom getters by regular expression.
        name_fn: Function from the full name of a variable to the name that is matched.

    Returns:
        A custom getter. It raises `KeyError` for a variable that several patterns match.

    Raises:
        TypeError: If `custom_getter_map` is not a mapping, or one of its values is not callable.

    Example:
        >>> import tensorflow.compat.v1 as tf1
        >>> from snt_core.custom_getters import non_trainable
        >>> router = custom_getter_router({".*/b": non_trainable}, name_fn=lambda name: name)
        >>> with tf1.variable_scope("routed", custom_getter=router):
        ...     w, b = tf1.get_variable("w", [2]), tf1.get_variable("b", [2])
        >>> w.trainable, b.trainable
        (True, False)
    """
    if not isinstance(custom_getter_map, Mapping):
        raise TypeError(
            "custom_getter_map must map regular expressions to custom getters, "
            f"not be {custom_getter_map!r}."
        )
    for pattern, custom_getter in custom_getter_map.items():
        if not callable(custom_getter):
            raise TypeError(
                f"Given custom_getter is not callable. Pattern {pattern!r} has {custom_getter!r}."
            )
    routes = [(pattern, re.compile(pattern), get) for pattern, get in custom_getter_map.items()]

    def routing_getter(getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        relative_name = name_fn(name)
        matches = [(pattern, get) for pattern, regex, get in routes if regex.match(relative_name)]
        if len(matches) > 1:
            raise KeyError(
                f"More than one custom_getter matched {name} ({relative_name}): "
                f"{[pattern for pattern, _ in matches]}"
            )
        if not matches:
            return getter(name, *args, **kwargs)
        return matches[0][1](getter, name, *args, **kwargs)

    return routing_getter
