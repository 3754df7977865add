"""`VariableStore`: the variables of a tree of modules, remembered in every mode."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.graphs import losses_reach_outermost_graph, outermost_graph

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


class VariableStore:
    """The variables of a tree of modules, by full name.

    TensorFlow remembers variables by name only in a graph. The store remembers them in every mode,
    by the same rules. Modules that are constructed inside the scope of another share its store, so
    that a module made anew at each connection finds what its predecessor made.
    """

    def __init__(self) -> None:
        # Held through each first connection, so that two threads do not both make variables.
        self.first_connection = threading.RLock()
        self._number = next(_store_numbers)
        self._owned: dict[str, OwnedVariable] = {}
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
            _check_shareable(name, owned.variable, shape, dtype)
        return owned

    def get(
        self,
        getter: Callable[..., Any],
        name: str,
        reuse: Any,
        shape: Any,
        dtype: Any,
        **kwargs: Any,
    ) -> tuple[OwnedVariable, bool]:
        """Finds the variable `name` or creates it, as `reuse` allows.

        Args:
            getter: TensorFlow's getter, which knows the variables of the graph by name.
            name: Full name of the variable.
            reuse: True if it must exist, False if it must not, AUTO_REUSE if it may.
            shape: Its shape.
            dtype: Its type.
            **kwargs: The other arguments of the getter.

        Returns:
            The variable, and whether it is new to the store.

        Raises:
            ValueError: If `reuse` does not allow it, or the variable is of another shape or type.
        """
        if name in self._owned:
            if not reuse and name not in self._orphans:
                raise ValueError(
                    f"Variable {name} already exists, disallowed. Each module, and each method "
                    "decorated with reuse_variables, owns its variables: give one of the two "
                    "that ask for this name another name, or let one call the other."
                )
            self._orphans.discard(name)
            found = self.find(name, shape, dtype)
            assert found is not None
            return found, False
        in_graph = outermost_graph() is not None
        if not in_graph:  # in a graph, the getter knows
            if reuse is True:
                raise ValueError(
                    f"Variable {name} does not exist, or was not created with tf.get_variable(): "
                    "Trainable variable created when calling a template after the first time. "
                    "All variables of a module are made by its first connection."
                )
            reuse = False
        # From the graph of a function, or the body of a loop, out to where variables can live.
        with tf.init_scope(), losses_reach_outermost_graph():
            variable = getter(name, shape=shape, dtype=dtype, reuse=reuse, **kwargs)
        owned = OwnedVariable(variable, name, requested_collections(kwargs), in_graph)
        self._owned[name] = owned
        return owned, True

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


def requested_collections(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """Returns the collections that a variable made with these arguments belongs to."""
    collections = kwargs.get("collections")
    wanted = (GLOBAL_VARIABLES,) if collections is None else tuple(collections)
    if is_trainable(kwargs) and TRAINABLE_VARIABLES not in wanted:
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
