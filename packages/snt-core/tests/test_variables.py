"""Variables found by scope, named relative to a scope, saved under those names, and announced."""

import contextlib

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

from snt_core import variable_store
from snt_core.errors import NotConnectedError, NotSupportedError
from snt_core.module import AbstractModule
from snt_core.variables import (
    _get_sliced_variables,
    _is_scope_prefix,
    convert_gradient_to_tensor,
    get_normalized_variable_map,
    get_saver,
    get_variable_scope_name,
    get_variables_in_module,
    get_variables_in_scope,
    has_variable_scope,
    notify_about_new_variables,
    sort_by_name,
    variable_map_items,
    variables_in,
)

GLOBAL = tf1.GraphKeys.GLOBAL_VARIABLES
LOCAL = tf1.GraphKeys.LOCAL_VARIABLES
TRAINABLE = tf1.GraphKeys.TRAINABLE_VARIABLES

components = st.lists(st.text("ab_", min_size=1, max_size=2), max_size=4)


class Net(AbstractModule):
    """Makes a trainable variable, one that is not, a local one, and one in an inner scope."""

    def __init__(self, partitioner=None, name=None):
        super().__init__(name=name)
        self._partitioner = partitioner

    def _build(self, x):
        w = tf1.get_variable("w", [4, 2], partitioner=self._partitioner)
        tf1.get_variable("steps", [], trainable=False)
        tf1.get_variable("metric", [], collections=[LOCAL], trainable=False)
        with tf1.variable_scope("inner"):
            b = tf1.get_variable("b", [2])
        return x @ tf.convert_to_tensor(w) + b


@pytest.fixture(params=["graph", "eager"])
def world(request, monkeypatch):
    """Runs a test in a graph of its own, and eagerly with no other modules alive."""
    if request.param == "graph":
        with tf.Graph().as_default(), tf1.Session() as session:
            yield session
    else:
        # TensorFlow keeps the names that are taken in a graph, eagerly too.
        tf1.reset_default_graph()
        # Modules of other tests may not be collected yet.
        others = {id(variable) for key in (GLOBAL, LOCAL) for variable in variables_in(key)}
        alive = variable_store.live_variables
        monkeypatch.setattr(
            variable_store,
            "live_variables",
            lambda key: [variable for variable in alive(key) if id(variable) not in others],
        )
        yield None


def connected(name, **kwargs):
    net = Net(name=name, **kwargs)
    net(tf.ones([1, 4]))
    return net


def names(variables):
    assert isinstance(variables, tuple)
    return [variable.name.removesuffix(":0") for variable in variables]


def write(session, variable, value):
    if session is None:
        variable.assign(value)
    else:
        session.run(variable.assign(value))


def read(session, variable):
    return variable.numpy() if session is None else session.run(variable)


# Names of scopes.


def test_scope_names():
    with tf.Graph().as_default():
        net = Net(name="net")
        with pytest.raises(NotConnectedError):
            get_variable_scope_name(net)
        net(tf.ones([1, 4]))
        template = tf1.make_template("template", lambda: tf1.get_variable("w", []))
        template()
        with tf1.variable_scope("outer"), tf1.variable_scope("inner") as scope:
            assert get_variable_scope_name(scope) == "outer/inner"
        assert get_variable_scope_name(template) == "template"
        assert get_variable_scope_name(net) == "net"
    assert get_variable_scope_name("any/name") == "any/name"
    assert get_variable_scope_name("") == ""


@pytest.mark.parametrize("value", [None, 3, b"scope", ["scope"]])
def test_what_is_no_scope(value):
    with pytest.raises(ValueError, match="Not a variable scope"):
        get_variable_scope_name(value)
    with pytest.raises(ValueError, match="Not a variable scope"):
        get_variables_in_scope(value)


def test_has_variable_scope():
    assert has_variable_scope(Net())
    assert has_variable_scope(Net)
    assert not has_variable_scope("net")
    assert not has_variable_scope(tf1.VariableScope(None))


@hypothesis.given(components, components)
def test_scope_prefixes_are_prefixes_of_components(scope, prefix):
    expected = scope[: len(prefix)] == prefix
    assert _is_scope_prefix("/".join(scope), "/".join(prefix)) == expected
    if prefix:
        assert _is_scope_prefix("/".join(scope), "/".join(prefix) + "/") == expected


