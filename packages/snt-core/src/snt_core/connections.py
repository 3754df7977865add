"""Records of the connections that modules make, and who hears of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

SONNET_COLLECTION_NAME = "sonnet"


class ConnectedSubGraph(NamedTuple):
    """One connection of a module.

    Attributes:
        module: The module that was connected.
        name_scope: Name scope of the operations that the connection made.
        inputs: Values of the arguments by name, defaults included; `*args` is a tuple and
            `**kwargs` a dict, each under its own name.
        outputs: What the connection returned.
    """

    module: Any
    name_scope: str
    inputs: dict[str, Any]
    outputs: Any


class ModuleInfo(NamedTuple):
    """What a graph knows of a module: an entry of the graph collection "sonnet".

    Attributes:
        module_name: Last component of the module's scope.
        scope_name: Full name of the module's variable scope.
        class_name: Module and name of the class.
        connected_subgraphs: All connections so far; later ones are added as they are made.
    """

    module_name: str
    scope_name: str
    class_name: str
    connected_subgraphs: list[ConnectedSubGraph]


Observer = Callable[[ConnectedSubGraph], None]


class _ThreadObservers(threading.local):
    def __init__(self) -> None:
        self.observers: list[Observer] = []


_thread = _ThreadObservers()


def get_connection_stack() -> list[Observer]:
    """Returns the observers that are active in this thread, outermost first."""
    return _thread.observers


@contextlib.contextmanager
def observe_connections(observer: Observer) -> Iterator[None]:
    """Calls `observer` for each connection that this thread makes inside the context.

    A connection is reported when it is complete, so the modules inside a module come before it.
    In pure eager execution nothing is reported: there is no graph to describe. While a
    `tf.function` is traced, connections are reported with their symbolic tensors.

    Args:
        observer: Called with a `ConnectedSubGraph`. What it raises reaches the caller of the
            module.

    Yields:
        Nothing.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow.compat.v1 as tf
        >>> seen = []
        >>> with tf.Graph().as_default():
        ...     with snt.observe_connections(lambda connection: seen.append(connection.name_scope)):
        ...         _ = snt.Module(lambda x: x + 1.0, name="increment")(tf.constant(1.0))
        >>> seen
        ['increment']
    """
    _thread.observers.append(observer)
    try:
        yield
    finally:
        _thread.observers.pop()


def notify_observers(connection: ConnectedSubGraph) -> None:
    """Reports `connection` to this thread's observers, outermost first."""
    for observer in tuple(_thread.observers):
        observer(connection)
