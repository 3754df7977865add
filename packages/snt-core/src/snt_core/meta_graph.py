"""The graph collection "sonnet" in meta graphs: what is known of each module survives a file.

`tf.train.export_meta_graph` writes the `ModuleInfo`s of a graph as the messages of
`module_info_proto`, and `tf.train.import_meta_graph` makes them again. TensorFlow learns how when
snt_core is imported, which is when the first name of `sonnet` is used: a program that does nothing
but import a meta graph uses one before, for example `snt.SONNET_COLLECTION_NAME`.

Of inputs and outputs, the tensors survive by their names, inside any nest of lists, tuples, dicts
and namedtuples; whatever else stood there comes back as a placeholder.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.connections import SONNET_COLLECTION_NAME, ConnectedSubGraph, ModuleInfo
from snt_core.errors import ModuleInfoError
from snt_core.module_info_proto import SonnetModule
from snt_core.tensorflow_internals import register_collection_codec

_SPARSE_TENSOR = "SparseTensor"
_SPARSE_TENSOR_FIELDS = ("indices", "values", "dense_shape")


class _UnserializableObject:
    """Stands, in what was read, for an object that could not be written."""

    def __repr__(self) -> str:
        return "<an object that a meta graph cannot hold>"


class _MissingTensor:
    """Stands, in what was read, for a tensor that the graph lacks.

    Attributes:
        name: Name of the tensor.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<tensor {self.name!r}, missing in the graph>"


def module_info_to_proto(module_info: ModuleInfo, export_scope: str | None = None) -> Any:
    """Returns the message of a module.

    Args:
        module_info: What the graph knows of the module.
        export_scope: Name scope that is exported; the names lose it.

    Returns:
        A `SonnetModule`.
    """
    message = SonnetModule(
        module_name=module_info.module_name,
        scope_name=_strip_scope(module_info.scope_name, export_scope),
        class_name=module_info.class_name,
    )
    for connection in module_info.connected_subgraphs:
        subgraph = message.connected_subgraphs.add()
        subgraph.name_scope = _strip_scope(connection.name_scope, export_scope)
        _encode(connection.inputs, subgraph.inputs, export_scope, ())
        _encode(connection.outputs, subgraph.outputs, export_scope, ())
    return message


def module_info_from_proto(message: Any, import_scope: str | None = None) -> ModuleInfo:
    """Returns what a message says of a module, with the tensors of the default graph.

    Args:
        message: A `SonnetModule`.
        import_scope: Name scope that is imported into; the names gain it.

    Returns:
        The `ModuleInfo`; it is also the `module` of its connections.

    Raises:
        ModuleInfoError: If `message` is of another type or malformed.
    """
    if not isinstance(message, SonnetModule):
        raise ModuleInfoError(f"Expected a SonnetModule message, got a {type(message).__name__}.")
    info = ModuleInfo(
        module_name=message.module_name,
        scope_name=_prepend_scope(message.scope_name, import_scope),
        class_name=message.class_name,
        connected_subgraphs=[],
    )
    for subgraph in message.connected_subgraphs:
        info.connected_subgraphs.append(
            ConnectedSubGraph(
                module=info,
                name_scope=_prepend_scope(subgraph.name_scope, import_scope),
                inputs=_decode(subgraph.inputs, import_scope),
                outputs=_decode(subgraph.outputs, import_scope),
            )
        )
    return info


def register_collection() -> None:
    """Tells TensorFlow how the collection "sonnet" is written and read."""
    register_collection_codec(
        SONNET_COLLECTION_NAME, SonnetModule, module_info_to_proto, _read_leniently
    )


def _read_leniently(message: Any, import_scope: str | None = None) -> ModuleInfo | None:
    """Reads a message for TensorFlow: a graph is worth more than the record of one module."""
    try:
        return module_info_from_proto(message, import_scope)
    except Exception as error:
        tf1.logging.warning("An entry of the collection 'sonnet' cannot be read: %s", error)
        return None


# --- Writing ----------------------------------------------------------------------------------


