"""`reuse_variables`: methods that share one variable scope and each own their variables."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow.compat.v1 as tf1

from snt_core.graphs import outermost_graph
from snt_core.module import AbstractModule
from snt_core.scoping import method_name_scope

Method = TypeVar("Method", bound=Callable[..., Any])


def reuse_variables(method: Method) -> Method:
    """Makes a method share its variables between calls, in the variable scope of its object.

    Where a module has several ways of being used, say `encode` and `decode`, each is decorated.
    The first call of each makes the variables that it asks for, and later calls find them; the
    methods may be called in any order, from one another, and from `_build`. Each variable has one
    owner: two methods cannot ask `get_variable` for the same name.

    The object is a module, or in graph mode any object with an attribute `variable_scope`.

    Args:
        method: A method; its first parameter is called `self`.

    Returns:
        The decorated method, of the same name, signature and documentation.

    Raises:
        TypeError: At decoration, if the function has no parameter `self`.
        AttributeError: When called on an object without `variable_scope`.
        ValueError: When called and a variable belongs to another method; or eagerly, on an object
            that is not a module.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Autoencoder(snt.AbstractModule):
        ...     @snt.reuse_variables
        ...     def encode(self, x):
        ...         return x @ tf.compat.v1.get_variable("down", [4, 2])
        ...
        ...     @snt.reuse_variables
        ...     def decode(self, z):
        ...         return z @ tf.compat.v1.get_variable("up", [2, 4])
        ...
        ...     def _build(self, x):
        ...         return self.decode(self.encode(x))
        >>> autoencoder = Autoencoder(name="autoencoder")
        >>> autoencoder.decode(tf.ones([1, 2])).shape, autoencoder(tf.ones([1, 4])).shape
        (TensorShape([1, 4]), TensorShape([1, 4]))
        >>> [variable.name for variable in autoencoder.variables]
        ['autoencoder/down:0', 'autoencoder/up:0']
    """
    parameters = list(inspect.signature(method).parameters)
    if not parameters or parameters[0] != "self":
        raise TypeError(
            "reuse_variables can only be used with methods, whose first parameter is `self`. "
            f"Got {method!r} with the parameters {parameters}."
        )
    # For objects that are not modules: what `reuse` is to be, by graph and name of the scope.
    reuse_in_graph: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, AbstractModule):
            return self._call_method(method, args, kwargs)
        scope = _variable_scope_of(self, method)
        graph = outermost_graph()
        if graph is None:
            raise ValueError(
                "reuse_variables is not supported in eager mode except in Sonnet modules. Make "
                f"{type(self).__name__} a subclass of AbstractModule."
            )
        reuse = reuse_in_graph.setdefault(graph, {})
        with (
            tf1.variable_scope(scope, reuse=reuse.get(scope.name), auxiliary_name_scope=False),
            method_name_scope(scope.name, method),
        ):
            # Should this call fail, the next one finds some of the variables and makes the rest.
            reuse.setdefault(scope.name, tf1.AUTO_REUSE)
            outputs = method(self, *args, **kwargs)
            reuse[scope.name] = True
        return outputs

    call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _variable_scope_of(owner: Any, method: Callable[..., Any]) -> Any:
    try:
        return owner.variable_scope
    except AttributeError as error:
        raise AttributeError(
            f"{type(owner).__name__} has no attribute `variable_scope`, which the method "
            f"{method.__name__!r}, decorated with reuse_variables, makes its variables in."
        ) from error
