"""`AbstractModule`: what every module is."""

from __future__ import annotations

import abc
import contextlib
import functools
import inspect
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import scoping
from snt_core.connections import (
    SONNET_COLLECTION_NAME,
    ConnectedSubGraph,
    ModuleInfo,
    notify_observers,
)
from snt_core.construction import Construction, Signature
from snt_core.custom_getters.composition import check_custom_getter
from snt_core.definition_site import DefinitionSite
from snt_core.errors import (
    DifferentGraphError,
    NotConnectedError,
    NotInitializedError,
    NotSupportedError,
)
from snt_core.graphs import default_graph_outside_functions, outermost_graph
from snt_core.last_call import Called, LastCall, shapes_of
from snt_core.naming import is_inside, to_snake_case
from snt_core.submodules import find_submodules
from snt_core.variable_store import (
    TRAINABLE_VARIABLES,
    OwnedVariable,
    is_graph_variable,
    requested_collections,
)
from snt_core.variables import notify_about_new_variables


class _Hook:
    """A view of the base class's state that an attribute of a subclass may cover.

    Programs set `self._graph` and the like for purposes of their own. The base class keeps its
    state elsewhere, so that this does no harm.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self._read(instance)


class _State:
    """What the base class knows of a module, away from the attributes of subclasses."""

    def __init__(self, scope: scoping.ModuleScope, original_name: str, custom_getter: Any) -> None:
        self.scope = scope
        self.original_name = original_name
        self.custom_getter = custom_getter
        self.defined_at = DefinitionSite(scope.name)
        self.is_connected = False
        self.graph: Any = None
        self.is_eager = False
        self.owned: dict[int, OwnedVariable] = {}
        self.last_call: LastCall | None = None
        self.called: dict[str, Called] = {}
        self.connected_subgraphs: list[ConnectedSubGraph] = []
        self.function: Callable[..., Any] | None = None


class AbstractModule(tf.Module, metaclass=abc.ABCMeta):
    """Base class of modules: configured when constructed, connected whenever called.

    A subclass passes `name` to this constructor first of all, and implements `_build`. The first
    call of a module makes its variables, all with `tf.compat.v1.get_variable` in the module's own
    variable scope; each later call uses the same ones. This holds in graphs, eagerly, and inside
    `tf.function`, whichever comes first. Modules that `_build` constructs are nested in the scope
    of the module, and share their variables likewise.

    A module is a `tf.Module`: attributes that hold modules or variables, and all variables of the
    module's own scope, are saved by `tf.train.Checkpoint` and by SavedModel.

    Args:
        _sentinel: Keeps positional arguments out.
        custom_getter: A custom getter as `tf.compat.v1.get_variable` knows it, or a mapping from
            regular expressions to custom getters: the one whose expression matches the start of
            a variable's name, as seen from the module's scope, is used. Getters apply to all
            variables made inside the module and run at each connection.
        name: Name of the module's scope; made unique among its neighbours. Default: the name of
            the class in snake case.

    Raises:
        ValueError: If a positional argument is given.
        TypeError: If `name` is not a string, or a custom getter cannot be called.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Scale(snt.AbstractModule):
        ...     def __init__(self, name="scale"):
        ...         super().__init__(name=name)
        ...
        ...     def _build(self, inputs):
        ...         factor = tf.compat.v1.get_variable("factor", [], initializer=tf.ones)
        ...         return inputs * factor
        >>> scale = Scale()
        >>> scale(tf.constant([2.0, 3.0])).numpy().tolist()
        [2.0, 3.0]
        >>> [variable.name for variable in scale.get_variables()]
        ['scale/factor:0']
    """

    # Subclasses with initialisers list the keys that their `initializers` may have.
    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = set()

    __signature__ = Signature()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Notes how the module is constructed, for `repr`."""
        module = super().__new__(cls)
        module.__dict__["_snt_construction"] = Construction(cls, args, kwargs)
        return module

    def __init__(
        self,
        _sentinel: Any = None,
        custom_getter: Any = None,
        name: str | None = None,
    ) -> None:
        # The constructor of tf.Module is left out on purpose: it refuses names that Sonnet
        # allows, and opens a name scope, which would change the names of operations.
        if _sentinel is not None:
            raise ValueError(
                "Calls to the constructor of AbstractModule must be without positional arguments, "
                f"got {_sentinel!r} without named arguments: write super().__init__(name=name)."
            )
        if name is None:
            name = to_snake_case(type(self).__name__)
        elif not isinstance(name, str):
            raise TypeError(f"Name must be a string, got {name!r} of type {type(name).__name__}.")
        check_custom_getter(custom_getter)
        scope = scoping.ModuleScope(name, custom_getter)
        state = _State(scope, name, custom_getter)
        self.__dict__["_snt_state"] = state
        # Assigned as an attribute of a tf.Module, a dictionary is wrapped, and what is put into it
        # is saved and restored. Modules made anew in place of one another have one of these.
        super().__setattr__("_snt_variables", scope.store.tracked.get(scope.identity, {}))
        scope.tracked = scope.store.tracked.setdefault(scope.identity, self._snt_variables)
        build = self._build
        self.__dict__["__doc__"] = build.__doc__ if build is not None else None
        if build is not None:
            self.__dict__["__call__"] = types.MethodType(_call_signed_as(build), self)

    @abc.abstractmethod
    def _build(self, *args: Any, **kwargs: Any) -> Any:
        """Connects the module: makes its variables and computes its outputs."""

    # Connection.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Connects the module to inputs; the arguments are those of `_build`."""
        state = self._snt_checked_state()
        self._check_same_graph()
        if state.function is None:
            outputs = self._snt_connect(self._build, args, kwargs)
        else:
            outputs = state.function(*args, **kwargs)
        self._snt_note_call()
        return outputs

    def _connect_by(self, build: Callable[..., Any], *args: Any) -> Any:
        """Connects the module by a function that stands for `_build`, with the same variables.

        Args:
            build: The function. Whichever is called first makes the variables of both.
            *args: Its arguments.
        """
        self._snt_checked_state()
        self._check_same_graph()
        outputs = self._snt_connect(build, args, {})
        self._snt_note_call()
        return outputs

    def _snt_connect(
        self, build: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        state = self._snt_state
        connection = scoping.Connection(self, state.scope, scoping.CALL)
        with state.defined_at.in_errors(), connection:
            name_scope = "" if tf.executing_eagerly() else tf1.get_default_graph().get_name_scope()
            outputs = build(*args, **kwargs)
        state.is_connected = True
        inputs = shapes_of((*args, *kwargs.values()) if kwargs else args)
        state.last_call = LastCall(inputs, shapes_of(outputs))
        if not tf.executing_eagerly():
            self._add_connected_subgraph(build, outputs, name_scope, args, kwargs)
        return outputs

    def _snt_note_call(self) -> None:
        """Tells the module that is being connected, if any, that this one was called in it."""
        connection = scoping.current_connection()
        if connection is not None:
            state = self._snt_state
            connection.met.update(state.owned)
            connection.calls[state.scope.name] = Called(self._snt_construction, state)

    def _enter_variable_scope(
        self, reuse: bool | None = None, check_same_graph: bool = True
    ) -> scoping.Connection:
        """Enters the variable scope of the module, to make variables and submodules inside it.

        Args:
            reuse: Whether variables must exist already.
            check_same_graph: Whether to bind the module to the current graph. Without, a module
                can be constructed in one graph and connected in another.

        Returns:
            A context manager that gives the `tf.VariableScope`.
        """
        state = self._snt_checked_state()
        if check_same_graph:
            self._check_same_graph()
        return scoping.Connection(self, state.scope, reuse=reuse or None)

    @contextlib.contextmanager
    def _capture_variables(self) -> Iterator[None]:
        """Takes each variable that is made inside the context for one of the module."""

        def take(variable: Any) -> None:
            in_graph = outermost_graph() is not None
            collections = requested_collections({"trainable": variable.trainable})
            self._snt_take([OwnedVariable(variable, None, collections, in_graph)])

        with notify_about_new_variables(take):
            yield

    def _call_method(
        self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Calls a method that owns variables; see `snt.reuse_variables`."""
        state = self._snt_checked_state()
        self._check_same_graph()
        bound = types.MethodType(method, self)
        with (
            scoping.Connection(self, state.scope, entry=method),
            scoping.method_name_scope(self.scope_name, method) as name_scope,
        ):
            outputs = bound(*args, **kwargs)
        state.is_connected = True
        if not tf.executing_eagerly():
            self._add_connected_subgraph(bound, outputs, name_scope, args, kwargs)
        return outputs

    def defun(self) -> None:
        """Turns each later call into a call of a `tf.function`.

        `_build` then runs once for each signature of the inputs, and not at each call.
        """
        state = self._snt_checked_state()
        if state.function is None:

            def connect(*args: Any, **kwargs: Any) -> Any:
                return self._snt_connect(self._build, args, kwargs)

            state.function = tf.function(connect)

    def _snt_take(
        self,
        met: Iterable[OwnedVariable],
        called: Mapping[str, Called] = types.MappingProxyType({}),
    ) -> None:
        """Takes over the variables that a connection met, and the modules called in it."""
        state = self._snt_state
        for owned in met:
            state.owned.setdefault(id(owned.variable), owned)
        state.called.update(called or {})

    # Checks and records.

    def _check_init_called(self) -> None:
        self._snt_checked_state()

    def _snt_checked_state(self) -> _State:
        try:
            return self._snt_state
        except AttributeError:
            raise NotInitializedError(
                f"You may have forgotten to call super at the start of {type(self).__name__}"
                ".__init__: the constructor of AbstractModule did not run."
            ) from None

    def _check_same_graph(self) -> None:
        """Binds the module to the current graph, or checks that it is the one it was bound to.

        Raises:
            DifferentGraphError: If the module was first used in another graph, or first in a
                graph and now eagerly, or the other way round.
        """
        state = self._snt_state
        graph = outermost_graph()
        if state.graph is None:
            state.is_eager = graph is None
            if graph is None:
                state.graph = default_graph_outside_functions()
                return
            state.graph = graph
            state.scope.adopt_graph()
            info = ModuleInfo(
                self.module_name,
                self.scope_name,
                f"{type(self).__module__}.{type(self).__name__}",
                state.connected_subgraphs,
            )
            graph.add_to_collection(SONNET_COLLECTION_NAME, info)
        elif state.is_eager != (graph is None) or not (state.is_eager or state.graph is graph):
            here = "eagerly" if graph is None else f"in the graph {graph}"
            there = "eagerly" if state.is_eager else f"in the graph {state.graph}"
            raise DifferentGraphError(
                "Cannot connect module to multiple Graphs. The module "
                f"{self.scope_name!r} was first used {there}, and now {here}: its variables live "
                "in one place. Construct another module for the other graph."
            )

    def _add_connected_subgraph(
        self,
        call_method: Callable[..., Any],
        outputs: Any,
        subgraph_name_scope: str,
        inputs_args: tuple[Any, ...],
        inputs_kwargs: dict[str, Any],
    ) -> None:
        """Records a connection, and reports it to the observers."""
        function = getattr(call_method, "__func__", None)
        if function is None:
            bound = inspect.signature(call_method).bind(*inputs_args, **inputs_kwargs)
        else:
            bound = _signature(function).bind(self, *inputs_args, **inputs_kwargs)
        bound.apply_defaults()
        inputs = dict(bound.arguments)
        if function is not None:
            del inputs[next(iter(inputs))]  # the module itself
        record = ConnectedSubGraph(self, subgraph_name_scope, inputs, outputs)
        self._snt_subgraph_records().append(record)
        notify_observers(record)

    def _snt_subgraph_records(self) -> list[ConnectedSubGraph]:
        state = self._snt_state
        if not state.is_eager:
            return state.connected_subgraphs
        # The trace of a function: its symbolic tensors are kept with its graph, not for ever.
        key = f"{SONNET_COLLECTION_NAME}/connected_subgraphs/{id(self)}"
        return tf1.get_default_graph().get_collection_ref(key)

    def _maybe_log(self, fstr: str, *args: Any, verbose: bool = False) -> None:
        """Logs a message at level info, headed by the name of the scope, if `verbose`."""
        if verbose:
            tf1.logging.info("%s: " + fstr, self.scope_name, *args)

    # Names and scopes.

    @property
    def module_name(self) -> str:
        """Unique name of the module in the scope where it was constructed."""
        return self._snt_state.scope.name.rpartition("/")[2]

    @property
    def name(self) -> str:
        """Unique name of the module in the scope where it was constructed."""
        return self.module_name

    @property
    def scope_name(self) -> str:
        """Full name of the variable scope of the module."""
        return self._snt_state.scope.name

    @property
    def variable_scope(self) -> Any:
        """The `tf.VariableScope` of the module.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._snt_state.scope.variable_scope

    @property
    def graph(self) -> Any:
        """The graph in which the module was first used, or None."""
        return self._snt_state.graph

    # Connections.

    @property
    def is_connected(self) -> bool:
        """Whether the module, or one of its methods that make variables, was called."""
        return self._snt_state.is_connected

    def _ensure_is_connected(self) -> None:
        if not self._snt_state.is_connected:
            raise NotConnectedError(
                f"Variables in {self.scope_name} not instantiated yet, connect the module first "
                "before accessing them: they are made when it is called with inputs."
            )

    @property
    def connected_subgraphs(self) -> tuple[ConnectedSubGraph, ...]:
        """All connections of the module in its graph, or in the function being traced.

        Raises:
            NotSupportedError: In eager mode, where there is no graph.
        """
        if tf.executing_eagerly():
            raise NotSupportedError("Connected sub-graphs are not tracked in eager mode.")
        return tuple(self._snt_subgraph_records())

    @property
    def last_connected_subgraph(self) -> ConnectedSubGraph:
        """The last connection of the module.

        Raises:
            NotSupportedError: In eager mode, where there is no graph.
            NotConnectedError: If the module is not connected yet.
        """
        if tf.executing_eagerly():
            raise NotSupportedError("Connected sub-graphs are not tracked in eager mode.")
        self._ensure_is_connected()
        return self._snt_subgraph_records()[-1]

    @property
    def name_scopes(self) -> tuple[str, ...]:
        """The name scope of each connection.

        Raises:
            NotSupportedError: In eager mode, where there is no graph.
        """
        if tf.executing_eagerly():
            raise NotSupportedError("The name_scopes property is not supported in eager mode.")
        return tuple(record.name_scope for record in self._snt_subgraph_records())

    @property
    def defun_wrapped(self) -> bool:
        """Whether `defun` was called."""
        return self._snt_state.function is not None

    # Variables.

    @property
    def variables(self) -> tuple[Any, ...]:
        """All variables of the module and of the modules connected inside it, sorted by name.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        owned = (entry.variable for entry in self._snt_state.owned.values())
        return tuple(sorted(owned, key=lambda variable: variable.name))

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        """Those of `variables` that are trainable.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return tuple(variable for variable in self.variables if variable.trainable)

    @property
    def non_trainable_variables(self) -> tuple[Any, ...]:
        """Those of `variables` that are not trainable.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return tuple(variable for variable in self.variables if not variable.trainable)

    def get_variables(self, collection: str = TRAINABLE_VARIABLES) -> tuple[Any, ...]:
        """Returns the variables in the module's own scope, in order of creation.

        Modules that were constructed elsewhere and only connected inside this one are not
        included; see `get_all_variables`.

        Args:
            collection: Name of the graph collection to search; outside graphs, of the collection
                that the variables were asked to be in.

        Raises:
            NotConnectedError: If the module is not connected yet.
            NotSupportedError: In eager mode, if `defun` was called.
        """
        self._ensure_is_connected()
        state = self._snt_state
        if state.is_eager:
            if state.function is not None:
                raise NotSupportedError(
                    "get_variables is not supported in eager mode for a module that is wrapped "
                    "with defun; use the property `variables`."
                )
            return tuple(
                owned.variable
                for owned in state.owned.values()
                if collection in owned.collections
                and is_inside(owned.variable.name, self.scope_name)
            )
        members = filter(is_graph_variable, state.graph.get_collection(collection))
        return tuple(v for v in members if is_inside(v.name, self.scope_name))

    def get_all_variables(self, collection: str = TRAINABLE_VARIABLES) -> tuple[Any, ...]:
        """Returns those of `variables` that are in a collection, sorted by name.

        Args:
            collection: As for `get_variables`.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        variables = self.variables
        state = self._snt_state
        if state.is_eager:
            if state.function is not None:
                return ()
            return tuple(v for v in variables if collection in state.owned[id(v)].collections)
        members = {id(member) for member in state.graph.get_collection(collection)}
        return tuple(variable for variable in variables if id(variable) in members)

    @classmethod
    def get_possible_initializer_keys(cls) -> set[str]:
        """Returns the keys that the dictionary `initializers` of this class may have."""
        return cls.POSSIBLE_INITIALIZER_KEYS

    # What subclasses and the sister packages read, and what `tf.Module` has; see `_Hook`.

    name_scope = _Hook(lambda self: tf.name_scope(self.module_name))
    submodules = _Hook(find_submodules)
    _template = _Hook(lambda self: self._snt_state.scope)
    _graph = _Hook(lambda self: self._snt_state.graph)
    _is_connected = _Hook(lambda self: self._snt_state.is_connected)
    _custom_getter = _Hook(lambda self: self._snt_state.custom_getter)
    _original_name = _Hook(lambda self: self._snt_state.original_name)
    _unique_name = _Hook(lambda self: self.module_name)
    _all_variables = _Hook(lambda self: [o.variable for o in self._snt_state.owned.values()])
    _call = _Hook(lambda self: self._snt_state.function or self._snt_connect)

    # Objects.

    def __setattr__(self, name: str, value: Any) -> None:
        # tf.Module wraps containers, to see what is put into them. That is right for those that
        # hold, or may come to hold, modules and variables; any other stays what it was.
        if type(value) in (list, tuple, dict) and value and not _holds_trackable(value):
            if type(self.__dict__.get(name)) not in (type(None), list, tuple, dict):
                super().__delattr__(name)  # what was there may have been tracked
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        state = self.__dict__.get("_snt_state")
        scope = "not initialised" if state is None else repr(state.scope.name)
        return f"<{self._snt_construction} {scope}>"

    def __getstate__(self) -> Any:
        raise NotSupportedError(
            f"A module ({type(self).__name__}) cannot be "
            "serialized or copied: its variables belong to it alone. Construct another from the "
            "same configuration, and save variables with tf.train.Checkpoint or snt.get_saver."
        )


def _holds_trackable(value: Any) -> bool:
    """Tells whether a container holds a module or a variable, at whatever depth."""
    if isinstance(value, dict):
        return any(_holds_trackable(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_trackable(item) for item in value)
    return isinstance(value, (tf.Module, tf.Variable))


_signatures: weakref.WeakKeyDictionary[Any, inspect.Signature] = weakref.WeakKeyDictionary()


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Returns the signature of a function; finding it out is slow."""
    if function not in _signatures:
        _signatures[function] = inspect.signature(function)
    return _signatures[function]


_signed_calls: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()


def _call_signed_as(build: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that calls a module and has the signature of its `_build`."""
    function = getattr(build, "__func__", build)
    if function in _signed_calls:
        return _signed_calls[function]

    @functools.wraps(function)
    def call(self: AbstractModule, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs)

    signature = inspect.signature(function)
    if function is build:  # not a method, so there is no `self` yet
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        signature = signature.replace(parameters=[first, *signature.parameters.values()])
    call.__signature__ = signature  # type: ignore[attr-defined]
    _signed_calls[function] = call
    return call
