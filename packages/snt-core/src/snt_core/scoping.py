"""The scoping engine: how a module makes its variables once and finds them ever after.

Three parts, from the inside out:

`VariableStore`
    The variables of a tree of modules by full name. TensorFlow remembers variables by name only
    in a graph; the store remembers them in every mode, so a module finds its variables eagerly,
    inside `tf.function` and in a graph by the same rule.

`ModuleScope`
    The variable scope of one module: named and made unique when the module is constructed, with
    all that the surrounding `tf.variable_scope` carries. Its custom getter asks the store last,
    beneath the getters of the user, which therefore run at each connection.

`Connection`
    One stay inside a `ModuleScope`. Connections are stacked per thread; each knows whether it
    may create variables, and collects those that it meets.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.naming import to_snake_case

GLOBAL_VARIABLES = tf1.GraphKeys.GLOBAL_VARIABLES
TRAINABLE_VARIABLES = tf1.GraphKeys.TRAINABLE_VARIABLES

# Programs replace `tf1.get_variable` while they build a net; see `get_variable` below.
_TENSORFLOW_GET_VARIABLE = tf1.get_variable

Getter = Callable[..., Any]

# The entry of a module by its being called; see `Connection`.
CALL = "__call__"


class OwnedVariable(NamedTuple):
    """A variable that a module has.

    Attributes:
        variable: The variable, or a partitioned one.
        name: Its full name among those got by `get_variable`, or None if it was made otherwise.
        collections: The graph collections that it was asked to be in, in whatever mode.
        in_graph: Whether it lives in a graph.
    """

    variable: Any
    name: str | None
    collections: tuple[str, ...]
    in_graph: bool

    def parts(self) -> list[OwnedVariable]:
        """Returns the parts of a partitioned variable, or the variable itself, in a list."""
        if isinstance(self.variable, tf.Variable):
            return [self]
        return [
            self._replace(
                variable=part, name=None if self.name is None else f"{self.name}/part_{i}"
            )
            for i, part in enumerate(self.variable)
        ]


class _ThreadConnections(threading.local):
    def __init__(self) -> None:
        self.connections: list[Connection] = []


_thread = _ThreadConnections()
_living_stores: weakref.WeakSet[VariableStore] = weakref.WeakSet()
_store_numbers = itertools.count()


def current_connection() -> Connection | None:
    """Returns the innermost connection in progress in this thread."""
    connections = _thread.connections
    return connections[-1] if connections else None


def get_module_stack() -> list[Any]:
    """Returns the modules that are being connected in this thread, outermost first."""
    return [connection.owner for connection in _thread.connections]


def outermost_graph() -> Any:
    """Returns the graph that variables live in: the outermost one, or None if that is eager."""
    if tf.executing_eagerly():
        return None
    graph = tf1.get_default_graph()
    if not graph.building_function:
        return graph
    with tf.init_scope():
        return None if tf.executing_eagerly() else tf1.get_default_graph()


def default_graph_outside_functions() -> Any:
    """Returns the current graph or, where a function is being traced, the one around it."""
    graph = tf1.get_default_graph()
    while graph.building_function:
        graph = graph.outer_graph
    return graph


def is_inside(name: str, scope_name: str) -> bool:
    """Tells whether `name` is inside the scope `scope_name`; all names are inside of ""."""
    return not scope_name or name.startswith(scope_name + "/")


def relative_name(name: str, scope_name: str) -> str:
    """Returns `name` without the prefix `scope_name/`."""
    return name[len(scope_name) + 1 :] if scope_name else name


def method_name_scope(scope_name: str, method: Callable[..., Any]) -> Any:
    """Returns the name scope for the operations of a method that owns variables."""
    name = to_snake_case(method.__name__)
    return tf1.name_scope(f"{scope_name}/{name}" if scope_name else name)


def variable_name(variable: Any) -> str:
    """Returns the name of a variable without the `:0` of its tensor."""
    return str(variable.name).partition(":")[0]


def is_graph_variable(member: Any) -> bool:
    """Tells whether a member of a graph collection is a variable.

    What assigning to a resource variable returns is a `tf.Variable` too, one without initializer.
    """
    return isinstance(member, tf.Variable) and member.initializer is not None


def live_variables(collection: str) -> list[Any]:
    """Returns the variables of all living modules outside graphs, in order of creation.

    Eagerly there are no graph collections: a collection would keep every variable alive for ever.

    Args:
        collection: Only variables that were asked to be in this collection are returned.
    """
    stores = sorted(_living_stores, key=lambda store: store.number)
    return [
        part.variable
        for store in stores
        for owned in store.owned()
        if collection in owned.collections and not owned.in_graph
        for part in owned.parts()
    ]


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
        variable = connection.scope.store.find(full_name, shape, dtype)
        if variable is not None:
            return variable
    return tf1.get_variable(name, shape=shape, dtype=dtype, **kwargs)


class VariableStore:
    """The variables of a tree of modules, by full name.

    Modules that are constructed inside the scope of another share its store, so that a module
    made anew at each connection finds what its predecessor made.
    """

    def __init__(self) -> None:
        self.number = next(_store_numbers)
        # Held through each first connection, so that two threads do not both make variables.
        self.first_connection = threading.RLock()
        self._owned: dict[str, OwnedVariable] = {}
        # Variables of first connections that failed: free to be taken when it is tried again.
        self._orphans: set[str] = set()

    def owned(self) -> list[OwnedVariable]:
        """Returns the variables in order of creation; a partitioned one stands once."""
        return list(self._owned.values())

    def abandon(self, names: Iterable[str]) -> None:
        """Frees the variables of a connection that failed."""
        self._orphans.update(names)

    def find(self, name: str, shape: Any, dtype: Any) -> Any:
        """Returns the variable `name` if there is one, and notes that it was met."""
        owned = self._owned.get(name)
        if owned is None:
            return None
        _check_shareable(name, owned.variable, shape, dtype)
        connection = current_connection()
        if connection is not None:
            connection.meet(owned)
        return owned.variable

    def get(
        self,
        getter: Getter,
        name: str,
        shape: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the variable `name`, creating it with `getter` where that is allowed.

        Args:
            getter: TensorFlow's getter, which knows the variables of the graph by name.
            name: Full name of the variable.
            shape: Its shape.
            dtype: Its type.
            **kwargs: The other arguments of the getter.
        """
        connection = current_connection()
        in_graph = outermost_graph() is not None
        # In a graph TensorFlow carries `reuse` through its scopes; elsewhere it forgets it.
        if in_graph:
            reuse = kwargs.get("reuse")
        else:
            reuse = connection.reuse if connection is not None else tf1.AUTO_REUSE
        if name in self._owned:
            if not reuse and name not in self._orphans:
                raise ValueError(
                    f"Variable {name} already exists, disallowed. Each module, and each method "
                    "decorated with reuse_variables, owns its variables: give one of the two "
                    "that ask for this name another name, or let one call the other."
                )
            self._orphans.discard(name)
            return self.find(name, shape, dtype)
        if not in_graph:
            if reuse is True:
                raise ValueError(
                    f"Variable {name} does not exist, or was not created with tf.get_variable(): "
                    "Trainable variable created when calling a template after the first time. "
                    "All variables of a module are made by its first connection."
                )
            kwargs["reuse"] = False
        # From the graph of a function, or the body of a loop, out to where variables can live.
        with tf.init_scope(), _losses_reach_outermost_graph():
            variable = getter(name, shape=shape, dtype=dtype, **kwargs)
        owned = OwnedVariable(variable, name, requested_collections(kwargs), in_graph)
        self._owned[name] = owned
        if connection is not None:
            connection.created.append(name)
        for open_connection in _thread.connections:
            # Before its first use, since a checkpoint may be waiting to give it its value.
            open_connection.owner._snt_track(owned)
        return self.find(name, None, None)


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
    def __init__(self, store: VariableStore, getter: Getter) -> None:
        self._store = store
        self._getter = getter

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._store.get(self._getter, name, *args, **kwargs)


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

    def __init__(self, name: str, custom_getter: Callable[[str], Getter | None]) -> None:
        """Makes the scope in the current variable scope.

        Args:
            name: Wanted name; a suffix makes it unique.
            custom_getter: Given the full name of the scope, returns the module's own custom getter.
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
            _living_stores.add(self.store)
        # Eagerly every scope of TensorFlow says AUTO_REUSE, whatever surrounds it.
        self.inherited_reuse = inherited_reuse if outermost_graph() is None else made.reuse or False
        inherited = made.custom_getter
        if isinstance(inherited, ScopeGetter):
            inherited = inherited.chain
        self.getter = ScopeGetter(self.store, _compose(custom_getter(self.name), inherited))
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
        if self.reuse is True and _is_trainable(kwargs):
            raise ValueError(
                "Trainable variable created when calling a template after the first time: "
                f"{kwargs.get('name')!r}, in a later connection of {self.scope.name!r}. "
                "Perhaps tf.Variable was used where tf.get_variable was meant."
            )
        variable = next_creator(**kwargs)
        in_graph = outermost_graph() is not None
        self.meet(OwnedVariable(variable, None, requested_collections(kwargs), in_graph))
        return variable


def _is_trainable(kwargs: dict[str, Any]) -> bool:
    trainable = kwargs.get("trainable")
    if trainable is None:
        return kwargs.get("synchronization") is not tf.VariableSynchronization.ON_READ
    return bool(trainable)


def requested_collections(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """Returns the collections that a variable made with these arguments belongs to."""
    collections = kwargs.get("collections")
    wanted = (GLOBAL_VARIABLES,) if collections is None else tuple(collections)
    if _is_trainable(kwargs) and TRAINABLE_VARIABLES not in wanted:
        wanted += (TRAINABLE_VARIABLES,)
    return wanted


def _check_shareable(name: str, variable: Any, shape: Any, dtype: Any) -> None:
    found_shape, found_dtype = variable.get_shape(), variable.dtype.base_dtype
    if shape is not None and not found_shape.is_compatible_with(shape):
        raise ValueError(
            f"Trying to share variable {name}, but specified shape {tuple(tf.TensorShape(shape))} "
            f"and found shape {tuple(found_shape)}. All connections of a module need variables of "
            "the same shapes."
        )
    if dtype not in (None, found_dtype) and tf.as_dtype(dtype).base_dtype != found_dtype:
        raise ValueError(
            f"Trying to share variable {name}, but specified dtype {tf.as_dtype(dtype).name} and "
            f"found dtype {found_dtype.name}."
        )


def _compose(inner: Getter | None, outer: Getter | None) -> Getter | None:
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


@contextlib.contextmanager
def _losses_reach_outermost_graph() -> Any:
    """Hands on regularisation losses of variables that are made while a function is traced.

    Outside graphs TensorFlow makes each loss on demand, and puts it in the collection of the
    current graph; that of a function dies with its trace.
    """
    graph, outermost = tf1.get_default_graph(), default_graph_outside_functions()
    if outermost is graph:
        yield
        return
    losses = graph.get_collection_ref(tf1.GraphKeys.REGULARIZATION_LOSSES)
    before = len(losses)
    yield
    for loss in losses[before:]:
        outermost.add_to_collection(tf1.GraphKeys.REGULARIZATION_LOSSES, loss)
