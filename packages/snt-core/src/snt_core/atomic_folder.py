"""A folder that is there whole or not at all: written beside its place, then put there."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def atomic_folder(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Gives a new folder to write to; at the end it takes the place of `folder`.

    Whoever looks at `folder` meanwhile, or after the process was killed, finds what was there
    before, or the new one, whole. On Linux this holds at every moment; elsewhere there is one
    between two renamings at which what was there before lies beside, under a name that ends in
    `.previous`. What killed processes of this machine left beside is removed.

    Args:
        folder: Path of a folder that is there or not, in the local file system.

    Raises:
        NotADirectoryError: If there is something else at `folder`.
        ValueError: If `folder` is not in the local file system.
    """
    if "://" in os.fspath(folder):
        raise ValueError(f"Expected a local folder, got {folder!r}: write it locally and copy it.")
    target = Path(folder).absolute()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"There is something at {str(target)!r} that is not a folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = f".{target.name}.writing-{socket.gethostname()}-"
    _remove_leftovers(target.parent, mark)
    written = target.with_name(f"{mark}{os.getpid()}-{uuid.uuid4().hex}")
    written.mkdir()
    try:
        yield str(written)
        _put(written, target)
    finally:
        shutil.rmtree(written, ignore_errors=True)  # by now the former one, or a failed one


def _put(written: Path, target: Path) -> None:
    try:
        written.rename(target)  # which replaces an empty folder at most
    except OSError:
        if not _exchange(written, target):
            previous = target.with_name(f"{target.name}.previous")
            shutil.rmtree(previous, ignore_errors=True)
            target.rename(previous)
            written.rename(target)
            shutil.rmtree(previous, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step, where the system can do it."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if renameat2 is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(renameat2(*paths, _RENAME_EXCHANGE) == 0)


def _remove_leftovers(parent: Path, mark: str) -> None:
    for path in parent.iterdir():
        process = path.name.removeprefix(mark).partition("-")[0]
        if path.name.startswith(mark) and process.isdigit() and not _is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
