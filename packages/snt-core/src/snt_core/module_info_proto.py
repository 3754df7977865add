"""The messages in which the graph collection "sonnet" is stored in a meta graph.

Their names and numbers are those of Sonnet 1, so that its meta graphs can be read. The descriptors
are made when this module is imported: that needs no compiler and suits any protobuf. They live in
a pool of their own, so that the generated code of Sonnet 1 could stand beside them.

One field is new: `NestedData.NamedTuple.fields`, the order of the fields, which a map does not
keep. Sonnet 1 skips it, and its own messages lack it.
"""

# Protobuf comes with TensorFlow and carries no types either.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_NESTED_DATA = ".sonnet.NestedData"


def _field(name: str, number: int, message: str | None = None, repeated: bool = False) -> Any:
    """Returns a field that holds strings or, if it is given, messages of a type."""
    field = descriptor_pb2.FieldDescriptorProto(name=name, number=number, type_name=message)
    field.type = field.TYPE_MESSAGE if message else field.TYPE_STRING
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    return field


def _message(name: str, *fields: Any, nested: tuple[Any, ...] = ()) -> Any:
    return descriptor_pb2.DescriptorProto(name=name, field=fields, nested_type=nested)


def _message_with_map(name: str, number: int, *fields: Any) -> Any:
    """Returns a message type that has, beside `fields`, a map from strings to NestedData."""
    entry = _message("MapEntry", _field("key", 1), _field("value", 2, _NESTED_DATA))
    entry.options.map_entry = True
    entries = _field("map", number, f"{_NESTED_DATA}.{name}.MapEntry", repeated=True)
    return _message(name, *fields, entries, nested=(entry,))


def _nested_data() -> Any:
    kinds = [
        _field("value", 1),
        _field("list", 2, f"{_NESTED_DATA}.List"),
        _field("tuple", 3, f"{_NESTED_DATA}.Tuple"),
        _field("dict", 4, f"{_NESTED_DATA}.Dict"),
        _field("named_tuple", 5, f"{_NESTED_DATA}.NamedTuple"),
        _field("special_type", 6, f"{_NESTED_DATA}.SpecialType"),
    ]
    for kind in kinds:
        kind.oneof_index = 0
    names_in_order = _field("fields", 3, repeated=True)
    message = _message(
        "NestedData",
        *kinds,
        nested=(
            _message("List", _field("list", 1, _NESTED_DATA, repeated=True)),
            _message("Tuple", _field("list", 1, _NESTED_DATA, repeated=True)),
            _message_with_map("Dict", 1),
            _message_with_map("NamedTuple", 2, _field("name", 1), names_in_order),
            _message("SpecialType", _field("name", 1), _field("object", 2, _NESTED_DATA)),
        ),
    )
    message.oneof_decl.add(name="kind")
    return message


def _sonnet_module() -> Any:
    subgraph = _message(
        "ConnectedSubgraph",
        _field("name_scope", 1),
        _field("inputs", 2, _NESTED_DATA),
        _field("outputs", 3, _NESTED_DATA),
    )
    subgraph_name = ".sonnet.SonnetModule.ConnectedSubgraph"
    return _message(
        "SonnetModule",
        _field("module_name", 1),
        _field("scope_name", 2),
        _field("connected_subgraphs", 3, subgraph_name, repeated=True),
        _field("class_name", 4),
        nested=(subgraph,),
    )


_pool = descriptor_pool.DescriptorPool()
_pool.Add(
    descriptor_pb2.FileDescriptorProto(
        name="sonnet/module_info.proto",
        package="sonnet",
        syntax="proto3",
        message_type=[_nested_data(), _sonnet_module()],
    )
)

NestedData = message_factory.GetMessageClass(_pool.FindMessageTypeByName("sonnet.NestedData"))
SonnetModule = message_factory.GetMessageClass(_pool.FindMessageTypeByName("sonnet.SonnetModule"))
