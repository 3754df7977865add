"""The compiled TensorFlow op: where it is, whether it fits, and loading it on first use."""

from __future__ import annotations

import os
import pathlib
import threading
import warnings
from typing import Any

import tensorflow as tf

from snt_ops.build_info import build_info, find_file

LIBRARY = "libsnt_ops_tensorflow.so"
# "compiled" or "composite" forces one path; unset or empty chooses what is there.
PATH_VARIABLE = "SNT_RESAMPLER"
# Another library than the installed one.
LIBRARY_VARIABLE = "SNT_OPS_LIBRARY"

_REBUILD = (
    "To build it, install TensorFlow first and then, from the source tree, "
    "`TENSORFLOW_ROOT=$(python -c 'import tensorflow as tf; "
    'print(tf.sysconfig.get_include()[:-len("/include")])\') '
    "pip install --force-reinstall --no-deps --no-cache-dir ./packages/snt-ops`."
)


class Library:
    """The ops of the compiled library, loaded when they are first asked for.

    Args:
        file: The library; None takes the one that SNT_OPS_LIBRARY names, or the installed one.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ops: Any = None
        self._problem: str | None = None
        self._warned = False

    def ops(self) -> Any:
        """Returns the module of the compiled ops, or None where they can't be used."""
        if self._ops is None and self._problem is None:
            with self._lock:
                if self._ops is None and self._problem is None:
                    self._load()
        return self._ops

    def choose(self) -> Any:
        """Returns the ops to compute with, or None for the composite of TensorFlow's own.

        Raises:
            ImportError: If SNT_RESAMPLER demands the compiled ops and they can't be used.
            ValueError: If SNT_RESAMPLER is neither empty, "compiled" nor "composite".
        """
        wish = os.environ.get(PATH_VARIABLE, "")
        if wish not in ("", "compiled", "composite"):
            raise ValueError(
                f'{PATH_VARIABLE} should be "compiled", "composite" or empty, but is "{wish}".'
            )
        if wish == "composite":
            return None
        ops = self.ops()
        if ops is None:
            if wish == "compiled":
                raise ImportError(f"{PATH_VARIABLE}=compiled, but {self._problem} {_REBUILD}")
            self._warn()
        return ops

    def _load(self) -> None:
        file = self._file or os.environ.get(LIBRARY_VARIABLE) or find_file(LIBRARY)
        installed = self._file is None and not os.environ.get(LIBRARY_VARIABLE)
        if file is None or not pathlib.Path(file).exists():
            where = "with this installation of snt-ops" if file is None else f"at {file}"
            self._problem = f"there is no compiled op {where}."
            return
        built_for = build_info().tensorflow if installed else None
        if built_for not in (None, "unknown") and _minor(built_for) != _minor(tf.__version__):
            self._problem = (
                f"the compiled op was built for TensorFlow {built_for}, and this is "
                f"{tf.__version__}."
            )
            return
        try:
            self._ops = tf.load_op_library(os.fspath(file))
        except (tf.errors.OpError, RuntimeError) as error:
            message = str(error).strip().splitlines()
            self._problem = (
                f"the compiled op in {file} does not load with TensorFlow {tf.__version__} "
                f"({message[0] if message else type(error).__name__})."
            )

    def _warn(self) -> None:
        with self._lock:
            if self._warned:
                return
            self._warned = True
        warnings.warn(
            f"snt.resampler computes with TensorFlow's own ops, which is slower: {self._problem} "
            f"{_REBUILD}",
            RuntimeWarning,
            stacklevel=4,
        )


def _minor(version: str | None) -> list[str]:
    return (version or "").split(".")[:2]


library = Library()