def _encode(value: Any, message: Any, scope: str | None, parents: tuple[int, ...]) -> None:
    """Writes a nest into a NestedData; `parents` are the ids of the containers around it."""
    parents_below = (*parents, id(value))

    def encode(item: Any, into: Any) -> None:
        _encode(item, into, scope, parents_below)

    if tf.is_symbolic_tensor(value):
        message.value = _strip_scope(value.name, scope)
    elif id(value) in parents:
        message.value = ""  # a container that holds itself
    elif isinstance(value, tf.SparseTensor):
        message.special_type.name = _SPARSE_TENSOR
        fields = {field: getattr(value, field) for field in _SPARSE_TENSOR_FIELDS}
        _encode_named_tuple(_SPARSE_TENSOR, fields, message.special_type.object, encode)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = dict(zip(value._fields, value, strict=True))
        _encode_named_tuple(type(value).__name__, fields, message, encode)
    elif isinstance(value, (list, tuple)):
        items = message.tuple if isinstance(value, tuple) else message.list
        items.SetInParent()  # an empty one is something else than nothing
        for item in value:
            encode(item, items.list.add())
    elif isinstance(value, Mapping):
        message.dict.SetInParent()
        for key, item in value.items():
            encode(item, message.dict.map[str(key)])
    else:
        message.value = ""


def _encode_named_tuple(
    name: str, fields: dict[str, Any], message: Any, encode: Callable[[Any, Any], None]
) -> None:
    message.named_tuple.name = name
    message.named_tuple.fields.extend(fields)
    for field, item in fields.items():
        encode(item, message.named_tuple.map[field])


def _strip_scope(name: str, scope: str | None) -> str:
    scope = (scope or "").rstrip("/")
    return "" if name == scope else name.removeprefix(f"{scope}/") if scope else name


# --- Reading ----------------------------------------------------------------------------------


def _decode(message: Any, scope: str | None) -> Any:
    """Returns the nest that a NestedData holds."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise ModuleInfoError("A NestedData message has none of its fields set.")
    return _DECODERS[kind](getattr(message, kind), scope)


def _decode_value(name: str, scope: str | None) -> Any:
    if not name:
        return _UnserializableObject()
    name = _prepend_scope(name, scope)
    try:
        return tf1.get_default_graph().get_tensor_by_name(name)
    except (KeyError, ValueError):
        return _MissingTensor(name)


def _decode_map(message: Any, scope: str | None) -> dict[str, Any]:
    return {key: _decode(message.map[key], scope) for key in sorted(message.map)}


def _decode_named_tuple(message: Any, scope: str | None) -> Any:
    fields = list(message.fields) or sorted(message.map)  # Sonnet 1 wrote no order
    if sorted(fields) != sorted(message.map):
        raise ModuleInfoError(
            f"Named tuple {message.name!r} lists the fields {fields} and holds {[*message.map]}."
        )
    try:
        # A name that Python refuses was made by `rename=True`, which makes the same one again.
        cls = collections.namedtuple(message.name, fields, rename=True)  # type: ignore[misc]
    except ValueError as error:
        raise ModuleInfoError(f"Named tuple {message.name!r} cannot be made: {error}") from error
    return cls(*(_decode(message.map[field], scope) for field in fields))


def _decode_special_type(message: Any, scope: str | None) -> Any:
    if message.name != _SPARSE_TENSOR:
        return _UnserializableObject()
    parts = message.object.named_tuple.map
    if sorted(parts) != sorted(_SPARSE_TENSOR_FIELDS):
        raise ModuleInfoError(
            f"A sparse tensor has the parts {', '.join(_SPARSE_TENSOR_FIELDS)}; "
            f"the message holds {sorted(parts)}."
        )
    tensors = [_decode(parts[field], scope) for field in _SPARSE_TENSOR_FIELDS]
    if not all(tf.is_symbolic_tensor(tensor) for tensor in tensors):
        return _UnserializableObject()
    return tf.SparseTensor(*tensors)


_DECODERS: dict[str, Callable[[Any, str | None], Any]] = {
    "value": _decode_value,
    "list": lambda message, scope: [_decode(item, scope) for item in message.list],
    "tuple": lambda message, scope: tuple(_decode(item, scope) for item in message.list),
    "dict": _decode_map,
    "named_tuple": _decode_named_tuple,
    "special_type": _decode_special_type,
}


def _prepend_scope(name: str, scope: str | None) -> str:
    return "/".join(part for part in ((scope or "").rstrip("/"), name) if part)
