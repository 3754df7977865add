"""`WeightsWrapper`: a module whose weights are replaced by a function of them."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Mapping
from typing import Any

from snt_core.module import AbstractModule

_WEIGHTS = re.compile(".*/w$")


class WeightsWrapper(AbstractModule):
    """Base class of modules that construct another, and replace its weights wherever it gets them.

    Weights are all variables called `w` of the inner module and of its submodules. The inner
    module is in the scope of the wrapper, whose name is its own with "_wrapper" added.

    Args:
        module: Constructs the inner module: a class, or another function.
        default_name: Stands for the name in the name of the wrapper, if none is given.
        args: Positional arguments for `module`.
        kwargs: Named arguments for it, `name` among them.
    """

    def __init__(
        self,
        module: Callable[..., Any],
        default_name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        name = kwargs.get("name") or default_name
        super().__init__(custom_getter=self._get_weights, name=f"{name}_wrapper")
        with self._enter_variable_scope(check_same_graph=False):
            self._module = module(*args, **kwargs)

    def _get_weights(self, getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        variable = getter(name, *args, **kwargs)
        return self._replaced(variable) if _WEIGHTS.match(name) else variable

    @abc.abstractmethod
    def _replaced(self, weight: Any) -> Any:
        """Returns what the inner module gets for a weight."""
