"""The collection "sonnet" in meta graphs: wire format, nests, scopes, damage."""

import collections

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_core import meta_graph
from snt_core.connections import SONNET_COLLECTION_NAME, ConnectedSubGraph, ModuleInfo
from snt_core.errors import ModuleInfoError
from snt_core.function_module import Module
from snt_core.module_info_proto import NestedData, SonnetModule

State = collections.namedtuple("State", ("hidden", "cell"))


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


def info(inputs=None, outputs=None, scope_name="a/linear", name_scope="a/linear"):
    subgraph = ConnectedSubGraph(object(), name_scope, inputs or {}, outputs)
    return ModuleInfo("linear", scope_name, "some.module.Linear", [subgraph])


def round_trip(value):
    """Sends one nest through the bytes of a message and back."""
    data = meta_graph.module_info_to_proto(info(outputs=value)).SerializeToString()
    restored = meta_graph.module_info_from_proto(SonnetModule.FromString(data))
    return restored.connected_subgraphs[0].outputs


def exported_and_imported(export_scope=None, import_scope=None):
    """Sends the default graph through a meta graph; returns the new graph and its collection."""
    exported = tf1.train.export_meta_graph(export_scope=export_scope)
    with tf.Graph().as_default() as graph:
        tf1.train.import_meta_graph(exported, import_scope=import_scope)
    return graph, graph.get_collection(SONNET_COLLECTION_NAME)


# --- The wire format, by hand -----------------------------------------------------------------


def field(number, payload):
    """A length-delimited field: key, length, payload; lengths below 128 take one byte, else two."""
    payload = payload.encode() if isinstance(payload, str) else payload
    high, low = divmod(len(payload), 128)
    return bytes([number << 3 | 2, *([low | 128, high] if high else [low])]) + payload


X, Y = field(1, "x:0"), field(1, "y:0")


@pytest.fixture
def x_and_y(graph):
    with graph.as_default():
        return (
            tf1.placeholder(tf.float32, [2], name="x"),
            tf1.placeholder(tf.float32, [2], name="y"),
        )


@pytest.mark.parametrize(
    ("make", "wire"),
    [
        (lambda x, y: x, X),
        (lambda x, y: None, field(1, "")),
        (lambda x, y: [x, y], field(2, field(1, X) + field(1, Y))),
        (lambda x, y: (x,), field(3, field(1, X))),
        (lambda x, y: (), field(3, b"")),
        (lambda x, y: {"k": x}, field(4, field(1, field(1, "k") + field(2, X)))),
        (
            lambda x, y: collections.namedtuple("Pair", "only")(x),
            field(
                5, field(1, "Pair") + field(2, field(1, "only") + field(2, X)) + field(3, "only")
            ),
        ),
    ],
)
def test_bytes_are_those_computed_by_hand(x_and_y, make, wire):
    message = meta_graph.module_info_to_proto(info(outputs=make(*x_and_y)))
    expected = (
        field(1, "linear")
        + field(2, "a/linear")
        + field(3, field(1, "a/linear") + field(2, field(4, b"")) + field(3, wire))
        + field(4, "some.module.Linear")
    )
    assert message.SerializeToString(deterministic=True) == expected


def test_reads_a_sparse_tensor_and_a_named_tuple_as_sonnet_1_wrote_them(graph):
    for name, dtype in (("i", tf.int64), ("v", tf.float32), ("s", tf.int64)):
        tf1.placeholder(dtype, {"i": [None, 2], "v": [None], "s": [2]}[name], name=name)
    parts = [("indices", "i:0"), ("values", "v:0"), ("dense_shape", "s:0")]
    entries = b"".join(field(2, field(1, k) + field(2, field(1, v))) for k, v in parts)
    named_tuple = field(5, field(1, "SparseTensor") + entries)
    sparse = field(6, field(1, "SparseTensor") + field(2, named_tuple))
    state = field(
        5,
        field(1, "State")
        + field(2, field(1, "hidden") + field(2, field(1, "v:0")))
        + field(2, field(1, "cell") + field(2, field(1, ""))),
    )
    subgraph = field(1, "a") + field(2, sparse) + field(3, state)
    message = SonnetModule.FromString(field(1, "m") + field(3, subgraph))

    (read,) = meta_graph.module_info_from_proto(message).connected_subgraphs

    assert isinstance(read.inputs, tf.SparseTensor)
    assert read.inputs.values is graph.get_tensor_by_name("v:0")
    assert type(read.outputs).__name__ == "State"
    assert read.outputs.hidden is graph.get_tensor_by_name("v:0")
    assert isinstance(read.outputs.cell, meta_graph._UnserializableObject)


