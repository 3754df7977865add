"""`VariableStore`: the variables of a tree of modules, remembered in every mode."""

from __future__ import annotations

import contextlib
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.graphs import (
    in_replica_context,
    losses_reach_outermost_graph,
    outermost_graph,
)

GLOBAL_VARIABLES = tf1.GraphKeys.GLOBAL_VARIABLES
TRAINABLE_VARIABLES = tf1.GraphKeys.TRAINABLE_VARIABLES

_living_stores: weakref.WeakSet[VariableStore] = weakref.WeakSet()
_store_numbers = itertools.count()


class OwnedVariable(NamedTuple):
    """A variable that a module has.

    Attributes:
        variable: The variable, or a partitioned one.
        name: Its full name among those got by `get_variable`, or None if it was made otherwise.
        collections: The graph collections that it was asked to be in, in whatever mode.
        in_graph: Whether it lives in a graph.
        regularizer: Its regularizer, if it was asked for with one.
    """

    variable: Any
    name: str | None
    collections: tuple[str, ...]
    in_graph: bool
    regularizer: Callable[[Any], Any] | None = None

    def check_shareable(self, shape: Any, dtype: Any) -> None:
        """Checks that the variable is of the shape and type that are asked for, if any are.

        Raises:
            ValueError: If it is not.
        """
        # A variable that a strategy has cut in shards has no `get_shape`.
        found_shape = tf.TensorShape(self.variable.shape)
        found_dtype = self.variable.dtype.base_dtype
        if shape is not None and not found_shape.is_compatible_with(shape):
            raise ValueError(
                f"Trying to share variable {self.name}, but specified shape "
                f"{tuple(tf.TensorShape(shape))} and found shape {tuple(found_shape)}. All "
                "connections of a module need variables of the same shapes."
            )
        if dtype is not None and tf.as_dtype(dtype).base_dtype != found_dtype:
            raise ValueError(
                f"Trying to share variable {self.name}, but specified dtype "
                f"{tf.as_dtype(dtype).name} and found dtype {found_dtype.name}."
            )

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


class Maker(NamedTuple):
    """Who made a variable: a call of a module, or of a method of its.

    Attributes:
        scope: Identity of the scope of the module; see `VariableStore.identity`.
        entry: What was called; or the number of the time that the scope was merely entered.
        connection: Stands for the call itself.
    """

    scope: object
    entry: Any
    connection: object

    def runs_beside(self, other: Maker | None) -> bool:
        """Tells whether another first call of the same thing, in another thread, is this one."""
        return (
            other is not None
            and self.scope is other.scope
            and self.entry == other.entry
            and self.connection is not other.connection
        )


