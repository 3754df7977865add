"""Checks of the dictionaries of initializers, partitioners and regularizers that modules take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_initializers(initializers: Any, keys: Iterable[str]) -> dict[str, Any]:
    """Checks that `initializers` suits a module whose variables are called `keys`.

    Only the keys of the outermost dictionary are compared with `keys`; the dictionaries in it go
    to submodules, which know their own keys.

    Args:
        initializers: None, or a dictionary of initializers; a value may be a dictionary of them.
        keys: The keys that may be given.

    Returns:
        A new dictionary with the same entries, empty for None.

    Raises:
        KeyError: If there is a key that is not in `keys`.
        TypeError: If `initializers` is not like a dictionary, or if a value in it, at any depth, is
            neither a callable nor a dictionary.

    Example:
        >>> import tensorflow as tf
        >>> zeros = tf.zeros_initializer()
        >>> list(check_initializers({"w": zeros}, keys={"w", "b"}))
        ['w']
        >>> check_initializers({"u": zeros}, keys={"w", "b"})
        Traceback (most recent call last):
        KeyError: "Invalid initializer keys 'u', initializers can only be provided for 'b', 'w'."
    """
    return dict(_checked(initializers, keys, "initializer"))


def check_partitioners(partitioners: Any, keys: Iterable[str]) -> Any:
    """Checks that `partitioners` suits a module whose variables are called `keys`.

    Args:
        partitioners: None, or a dictionary of partitioners; a value may be a dictionary of them.
        keys: The keys that may be given.

    Returns:
        `partitioners` itself, or an empty dictionary for None.

    Raises:
        KeyError: If there is a key that is not in `keys`.
        TypeError: If `partitioners` is not like a dictionary, or if a value in it, at any depth, is
            neither a callable nor a dictionary.

    Example:
        >>> check_partitioners(None, keys={"w", "b"})
        {}
    """
    return _checked(partitioners, keys, "partitioner")


def check_regularizers(regularizers: Any, keys: Iterable[str]) -> dict[str, Any]:
    """Checks that `regularizers` suits a module whose variables are called `keys`.

    Args:
        regularizers: None, or a dictionary of functions from a variable to a scalar; a value may
            be a dictionary of them.
        keys: The keys that may be given.

    Returns:
        A new dictionary with the same entries, empty for None.

    Raises:
        KeyError: If there is a key that is not in `keys`.
        TypeError: If `regularizers` is not like a dictionary, or if a value in it, at any depth, is
            neither a callable nor a dictionary.

    Example:
        >>> check_regularizers({"w": 0.1}, keys={"w", "b"})
        Traceback (most recent call last):
        TypeError: Regularizer for 'w' is not a callable function or dictionary: received 0.1.
    """
    return dict(_checked(regularizers, keys, "regularizer"))


def _checked(given: Any, keys: Iterable[str], kind: str) -> Any:
    if given is None:
        return {}
    # What makes a dictionary for dict() makes one here: strings and lists lack `keys`.
    if not (hasattr(given, "__getitem__") and hasattr(given, "keys")):
        raise TypeError(
            f"Expected a dict-like object with possible keys {_quoted(keys)}, received {given!r}."
        )
    allowed = set(keys)
    unknown = [key for key in given if key not in allowed]
    if unknown:
        raise KeyError(
            f"Invalid {kind} keys {_quoted(unknown)}, {kind}s can only be provided for "
            f"{_quoted(allowed)}."
        )
    _check_callables(given, kind.capitalize(), path=())
    return given


def _check_callables(given: Any, kind: str, path: tuple[Any, ...]) -> None:
    for key in given:
        value = given[key]
        if callable(value):
            continue
        if not hasattr(value, "items"):
            place = f" in {' / '.join(map(repr, path))}" if path else ""
            raise TypeError(
                f"{kind} for {key!r} is not a callable function or dictionary: "
                f"received {value!r}{place}."
            )
        _check_callables(value, kind, (*path, key))


def _quoted(keys: Iterable[Any]) -> str:
    return ", ".join(sorted(map(repr, keys)))
