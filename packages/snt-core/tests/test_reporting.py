"""Tables and totals of variables."""

import logging

import hypothesis
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

from snt_core import variable_store
from snt_core.module import AbstractModule
from snt_core.reporting import (
    _num_bytes_to_human_readable,
    count_variables_by_type,
    format_variable_map,
    format_variables,
    log_variables,
    summarize_variables,
)

LOCAL = tf1.GraphKeys.LOCAL_VARIABLES


class Net(AbstractModule):
    def _build(self):
        tf1.get_variable("w", [3, 4])
        tf1.get_variable("seen", [], tf.int64, trainable=False)
        tf1.get_variable("hits", [2], tf.int64, trainable=False, collections=[LOCAL])


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def log(caplog):
    """The lines that were logged so far, each with its level."""
    with caplog.at_level(logging.INFO, "tensorflow"):
        yield lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def make_variables():
    with tf1.device("/cpu:0"):
        b = tf1.get_variable("net/b", [], tf.int32, use_resource=False)
    with tf1.device("/job:ps/task:1"):
        w = tf1.get_variable("net/w", [3, 4], collections=["mine", "another"], trainable=False)
    half = tf1.get_variable("half", [2], tf.bfloat16, trainable=False)
    tf1.add_to_collection("mine", object())
    tf1.add_to_collection("mine", "text")
    tf1.add_to_collection("mine", half.assign([0, 0]))
    return w, b, half


TABLE = """\
Variable  Shape  Type      Collections                            Device
half      2      bfloat16  global_variables                       (resource)
net/b            int32     global_variables, trainable_variables  /device:CPU:0 (legacy)
net/w     3x4    float32   another, mine                          /job:ps/task:1 (resource)"""


@pytest.mark.usefixtures("graph")
def test_table():
    variables = make_variables()
    assert format_variables(variables) == TABLE
    assert list(format_variables(iter(variables), join_lines=False)) == TABLE.splitlines()


def test_a_table_may_be_made_outside_the_graph(graph):
    variables = make_variables()
    with tf.Graph().as_default():
        assert format_variables(variables) == TABLE


@pytest.mark.usefixtures("graph")
def test_table_of_nothing():
    assert format_variables([]) == "Variable  Shape  Type  Collections  Device"
    assert format_variable_map({}) == "Key  Variable  Shape  Type  Collections  Device"


@pytest.mark.usefixtures("graph")
def test_table_of_a_map():
    w, b, half = make_variables()
    parts = tf1.get_variable("p", [4, 2], partitioner=tf1.fixed_size_partitioner(2))
    lines = format_variable_map({"z": w, "p": list(parts), "a": b, "h": (half,)}).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["Key", "Variable"],
        ["a", "net/b"],
        ["h", "half"],
        ["p", "p/part_0"],
        ["p", "p/part_1"],
        ["z", "net/w"],
    ]
    assert lines[1] == (
        "a    net/b            int32     global_variables, trainable_variables  "
        "/device:CPU:0 (legacy)"
    )
    again = format_variable_map({"p": tuple(parts), "z": w, "h": [half], "a": b}, join_lines=False)
    assert list(again) == lines


@pytest.mark.usefixtures("graph")
def test_shapes_that_are_not_known():
    for name, shape in (("none", None), ("partly", [None, 2])):
        value = tf1.placeholder(tf.float32, shape)
        unknown = tf1.Variable(value, name=name, validate_shape=False, shape=shape)
        assert format_variables([unknown]).splitlines()[1].split()[:3] == [
            name,
            "undefined",
            "float32",
        ]
        assert "undefined  float32" in format_variable_map({"key": unknown})


def test_eager_table():
    net = Net(name="reported")
    net()
    lines = format_variables((*net.variables, tf.Variable([True], name="alone"))).splitlines()
    device = net.variables[0].device
    assert [" ".join(line.split()) for line in lines] == [
        "Variable Shape Type Collections Device",
        f"alone 1 bool {device} (resource)",
        f"{net.scope_name}/hits 2 int64 local_variables {device} (resource)",
        f"{net.scope_name}/seen int64 global_variables {device} (resource)",
        f"{net.scope_name}/w 3x4 float32 global_variables, trainable_variables {device} (resource)",
    ]
    assert format_variable_map({"w": net.variables[2]}).splitlines()[1].startswith("w    ")


@pytest.mark.usefixtures("graph")
def test_logging_a_table(log):
    variables = make_variables()
    log_variables(variables)
    assert log() == [("INFO", line) for line in TABLE.splitlines()]