class VariableStore:
    """The variables of a tree of modules, by full name.

    TensorFlow remembers variables by name only in a graph. The store remembers them in every mode,
    by the same rules. Modules that are constructed inside the scope of another share its store, so
    that a module made anew at each connection finds what its predecessor made.
    """

    def __init__(self) -> None:
        # The tracked dictionaries of scopes, by identity; see `ModuleScope.tracked`.
        self.tracked: dict[object, Any] = {}
        self._number = next(_store_numbers)
        self._lock = threading.RLock()
        self._owned: dict[str, OwnedVariable] = {}
        self._makers: dict[str, Maker | None] = {}
        self._identities: dict[Any, object] = {}
        self._passed: dict[str, tuple[Any, Any]] = {}
        # Variables of first connections that failed: free to be taken when it is tried again.
        self._orphans: set[str] = set()
        _living_stores.add(self)

    def abandon(self, names: Iterable[str]) -> None:
        """Frees the variables of a connection that failed."""
        self._orphans.update(names)

    def find(self, name: str, shape: Any, dtype: Any) -> OwnedVariable | None:
        """Returns the variable `name`, if there is one.

        Raises:
            ValueError: If it is of another shape or type than is asked for.
        """
        owned = self._owned.get(name)
        if owned is not None:
            question = (tuple(shape) if type(shape) is list else shape, dtype)
            if self._passed.get(name) != question:  # which needs no second answer
                owned.check_shareable(shape, dtype)
                self._passed[name] = question
        return owned

    def identity(self, key: Any) -> object:
        """Returns an object that is the same for equal keys.

        Modules made anew at each connection of their parent are different objects that stand for
        the same module; the identity of their scopes tells.
        """
        return self._identities.setdefault(key, object())

    def get(
        self,
        getter: Callable[..., Any],
        name: str,
        reuse: Any,
        maker: Maker | None,
        **kwargs: Any,
    ) -> tuple[OwnedVariable, bool]:
        """Finds the variable `name` or creates it, as `reuse` allows.

        Args:
            getter: TensorFlow's getter, which knows the variables of the graph by name.
            name: Full name of the variable.
            reuse: True if it must exist, False if it must not, AUTO_REUSE if it may.
            maker: Who asks.
            **kwargs: The other arguments of the getter, shape and dtype among them.

        Returns:
            The variable, and whether it is new to the store or taken over from a failed call.

        Raises:
            ValueError: If `reuse` does not allow it, or the variable is of another shape or type.
        """
        # Replicas make each variable together, and wait for one another inside of it.
        with contextlib.nullcontext() if in_replica_context() else self._lock:
            if name not in self._owned:
                return self._create(getter, name, reuse, maker, **kwargs), True
            made_by = self._makers[name]
            beside = maker is not None and maker.runs_beside(made_by)
            if not (reuse or beside or name in self._orphans):
                raise ValueError(
                    f"Variable {name} already exists, disallowed. Each module, and each method "
                    "decorated with reuse_variables, owns its variables: give one of the two "
                    "that ask for this name another name, or let one call the other."
                )
            found = self.find(name, kwargs.get("shape"), kwargs.get("dtype"))
            assert found is not None
            taken_over = name in self._orphans
            self._orphans.discard(name)
            return found, taken_over

    def _create(
        self,
        getter: Callable[..., Any],
        name: str,
        reuse: Any,
        maker: Maker | None,
        regularizer: Any = None,
        **kwargs: Any,
    ) -> OwnedVariable:
        in_graph = outermost_graph() is not None
        if not in_graph:  # in a graph, the getter knows
            if reuse is True:
                raise ValueError(
                    f"Variable {name} does not exist, or was not created with tf.get_variable(): "
                    "Trainable variable created when calling a template after the first time. "
                    "All variables of a module are made by its first connection."
                )
            reuse = False
            kwargs["regularizer"] = regularizer
        # From the graph of a function, or the body of a loop, out to where variables can live.
        with tf.init_scope(), losses_reach_outermost_graph():
            variable = getter(name, reuse=reuse, **kwargs)
            collections = requested_collections(kwargs)
            owned = OwnedVariable(variable, name, collections, in_graph, regularizer)
            if in_graph and regularizer is not None and reuse is not True:
                for part in owned.parts():
                    _regularize(part, regularizer)
        self._owned[name] = owned
        self._makers[name] = maker
        return owned

    def _living(self) -> list[OwnedVariable]:
        return [part for owned in list(self._owned.values()) for part in owned.parts()]


def live_variables(collection: str) -> list[Any]:
    """Returns the variables of all living modules outside graphs, in order of creation.

    Eagerly there are no graph collections: a collection would keep every variable alive for ever.

    Args:
        collection: Only variables that were asked to be in this collection are returned.
    """
    stores = sorted(_living_stores, key=lambda store: store._number)
    return [
        owned.variable
        for store in stores
        for owned in store._living()
        if collection in owned.collections and not owned.in_graph
    ]


def is_graph_variable(member: Any) -> bool:
    """Tells whether a member of a graph collection is a variable.

    What assigning to a resource variable returns is a `tf.Variable` too, one without initializer.
    """
    return isinstance(member, tf.Variable) and member.initializer is not None


def is_trainable(kwargs: dict[str, Any]) -> bool:
    """Tells whether a variable made with these arguments is trainable."""
    trainable = kwargs.get("trainable")
    if trainable is None:
        return kwargs.get("synchronization") is not tf.VariableSynchronization.ON_READ
    return bool(trainable)


def _regularize(owned: OwnedVariable, regularizer: Callable[[Any], Any]) -> None:
    """Adds the loss of a variable to the collection of its graph.

    TensorFlow's getter would run the regularizer several times, and add a stand-in for the loss.
    """
    graph = tf1.get_default_graph()
    with graph.colocate_with(owned.variable.op), tf1.name_scope(f"{owned.name}/Regularizer/"):
        loss = regularizer(owned.variable)
    if loss is not None:
        graph.add_to_collection(tf1.GraphKeys.REGULARIZATION_LOSSES, loss)


def requested_collections(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """Returns the collections that a variable made with these arguments belongs to."""
    collections = kwargs.get("collections")
    wanted = (GLOBAL_VARIABLES,) if collections is None else tuple(collections)
    if is_trainable(kwargs) and TRAINABLE_VARIABLES not in wanted:
        wanted += (TRAINABLE_VARIABLES,)
    return wanted