def test_known_scope_prefixes():
    for prefix in ("", "a", "a/", "a/b", "a/b/", "a/b/c"):
        assert _is_scope_prefix("a/b/c", prefix)
    for scope, prefix in (("ab/c", "a"), ("a", "a/b"), ("", "a"), ("a/b", "b")):
        assert not _is_scope_prefix(scope, prefix)


# Variables in scopes.


@pytest.mark.usefixtures("world")
def test_variables_in_scope():
    net, more = connected("net"), connected("net_more")
    for scope in (net, "net", "net/", tf1.VariableScope(None, name="net")):
        assert names(get_variables_in_scope(scope)) == ["net/w", "net/inner/b"]
        assert names(get_variables_in_scope(scope, LOCAL)) == ["net/metric"]
        found = names(get_variables_in_scope(scope, collection=GLOBAL))
        assert found == ["net/w", "net/steps", "net/inner/b"]
    assert names(get_variables_in_scope("net/inner")) == ["net/inner/b"]
    assert names(get_variables_in_scope("net/w")) == []
    assert names(get_variables_in_scope("inner")) == []
    everything = ["net/w", "net/inner/b", "net_more/w", "net_more/inner/b"]
    assert names(get_variables_in_scope("")) == everything
    assert names(variables_in(TRAINABLE)) == everything
    assert names(get_variables_in_module(more)) == ["net_more/w", "net_more/inner/b"]
    assert names(get_variables_in_module(more, collection=LOCAL)) == ["net_more/metric"]


@pytest.mark.usefixtures("world")
def test_unconnected_modules_are_refused():
    net = Net()
    for function in (
        get_variables_in_scope,
        get_variables_in_module,
        get_normalized_variable_map,
        get_saver,
    ):
        with pytest.raises(NotConnectedError):
            function(net)


@pytest.mark.usefixtures("world")
def test_scope_names_are_no_patterns():
    net, other = connected("a.b"), connected("aXb")
    assert names(get_variables_in_scope("a.b")) == ["a.b/w", "a.b/inner/b"]
    assert names(get_variables_in_scope(net)) == ["a.b/w", "a.b/inner/b"]
    assert names(get_variables_in_scope(other)) == ["aXb/w", "aXb/inner/b"]


def test_only_variables_of_the_collection_count():
    with tf.Graph().as_default(), tf1.variable_scope("s"):
        w = tf1.get_variable("w", [], use_resource=True)
        tf1.add_to_collection(TRAINABLE, w.assign(2.0))
        tf1.add_to_collection(TRAINABLE, tf.constant(1.0, name="s/constant"))
        tf1.add_to_collection(TRAINABLE, "s/text")
        old = tf1.get_variable("old", [], use_resource=False)
        found = get_variables_in_scope("s")
        assert [id(variable) for variable in found] == [id(w), id(old)]


def test_a_function_sees_the_variables_around_it(world):
    net = connected("net")

    @tf.function
    def function():
        assert names(get_variables_in_scope("net")) == ["net/w", "net/inner/b"]
        assert names(get_variables_in_scope(net)) == ["net/w", "net/inner/b"]
        return tf.constant(0)

    function()


def test_sort_by_name():
    with tf.Graph().as_default():
        variables = [tf1.get_variable(name, []) for name in ("b", "a/c", "a")]
    assert [variable.name for variable in sort_by_name(variables)] == ["a/c:0", "a:0", "b:0"]
    assert sort_by_name([]) == ()


# Variable maps.


@pytest.mark.usefixtures("world")
def test_names_relative_to_the_scope():
    with tf1.variable_scope("agent"):
        net = connected("net")
    keys = ["w", "steps", "inner/b"]
    for scope in (net, "agent/net", "agent/net/"):
        assert list(get_normalized_variable_map(scope)) == keys
        assert list(get_normalized_variable_map(scope, LOCAL)) == ["metric"]
        for context, prefix in (("", "agent/net/"), ("agent", "net/"), ("agent/", "net/")):
            found = get_normalized_variable_map(scope, context=context)
            assert list(found) == [prefix + key for key in keys]
    assert list(get_normalized_variable_map("agent/net/inner", context=net)) == ["inner/b"]
    variable_map = get_normalized_variable_map(net)
    assert variable_map["w"] is get_variables_in_scope(net)[0]


@pytest.mark.usefixtures("world")
def test_the_context_must_be_around_the_scope():
    connected("net")
    with pytest.raises(ValueError, match=r"Scope 'net' is not prefixed by 'ne'\."):
        get_normalized_variable_map("net", context="ne")
    with pytest.raises(ValueError, match="Scope 'net' is not prefixed by 'net/inner'"):
        get_saver("net", context="net/inner")


