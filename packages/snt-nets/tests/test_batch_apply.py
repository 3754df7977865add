"""`BatchApply`, `merge_leading_dims` and `split_leading_dim`."""

import collections
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

Pair = collections.namedtuple("Pair", ["first", "second"])


def array(*shape):
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def placeholder(*shape):
    return tf1.placeholder(tf.float32, shape)


# merge_leading_dims and split_leading_dim.


@pytest.mark.parametrize(
    ("n_dims", "shape"), [(1, (2, 3, 4)), (2, (6, 4)), (3, (24,))], ids=["1", "2", "3"]
)
def test_merges_and_splits(n_dims, shape, mode):
    def merge_and_split(x):
        merged = snt.merge_leading_dims(x, n_dims)
        return merged, snt.split_leading_dim(merged * 2, x, n_dims)

    given = array(2, 3, 4)
    merged, split = mode.run(merge_and_split, given)
    np.testing.assert_array_equal(merged, given.reshape(shape))
    np.testing.assert_array_equal(split, 2 * given)


def test_merges_two_axes_by_default_and_takes_arrays():
    merged = snt.merge_leading_dims(array(2, 3, 4))
    assert isinstance(merged, tf.Tensor)
    np.testing.assert_array_equal(merged, array(6, 4))
    np.testing.assert_array_equal(snt.split_leading_dim(array(6, 4), array(2, 3)), array(2, 3, 4))


@pytest.mark.parametrize(
    "value", [3, 2.5, True, "text", np.float32(1), [1, 2], np.ones([4]), (1.0,)]
)
def test_values_of_low_rank_come_back_as_they_are(value):
    assert snt.merge_leading_dims(value) is value


def test_unknown_ranks_are_errors():
    with tf.Graph().as_default():
        unknown, known = tf1.placeholder(tf.float32), tf.ones([4, 3])
        with pytest.raises(ValueError, match="unknown rank"):
            snt.merge_leading_dims(unknown)
        for tensor, inputs in ((unknown, known), (known, unknown)):
            with pytest.raises(ValueError, match="unknown rank"):
                snt.split_leading_dim(tensor, inputs)
        with pytest.raises(ValueError, match="unknown rank"):
            snt.BatchApply(tf.tanh)(unknown)


axes = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(axes, st.integers(1, 4), axes)
# With zeros on both sides -1 means to TensorFlow what the other axes leave: 2.
@hypothesis.example([(0, False), (2, False), (0, True)], 2, [])
def test_any_shape_is_merged_and_split(axes, n_dims, other_axes):
    shape = [size for size, _ in axes]
    static = [size if known else None for size, known in axes]
    rest = [size for size, _ in other_axes[:2]]
    static_rest = [size if known else None for size, known in other_axes[:2]]
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = placeholder(*static)
        merged = snt.merge_leading_dims(inputs, n_dims)
        if len(shape) < n_dims:
            assert merged is inputs
            return
        count = math.prod(shape[:n_dims])
        assert merged.shape[1:].as_list() == static[n_dims:]
        assert merged.shape[0] == count or (merged.shape[0] is None and None in static[:n_dims])
        given = array(*shape)
        value = session.run(merged, {inputs: given})
        np.testing.assert_array_equal(value, given.reshape([count, *shape[n_dims:]]))

        outputs = placeholder(None, *static_rest)
        split = snt.split_leading_dim(outputs, inputs, n_dims)
        assert split.shape.as_list() == static[:n_dims] + static_rest
        given_outputs = array(count, *rest)
        value = session.run(split, {inputs: given, outputs: given_outputs})
        np.testing.assert_array_equal(value, given_outputs.reshape(shape[:n_dims] + rest))


# BatchApply.


@pytest.mark.parametrize("n_dims", [1, 2, 3])
def test_applies_a_module_to_merged_axes(n_dims, mode):
    linear = snt.Linear(5)
    module = snt.BatchApply(linear, n_dims)
    given = array(2, 3, 4, 6)[(0,) * (3 - n_dims)]
    outputs = mode.run(module, given, unknown_batch=True)
    w, b = mode.values([linear.w, linear.b])
    assert outputs.shape == (*given.shape[:n_dims], 5)
    np.testing.assert_allclose(outputs, given @ w + b, 1e-5, 1e-5)


def test_variables_are_in_the_scope_of_who_makes_them(mode):
    module = snt.BatchApply(snt.Linear(5))
    mode.run(module, array(2, 3, 4))
    assert module.get_variables() == ()
    assert [v.name for v in module.variables] == ["linear/b:0", "linear/w:0"]

    def function(x):
        return x * tf1.get_variable("scale", [4])

    module = snt.BatchApply(function)
    for _ in range(2):
        mode.run(module, array(2, 3, 4))
    assert [v.name for v in module.get_variables()] == ["batch_apply_1/scale:0"]


