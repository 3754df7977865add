"""What this library takes from TensorFlow although it has no public form, and why.

Everything else uses the public API alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorflow.python.framework import ops


def register_collection_codec(
    collection: str,
    message_type: type,
    to_proto: Callable[..., Any],
    from_proto: Callable[..., Any],
) -> None:
    """Makes TensorFlow write and read a graph collection as messages of a type of ours.

    Private, since `tf.train.export_meta_graph` looks for codecs in one registry only, and the
    function that adds to it was never made public. A second registration changes nothing.

    Args:
        collection: Name of the collection.
        message_type: Class of the messages.
        to_proto: `f(item, export_scope=None)`, returns a message.
        from_proto: `f(message, import_scope=None)`, returns an item.
    """
    if ops.get_collection_proto_type(collection) is None:
        ops.register_proto_function(collection, message_type, to_proto, from_proto)


def name_of_whole(part: Any) -> str | None:
    """Returns the full name of the partitioned variable that `part` is a part of, or None.

    Private, since the public `to_proto`, which tells it too, works in graphs only.

    Args:
        part: A variable.
    """
    info = getattr(part, "_save_slice_info", None)
    return None if info is None else info.full_name


def place_in_whole(part: Any) -> tuple[list[int], list[int]]:
    """Returns the shape of a partitioned variable, and where in it one of its parts begins.

    Private for the same reason as `name_of_whole`.

    Args:
        part: A variable of which `name_of_whole` is not None.
    """
    info = part._save_slice_info
    return list(info.full_shape), list(info.var_offset)
