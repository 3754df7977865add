"""The scoping engine: how a module makes its variables once and finds them ever after.

`ModuleScope`
    The variable scope of one module: named and made unique when the module is constructed, with
    all that the surrounding `tf.variable_scope` carries. Its custom getter asks the
    `VariableStore` last, beneath the getters of the user, which therefore run at each connection.

`Connection`
    One stay inside a `ModuleScope`. Connections are stacked per thread; each knows whether it
    may create variables, and collects those that it meets.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.custom_getters.composition import Getter, bind_custom_getter, compose
from snt_core.graphs import outermost_graph
from snt_core.naming import is_inside, to_snake_case
from snt_core.variable_store import (
    OwnedVariable,
    VariableStore,
    is_trainable,
    requested_collections,
)

# Programs replace `tf1.get_variable` while they build a net; see `get_variable` below.
_TENSORFLOW_GET_VARIABLE = tf1.get_variable

# The entry of a module by its being called; see `Connection`.
CALL = "__call__"


class _ThreadConnections(threading.local):
    def __init__(self) -> None:
        self.connections: list[Connection] = []


_thread = _ThreadConnections()


def current_connection() -> Connection | None:
    """Returns the innermost connection in progress in this thread."""
    connections = _thread.connections
    return connections[-1] if connections else None


def get_module_stack() -> list[Any]:
    """Returns the modules that are being connected in this thread, outermost first."""
    return [connection.owner for connection in _thread.connections]


def method_name_scope(scope_name: str, method: Callable[..., Any]) -> Any:
    """Returns the name scope for the operations of a method that owns variables."""
    name = to_snake_case(method.__name__)
    return tf1.name_scope(f"{scope_name}/{name}" if scope_name else name)


def get_variable(name: str, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Any:
    """Gets a variable as `tf.compat.v1.get_variable` does, at a fraction of its cost.

    Where the module that is being connected already has the variable, and nobody stands between
    (no custom getter, no other scope, no replacement of `tf.compat.v1.get_variable`), the answer
    can only be that variable, and finding it takes a dictionary look-up.

    Args:
        name: Name of the variable in the current variable scope.
        shape: Shape of the variable.
        dtype: Type of the variable. Default: that of the scope, float32.
        **kwargs: The other arguments of `tf.compat.v1.get_variable`.

    Returns:
        The variable, or what a custom getter made of it.

    Raises:
        ValueError: As `tf.compat.v1.get_variable`, and when a later connection asks for a variable
            that the first one did not make.
    """
    connection = current_connection()
    if (
        connection is not None
        and connection.reuse is True
        and connection.scope.getter.chain is None
        and tf1.get_variable is _TENSORFLOW_GET_VARIABLE
        and tf1.get_variable_scope() is connection.entered
    ):
        scope_name = connection.scope.name
        full_name = f"{scope_name}/{name}" if scope_name else name
        owned = connection.scope.store.find(full_name, shape, dtype)
        if owned is not None:
            connection.meet(owned)
            return owned.variable
    return tf1.get_variable(name, shape=shape, dtype=dtype, **kwargs)


class ScopeGetter:
    """The custom getter of a module's scope: the user's getters, and beneath them the store.

    Attributes:
        chain: The custom getters of the module and of all that surrounds it, or None.
    """

    def __init__(self, store: VariableStore, chain: Getter | None) -> None:
        self.chain = chain
        self._store = store

    def __call__(self, getter: Getter, name: str, *args: Any, **kwargs: Any) -> Any:
        """Gets a variable; a custom getter as `tf.compat.v1.get_variable` knows it."""
        # A getter wrapped by TensorFlow may hold the getter of an enclosing module; the store is
        # shared, or that of the inner module is the right one: ask once.
        if not isinstance(getter, _StoreGetter):
            getter = _StoreGetter(self._store, getter)
        if self.chain is None:
            return getter(name, *args, **kwargs)
        return self.chain(getter, name, *args, **kwargs)


class _StoreGetter:
    """The innermost getter: asks the store, on behalf of the connection in progress."""

    def __init__(self, store: VariableStore, getter: Getter) -> None:
        self._store = store
        self._getter = getter

    def __call__(
        self, name: str, shape: Any = None, dtype: Any = None, reuse: Any = None, **kwargs: Any
    ) -> Any:
        connection = current_connection()
        # In a graph TensorFlow carries `reuse` through its scopes; elsewhere it forgets it.
        if outermost_graph() is None:
            reuse = tf1.AUTO_REUSE if connection is None else connection.reuse
        owned, is_new = self._store.get(self._getter, name, reuse, shape, dtype, **kwargs)
        if is_new:
            for open_connection in _thread.connections:
                # Before its first use, since a checkpoint may be waiting to give it its value.
                open_connection.owner._snt_track(owned)
        if connection is not None:
            connection.meet(owned)
            if is_new:
                connection.created.append(name)
        return owned.variable


class ModuleScope:
    """The variable scope of one module.

    Attributes:
        name: Full name, made unique among the children of the scope of the construction.
        store: Where the variables are.
        getter: The custom getter of the scope.
        completed: The entries, calls and methods, of which a first call was completed.
        inherited_reuse: What surrounds the construction demands of a first call: False, make
            the variables; True, find them; AUTO_REUSE, either.
    """

    def __init__(self, name: str, custom_getter: Any) -> None:
        """Makes the scope in the current variable scope.

        Args:
            name: Wanted name; a suffix makes it unique.
            custom_getter: The module's own custom getter, or mapping of getters, or None.
        """
        constraint = tf1.get_variable_scope().constraint  # the one thing that is not inherited
        with tf1.variable_scope(
            None, default_name=name, constraint=constraint, auxiliary_name_scope=False
        ) as made:
            pass
        self.name: str = made.name
        self.completed: set[Any] = set()
        self.store: VariableStore
        enclosing = current_connection()
        if enclosing is not None and is_inside(self.name, enclosing.scope.name):
            self.store = enclosing.scope.store
            inherited_reuse = enclosing.reuse
        else:
            self.store = VariableStore()
            inherited_reuse = False
        # Eagerly every scope of TensorFlow says AUTO_REUSE, whatever surrounds it.
        self.inherited_reuse = inherited_reuse if outermost_graph() is None else made.reuse or False
        inherited = made.custom_getter
        if isinstance(inherited, ScopeGetter):
            inherited = inherited.chain
        self.getter = ScopeGetter(
            self.store, compose(bind_custom_getter(custom_getter, self.name), inherited)
        )
        made.set_custom_getter(self.getter)
        self.variable_scope = made

    @tf.autograph.experimental.do_not_convert
    def adopt_graph(self) -> None:
        """Readies a scope that was made eagerly for use in a graph.

        A `tf.VariableScope` made eagerly says AUTO_REUSE, which in a graph would silently share
        variables with whoever has the same names.
        """
        scope = self.variable_scope
        if scope.reuse is tf1.AUTO_REUSE and self.inherited_reuse is not tf1.AUTO_REUSE:
            self.variable_scope = tf1.VariableScope(
                self.inherited_reuse,
                name=scope.name,
                initializer=scope.initializer,
                regularizer=scope.regularizer,
                caching_device=scope.caching_device,
                partitioner=scope.partitioner,
                custom_getter=scope.custom_getter,
                name_scope=scope.original_name_scope,
                dtype=scope.dtype,
                use_resource=scope.use_resource,
                constraint=scope.constraint,
            )


class Connection:
    """One stay in the scope of a module: a context manager that gives the `tf.VariableScope`.

    Attributes:
        owner: The module.
        scope: Its `ModuleScope`.
        reuse: False while variables may be made, True when they must exist, AUTO_REUSE for both.
        entered: The `tf.VariableScope` that was entered.
        met: Variables that were created or found, by `id`: variables cannot be hashed.
        created: Full names of the variables that were created.
    """

    def __init__(
        self,
        owner: Any,
        scope: ModuleScope,
        entry: Any = None,
        reuse: Any = None,
    ) -> None:
        """Prepares the connection.

        Args:
            owner: The module; it is given each variable made inside (`_snt_track`), at once, and
                in the end, unless there was an error, all that were met (`_snt_take`).
            scope: Its scope.
            entry: What is called: `CALL`, or a method that owns variables. The first completed
                call of each makes its variables. None where the scope is merely entered.
            reuse: Whether variables must exist. Default: True where `entry` was called before;
                elsewhere what the construction of the module inherited.
        """
        self.owner = owner
        self.scope = scope
        self.reuse = reuse
        self.entered: Any = None
        self.met: dict[int, OwnedVariable] = {}
        self.created: list[str] = []
        self._entry = entry
        self._contexts = contextlib.ExitStack()

    def __enter__(self) -> Any:
        contexts = self._contexts
        try:
            if self.reuse is None:
                self.reuse = self._default_reuse(contexts)
            scope = self.scope.variable_scope
            self.entered = contexts.enter_context(
                tf1.variable_scope(
                    scope,
                    reuse=True if self.reuse is True else None,
                    constraint=scope.constraint,
                    auxiliary_name_scope=self._entry is CALL,
                )
            )
            contexts.enter_context(tf1.variable_creator_scope(self._watch_creation))
        except BaseException:
            contexts.close()
            raise
        _thread.connections.append(self)
        return self.entered

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        _thread.connections.pop()
        try:
            if error is not None:
                self.scope.store.abandon(self.created)
                return
            if self._entry is not None:
                self.scope.completed.add(self._entry)
            self.owner._snt_take(self.met.values())
            parent = current_connection()
            if parent is not None:
                parent.met.update(self.met)
                parent.created.extend(self.created)
        finally:
            self._contexts.__exit__(kind, error, trace)

    def meet(self, owned: OwnedVariable) -> None:
        """Notes that the module has this variable, or these parts of one."""
        for part in owned.parts():
            known = self.met.get(id(part.variable))
            if known is None or known.name is None:  # the creation is seen before the name
                self.met[id(part.variable)] = part

    def _default_reuse(self, contexts: contextlib.ExitStack) -> Any:
        scope = self.scope
        if self._entry in scope.completed:
            return True
        if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
            # The replicas make each variable together, and wait for one another inside of it.
            return scope.inherited_reuse or tf1.AUTO_REUSE
        if self._entry is not None:
            contexts.enter_context(scope.store.first_connection)
            if self._entry in scope.completed:  # by another thread in the meantime
                return True
        return scope.inherited_reuse

    def _watch_creation(self, next_creator: Getter, **kwargs: Any) -> Any:
        """Sees each variable that is created inside, by whatever means."""
        if self.reuse is True and is_trainable(kwargs):
            raise ValueError(
                "Trainable variable created when calling a template after the first time: "
                f"{kwargs.get('name')!r}, in a later connection of {self.scope.name!r}. "
                "Perhaps tf.Variable was used where tf.get_variable was meant."
            )
        variable = next_creator(**kwargs)
        in_graph = outermost_graph() is not None
        self.meet(OwnedVariable(variable, None, requested_collections(kwargs), in_graph))
        return variable
