"""Command that copies a checkpoint whose names end in `:0`, as early versions of Sonnet wrote them.

    snt-migrate-checkpoint --source old/model.ckpt-1000 --target new/model.ckpt-1000 --dry_run

Names lose a final `:0`; values and types stay as they are. The source is only read. Nothing is
written before everything has been read, and never over a checkpoint that is already there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.checkpoint_reader import CheckpointReader, find, read

NameValueFn = Callable[[str, Any], tuple[str | None, Any]]


def main(argv: Sequence[str] | None = None) -> dict[str, str]:
    """Runs the command.

    Args:
        argv: The arguments, without the name of the program. Default: those of this process.

    Returns:
        A dictionary from each name in the source to the name in the target.

    Raises:
        FileExistsError: If there is a checkpoint at the target.
        FileNotFoundError: If there is no checkpoint at the source.
        OSError: If the checkpoint at the source is damaged.
        SystemExit: If the arguments are wrong or ask for help.
        ValueError: If source and target are the same, or if two names map to one.
    """
    options = _parser().parse_args(argv)
    return migrate(options.source, options.target, options.dry_run)


def run() -> None:
    """Runs the command, prints what it renamed, and ends the process if it failed."""
    try:
        mapping = main()
    except (OSError, ValueError, tf.errors.OpError) as error:
        sys.exit(f"migrate_checkpoint: {error}")
    for old_name, new_name in sorted(mapping.items()):
        print(f"{old_name} -> {new_name}")


def migrate(source: str, target: str, dry_run: bool = False) -> dict[str, str]:
    """Copies a checkpoint; names lose a final `:0`.

    Args:
        source: Prefix of the checkpoint to read.
        target: Prefix of the checkpoint to write. Its directory is made where there is none. The
            file that names a directory's latest checkpoint is written only where there is none.
        dry_run: Whether to leave out the writing.

    Returns:
        A dictionary from each name in the source to the name in the target.

    Raises:
        FileExistsError: If there is a checkpoint at the target.
        FileNotFoundError: If there is no checkpoint at the source.
        OSError: If the checkpoint at the source is damaged.
        ValueError: If source and target are the same, or if two names map to one.
    """
    if os.path.realpath(source) == os.path.realpath(target):
        raise ValueError(f"--source and --target are the same checkpoint, {source!r}.")
    if find(target):
        raise FileExistsError(f"There is a checkpoint at {target!r}: remove it, or name another.")
    reader = CheckpointReader(source).raw
    # A graph, since that works whether or not eager execution was turned off.
    with tf.Graph().as_default(), tf.device("/CPU:0"):
        variables, mapping = build_migrated_variables(
            reader, lambda name, value: (without_output_number(name), value)
        )
        if not dry_run:
            _save(variables, target)
    return mapping


def build_migrated_variables(
    checkpoint_reader: Any, name_value_fn: NameValueFn
) -> tuple[dict[str, Any], dict[str, str]]:
    """Makes variables, in the current graph, from the changed contents of a checkpoint.

    Args:
        checkpoint_reader: What `tf.train.load_checkpoint` returns.
        name_value_fn: Takes the name and the value of a variable, returns those that it shall have,
            or None for the name of one to leave out.

    Returns:
        A dictionary from new name to variable, and one from old name to new name.

    Raises:
        OSError: If a value cannot be read.
        ValueError: If two names map to one.
    """
    values, renamed = migrated_values(
        sorted(checkpoint_reader.get_variable_to_shape_map()),
        lambda name: read(checkpoint_reader, name),
        name_value_fn,
    )
    return {name: _variable(value) for name, value in values.items()}, renamed


def migrated_values(
    names: Iterable[str], read_value: Callable[[str], Any], name_value_fn: NameValueFn
) -> tuple[dict[str, Any], dict[str, str]]:
    """Applies a rule to the contents of a checkpoint.

    Args:
        names: The names in the checkpoint.
        read_value: Returns the value of a name.
        name_value_fn: As for `build_migrated_variables`.

    Returns:
        A dictionary from new name to value, and one from old name to new name.

    Raises:
        ValueError: If two names map to one.
    """
    renamed: dict[str, str] = {}
    values: dict[str, Any] = {}
    for old_name in names:
        new_name, value = name_value_fn(old_name, read_value(old_name))
        if new_name is None:
            continue
        if new_name in values:
            others = [name for name, other in renamed.items() if other == new_name]
            raise ValueError(f"Both {others[0]!r} and {old_name!r} would be called {new_name!r}.")
        renamed[old_name] = new_name
        values[new_name] = value
    return values, renamed


def without_output_number(name: str) -> str:
    """Returns a name in a checkpoint without the `:0` of early versions."""
    return name.removesuffix(":0")


def _variable(value: Any) -> Any:
    value = np.asarray(value)
    # A function rather than a constant: a graph with constants may not pass two gigabytes.
    initial_value = tf.numpy_function(lambda: value, [], tf.as_dtype(value.dtype))
    return tf1.Variable(tf.ensure_shape(initial_value, value.shape), use_resource=True)


def _save(variables: dict[str, Any], target: str) -> None:
    directory = os.path.dirname(target) or "."
    tf.io.gfile.makedirs(directory)
    is_first = not tf.io.gfile.exists(os.path.join(directory, "checkpoint"))
    with tf1.Session(config=tf1.ConfigProto(device_count={"GPU": 0})) as session:
        session.run([variable.initializer for variable in variables.values()])
        saver = tf1.train.Saver(variables)
        saver.save(session, target, write_meta_graph=False, write_state=is_first)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snt-migrate-checkpoint",
        description="Copies a checkpoint; variables whose names end in ':0' lose that ending.",
    )
    parser.add_argument("--source", required=True, help="prefix of the checkpoint to read")
    parser.add_argument("--target", required=True, help="prefix of the checkpoint to write")
    parser.add_argument(
        "--dry_run",
        nargs="?",
        type=_boolean,
        const=True,
        default=False,
        help="only print what would be renamed",
    )
    return parser


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"expected true or false, received {text!r}") from None


if __name__ == "__main__":
    run()
