"""`restore_from_checkpoint`: a name-based checkpoint, as Sonnet 1 wrote it, into any module."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import checkpoint_report as status
from snt_core.checkpoint_reader import CheckpointReader
from snt_core.checkpoint_report import RestoreReport, RestoreRow
from snt_core.errors import CheckpointMismatchError, DifferentGraphError, NotSupportedError
from snt_core.migrate_checkpoint import NameValueFn, migrated_values, without_output_number
from snt_core.module import AbstractModule
from snt_core.naming import is_inside, relative_name, variable_name
from snt_core.tensorflow_internals import name_of_whole, place_in_whole
from snt_core.variable_store import GLOBAL_VARIABLES

Renames = Mapping[str, str] | NameValueFn


def restore_from_checkpoint(
    module: AbstractModule,
    path: str | os.PathLike[str],
    *,
    prefix: str | None = None,
    renames: Renames | None = None,
    reshape: bool = False,
    strict: bool = True,
    dry_run: bool = False,
    session: Any = None,
) -> RestoreReport:
    """Gives the variables of a module the values that a name-based checkpoint has for them.

    Such a checkpoint is what `tf.compat.v1.train.Saver` and `snt.get_saver` write, and with them
    every program of Sonnet 1. Variables are found by name, in every mode, partitioned or not on
    either side. All is checked, and read, before the first variable is touched.

    Args:
        module: A connected module.
        path: Prefix of the checkpoint, as `Saver.save` returns it, or a directory, which stands
            for the latest checkpoint in it.
        prefix: Name of the scope in the checkpoint that holds what is in the scope of the module;
            `""` where the names begin inside of it, as those of `snt.get_saver(module)` do.
            Default: the name of the module's own scope. Variables that the module has from
            elsewhere are looked up by their full names.
        renames: How names in the checkpoint are to be changed before they are looked up: a
            dictionary from regular expressions to replacements, as `re.sub` takes them, applied in
            order; or a function of the name and the value, an array, that returns the new name, or
            None to leave it out, and the new value. A final `:0` has been dropped already.
        reshape: Whether shapes may differ by dimensions of size one, as those of batch norm do
            between early and late versions of Sonnet.
        strict: Whether each variable must be in the checkpoint. Otherwise those that are not there
            keep their values, but at least one must be. Local variables need not be in any case.
            What the checkpoint has beyond the module is always left alone.
        dry_run: Whether to check and read only, and return the report even if it does not fit.
        session: In graph mode, the session that has the variables, initialised or not. Default:
            the default session.

    Returns:
        A report that prints as a table of all variables and entries, with the attribute `fits`.

    Raises:
        CheckpointMismatchError: If a variable is missing or has another shape or dtype in the
            checkpoint. The message has the table, the attribute `report` is it. No variable is
            touched.
        DamagedCheckpointError: If the checkpoint cannot be read. No variable is touched.
        DifferentGraphError: If the session is of another graph than the module.
        FileNotFoundError: If there is no checkpoint.
        NotConnectedError: If the module is not connected yet.
        NotSupportedError: If an eager module is restored inside a graph or a `tf.function`.
        TypeError: If `module` is not a module.
        ValueError: If in graph mode there is no session, if two names in the checkpoint become
            one, or if a key of `renames` is no regular expression.

    Example:
        >>> import os, tempfile
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> import tensorflow.compat.v1 as tf1
        >>> prefix = os.path.join(tempfile.mkdtemp(), "model.ckpt")
        >>> with tf.Graph().as_default(), tf1.Session() as session:  # an old program
        ...     w = tf1.get_variable("agent/linear/w", initializer=[[1.0], [2.0]])
        ...     session.run(w.initializer)
        ...     path = tf1.train.Saver().save(session, prefix)
        >>> score = snt.Linear(1, use_bias=False, name="score")
        >>> outputs = score(tf.ones([1, 2]))
        >>> snt.restore_from_checkpoint(score, path, prefix="agent/linear")
        Variable  Is              In the checkpoint  Is there        Status
        score/w   float32 [2, 1]  agent/linear/w     float32 [2, 1]  matches
        1 matches
        >>> score(tf.ones([1, 2])).numpy().tolist()
        [[3.0]]
    """
    if not isinstance(module, AbstractModule):
        raise TypeError(
            "restore_from_checkpoint takes a module, "
            f"got {module!r} of type {type(module).__name__}."
        )
    assign = None if dry_run else _assigner(module, session)
    wanted = _wanted(module)
    reader = CheckpointReader(path)
    entries = _entries(reader, renames)
    if prefix is not None:
        prefix = prefix.removesuffix("/")
    matches = [_match(w, _key(w.name, module.scope_name, prefix), entries, reshape) for w in wanted]
    report = _report(reader, matches, entries)
    matched = [match for match in matches if match.status in (status.MATCHES, status.RESHAPED)]
    if assign is None:
        for match in matched:
            match.read()  # which tells whether it is damaged
        return report
    missing_allowed = not strict and not report.having(status.OTHER_SHAPE, status.OTHER_DTYPE)
    if not report.fits and not (missing_allowed and matched):
        hint = _hint(reader, module.scope_name, matches, entries)
        raise CheckpointMismatchError(
            f"The checkpoint at {reader.prefix!r} does not fit the module {module.scope_name!r}; "
            f"no variable was changed.\n{report}\n{hint}",
            report,
        )
    values = [match.read() for match in matched]
    for match, value in zip(matched, values, strict=True):
        for variable, place in match.wanted.places():
            assign(variable, value[place])
    return report


class _Wanted(NamedTuple):
    """A variable of a module, or all parts of a partitioned one."""

    name: str
    parts: list[Any]
    optional: bool

    @property
    def dtype(self) -> tf.DType:
        return self.parts[0].dtype.base_dtype

    @property
    def shape(self) -> list[int]:
        if name_of_whole(self.parts[0]) is None:
            return list(self.parts[0].shape.as_list())
        return place_in_whole(self.parts[0])[0]

    def places(self) -> Iterable[tuple[Any, tuple[slice, ...]]]:
        """Yields each part, and which part of the whole it is."""
        for part in self.parts:
            begins = [0] * len(part.shape)
            if name_of_whole(part) is not None:
                begins = place_in_whole(part)[1]
            sizes = part.shape.as_list()
            yield part, tuple(slice(b, b + s) for b, s in zip(begins, sizes, strict=True))


class _Entry(NamedTuple):
    """A value in a checkpoint, under one name or in parts, and how to read it."""

    names: tuple[str, ...]
    shape: list[int]
    dtype: tf.DType
    read: Callable[[], np.ndarray[Any, Any]]


class _Match(NamedTuple):
    """A variable, the name that was looked for, what was found, and how they fit."""

    wanted: _Wanted
    key: str
    entry: _Entry | None
    status: str

    def read(self) -> np.ndarray[Any, Any]:
        assert self.entry is not None
        return self.entry.read().reshape(self.wanted.shape)


def _wanted(module: AbstractModule) -> list[_Wanted]:
    module._ensure_is_connected()
    by_name: dict[str, _Wanted] = {}
    for owned in module._snt_state.owned.values():
        name = name_of_whole(owned.variable) or variable_name(owned.variable)
        # A saver's default is to leave out local variables.
        optional = GLOBAL_VARIABLES not in owned.collections
        by_name.setdefault(name, _Wanted(name, [], optional)).parts.append(owned.variable)
    return [by_name[name] for name in sorted(by_name)]


def _entries(reader: CheckpointReader, renames: Renames | None) -> dict[str, _Entry]:
    def stored(name: str) -> _Entry:
        return _Entry((name,), reader.shapes[name], reader.dtypes[name], lambda: reader.read(name))

    names = sorted(reader.shapes)
    if callable(renames):
        return _changed_entries(reader, renames)
    try:
        rules = [(re.compile(pattern), new) for pattern, new in (renames or {}).items()]
    except re.error as error:
        raise ValueError(f"A key of renames is no regular expression: {error}") from error

    def rename(name: str, entry: _Entry) -> tuple[str, _Entry]:
        name = without_output_number(name)
        for pattern, replacement in rules:
            name = pattern.sub(replacement, name)
        return name, entry

    return migrated_values(names, stored, rename)[0]


def _changed_entries(reader: CheckpointReader, change: NameValueFn) -> dict[str, _Entry]:
    """Applies a function of names and values, for which all values have to be read."""

    def changed(name: str, value: Any) -> tuple[str | None, Any]:
        new_name, new_value = change(without_output_number(name), value)
        array = np.asarray(new_value)
        entry = _Entry((name,), list(array.shape), tf.as_dtype(array.dtype), lambda: array)
        return new_name, entry

    return migrated_values(sorted(reader.shapes), reader.read, changed)[0]


def _key(name: str, scope_name: str, prefix: str | None) -> str:
    """Returns the name that a variable is looked up by."""
    if prefix is None or not is_inside(name, scope_name):
        return name
    name = relative_name(name, scope_name)
    return f"{prefix}/{name}" if prefix else name


def _match(wanted: _Wanted, key: str, entries: Mapping[str, _Entry], reshape: bool) -> _Match:
    entry = entries.get(key) or _joined(key, entries, wanted.shape)
    if entry is None:
        return _Match(wanted, key, None, status.OPTIONAL if wanted.optional else status.MISSING)
    if entry.dtype != wanted.dtype:
        return _Match(wanted, key, entry, status.OTHER_DTYPE)
    if entry.shape == wanted.shape:
        return _Match(wanted, key, entry, status.MATCHES)
    if reshape and _without_ones(entry.shape) == _without_ones(wanted.shape):
        return _Match(wanted, key, entry, status.RESHAPED)
    return _Match(wanted, key, entry, status.OTHER_SHAPE)


def _joined(key: str, entries: Mapping[str, _Entry], shape: list[int]) -> _Entry | None:
    """Returns the whole of a variable of which each part was saved under a name of its own."""
    parts: list[_Entry] = []
    while f"{key}/part_{len(parts)}" in entries:
        parts.append(entries[f"{key}/part_{len(parts)}"])
    if not parts:
        return None
    names = tuple(name for part in parts for name in part.names)
    for axis, size in enumerate(shape):
        others = [[*part.shape[:axis], *part.shape[axis + 1 :]] for part in parts]
        fitting = all(other == [*shape[:axis], *shape[axis + 1 :]] for other in others)
        same_dtype = len({part.dtype for part in parts}) == 1
        if fitting and same_dtype and sum(part.shape[axis] for part in parts) == size:
            read = functools.partial(_concatenated, parts, axis)
            return _Entry(names, shape, parts[0].dtype, read)
    return _Entry(names, parts[0].shape, parts[0].dtype, parts[0].read)


def _concatenated(parts: Iterable[_Entry], axis: int) -> np.ndarray[Any, Any]:
    return np.concatenate([part.read() for part in parts], axis)


def _without_ones(shape: list[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _report(
    reader: CheckpointReader, matches: list[_Match], entries: Mapping[str, _Entry]
) -> RestoreReport:
    rows = []
    used: set[str] = set()
    for match in matches:
        wanted, entry = match.wanted, match.entry
        used.update(entry.names if entry else ())
        there = ", ".join(entry.names) if entry else f"({match.key})"
        is_there = _text(entry.dtype, entry.shape) if entry else ""
        is_wanted = _text(wanted.dtype, wanted.shape)
        rows.append(RestoreRow(wanted.name, is_wanted, there, is_there, match.status))
    for name in sorted(reader.shapes):
        if name not in used:
            found = _text(reader.dtypes[name], reader.shapes[name])
            rows.append(RestoreRow("", "", name, found, status.UNUSED))
    return RestoreReport(reader.prefix, rows)


def _text(dtype: tf.DType, shape: list[int]) -> str:
    return f"{dtype.name} {shape}"


def _hint(
    reader: CheckpointReader,
    scope_name: str,
    matches: list[_Match],
    entries: Mapping[str, _Entry],
) -> str:
    """Says what to do about a checkpoint that does not fit."""
    if reader.is_object_based:
        return (
            "This checkpoint is object-based: restore it with "
            "tf.train.Checkpoint(...).restore(path), as it was saved."
        )
    found = {match.status for match in matches}
    hints = []
    if status.MISSING in found:
        names = [match.wanted.name for match in matches if not match.wanted.optional]
        inside = [relative_name(n, scope_name) for n in names if is_inside(n, scope_name)]
        other = _prefix_with_all(inside, entries)
        hints.append(
            f"All variables in the module's scope are there with prefix={other!r}."
            if other is not None
            else "Where names differ, give `prefix` or `renames`; strict=False lets variables that "
            "are not in the checkpoint keep their values."
        )
    if status.OTHER_SHAPE in found and any(
        match.entry and _without_ones(match.entry.shape) == _without_ones(match.wanted.shape)
        for match in matches
        if match.status == status.OTHER_SHAPE
    ):
        hints.append("reshape=True accepts shapes that differ by dimensions of size one.")
    elif status.OTHER_SHAPE in found:
        hints.append("Another shape: was the module configured as it was in the old program?")
    if status.OTHER_DTYPE in found:
        hints.append("Another dtype: a function as `renames` can convert values.")
    return " ".join(hints)


def _prefix_with_all(names: list[str], entries: Mapping[str, _Entry]) -> str | None:
    """Returns a scope in the checkpoint in which all the names are."""
    if not names:
        return None
    ends = [name.removesuffix(names[0]) for name in entries if f"/{name}".endswith(f"/{names[0]}")]
    fitting = [end for end in ends if all(end + name in entries for name in names)]
    return fitting[0].removesuffix("/") if fitting else None


def _assigner(module: AbstractModule, session: Any) -> Callable[[Any, Any], object]:
    """Returns a function that gives a variable of the module a value."""
    module._ensure_is_connected()
    if module._snt_state.is_eager:
        if not tf.executing_eagerly():
            raise NotSupportedError(
                f"The module {module.scope_name!r} lives outside graphs: restore it there, not "
                "inside a tf.Graph or a tf.function."
            )
        return lambda variable, value: variable.assign(value)
    session = session or tf1.get_default_session()
    if session is None:
        raise ValueError(
            f"The module {module.scope_name!r} is in a graph: give the tf.compat.v1.Session that "
            "has its variables as `session`, or call this inside of `with session:`."
        )
    if session.graph is not module.graph:
        raise DifferentGraphError(
            f"The session's graph is {session.graph}, that of the module {module.scope_name!r} is "
            f"{module.graph}: give a session of the module's graph."
        )

    def assign(variable: Any, value: Any) -> None:
        # The operation that initialises the variable, fed: nothing is added to the graph.
        session.run(variable.initializer, {variable.initializer.inputs[1]: value})

    return assign
