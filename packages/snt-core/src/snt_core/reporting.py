"""Tables and totals of variables, to read or to log."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import variable_store
from snt_core.naming import variable_name
from snt_core.variables import variable_map_items, variables_in

_COLUMNS = ("Variable", "Shape", "Type", "Collections", "Device")

# Eagerly, variables are in no collections; of these ones the modules know which were asked for.
_KNOWN_EAGERLY = (
    tf1.GraphKeys.GLOBAL_VARIABLES,
    tf1.GraphKeys.LOCAL_VARIABLES,
    tf1.GraphKeys.TRAINABLE_VARIABLES,
)


def format_variables(variables: Iterable[Any], join_lines: bool = True) -> str | Iterable[str]:
    """Returns a table of variables, sorted by name.

    The shape of a scalar is empty; one that is not fully known is "undefined". Eagerly, only the
    collections of global, local and trainable variables are shown, and only of modules' variables.

    Args:
        variables: The variables.
        join_lines: Whether to join the lines by newlines.

    Returns:
        The table as one string, or as the list of its lines.

    Example:
        >>> with tf.Graph().as_default():
        ...     w = tf1.get_variable("w", [3, 4])
        ...     print(format_variables([w, tf1.get_variable("b", [4], trainable=False)]))
        Variable  Shape  Type     Collections                            Device
        b         4      float32  global_variables                       (resource)
        w         3x4    float32  global_variables, trainable_variables  (resource)
    """
    ordered = sorted(variables, key=variable_name)
    rows = _describe(ordered)
    return _format_table([_COLUMNS, *rows], join_lines)


def format_variable_map(
    variable_map: Mapping[str, Any], join_lines: bool = True
) -> str | Iterable[str]:
    """Returns a table of a variable map, sorted by key, then by the name of the variable.

    Args:
        variable_map: A dictionary whose values are variables, or lists or tuples of the parts of a
            partitioned variable.
        join_lines: Whether to join the lines by newlines.

    Returns:
        The table as one string, or as the list of its lines.

    Example:
        >>> with tf.Graph().as_default():
        ...     print(format_variable_map({"weights": tf1.get_variable("w", [], tf.int32)}))
        Key      Variable  Shape  Type   Collections                            Device
        weights  w                int32  global_variables, trainable_variables  (resource)
    """
    items = sorted(
        variable_map_items(variable_map),
        key=lambda item: (item[0], variable_name(item[1])),
    )
    rows = _describe([variable for _, variable in items])
    keyed = [(key, *row) for (key, _), row in zip(items, rows, strict=True)]
    return _format_table([("Key", *_COLUMNS), *keyed], join_lines)


def log_variables(variables: Iterable[Any] | None = None) -> None:
    """Logs the table of `format_variables`, line by line, at level info.

    Args:
        variables: The variables. Default: the global and local variables of the default graph or,
            eagerly, those of all modules that are alive.
    """
    for line in format_variables(_or_all(variables), join_lines=False):
        tf1.logging.info(line)


def count_variables_by_type(variables: Iterable[Any] | None = None) -> dict[Any, dict[str, int]]:
    """Counts variables, and the scalars that they are made of, by type.

    Logs a warning if the size of some of them cannot be told: strings, and unknown shapes, which
    count as variables without scalars.

    Args:
        variables: The variables. Default: the global and local variables of the default graph or,
            eagerly, those of all modules that are alive.

    Returns:
        A dictionary from the base type to the dictionary of its `"num_variables"` and
        `"num_scalars"`.

    Example:
        >>> count_variables_by_type([tf.Variable([1.0, 2.0]), tf.Variable(3.0)])
        {tf.float32: {'num_variables': 2, 'num_scalars': 3}}
    """
    counts: dict[Any, dict[str, int]] = {}
    of_unknown_shape = []
    for variable in _or_all(variables):
        count = counts.setdefault(variable.dtype.base_dtype, {"num_variables": 0, "num_scalars": 0})
        count["num_variables"] += 1
        size = variable.shape.num_elements()
        if size is None:
            of_unknown_shape.append(variable_name(variable))
        else:
            count["num_scalars"] += size
    if tf.string in counts:
        tf1.logging.warning(
            "There are variables of strings. How much memory they take cannot be told, since it "
            "depends on the strings."
        )
    if of_unknown_shape:
        tf1.logging.warning(
            "The scalars of variables of unknown shape are not counted: %s.",
            ", ".join(of_unknown_shape),
        )
    return counts


def summarize_variables(variables: Iterable[Any] | None = None) -> None:
    """Logs how many variables and scalars there are of each type and how much memory they take.

    There is one line a type and one with the total, at level info.

    Args:
        variables: The variables. Default: the global and local variables of the default graph or,
            eagerly, those of all modules that are alive.
    """
    total: collections.Counter[str] = collections.Counter()
    counts = count_variables_by_type(variables)
    for dtype, count in sorted(counts.items(), key=lambda item: repr(item[0])):
        num_bytes = count["num_scalars"] * dtype.size
        _log_summary(repr(dtype), count["num_variables"], count["num_scalars"], num_bytes)
        total.update(count, num_bytes=num_bytes)
    _log_summary("Total", total["num_variables"], total["num_scalars"], total["num_bytes"])


def _log_summary(label: str, num_variables: int, num_scalars: int, num_bytes: int) -> None:
    tf1.logging.info(
        "%s: %d variables comprising %d scalars, %s",
        label,
        num_variables,
        num_scalars,
        _num_bytes_to_human_readable(num_bytes),
    )


def _num_bytes_to_human_readable(num_bytes: int) -> str:
    if num_bytes < 1024:
        return f"{num_bytes} B"
    size = float(num_bytes)
    for unit in ("KB", "MB", "GB"):
        size /= 1024
        if size < 1024 or unit == "GB":
            break
    return f"{size:.3f} {unit}"


def _or_all(variables: Iterable[Any] | None) -> list[Any]:
    if variables is not None:
        return list(variables)
    found = (
        *variables_in(tf1.GraphKeys.GLOBAL_VARIABLES),
        *variables_in(tf1.GraphKeys.LOCAL_VARIABLES),
    )
    return list({id(variable): variable for variable in found}.values())


def _describe(variables: Sequence[Any]) -> list[tuple[str, ...]]:
    """Returns a row of the table for each variable."""
    collections_of = _collections_by_id(variables)
    return [
        (
            variable_name(variable),
            _format_shape(variable.shape),
            variable.dtype.base_dtype.name,
            ", ".join(sorted(collections_of[id(variable)])),
            _format_device(variable),
        )
        for variable in variables
    ]


def _collections_by_id(variables: Sequence[Any]) -> dict[int, set[str]]:
    # Variables cannot be hashed, and what else is in the collections need not be comparable.
    found: dict[int, set[str]] = {id(variable): set() for variable in variables}
    graphs = {id(graph): graph for graph in map(_graph_of, variables)}
    for graph in graphs.values():
        keys = _KNOWN_EAGERLY if graph is None else graph.get_all_collection_keys()
        for key in keys:
            members = (
                variable_store.live_variables(key) if graph is None else graph.get_collection(key)
            )
            label = "global_variables" if key == tf1.GraphKeys.GLOBAL_VARIABLES else key
            for member in members:
                if id(member) in found:
                    found[id(member)].add(label)
    return found


def _graph_of(variable: Any) -> Any:
    try:
        return variable.graph
    except AttributeError:  # Eager variables have none.
        return None


def _format_shape(shape: tf.TensorShape) -> str:
    return "x".join(map(str, shape.as_list())) if shape.is_fully_defined() else "undefined"


def _format_device(variable: Any) -> str:
    # The types of resource variables are plain; those of the older kind are references.
    is_resource = variable.dtype == variable.dtype.base_dtype
    kind = "(resource)" if is_resource else "(legacy)"
    return f"{variable.device} {kind}".lstrip()


def _format_table(rows: Iterable[Sequence[str]], join_lines: bool) -> str | list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines) if join_lines else lines
