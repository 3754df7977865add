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
import inspect
import itertools
import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.custom_getters.composition import Getter, bind_custom_getter, compose
from snt_core.graphs import in_replica_context, outermost_graph
from snt_core.last_call import Called
from snt_core.naming import is_inside, relative_name, to_snake_case
from snt_core.variable_store import (
    Maker,
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

    def __init__(self, scope: ModuleScope, chain: Getter | None) -> None:
        self.chain = chain
        self._scope = scope

    def __call__(self, getter: Getter, name: str, *args: Any, **kwargs: Any) -> Any:
        """Gets a variable; a custom getter as `tf.compat.v1.get_variable` knows it."""
        # A getter wrapped by TensorFlow may hold the getter of an enclosing module; the store is
        # shared, or that of the inner module is the right one: ask once.
        if not isinstance(getter, _StoreGetter):
            getter = _StoreGetter(self._scope, getter)
        if self.chain is None:
            return getter(name, *args, **kwargs)
        return self.chain(getter, name, *args, **kwargs)


# TensorFlow asks for the signature of a getter whenever it gets a variable.
ScopeGetter.__call__.__signature__ = inspect.signature(ScopeGetter.__call__)  # type: ignore[attr-defined]


class _StoreGetter:
    """The innermost getter: asks the store, on behalf of the connection in progress."""

    def __init__(self, scope: ModuleScope, getter: Getter) -> None:
        self._scope = scope
        self._getter = getter

    def __call__(
        self, name: str, shape: Any = None, dtype: Any = None, reuse: Any = None, **kwargs: Any
    ) -> Any:
        connection = current_connection()
        maker = None if connection is None else connection.maker
        # In a graph TensorFlow carries `reuse` through its scopes; elsewhere it forgets it.
        if outermost_graph() is None:
            reuse = tf1.AUTO_REUSE if connection is None else connection.reuse
        owned, is_new = self._scope.store.get(
            self._getter, name, reuse, maker, shape=shape, dtype=dtype, **kwargs
        )
        if is_new:
            # Before its first use, since a checkpoint may be waiting to give it its value.
            self._scope.track(owned)
        if connection is not None:
            connection.meet(owned)
            if is_new:
                connection.created.append(name)
        return owned.variable


class ModuleScope:
    """The variable scope of one module.

    Attributes:
        name: Full name, made unique among the children of the scope of the construction.
        identity: The same for modules that are made anew in place of one another.
        entrances: Counts the times that the scope was entered without a call.
        parent: The scope of the module in which this one was made, if any.
        store: Where the variables are; that of the parent, if there is one.
        tracked: The dictionary, tracked by TensorFlow, of the module's variables by name and of
            the like dictionaries of the modules in it.
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
        self.entrances = itertools.count()
        self.tracked: Any = None
        self.parent: ModuleScope | None
        self.store: VariableStore
        self.identity: object
        enclosing = current_connection()
        if enclosing is not None and is_inside(self.name, enclosing.scope.name):
            self.parent = enclosing.scope
            self.store = enclosing.scope.store
            key = (enclosing.scope.identity, enclosing.maker.entry, self.name)
            self.identity = self.store.identity(key)
            inherited_reuse = enclosing.reuse
        else:
            self.parent = None
            self.store = VariableStore()
            self.identity = object()
            inherited_reuse = False
        # Eagerly every scope of TensorFlow says AUTO_REUSE, whatever surrounds it.
        self.inherited_reuse = inherited_reuse if outermost_graph() is None else made.reuse or False
        inherited = made.custom_getter
        if isinstance(inherited, ScopeGetter):
            inherited = inherited.chain
        self.getter = ScopeGetter(
            self, compose(bind_custom_getter(custom_getter, self.name), inherited)
        )
        made.set_custom_getter(self.getter)
        self.variable_scope = made

    def track(self, owned: OwnedVariable) -> None:
        """Has a variable saved and restored with the module, and with those around it."""
        scope = self
        while scope.parent is not None:
            key = relative_name(scope.name, scope.parent.name) + "/"
            if key in scope.parent.tracked:
                break
            scope.parent.tracked[key] = scope.tracked
            scope = scope.parent
        for part in owned.parts():
            name = part.name or ""
            if is_inside(name, self.name):
                name = relative_name(name, self.name)
            self.tracked[name] = part.variable

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
        graph: The default graph in which it was entered.
        met: Variables that were created or found, by `id`: variables cannot be hashed.
        created: Full names of the variables that were created.
        maker: What the connection is to the store.
        calls: The modules that were called inside, by scope name.
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
            owner: The module; in the end, unless there was an error, it is given the variables
                that were met and the modules that were called (`_snt_take`).
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
        self.graph: Any = None
        self.maker: Maker
        self.met: dict[int, OwnedVariable] = {}
        self.created: list[str] = []
        self.calls: dict[str, Called] = {}
        self._is_call = entry is CALL
        self._enters_only = entry is None
        if entry is None:  # each entrance stands for itself
            entry = next(scope.entrances)
        self.maker = Maker(scope.identity, entry, object())
        self._contexts = contextlib.ExitStack()

    def __enter__(self) -> Any:
        contexts = self._contexts
        try:
            if self.reuse is None:
                self.reuse = self._default_reuse()
            scope = self.scope.variable_scope
            self.entered = contexts.enter_context(
                tf1.variable_scope(
                    scope,
                    reuse=True if self.reuse is True else None,
                    constraint=scope.constraint,
                    auxiliary_name_scope=self._is_call,
                )
            )
            if self._enters_only and self.scope.name:
                contexts.enter_context(self._unused_name_scope())
            if not _creations_are_watched():
                contexts.enter_context(tf1.variable_creator_scope(_watch_creation))
            self.graph = tf1.get_default_graph()
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
            if not self._enters_only:
                self.scope.completed.add(self.maker.entry)
            self.owner._snt_take(self.met.values(), self.calls)
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

    def _default_reuse(self) -> Any:
        if self.maker.entry in self.scope.completed:
            return True
        return self.scope.inherited_reuse or (in_replica_context() and tf1.AUTO_REUSE)

    def _unused_name_scope(self) -> Any:
        """Returns the name scope of the module, left free for the first call."""
        name = self.scope.name.rpartition("/")[2]
        if tf.executing_eagerly():
            return tf1.name_scope(name)
        outer = tf1.get_default_graph().get_name_scope()
        return tf1.name_scope(f"{outer}/{name}/" if outer else f"{name}/")


def _creations_are_watched() -> bool:
    """Tells whether a connection around this one watches what is created in the current graph."""
    connection = current_connection()
    if connection is None:
        return False
    # The graph of a function takes over the watchers of the graph in which it is traced.
    graph = tf1.get_default_graph()
    while graph is not connection.graph:
        if not graph.building_function:
            return False
        graph = graph.outer_graph
    return True


def _watch_creation(next_creator: Getter, **kwargs: Any) -> Any:
    """Sees each variable that is created inside connections, by whatever means."""
    connections = _thread.connections
    if is_trainable(kwargs):
        for connection in connections:
            if connection.reuse is True:
                raise ValueError(
                    "Trainable variable created when calling a template after the first time: "
                    f"{kwargs.get('name')!r}, in a later connection of {connection.scope.name!r}. "
                    "Perhaps tf.Variable was used where tf.get_variable was meant."
                )
    variable = next_creator(**kwargs)
    in_graph = outermost_graph() is not None
    owned = OwnedVariable(variable, None, requested_collections(kwargs), in_graph)
    if connections:
        connections[-1].meet(owned)
    return variable
