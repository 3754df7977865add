"""Questions about what a function or module accepts, and constructors from their names."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

SUPPORTED = "supported"
NOT_SUPPORTED = "not_supported"
MAYBE_SUPPORTED = "maybe_supported"

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def supports_kwargs(module_or_fn: Any, kwargs_list: str | Iterable[str]) -> str:
    """Tells whether a module or a function accepts all of the given keyword arguments.

    A module answers for its `_build`, a class for its constructor, a `functools.partial` for what
    it leaves open of the function.

    Args:
        module_or_fn: Any callable.
        kwargs_list: Names of keyword arguments, or a single name.

    Returns:
        `"supported"` if each name is a parameter, otherwise what the first name that is not one
        decides: `"maybe_supported"` if there is a `**kwargs` to take it or if nothing is known
        about the parameters, else `"not_supported"`.

    Raises:
        ValueError: If an element of `kwargs_list` is not a string.

    Example:
        >>> def dropout(inputs, is_training, rate=0.5): ...
        >>> supports_kwargs(dropout, "is_training")
        'supported'
        >>> supports_kwargs(dropout, ["rate", "seed"])
        'not_supported'
    """
    names = [kwargs_list] if isinstance(kwargs_list, str) else list(kwargs_list)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"kwargs should be strings, received {name!r} in {kwargs_list!r}.")
    try:
        signature = inspect.signature(_with_own_signature(module_or_fn))
    except (TypeError, ValueError):  # Some functions that are written in C keep it to themselves.
        return MAYBE_SUPPORTED if names else SUPPORTED
    parameters = signature.parameters.values()
    known = {parameter.name for parameter in parameters if parameter.kind in _BY_KEYWORD}
    if known.issuperset(names):
        return SUPPORTED
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return MAYBE_SUPPORTED if takes_any else NOT_SUPPORTED


def remove_unsupported_kwargs(
    module_or_fn: Any, all_kwargs_dict: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Returns the keyword arguments without those that `module_or_fn` would surely refuse.

    Args:
        module_or_fn: Any callable.
        all_kwargs_dict: Keyword arguments by name, or None for none.

    Returns:
        A new dictionary.

    Raises:
        ValueError: If `all_kwargs_dict` is not a dictionary, or if its keys are not strings.

    Example:
        >>> remove_unsupported_kwargs(lambda x, rate: x, {"rate": 0.5, "is_training": True})
        {'rate': 0.5}
    """
    if all_kwargs_dict is None:
        return {}
    if not isinstance(all_kwargs_dict, Mapping):
        raise ValueError(
            f"all_kwargs_dict must be a dict with keyword names as keys, or None; "
            f"received {all_kwargs_dict!r}."
        )
    return {
        name: value
        for name, value in all_kwargs_dict.items()
        if supports_kwargs(module_or_fn, [name]) != NOT_SUPPORTED
    }


def parse_string_to_constructor(ctor_string: str) -> Any:
    """Returns the class or function of the given name.

    Args:
        ctor_string: A name in the `sonnet` namespace, with or without `snt.` or `sonnet.` in front
            of it (`"LayerNorm"`, `"snt.nets.MLP"`), or the full name of something in any package
            that can be imported (`"collections.OrderedDict"`).

    Raises:
        ValueError: If there is no such name.

    Example:
        >>> parse_string_to_constructor("collections.OrderedDict")
        <class 'collections.OrderedDict'>
    """
    package, *path = ctor_string.split(".")
    if not path:
        package, path = "sonnet", [package]
    elif package == "snt":
        package = "sonnet"
    try:
        found: Any = importlib.import_module(package)
        for name in path:
            found = _member(found, name)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(f"could not find {ctor_string!r}: {error}") from error
    return found


def _with_own_signature(callable_: Any) -> Callable[..., Any]:
    """Returns something that `inspect.signature` reads the keyword arguments of a call from."""
    if isinstance(callable_, functools.partial):
        function = _with_own_signature(callable_.func)
        return functools.partial(function, *callable_.args, **callable_.keywords)
    # A module has a `__call__` of its own that is signed as its `_build`.
    own_call = getattr(callable_, "__dict__", {}).get("__call__")
    if callable(own_call) and not isinstance(callable_, type):
        return own_call
    return callable_


def _member(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        if not isinstance(owner, types.ModuleType):
            raise
        try:
            return importlib.import_module(f"{owner.__name__}.{name}")
        except ImportError:
            raise error from None
