"""`CheckpointReader`: what a checkpoint holds, by name, with clear errors where it is damaged."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import tensorflow as tf

from snt_core.errors import DamagedCheckpointError

# The entry by which an object-based checkpoint is known: it describes the objects.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


class CheckpointReader:
    """Reads a checkpoint, in any mode and without a session.

    Args:
        path: Prefix of the checkpoint, as `tf.compat.v1.train.Saver.save` returns it; the name of
            one of its files; or a directory, which stands for the latest checkpoint in it.

    Raises:
        DamagedCheckpointError: If the list of its variables cannot be read.
        FileNotFoundError: If there is no checkpoint.

    Attributes:
        prefix: What the names of its files begin with.
        shapes: Dictionary from the names in it to lists of sizes.
        dtypes: Dictionary from the names to `tf.DType`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.prefix = _prefix(os.fspath(path))
        found = find(self.prefix)
        if found is None:
            raise FileNotFoundError(
                f"There is no checkpoint at {self.prefix!r}. A checkpoint is named by the part "
                "that its files have in common, without '.index' or '.data-...'."
            )
        try:
            self.raw = tf.train.load_checkpoint(found)
        except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
            raise DamagedCheckpointError(
                f"The checkpoint at {self.prefix!r} is damaged: the list of its variables cannot "
                f"be read: {error}"
            ) from error
        self.shapes: dict[str, list[int]] = self.raw.get_variable_to_shape_map()
        self.dtypes: dict[str, tf.DType] = self.raw.get_variable_to_dtype_map()

    @property
    def is_object_based(self) -> bool:
        """Whether `tf.train.Checkpoint` wrote it, whose entries are named after attributes."""
        return OBJECT_GRAPH in self.shapes

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """Returns the value of a variable; of one that was saved in parts, the whole.

        Args:
            name: Its name in the checkpoint.

        Raises:
            DamagedCheckpointError: If it cannot be read.
        """
        return np.asarray(read(self.raw, name))


def read(raw: Any, name: str) -> Any:
    """Returns the value of a variable in a checkpoint.

    Args:
        raw: What `tf.train.load_checkpoint` returns.
        name: Name of the variable in the checkpoint.

    Raises:
        DamagedCheckpointError: If it cannot be read.
    """
    try:
        return raw.get_tensor(name)
    except (tf.errors.OpError, IndexError, RuntimeError) as error:
        raise DamagedCheckpointError(
            f"The checkpoint is damaged: {name!r} cannot be read: {error}"
        ) from error


def find(prefix: str) -> str | None:
    """Returns how TensorFlow's reader wants to be told of the checkpoint at `prefix`, if any."""
    is_file = tf.io.gfile.exists(prefix) and not tf.io.gfile.isdir(prefix)
    if is_file or tf.io.gfile.exists(f"{prefix}.index"):
        return prefix
    shards = f"{prefix}-?????-of-?????"  # the format of before 2017
    return shards if tf.io.gfile.glob(shards) else None


def _prefix(path: str) -> str:
    if tf.io.gfile.isdir(path):
        return tf.train.latest_checkpoint(path) or path
    return _FILE_ENDING.sub("", path)