# --- Nests ------------------------------------------------------------------------------------


def nests(leaves):
    keys = st.text(st.characters(codec="utf-8"), max_size=4)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(keys, inner, max_size=3),
            st.builds(State, inner, inner),
        ),
        max_leaves=12,
    )


def assert_same(expected, actual):
    """Compares nests; a namedtuple comes back as another class of the same name and fields."""
    if isinstance(expected, tf.Tensor):
        assert actual is expected
    elif isinstance(expected, tuple) and hasattr(expected, "_fields"):
        assert type(actual).__name__ == type(expected).__name__
        assert actual._fields == expected._fields
        assert_same(tuple(expected), tuple(actual))
    elif isinstance(expected, (list, tuple)):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        for one, other in zip(expected, actual, strict=True):
            assert_same(one, other)
    elif isinstance(expected, dict):
        assert type(actual) is dict
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(value, actual[key])
    else:
        assert isinstance(actual, meta_graph._UnserializableObject)


_LEAVES = tf.Graph()
with _LEAVES.as_default():
    _TENSORS = [tf.constant(float(i), name=f"scope/t{i}") for i in range(4)]


@settings(deadline=None, max_examples=200)
@given(nests(st.sampled_from([*_TENSORS, None, 3, "text", {1, 2}])))
def test_any_nest_survives(nest):
    with _LEAVES.as_default():
        assert_same(nest, round_trip(nest))


def test_a_repeated_container_survives_and_a_cycle_ends(x_and_y):
    shared = [x_and_y[0]]
    assert_same({"a": shared, "b": shared}, round_trip({"a": shared, "b": shared}))

    cycle = [x_and_y[0]]
    cycle.append({"again": cycle})
    first, second = round_trip(cycle)
    assert first is x_and_y[0]
    assert isinstance(second["again"], meta_graph._UnserializableObject)


def test_keys_become_strings_and_ordered_dicts_dicts(x_and_y):
    restored = round_trip(collections.OrderedDict([(2, x_and_y[0]), ("b", x_and_y[1])]))
    assert_same({"2": x_and_y[0], "b": x_and_y[1]}, restored)


def test_a_named_tuple_keeps_the_order_of_its_fields_and_renamed_ones(x_and_y):
    odd = collections.namedtuple("Odd", ("z", "class", "a"), rename=True)
    restored = round_trip(odd(*x_and_y, None))
    assert restored._fields == ("z", "_1", "a")
    assert restored.z is x_and_y[0]
    assert restored._1 is x_and_y[1]


def test_a_variable_and_an_eager_tensor_are_placeholders():
    eager = round_trip([tf.constant(1.0), tf.Variable(1.0)])
    assert [type(leaf) for leaf in eager] == [meta_graph._UnserializableObject] * 2


def test_a_tensor_that_the_graph_lacks_is_named(x_and_y):
    message = meta_graph.module_info_to_proto(info(outputs=x_and_y[0]))
    with tf.Graph().as_default():
        (read,) = meta_graph.module_info_from_proto(message).connected_subgraphs
    assert isinstance(read.outputs, meta_graph._MissingTensor)
    assert read.outputs.name == "x:0"
    assert "x:0" in repr(read.outputs)


# --- Meta graphs ------------------------------------------------------------------------------


def connect(scope="net"):
    """Adds a little graph and its record to the default graph."""
    with tf1.name_scope(f"{scope}/linear/"):
        x = tf1.placeholder(tf.float32, [2], name="x")
        state = State(tf.identity(x, name="h"), tf.identity(x, name="c"))
    tf1.add_to_collection(
        SONNET_COLLECTION_NAME,
        info({"inputs": x, "flag": True}, state, f"{scope}/linear", f"{scope}/linear"),
    )


