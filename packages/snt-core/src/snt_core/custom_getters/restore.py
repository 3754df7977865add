"""A custom getter that starts variables from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow.compat.v1 as tf1

from snt_core import initializers


def restore_initializer(
    filename: str,
    name_fn: Callable[[str], str] | None = None,
    collection: str | None = tf1.GraphKeys.GLOBAL_VARIABLES,
) -> Callable[..., Any]:
    """Makes a custom getter that initialises variables with the values of a checkpoint.

    Args:
        filename: Prefix of the checkpoint, as `tf.compat.v1.train.Saver` returns it.
        name_fn: Function from the full name of a variable to the name of the tensor in the
            checkpoint. Default `None`: the names are the same.
        collection: Only variables that are asked for in this collection are restored; what is asked
            for in no collection by name goes to `GLOBAL_VARIABLES`, and what is trainable to
            `TRAINABLE_VARIABLES`. Default `GLOBAL_VARIABLES`. `None` restores all.

    Returns:
        A custom getter. It logs each variable that it restores.

    Example:
        >>> from_checkpoint = restore_initializer("/tmp/model.ckpt-100")
        >>> # snt.Linear(10, custom_getter=from_checkpoint)
    """

    def restoring_getter(getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        if collection is None or collection in _collections(kwargs):
            stored_name = name if name_fn is None else name_fn(name)
            tf1.logging.info(
                "Restoring '%s' from '%s' into variable '%s'.", stored_name, filename, name
            )
            kwargs["initializer"] = initializers.restore_initializer(
                filename, stored_name, scope=""
            )
        return getter(name, *args, **kwargs)

    return restoring_getter


def _collections(request: dict[str, Any]) -> list[str]:
    """The collections that `tf1.get_variable` will put the variable in."""
    collections = list(request.get("collections") or [tf1.GraphKeys.GLOBAL_VARIABLES])
    if request.get("trainable", True):
        collections.append(tf1.GraphKeys.TRAINABLE_VARIABLES)
    return collections
