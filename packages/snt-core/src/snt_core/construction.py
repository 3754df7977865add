"""How a module was constructed, for people to read."""

from __future__ import annotations

import inspect
import reprlib
from typing import Any


class Construction:
    """The arguments that a constructor was given.

    Attributes:
        constructed: The class.
        args: The positional arguments.
        kwargs: The named arguments.

    Args:
        constructed: The class.
        args: The positional arguments.
        kwargs: The named arguments.
    """

    def __init__(self, constructed: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.constructed = constructed
        self.args = args
        self.kwargs = kwargs

    def __str__(self) -> str:
        """Returns the call, without the name: a scope tells more."""
        try:
            signature = inspect.signature(self.constructed)
            given = dict(signature.bind(*self.args, **self.kwargs).arguments)
        except (TypeError, ValueError):  # a class with a `__new__` of its own
            given = self.kwargs
        else:
            for name, parameter in signature.parameters.items():
                if parameter.kind is inspect.Parameter.VAR_POSITIONAL and name in given:
                    given[f"*{name}"] = given.pop(name)
                elif parameter.kind is inspect.Parameter.VAR_KEYWORD and name in given:
                    given.update(given.pop(name))
        words = [f"{name}={_SHORT.repr(value)}" for name, value in given.items() if name != "name"]
        return f"{self.constructed.__name__}({', '.join(words)})"


class Signature:
    """The `__signature__` of modules: of a class that of `__init__`, of a module that of `_build`.

    Python would take those of `__new__` and `__call__`, which say nothing.
    """

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        if instance is not None:
            return inspect.signature(instance._build)
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class _Short(reprlib.Repr):
    """Writes values in a few words each."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 60
        self.maxlist = self.maxtuple = self.maxdict = 8

    def repr_instance(self, x: Any, level: int) -> str:
        if inspect.isroutine(x) or inspect.isclass(x):
            return x.__qualname__
        if hasattr(x, "scope_name"):
            return repr(x)  # a module, which is written in a few words already
        if hasattr(x, "shape") and hasattr(x, "dtype"):  # an array, a tensor, a variable
            return f"<{type(x).__name__} of shape {x.shape}>"
        return super().repr_instance(x, level)


_SHORT = _Short()