@pytest.mark.parametrize(
    ("export_scope", "import_scope", "expected"),
    [
        (None, None, "net/linear"),
        (None, "new", "new/net/linear"),
        ("net", None, "linear"),
        ("net/", "new/deep", "new/deep/linear"),
        ("net/linear", "new", "new"),
    ],
)
def test_names_follow_the_scopes(graph, export_scope, import_scope, expected):
    connect()
    new_graph, (restored,) = exported_and_imported(export_scope, import_scope)

    assert restored.module_name == "linear"
    assert restored.class_name == "some.module.Linear"
    assert restored.scope_name == expected
    (connection,) = restored.connected_subgraphs
    assert connection.module is restored
    assert connection.name_scope == expected
    assert connection.inputs["inputs"] is new_graph.get_tensor_by_name(f"{expected}/x:0")
    assert connection.outputs.hidden is new_graph.get_tensor_by_name(f"{expected}/h:0")
    assert connection.outputs.cell is new_graph.get_tensor_by_name(f"{expected}/c:0")
    assert connection.outputs._fields == ("hidden", "cell")


def test_the_records_of_real_modules_survive(graph):
    net = Module(lambda x, scale=2.0: {"y": x * scale}, name="net")
    with tf1.name_scope("here"):
        outputs = [net(tf1.placeholder(tf.float32, [3])) for _ in range(2)]

    new_graph, (restored,) = exported_and_imported(import_scope="new")

    assert restored.scope_name == "new/net"
    assert restored.class_name == "snt_core.function_module.Module"
    scopes = [connection.name_scope for connection in restored.connected_subgraphs]
    assert scopes == ["new/here/net", "new/here/net_1"]
    for connection, output in zip(restored.connected_subgraphs, outputs, strict=True):
        expected = new_graph.get_tensor_by_name(f"new/{output['y'].name}")
        assert connection.outputs["y"] is expected


def test_what_was_imported_can_be_exported_again(graph):
    connect()
    new_graph, _ = exported_and_imported(None, "new")
    with new_graph.as_default():
        last_graph, (restored,) = exported_and_imported("new", None)
    assert restored.scope_name == "net/linear"
    inputs = restored.connected_subgraphs[0].inputs
    assert inputs["inputs"] is last_graph.get_tensor_by_name("net/linear/x:0")


def test_a_scope_is_stripped_as_whole_components_only(graph):
    message = meta_graph.module_info_to_proto(info(scope_name="network/linear"), "net")
    assert message.scope_name == "network/linear"
    message = meta_graph.module_info_to_proto(info(scope_name="n.t/net/a"), "n.t")
    assert message.scope_name == "net/a"


def test_damage_costs_one_record_and_a_warning(graph, monkeypatch):
    connect("one")
    connect("two")
    exported = tf1.train.export_meta_graph()
    records = exported.collection_def[SONNET_COLLECTION_NAME].bytes_list.value
    damaged = SonnetModule.FromString(records[0])
    damaged.connected_subgraphs[0].outputs.Clear()
    records[0] = damaged.SerializeToString()
    warnings = []
    monkeypatch.setattr(tf1.logging, "warning", lambda text, *args: warnings.append(text % args))

    with tf.Graph().as_default() as new_graph:
        tf1.train.import_meta_graph(exported)

    lost, kept = new_graph.get_collection(SONNET_COLLECTION_NAME)
    assert lost is None
    assert kept.scope_name == "two/linear"
    assert any("none of its fields set" in text for text in warnings)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (NestedData(), "none of its fields"),
        (NestedData(named_tuple={"name": "not a name"}), "not a name"),
        (NestedData(named_tuple={"name": "T", "fields": ["a"]}), "lists the fields"),
        (NestedData(special_type={"name": "SparseTensor"}), "sparse tensor"),
    ],
)
def test_malformed_messages_are_errors(graph, damage, words):
    message = SonnetModule()
    message.connected_subgraphs.add().inputs.CopyFrom(damage)
    message.connected_subgraphs[0].outputs.value = "x:0"
    with pytest.raises(ModuleInfoError, match=words):
        meta_graph.module_info_from_proto(message)


def test_another_message_is_an_error():
    with pytest.raises(ModuleInfoError, match="NestedData"):
        meta_graph.module_info_from_proto(NestedData())


def test_an_unknown_special_type_is_a_placeholder(graph):
    message = SonnetModule()
    subgraph = message.connected_subgraphs.add()
    subgraph.inputs.special_type.name = "Quaternion"
    subgraph.outputs.value = ""
    (read,) = meta_graph.module_info_from_proto(message).connected_subgraphs
    assert isinstance(read.inputs, meta_graph._UnserializableObject)


def test_registering_again_changes_nothing():
    meta_graph.register_collection()
    meta_graph.register_collection()