@pytest.mark.usefixtures("graph")
def test_logging_all_variables_of_the_graph(log):
    make_variables()
    tf1.get_variable("local", [], collections=[LOCAL])
    both = tf1.get_variable("both", [], collections=[LOCAL, tf1.GraphKeys.GLOBAL_VARIABLES])
    tf1.add_to_collection(LOCAL, both)
    log_variables()
    first_words = [message.split()[0] for _, message in log()]
    assert first_words == ["Variable", "both", "half", "local", "net/b"]


def test_all_variables_of_living_modules(log, monkeypatch):
    net = Net(name="alive")
    net()
    own = variable_store.live_variables
    inside = {id(variable) for variable in net.variables}
    monkeypatch.setattr(
        variable_store, "live_variables", lambda key: [v for v in own(key) if id(v) in inside]
    )
    log_variables()
    names = [message.split()[0] for _, message in log()]
    assert names == ["Variable", *(f"{net.scope_name}/{name}" for name in ("hits", "seen", "w"))]
    assert count_variables_by_type() == {
        tf.float32: {"num_variables": 1, "num_scalars": 12},
        tf.int64: {"num_variables": 2, "num_scalars": 3},
    }


@pytest.mark.usefixtures("graph")
def test_counting(log):
    assert count_variables_by_type() == {}
    variables = make_variables()
    tf1.get_variable("more", [5], tf.int32, use_resource=True)
    assert count_variables_by_type(variables) == {
        tf.float32: {"num_variables": 1, "num_scalars": 12},
        tf.int32: {"num_variables": 1, "num_scalars": 1},
        tf.bfloat16: {"num_variables": 1, "num_scalars": 2},
    }
    assert count_variables_by_type() == {
        tf.int32: {"num_variables": 2, "num_scalars": 6},
        tf.bfloat16: {"num_variables": 1, "num_scalars": 2},
    }
    assert log() == []


def test_counting_strings_and_unknown_shapes_warns(log):
    unknown = tf.Variable([1.0, 2.0], shape=[None], name="unknown")
    counts = count_variables_by_type([tf.Variable(["a", "b"]), unknown, tf.Variable(1.0)])
    assert counts == {
        tf.string: {"num_variables": 1, "num_scalars": 2},
        tf.float32: {"num_variables": 2, "num_scalars": 1},
    }
    assert [level for level, _ in log()] == ["WARNING", "WARNING"]
    assert "strings" in log()[0][1]
    assert "unknown shape are not counted: unknown." in log()[1][1]


@pytest.mark.usefixtures("graph")
def test_summary(log):
    variables = [
        tf1.get_variable("a", [100, 1000]),
        tf1.get_variable("b", [5000], use_resource=False),
        tf1.get_variable("c", [3], tf.int64),
        tf1.get_variable("d", [2, 2], tf.bool),
    ]
    summarize_variables(variables)
    assert log() == [
        ("INFO", "tf.bool: 1 variables comprising 4 scalars, 4 B"),
        ("INFO", "tf.float32: 2 variables comprising 105000 scalars, 410.156 KB"),
        ("INFO", "tf.int64: 1 variables comprising 3 scalars, 24 B"),
        ("INFO", "Total: 4 variables comprising 105007 scalars, 410.184 KB"),
    ]


def test_summary_of_nothing(log):
    summarize_variables([])
    assert log() == [("INFO", "Total: 0 variables comprising 0 scalars, 0 B")]


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [
        (0, "0 B"),
        (5, "5 B"),
        (1023, "1023 B"),
        (1024, "1.000 KB"),
        (1536, "1.500 KB"),
        (1024**2 - 1, "1023.999 KB"),
        (1024**2, "1.000 MB"),
        (3 * 1024**3 // 2, "1.500 GB"),
        (5000 * 1024**3, "5000.000 GB"),
    ],
)
def test_sizes(num_bytes, expected):
    assert _num_bytes_to_human_readable(num_bytes) == expected


@hypothesis.given(st.integers(1024, 2**60))
def test_sizes_keep_their_value(num_bytes):
    number, unit = _num_bytes_to_human_readable(num_bytes).split()
    factor = {"KB": 1024, "MB": 1024**2, "GB": 1024**3}[unit]
    assert abs(float(number) * factor - num_bytes) <= 0.0006 * factor
    assert float(number) >= 1
    assert unit == "GB" or float(number) <= 1024
