"""Names of scopes: made from names of classes and functions, taken apart and put in relation."""

from __future__ import annotations

import functools
import re
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_START_OF_WORD = re.compile(r"(?=[A-Z][a-z])")
_LOWER_THEN_UPPER = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LOWER_THEN_DIGIT = re.compile(r"(?<=[a-z])(?=[0-9])")


def to_snake_case(camel_case: str) -> str:
    """Returns `camel_case` in lower case, its words joined by underscores.

    A run of capitals counts as one word, and so does what starts with a digit. Checkpoints contain
    these names.

    Args:
        camel_case: An identifier of ASCII letters, digits and underscores.

    Returns:
        The name in snake case, without underscores at its ends.

    Raises:
        ValueError: If `camel_case` is not such an identifier.

    Example:
        >>> to_snake_case("LSTMBlockCell")
        'lstm_block_cell'
        >>> to_snake_case("Conv2DTranspose")
        'conv_2d_transpose'
    """
    if not _IDENTIFIER.fullmatch(camel_case):
        raise ValueError(
            f"{camel_case!r} is not a valid Python identifier: expected a letter or an underscore, "
            "then letters, digits and underscores, all ASCII."
        )
    name = _START_OF_WORD.sub("_", camel_case)
    name = _LOWER_THEN_UPPER.sub("_", name)
    # Only the first digit of a word opens a new one: "v123p56" becomes "v_123p56".
    name = "_".join(_LOWER_THEN_DIGIT.sub("_", word, count=1) for word in name.split("_"))
    return name.strip("_").lower()


def name_for_callable(func: Any) -> str | None:
    """Returns a scope name made from the name of `func`, or None where it has none.

    Args:
        func: Any callable; a `functools.partial` counts as the function that it wraps.

    Returns:
        The snake case of `func.__name__`, or None for a lambda or an object without `__name__`.

    Raises:
        ValueError: If `func.__name__` is not an identifier.

    Example:
        >>> name_for_callable(functools.partial(sorted, reverse=True))
        'sorted'
        >>> name_for_callable(lambda x: x) is None
        True
    """
    while isinstance(func, functools.partial):
        func = func.func
    name = getattr(func, "__name__", "<lambda>")
    return None if name == "<lambda>" else to_snake_case(name)


def is_inside(name: str, scope_name: str) -> bool:
    """Tells whether `name` is inside the scope `scope_name`; all names are inside of ""."""
    return not scope_name or name.startswith(scope_name + "/")


def relative_name(name: str, scope_name: str) -> str:
    """Returns `name` without the prefix `scope_name/`."""
    return name[len(scope_name) + 1 :] if scope_name else name


def variable_name(variable: Any) -> str:
    """Returns the name of a variable without the `:0` of its tensor."""
    return str(variable.name).partition(":")[0]