def test_keeps_structures_none_and_flags(mode):
    flags = {"is_training": True, "rate": 0.5, "kind": "max", "none": None, "low": np.ones([3])}
    seen = []

    def function(pair, nothing, lists, **kwargs):
        seen.append((pair, nothing, lists, kwargs))
        return {"sum": pair.first + pair.second, "none": None, "list": [lists[0], (lists[1]["a"],)]}

    def connect(x, y):
        outputs = module(Pair(x, y), None, [x, {"a": y}], named=x, **flags)
        assert outputs.pop("none") is None
        return outputs

    module = snt.BatchApply(function)
    x, y = array(2, 3, 4), array(2, 3, 4) + 1
    outputs = mode.run(connect, x, y)
    np.testing.assert_array_equal(outputs["sum"], x + y)
    np.testing.assert_array_equal(outputs["list"][0], x)
    np.testing.assert_array_equal(outputs["list"][1][0], y)
    pair, nothing, lists, kwargs = seen[0]
    assert type(pair) is Pair
    assert nothing is None
    assert [t.shape.as_list() for t in (*pair, lists[0], lists[1]["a"])] == [[6, 4]] * 4
    assert kwargs.pop("named").shape.as_list() == [6, 4]
    assert kwargs.keys() == flags.keys()
    assert all(kwargs[name] is flags[name] for name in flags)


def test_none_may_be_the_result(mode):
    assert snt.BatchApply(lambda x: None)(tf.ones([2, 3])) is None


def test_arrays_become_tensors():
    outputs = snt.BatchApply(lambda x: x + tf.reduce_sum(x))(array(2, 3))
    np.testing.assert_array_equal(outputs, array(2, 3) + 15)


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (lambda module, x: module(True, x), 1),
        (lambda module, x: module(None, x), 1),
        (lambda module, x: module(True, [None, x]), 2),
        (lambda module, x: module(True, x=x, another=3), 2),
        (lambda module, x: module(x=x, z=3), 0),
        (lambda module, x: module(x=x, y=1, a=3), 1),
        (lambda module, x: module(x=x, y=1, a=3), -2),
    ],
)
def test_the_example_is_found_among_flattened_inputs(call, index, mode):
    def function(*args, **kwargs):
        return next(t for t in tf.nest.flatten((args, kwargs)) if tf.is_tensor(t)) * 2

    module = snt.BatchApply(function, input_example_index=index)
    given = array(2, 3, 4)
    np.testing.assert_array_equal(mode.run(lambda x: call(module, x), given), 2 * given)
    other = snt.BatchApply(function, input_example_index=index + 1 if index != 2 else 0)
    with pytest.raises(ValueError, match="input_example_index"):
        mode.run(lambda x: call(other, x), given)


def test_the_example_gives_the_sizes_of_the_outputs(mode):
    module = snt.BatchApply(lambda x, y: y, input_example_index=1)
    given = array(2, 3, 4), array(5, 7)
    np.testing.assert_array_equal(mode.run(module, *given), given[1])


def test_a_wrong_example_fails_in_the_reshape(mode):
    module = snt.BatchApply(lambda x, y: y)
    error = tf.errors.InvalidArgumentError if mode.name == "eager" else ValueError
    with pytest.raises(error, match="reshape"):
        mode.run(module, array(2, 3, 4), array(5, 7))


@pytest.mark.parametrize("n_dims", [1.5, "2", None])
def test_n_dims_must_be_an_integer(n_dims):
    with pytest.raises(TypeError, match="n_dims should be an integer"):
        snt.BatchApply(tf.tanh, n_dims=n_dims)


@pytest.mark.parametrize("n_dims", [0, -1])
def test_n_dims_must_be_positive(n_dims):
    with pytest.raises(ValueError, match="n_dims should be greater than zero"):
        snt.BatchApply(tf.tanh, n_dims=n_dims)


def test_unknown_sizes_stay_what_they_are():
    with tf.Graph().as_default():
        module = snt.BatchApply(snt.Linear(5))
        for shape in ([None, 3, 4], [2, None, 4], [None, None, 4], [2, 3, 4]):
            assert module(placeholder(*shape)).shape.as_list() == [*shape[:2], 5]


def test_applies_bound_methods(mode):
    class Net(snt.AbstractModule):
        def _build(self, x):
            return snt.BatchApply(self.head)(x)

        @snt.reuse_variables
        def head(self, x):
            return snt.Linear(2, name="head")(x)

    net = Net(name="net")
    assert mode.run(net, array(2, 3, 4)).shape == (2, 3, 2)
    assert [v.name for v in net.get_variables()] == ["net/head/w:0", "net/head/b:0"]
