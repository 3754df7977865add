"""`SliceByDim` and `TileByDim`."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("dims", "begin", "size", "expected"),
    [
        ([0], [1], [2], np.s_[1:3]),
        ([1, 3], [0, 2], [1, -1], np.s_[:, 0:1, :, 2:]),
        ((-1, 0), (1, 2), (3, 1), np.s_[2:3, :, :, 1:4]),
        (range(2), [1, 1], np.array([1, 2]), np.s_[1:2, 1:3]),
        ([tf1.Dimension(2)], [tf1.Dimension(1)], [np.int64(1)], np.s_[:, :, 1:2]),
        ([3], [5], [0], np.s_[:, :, :, 5:5]),
        ([], [], [], np.s_[:]),
    ],
)
def test_slices(dims, begin, size, expected, mode):
    inputs = RNG.normal(size=[3, 4, 2, 5])
    module = snt.SliceByDim(dims=dims, begin=begin, size=size)
    np.testing.assert_array_equal(mode.run(module, inputs), inputs[expected])
    outputs = mode.run(module, inputs, unknown_batch=True)
    np.testing.assert_array_equal(outputs, inputs[expected])


@pytest.mark.parametrize(
    ("dims", "multiples", "expected"),
    [
        ([0], [3], [3, 1, 1]),
        ([2, 0], [1, 2], [2, 1, 1]),
        ((-1, 1), (4, 0), [1, 0, 4]),
        (range(1), np.array([2]), [2, 1, 1]),
        ([tf1.Dimension(1)], [tf1.Dimension(2)], [1, 2, 1]),
        ([], [], [1, 1, 1]),
    ],
)
def test_tiles(dims, multiples, expected, mode):
    inputs = RNG.normal(size=[3, 4, 2])
    module = snt.TileByDim(dims=dims, multiples=multiples)
    outputs = mode.run(module, inputs, unknown_batch=True)
    np.testing.assert_array_equal(outputs, np.tile(inputs, expected))


def test_numbers_may_be_tensors(mode):
    inputs = RNG.normal(size=[3, 4])

    def connect(x, n):
        return snt.SliceByDim([0, 1], [n, 0], [1, n])(x), snt.TileByDim([-1], [n])(x)

    sliced, tiled = mode.run(connect, inputs, np.int32(2))
    np.testing.assert_array_equal(sliced, inputs[2:3, :2])
    np.testing.assert_array_equal(tiled, np.tile(inputs, [1, 2]))


def test_any_dtype(mode):
    for inputs in (np.array([b"a", b"b", b"c"]), np.array([True, False, True]), np.arange(3)):
        sliced = mode.run(snt.SliceByDim([0], [1], [1]), inputs)
        tiled = mode.run(snt.TileByDim([0], [2]), inputs)
        assert sliced.tolist() == inputs[1:2].tolist()
        assert tiled.tolist() == inputs.tolist() * 2


def test_static_shapes():
    with tf.Graph().as_default():
        inputs = tf1.placeholder(tf.float32, [None, 4, 5, None])
        sliced = snt.SliceByDim([1, 2, -1], [1, 1, 1], [2, -1, 3])(inputs)
        assert sliced.shape.as_list() == [None, 2, 4, 3]
        tiled = snt.TileByDim([1, -1], [3, 2])(inputs)
        assert tiled.shape.as_list() == [None, 12, 5, None]


# Errors.

MODULES = {
    "slice": lambda dims, numbers: snt.SliceByDim(dims, numbers, numbers),
    "tile": snt.TileByDim,
}
each_module = pytest.mark.parametrize("name", MODULES)


@each_module
def test_an_axis_stands_once_in_dims(name):
    with pytest.raises(ValueError, match="dims must not have any repeated integers"):
        MODULES[name]([1, 2, 1], [1, 1, 1])


def test_lengths():
    for begin, size, text in (
        ([1], [1, 1], "begin must have the same length as dims"),
        ([1, 1], [1, 1, 1], "size must have the same length as dims"),
        ([], [], "begin must have the same length as dims"),
    ):
        with pytest.raises(ValueError, match=text):
            snt.SliceByDim([0, 1], begin, size)
    with pytest.raises(ValueError, match="multiples must have the same length as dims"):
        snt.TileByDim([0, 1], [1])


@each_module
@pytest.mark.parametrize(("dims", "rank"), [([3], 4), ([0, 5], 6), ([-4], 4), ([1, -6], 6)])
def test_the_input_has_the_axes(name, dims, rank, mode):
    with pytest.raises(ValueError, match=f"Rank of inputs must be at least {rank}"):
        mode.run(MODULES[name](dims, [1] * len(dims)), RNG.normal(size=[3, 4, 2]))


@each_module
def test_an_axis_is_not_named_from_both_ends(name, mode):
    module = MODULES[name]([0, -3], [1, 1])
    with pytest.raises(ValueError, match="must not have any repeated integers.*the same axis"):
        mode.run(module, RNG.normal(size=[3, 4, 2]))
    assert mode.run(module, RNG.normal(size=[3, 4, 2, 2])).size


@each_module
def test_dims_are_integers(name):
    for dims in ([1.0], ["1"], [None]):
        with pytest.raises(TypeError):
            MODULES[name](dims, [1])


def test_a_slice_is_inside_the_input(mode):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        mode.run(snt.SliceByDim([0], [2], [2]), RNG.normal(size=[3, 4]))


@st.composite
def cases(draw):
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    dims = draw(st.lists(st.integers(-5, 5), max_size=3))
    begin = [draw(st.integers(-1, 4)) for _ in dims]
    size = [draw(st.integers(-2, 4)) for _ in dims]
    return shape, dims, begin, size


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(cases())
def test_a_right_answer_or_a_named_error(case):
    shape, dims, begin, size = case
    rank, inputs = len(shape), RNG.normal(size=shape)
    wrong = any(not -rank <= dim < rank for dim in dims)
    wrong = wrong or len({dim % rank for dim in dims}) < len(dims)
    if wrong or len(set(dims)) < len(dims):
        for make in (lambda: snt.SliceByDim(dims, begin, size), lambda: snt.TileByDim(dims, size)):
            with pytest.raises(ValueError, match="repeated integers|Rank of inputs"):
                make()(inputs)
        return
    index, multiples = [slice(None)] * rank, [1] * rank
    for dim, start, length in zip(dims, begin, size, strict=True):
        stop = shape[dim] if length == -1 else start + length
        wrong = wrong or not 0 <= start <= stop <= shape[dim] or length < -1
        index[dim], multiples[dim] = slice(start, stop), length
    if wrong:
        with pytest.raises(tf.errors.InvalidArgumentError):
            snt.SliceByDim(dims, begin, size)(inputs)
    else:
        outputs = snt.SliceByDim(dims, begin, size)(inputs)
        np.testing.assert_array_equal(outputs, inputs[tuple(index)])
    if min(multiples, default=0) < 0:
        with pytest.raises(tf.errors.InvalidArgumentError):
            snt.TileByDim(dims, size)(inputs)
    else:
        np.testing.assert_array_equal(snt.TileByDim(dims, size)(inputs), np.tile(inputs, multiples))