@pytest.mark.usefixtures("world")
def test_partitioned_variables_in_maps():
    net = connected("net", partitioner=tf1.fixed_size_partitioner(2))
    grouped = get_normalized_variable_map(net, TRAINABLE)
    assert isinstance(grouped["w"], list)
    assert names(tuple(grouped["w"])) == ["net/w/part_0", "net/w/part_1"]
    ungrouped = get_normalized_variable_map(net, TRAINABLE, group_sliced_variables=False)
    assert list(ungrouped) == ["w/part_0", "w/part_1", "inner/b"]
    assert all(isinstance(variable, tf.Variable) for variable in ungrouped.values())
    flat = [(key, variable.name) for key, variable in variable_map_items(grouped)]
    assert ("w", "net/w/part_0:0") in flat
    assert ("w", "net/w/part_1:0") in flat


def test_separating_the_parts():
    with tf.Graph().as_default():
        b = tf1.get_variable("b", [4])
        w = tf1.get_variable("w", [4, 2], partitioner=tf1.fixed_size_partitioner(3))
        whole, parts = _get_sliced_variables([*w, b])
        assert [id(variable) for variable in whole] == [id(b)]
        assert list(parts) == ["w"]
        assert [id(part) for part in parts["w"]] == [id(part) for part in w]


def test_a_whole_variable_with_the_name_of_a_partitioned_one():
    with tf.Graph().as_default():
        with tf1.variable_scope("s"):
            tf1.get_variable("w", [4, 2], partitioner=tf1.fixed_size_partitioner(2))
        tf1.Variable(1.0, name="s/w")
        with pytest.raises(ValueError, match="Mixing slices and non-slices"):
            get_normalized_variable_map("s")
        ungrouped = get_normalized_variable_map("s", group_sliced_variables=False)
        assert set(ungrouped) == {"w", "w/part_0", "w/part_1"}


def test_two_modules_of_one_name_are_told_apart_by_the_module(monkeypatch):
    first, second = tf.Variable(1.0, name="net/w"), tf.Variable(2.0, name="net/w")
    monkeypatch.setattr(variable_store, "live_variables", lambda key: [first, first, second])
    with pytest.raises(ValueError, match="Two different variables are called 'net/w'"):
        get_normalized_variable_map("net")
    monkeypatch.setattr(variable_store, "live_variables", lambda key: [first, first])
    assert get_normalized_variable_map("net")["w"] is first


def test_items_of_a_map():
    variable_map = {"w": [1, 2], "b": 3, "t": (4,), "e": []}
    assert list(variable_map_items(variable_map)) == [("w", 1), ("w", 2), ("b", 3), ("t", 4)]


# Savers.


def test_a_checkpoint_fits_a_scope_of_another_name(world, tmp_path):
    first, second = connected("first"), connected("other/second")
    value = np.arange(8, dtype=np.float32).reshape(4, 2)
    if world:
        world.run([tf1.global_variables_initializer(), tf1.local_variables_initializer()])
    write(world, get_variables_in_module(first)[0], value)
    collections = (GLOBAL, LOCAL)
    prefix = str(tmp_path / "model")
    path = get_saver(first, collections, max_to_keep=3).save(world, prefix, global_step=7)
    assert path.endswith("model-7")
    reader = tf.train.load_checkpoint(path)
    assert set(reader.get_variable_to_shape_map()) == {"w", "steps", "metric", "inner/b"}
    get_saver("other/second", collections).restore(world, path)
    np.testing.assert_array_equal(read(world, get_variables_in_module(second)[0]), value)


def test_the_names_in_a_checkpoint_are_relative_to_the_context(world, tmp_path):
    connected("agent/net")
    if world:
        world.run(tf1.global_variables_initializer())
    path = get_saver("agent/net", context="agent").save(world, str(tmp_path / "model"))
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    assert shapes == {"net/w": [4, 2], "net/steps": [], "net/inner/b": [2]}


