"""Finding the variables of modules and scopes, naming and saving them, and hearing of new ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import variable_store
from snt_core.errors import NotSupportedError
from snt_core.graphs import outermost_graph
from snt_core.naming import is_inside, relative_name, variable_name
from snt_core.tensorflow_internals import name_of_whole
from snt_core.variable_store import GLOBAL_VARIABLES, TRAINABLE_VARIABLES, is_graph_variable


def get_variable_scope_name(value: Any) -> str:
    """Returns the full name of a variable scope.

    Args:
        value: A `tf.compat.v1.VariableScope`, something that has one as its `variable_scope`, such
            as a module, or the name itself.

    Raises:
        NotConnectedError: If `value` is a module that is not connected yet.
        ValueError: If `value` is none of these.
    """
    value = getattr(value, "variable_scope", value)
    if isinstance(value, tf1.VariableScope):
        return str(value.name)
    if isinstance(value, str):
        return value
    raise ValueError(
        f"Not a variable scope: {value!r}. Expected a tf.compat.v1.VariableScope, its name, or an "
        "object with an attribute `variable_scope`."
    )


def has_variable_scope(obj: Any) -> bool:
    """Tells whether `obj` has an attribute `variable_scope`, as modules have.

    The attribute is not read, so this is True for a module that is not connected yet.

    Args:
        obj: Any object.
    """
    return "variable_scope" in dir(obj)


def get_variables_in_scope(scope: Any, collection: str = TRAINABLE_VARIABLES) -> tuple[Any, ...]:
    """Returns the variables of a collection that are inside of a variable scope.

    In a graph, these are the variables of the current default graph. Eagerly, where variables are
    in no graph, they are those of all modules that are alive.

    Args:
        scope: A module, a `tf.compat.v1.VariableScope`, or the name of one; the empty name stands
            for all variables. For a module the answer is that of its own `get_variables`.
        collection: Name of the graph collection to search. Default: the trainable variables.

    Returns:
        A tuple, in order of creation.

    Raises:
        NotConnectedError: If `scope` is a module that is not connected yet.
        ValueError: If `scope` is no scope.

    Example:
        >>> with tf.Graph().as_default(), tf1.variable_scope("net"):
        ...     w = tf1.get_variable("w", [2])
        ...     steps = tf1.get_variable("steps", [], trainable=False)
        ...     [v.name for v in get_variables_in_scope("net")]
        ['net/w:0']
    """
    scope_name = get_variable_scope_name(scope)
    if not isinstance(scope, str) and hasattr(scope, "get_variables"):
        return tuple(scope.get_variables(collection))
    prefix = scope_name.removesuffix("/")
    return tuple(v for v in variables_in(collection) if is_inside(v.name, prefix))


def get_variables_in_module(module: Any, collection: str = TRAINABLE_VARIABLES) -> tuple[Any, ...]:
    """Returns the variables of a collection that are inside of the scope of a module.

    Args:
        module: A module.
        collection: Name of the graph collection to search. Default: the trainable variables.

    Returns:
        `module.get_variables(collection)`.

    Raises:
        NotConnectedError: If the module is not connected yet.
    """
    return module.get_variables(collection)


def variables_in(collection: str) -> tuple[Any, ...]:
    """Returns all variables of a collection.

    In a graph, these are the variables of the current default graph. Eagerly, where variables are
    in no graph, they are those of all modules that are alive.

    Args:
        collection: Name of the graph collection.

    Returns:
        A tuple, in order of creation.
    """
    graph = outermost_graph()
    if graph is None:
        return tuple(variable_store.live_variables(collection))
    return tuple(filter(is_graph_variable, graph.get_collection(collection)))


def sort_by_name(variables: Iterable[Any]) -> tuple[Any, ...]:
    """Returns the variables sorted by name.

    Args:
        variables: Variables, or anything else that has a `name`.
    """
    return tuple(sorted(variables, key=lambda variable: variable.name))


@contextlib.contextmanager
def notify_about_new_variables(callback: Callable[[Any], Any]) -> Iterator[None]:
    """Calls `callback` with each variable that is made while the context is active.

    However it is made: by `tf.Variable`, by `tf.compat.v1.get_variable`, beneath custom getters,
    or inside `tf.function`. Of a partitioned variable each part counts.

    Args:
        callback: Function of one variable.

    Example:
        >>> names = []
        >>> with notify_about_new_variables(lambda variable: names.append(variable.name)):
        ...     step = tf.Variable(0, name="step")
        >>> names
        ['step:0']
    """

    def create(next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        variable = next_creator(**kwargs)
        callback(variable)
        return variable

    with tf.variable_creator_scope(create):
        yield


@tf.custom_gradient
def convert_gradient_to_tensor(x: Any) -> Any:
    """Returns `x`; its gradient is made a dense tensor where it comes as `tf.IndexedSlices`.

    Args:
        x: Tensor or variable of any shape and floating type.

    Example:
        >>> table = tf.Variable([1.0, 2.0, 3.0])
        >>> with tf.GradientTape() as tape:
        ...     y = tf.gather(convert_gradient_to_tensor(table), [2, 2])
        >>> tape.gradient(y, table).numpy().tolist()
        [0.0, 0.0, 2.0]
    """
    return tf.identity(x), tf.convert_to_tensor


def get_normalized_variable_map(
    scope_or_module: Any,
    collection: str = GLOBAL_VARIABLES,
    context: Any = None,
    group_sliced_variables: bool = True,
) -> dict[str, Any]:
    """Returns the variables of a scope by their name relative to that scope, or to one around it.

    Two modules of one structure and different names have equal keys, so a checkpoint made of the
    one fits the other.

    Args:
        scope_or_module: A module, a `tf.compat.v1.VariableScope`, or the name of one.
        collection: Name of the graph collection to search. Default: the global variables.
        context: The scope, or module, that the names are relative to. Default: `scope_or_module`.
        group_sliced_variables: Whether a partitioned variable is one entry, the list of its parts,
            rather than one entry a part.

    Returns:
        A dictionary from the name, without the scope in front and without `:0`, to the variable.

    Raises:
        NotConnectedError: If a module is not connected yet.
        ValueError: If `context` is not around `scope_or_module`; if a partitioned variable and
            another one, or two different variables, have the same name.

    Example:
        >>> with tf.Graph().as_default(), tf1.variable_scope("agent/net") as scope:
        ...     w = tf1.get_variable("w", [2])
        ...     list(get_normalized_variable_map(scope))
        ...     list(get_normalized_variable_map(scope, context="agent"))
        ['w']
        ['net/w']
    """
    scope_name = get_variable_scope_name(scope_or_module)
    context_name = scope_name if context is None else get_variable_scope_name(context)
    if not _is_scope_prefix(scope_name, context_name):
        raise ValueError(f"Scope {scope_name!r} is not prefixed by {context_name!r}.")
    variables = get_variables_in_scope(scope_or_module, collection)
    by_full_name: dict[str, Any] = _by_name(variables)
    if group_sliced_variables:
        plain, sliced = _get_sliced_variables(by_full_name.values())
        by_full_name = _by_name(plain)
        for full_name, parts in sliced.items():
            if full_name in by_full_name:
                raise ValueError(
                    f"Mixing slices and non-slices with the same name: {full_name!r} is both a "
                    "partitioned variable and another one."
                )
            by_full_name[full_name] = parts
    prefix = context_name.removesuffix("/")
    return {relative_name(name, prefix): value for name, value in by_full_name.items()}


def get_saver(
    scope: Any,
    collections: Iterable[str] = (GLOBAL_VARIABLES,),
    context: Any = None,
    **kwargs: Any,
) -> tf1.train.Saver:
    """Returns a saver of the variables of a scope, under their names relative to that scope.

    Its checkpoints fit every scope or module with the same variables inside, whatever its name,
    be the variables partitioned or not.

    Args:
        scope: A module, a `tf.compat.v1.VariableScope`, or the name of one.
        collections: Names of the graph collections to search. Default: the global variables.
        context: The scope, or module, that the names are relative to. Default: `scope`.
        **kwargs: Other arguments of `tf.compat.v1.train.Saver`.

    Returns:
        The saver. Outside graphs its methods take None for the session.

    Raises:
        NotConnectedError: If a module is not connected yet.
        NotSupportedError: If there is a partitioned variable outside graphs: TensorFlow can save
            the parts as one variable only in a graph.
        ValueError: If there are no variables, or as for `get_normalized_variable_map`.
    """
    variable_map: dict[str, Any] = {}
    for collection in collections:
        variable_map.update(get_normalized_variable_map(scope, collection, context))
    partitioned = [name for name, value in variable_map.items() if isinstance(value, list)]
    if partitioned and outermost_graph() is None:
        raise NotSupportedError(
            f"The partitioned variables {', '.join(partitioned)} cannot be saved eagerly: "
            "build the module in a tf.Graph, or without a partitioner."
        )
    return tf1.train.Saver(variable_map, **kwargs)


def variable_map_items(variable_map: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields each variable of a variable map together with its key.

    Args:
        variable_map: A dictionary whose values are variables, or lists or tuples of the parts of a
            partitioned variable.

    Example:
        >>> list(variable_map_items({"w": ["part_0", "part_1"], "b": "b"}))
        [('w', 'part_0'), ('w', 'part_1'), ('b', 'b')]
    """
    for key, value in variable_map.items():
        for variable in value if isinstance(value, (list, tuple)) else (value,):
            yield key, variable


def _is_scope_prefix(scope_name: str, prefix: str) -> bool:
    """Tells whether the components of `prefix` are the first components of `scope_name`."""
    return not prefix or f"{scope_name}/".startswith(f"{prefix.removesuffix('/')}/")


def _get_sliced_variables(variables: Iterable[Any]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Separates whole variables from the parts of partitioned ones.

    Returns:
        A list of the whole variables, and a dictionary from the names of the partitioned variables
        to the lists of their parts.
    """
    whole: list[Any] = []
    sliced: dict[str, list[Any]] = {}
    for variable in variables:
        name = name_of_whole(variable)
        if name is None:
            whole.append(variable)
        else:
            sliced.setdefault(name, []).append(variable)
    return whole, sliced


def _by_name(variables: Iterable[Any]) -> dict[str, Any]:
    """Returns the variables by name; a variable may come several times, a name only once."""
    by_name: dict[str, Any] = {}
    for variable in variables:
        name = variable_name(variable)
        if by_name.setdefault(name, variable) is not variable:
            raise ValueError(
                f"Two different variables are called {name!r}: give the module instead of the "
                "name of its scope, or give the modules different names."
            )
    return by_name
