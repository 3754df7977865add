r"""Command that lists checkpoints, checks them, and converts old ones to object-based ones.

    snt-checkpoints list old/model.ckpt-1000
    snt-checkpoints check old/model.ckpt-1000
    snt-checkpoints check old/model.ckpt-1000 --module agent.nets:make --input "float32[?,784]"
    snt-checkpoints convert old/model.ckpt-1000 new/model --module agent.nets:make \
        --input "float32[?,784]" --prefix agent/net --rename "^target_" ""

`--module` names a function without parameters that returns the module. It may connect the module
itself, say with `is_training=False`; otherwise `--input` says with what, once for each input. What
`convert` writes is taken by `tf.train.Checkpoint(module).restore(path)`, or with `--key net` by
`tf.train.Checkpoint(net=module).restore(path)`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from snt_core.checkpoint_reader import CheckpointReader, find
from snt_core.errors import CheckpointMismatchError, Error
from snt_core.module import AbstractModule
from snt_core.reporting import _format_table
from snt_core.restore_from_checkpoint import restore_from_checkpoint

_INPUT = re.compile(r"(\w+)\[([\d?,\s]*)\]")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command, and prints what it found.

    Args:
        argv: The arguments, without the name of the program. Default: those of this process.

    Raises:
        CheckpointMismatchError: If the checkpoint does not fit the module.
        DamagedCheckpointError: If the checkpoint cannot be read.
        FileExistsError: If there is a checkpoint where one is to be written.
        FileNotFoundError: If there is no checkpoint.
        SystemExit: If the arguments are wrong or ask for help.
        TypeError: If what `--module` names does not return a module.
        ValueError: If `--module` or an `--input` is not of the form that is expected.
    """
    options = _parser().parse_args(argv)
    if options.command == "list":
        _list(options.checkpoint)
    elif options.module is None:
        _check_files(options.checkpoint)
    elif options.command == "check":
        report = restore_from_checkpoint(**_restoration(options), dry_run=True)
        if not report.fits:
            raise CheckpointMismatchError(f"The checkpoint does not fit.\n{report}", report)
        print(report)
    else:
        _convert(options)


def run() -> None:
    """Runs the command, and ends the process if it failed."""
    sys.path.insert(0, os.getcwd())  # as `python -m` does, for `--module`
    try:
        main()
    except (Error, ImportError, OSError, TypeError, ValueError) as error:
        sys.exit(f"snt-checkpoints: {error}")


def connected_module(factory: str, inputs: Sequence[str]) -> AbstractModule:
    """Makes a module as the command line describes it, and connects it if it is not.

    Args:
        factory: `package.module:function`; the function takes nothing and returns the module.
        inputs: The inputs, each as `dtype[sizes]` with `?` for an unknown size.

    Raises:
        ImportError: If there is no such Python module.
        TypeError: If the function does not return a module.
        ValueError: If there is no such function, `inputs` cannot be read, or there are none and
            the module is not connected.
    """
    path, _, name = factory.partition(":")
    function = getattr(importlib.import_module(path), name, None)
    if function is None:
        raise ValueError(f"Expected --module package.module:function, got {factory!r}.")
    module = function()
    if not isinstance(module, AbstractModule):
        raise TypeError(f"{factory} should return a module, got {module!r}.")
    specs = [input_spec(text) for text in inputs]
    if specs:
        tf.function(module.__call__).get_concrete_function(*specs)
    elif not module.is_connected:
        raise ValueError(
            f"The module that {factory} returns is not connected: describe what it is called with, "
            "as in --input 'float32[?,784]', or connect it in the function."
        )
    return module


def input_spec(text: str) -> tf.TensorSpec:
    """Returns the specification of an input.

    Args:
        text: As in `float32[?, 28, 28, 1]`.

    Raises:
        ValueError: If it cannot be read.

    Example:
        >>> input_spec("float32[?, 784]")
        TensorSpec(shape=(None, 784), dtype=tf.float32, name=None)
    """
    match = _INPUT.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        sizes = [size.strip() for size in match[2].split(",") if size.strip()]
        shape = [None if size == "?" else int(size) for size in sizes]
        return tf.TensorSpec(shape, tf.as_dtype(match[1]))
    except (TypeError, ValueError):
        raise ValueError(f"Expected an input like 'float32[?,784]', got {text!r}.") from None


def _list(path: str) -> None:
    reader = CheckpointReader(path)
    rows = [("Name", "Type", "Shape", "Parameters")]
    for name in sorted(reader.shapes):
        shape = reader.shapes[name]
        number = tf.TensorShape(shape).num_elements()
        rows.append((name, reader.dtypes[name].name, str(shape), f"{number:,}"))
    print("\n".join(_format_table(rows, join_lines=False)))


def _check_files(path: str) -> None:
    reader = CheckpointReader(path)
    for name in reader.shapes:
        reader.read(name)
    print(f"{reader.prefix}: all {len(reader.shapes)} entries can be read.")


def _convert(options: argparse.Namespace) -> None:
    if find(options.target):
        raise FileExistsError(
            f"There is a checkpoint at {options.target!r}: remove it, or name another."
        )
    restoration = _restoration(options)
    print(restore_from_checkpoint(**restoration, strict=not options.lenient))
    module = restoration["module"]
    checkpoint = tf.train.Checkpoint(**{options.key: module} if options.key else {"root": module})
    # Made here, so that it is written and `restore` finds all that it looks for.
    checkpoint.save_counter.assign(1)
    tf.io.gfile.makedirs(os.path.dirname(options.target) or ".")
    print(f"Written: {checkpoint.write(options.target)}")


def _restoration(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "module": connected_module(options.module, options.input),
        "path": options.checkpoint,
        "prefix": options.prefix,
        "renames": dict(options.rename),
        "reshape": options.reshape,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="snt-checkpoints", description="Lists, checks and converts checkpoints."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print names, types and shapes")
    checking = commands.add_parser("check", help="read all, or check whether a module fits")
    converting = commands.add_parser("convert", help="write an object-based checkpoint")
    for command in (listing, checking, converting):
        command.add_argument("checkpoint", help="prefix of the checkpoint, or its directory")
    converting.add_argument("target", help="prefix of the checkpoint to write")
    for command in (checking, converting):
        command.add_argument(
            "--module",
            required=command is converting,
            metavar="PACKAGE.MODULE:FUNCTION",
            help="a function without parameters that returns the module",
        )
        command.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="DTYPE[SIZES]",
            help="an input of the module, as float32[?,784]; once for each",
        )
        command.add_argument("--prefix", help="name of the module's scope in the checkpoint")
        command.add_argument(
            "--rename",
            nargs=2,
            action="append",
            default=[],
            metavar=("PATTERN", "REPLACEMENT"),
            help="regular expression to replace in the checkpoint's names; may be repeated",
        )
        command.add_argument(
            "--reshape", action="store_true", help="accept other dimensions of size one"
        )
    converting.add_argument(
        "--lenient", action="store_true", help="variables that are missing keep initial values"
    )
    converting.add_argument(
        "--key", help="name that tf.train.Checkpoint gets the module by; default: it is the root"
    )
    return parser


if __name__ == "__main__":
    run()
