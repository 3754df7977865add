"""`MergeDims`."""

import collections
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

RNG = np.random.default_rng(0)
Pair = collections.namedtuple("Pair", ["first", "second"])


@pytest.mark.parametrize(
    ("start", "size", "shape"),
    [
        (0, 2, (12, 2, 5)),
        (1, 2, (3, 8, 5)),
        (2, 2, (3, 4, 10)),
        (1, 3, (3, 40)),
        (0, 4, (120,)),
        (-2, 2, (3, 4, 10)),
        (-4, 3, (24, 5)),
        (np.int64(1), tf1.Dimension(2), (3, 8, 5)),
    ],
)
def test_merges(start, size, shape, mode):
    inputs = RNG.normal(size=[3, 4, 2, 5])
    for unknown_batch in (True, False):
        outputs = mode.run(snt.MergeDims(start, size), inputs, unknown_batch=unknown_batch)
        np.testing.assert_array_equal(outputs, inputs.reshape(shape))


def test_structures(mode):
    arrays = [RNG.normal(size=shape) for shape in ((2, 3, 4), (2, 3), (5, 2, 3, 2))]
    module = snt.MergeDims(-2, 2)

    def connect(x, y, z):
        return module({"list": [x, (y, z)], "named": Pair(y, [])})

    outputs = mode.run(connect, *arrays)
    merged = [a.reshape(*a.shape[:-2], -1) for a in arrays]
    assert isinstance(outputs["named"], Pair)
    assert isinstance(outputs["list"], list)
    assert isinstance(outputs["list"][1], tuple)
    tf.nest.map_structure(
        np.testing.assert_array_equal,
        outputs,
        {"list": [merged[0], (merged[1], merged[2])], "named": Pair(merged[1], [])},
    )


def test_any_dtype(mode):
    inputs = np.array([[["a", "b"]], [["c", "d"]]])
    outputs = mode.run(snt.MergeDims(1, 2), inputs)
    np.testing.assert_array_equal(outputs.astype(str), [["a", "b"], ["c", "d"]])


@pytest.mark.parametrize(
    ("static", "start", "size", "merged"),
    [
        ([None, 3, 4], 1, 2, [None, 12]),
        ([2, None, 4], 1, 2, [2, None]),
        ([2, None, 4], 0, 2, [None, 4]),
        ([None, None, 4], 0, 2, [None, 4]),
        ([None, None, 4, 5], 2, 2, [None, None, 20]),
        ([0, None, 4, 5], 1, 2, [0, None, 5]),
        ([0, 3, 4, None], 1, 2, [0, 12, None]),
        ([None, 0, 4], 1, 2, [None, 0]),
    ],
)
def test_the_static_shape(static, start, size, merged):
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, static)
        outputs = snt.MergeDims(start, size)(inputs)
        assert outputs.shape.as_list() == merged
        value = np.ones([3 if s is None else s for s in static])
        shape = [*value.shape[:start], -1, *value.shape[start + size :]]
        shape[start] = math.prod(value.shape[start : start + size])
        assert session.run(outputs, {inputs: value}).shape == tuple(shape)


sizes = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=5)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(sizes, st.integers(-6, 6), st.integers(-1, 4))
def test_a_right_answer_or_a_named_error(sizes, start, size):
    shape = [n for n, _ in sizes]
    static = [n if known else None for n, known in sizes]
    if size < 2:
        with pytest.raises(ValueError, match="`size` should be strictly greater than 1"):
            snt.MergeDims(start, size)
        return
    first = start + len(shape) if start < 0 else start
    inputs = RNG.normal(size=shape)
    with tf.Graph().as_default(), tf1.Session() as session:
        placeholder = tf1.placeholder(tf.float64, static)
        module = snt.MergeDims(start, size)
        if not 0 <= first <= len(shape) - size:
            with pytest.raises(ValueError, match="Rank of inputs must be at least"):
                module(placeholder)
            return
        outputs = module(placeholder)
        merged = static[first : first + size]
        product = None if None in merged else math.prod(merged)
        least = [*static[:first], product, *static[first + size :]]
        assert all(
            size in (found, None)
            for size, found in zip(least, outputs.shape.as_list(), strict=True)
        )
        found = session.run(outputs, {placeholder: inputs})
    count = math.prod(shape[first : first + size])
    expected = inputs.reshape([*shape[:first], count, *shape[first + size :]])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 0, -1])
def test_more_than_one_axis_is_merged(size):
    with pytest.raises(ValueError, match="`size` should be strictly greater than 1"):
        snt.MergeDims(0, size)


@pytest.mark.parametrize(
    ("start", "size", "rank"), [(2, 2, 4), (0, 4, 4), (-4, 2, 4), (-1, 2, 4), (5, 3, 8)]
)
def test_the_input_has_the_axes(start, size, rank, mode):
    with pytest.raises(ValueError, match=f"Rank of inputs must be at least {rank}"):
        mode.run(snt.MergeDims(start, size), RNG.normal(size=[3, 4, 2]))


def test_the_rank_is_known():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="unknown TensorShape"):
        snt.MergeDims(0, 2)(tf1.placeholder(tf.float32))