@pytest.mark.parametrize("parts", [(None, 3), (3, None), (2, 4)])
def test_partitioned_and_whole_variables_share_checkpoints(tmp_path, parts):
    def get_variable(number):
        partitioner = number and tf1.fixed_size_partitioner(number)
        return tf1.get_variable("w", [5, 2], partitioner=partitioner)

    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("first"):
            first = tf.convert_to_tensor(get_variable(parts[0]))
        with tf1.variable_scope("second"):
            second = tf.convert_to_tensor(get_variable(parts[1]))
        session.run(tf1.global_variables_initializer())
        before = session.run([first, second])
        assert not np.array_equal(*before)
        path = get_saver("first").save(session, str(tmp_path / "model"))
        get_saver("second").restore(session, path)
        np.testing.assert_array_equal(session.run(second), before[0])


def test_partitioned_variables_cannot_be_saved_eagerly():
    net = connected("net", partitioner=tf1.fixed_size_partitioner(2))
    with pytest.raises(NotSupportedError, match=r"partitioned variables .*w.* cannot be saved"):
        get_saver(net)


# Announcements.


@pytest.mark.usefixtures("world")
def test_new_variables_are_announced_however_they_are_made():
    kept, heard = [], []

    def getter(getter, *args, **kwargs):
        kept.append(tf.Variable(0.0, name="beneath"))
        return getter(*args, **kwargs)

    tf.Variable(0.0, name="before")
    with notify_about_new_variables(lambda variable: heard.append(variable.name)):
        kept += [tf.Variable(1.0, name="two"), tf1.Variable(1.0, name="one")]
        kept.append(tf1.get_variable("got", []))
        kept.append(tf1.get_variable("in_parts", [4], partitioner=tf1.fixed_size_partitioner(2)))
        with tf1.variable_scope("s", custom_getter=getter):
            kept.append(tf1.get_variable("through_getter", []))
    tf.Variable(0.0, name="after")
    assert sorted(heard) == [
        "beneath:0",
        "got:0",
        "in_parts/part_0:0",
        "in_parts/part_1:0",
        "one:0",
        "s/through_getter:0",
        "two:0",
    ]


@pytest.mark.usefixtures("world")
def test_announcements_nest_and_end_with_errors():
    outer, inner = [], []
    with notify_about_new_variables(lambda variable: outer.append(variable.name)):
        with (
            contextlib.suppress(ZeroDivisionError),
            notify_about_new_variables(lambda variable: inner.append(variable.name)),
        ):
            tf.Variable(1 / (tf.Variable(0.0, name="both") is None), name="never")
        tf.Variable(0.0, name="one")
    assert outer == ["both:0", "one:0"]
    assert inner == ["both:0"]


@pytest.mark.usefixtures("world")
def test_variables_made_in_a_function_are_announced():
    kept, heard = [], []

    @tf.function
    def function():
        if not kept:
            kept.append(tf.Variable(1.0, name="inside"))
        return tf.constant(0.0)

    with notify_about_new_variables(heard.append):
        function()
    assert [variable.name for variable in heard] == ["inside:0"]


def test_variables_of_the_older_kind_are_announced():
    heard = []
    with tf.Graph().as_default(), notify_about_new_variables(heard.append):
        old = tf1.get_variable("old", [], use_resource=False)
    assert heard[0] is old


# Dense gradients.


@pytest.mark.parametrize("use_resource", [True, False])
def test_gradients_become_dense_in_graphs(use_resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        table = tf1.get_variable("table", [3, 2], use_resource=use_resource)
        rows = [0, 2, 2]
        sparse = tf1.gradients(tf.gather(table, rows), table)[0]
        converted = convert_gradient_to_tensor(table)
        dense = tf1.gradients(tf.gather(converted, rows), table)[0]
        assert isinstance(sparse, tf.IndexedSlices)
        assert isinstance(dense, tf.Tensor)
        assert converted.shape.as_list() == [3, 2]
        session.run(tf1.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([table, converted]))
        np.testing.assert_array_equal(session.run(dense), [[1, 1], [0, 0], [2, 2]])


@pytest.mark.parametrize("decorate", [lambda function: function, tf.function])
def test_gradients_become_dense_under_a_tape(decorate):
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0]])

    @decorate
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(convert_gradient_to_tensor(table), [1, 1]) ** 2)
        return tape.gradient(loss, table)

    dense = gradient()
    assert isinstance(dense, tf.Tensor)
    # The derivative of twice the sum of squares of the second row.
    np.testing.assert_allclose(dense.numpy(), [[0, 0], [12, 16]])


def test_second_order_gradients_pass():
    x = tf.constant([3.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = convert_gradient_to_tensor(x) ** 3
        first = inner.gradient(y, x)
    assert outer.gradient(first, x).numpy().tolist() == [18.0]
