"""The arithmetic of windows: sizes, data formats, amounts of padding."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given
from hypothesis import strategies as st

import sonnet as snt
from snt_nets.conv.formats import DataFormat
from snt_nets.conv.padding import padding_amounts
from snt_nets.conv.sizes import default_transpose_size, fill_shape

FORMATS = ["NWC", "NCW", "NHWC", "NCHW", "NDHWC", "NCDHW"]


@given(st.integers(1, 100), st.integers(1, 5))
def test_one_number_fills_the_shape(x, n):
    assert fill_shape(x, n) == fill_shape([x] * n, n) == fill_shape(tf1.Dimension(x), n) == (x,) * n


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_as_many_numbers_are_the_shape(sizes):
    n = len(sizes)
    for given_sizes in (sizes, iter(sizes), np.array(sizes), tf.TensorShape(sizes)):
        assert fill_shape(given_sizes, n) == tuple(sizes)
    assert all(type(size) is int for size in fill_shape(np.array(sizes), n))


@given(
    st.one_of(
        st.integers(max_value=0),
        st.floats(),
        st.text(),
        st.none(),
        st.lists(st.integers(1, 9), max_size=1),
        st.lists(st.integers(1, 9), min_size=3),
        st.tuples(st.integers(max_value=0), st.integers()),
        st.tuples(st.integers(1), st.floats()),
    )
)
def test_nothing_else_is_a_shape(x):
    with pytest.raises(TypeError, match="^x is [\\s\\S]*, must be either a positive integer or an"):
        fill_shape(x, 2)


@pytest.mark.parametrize("n", [0, -1, 1.0, "2", None])
def test_the_number_of_axes_is_a_positive_integer(n):
    with pytest.raises(TypeError, match="n must be a positive integer"):
        fill_shape(1, n)


# Transposed sizes.


def convolved(size, stride, kernel, padding):
    return -(-(size if padding == snt.SAME else size - kernel + 1) // stride)


@given(
    st.integers(1, 50), st.integers(1, 9), st.integers(1, 9), st.sampled_from([snt.SAME, snt.VALID])
)
def test_the_default_is_the_largest_size_whose_convolution_fits(size, stride, kernel, padding):
    (largest,) = default_transpose_size([size], stride, kernel, padding)
    assert convolved(largest, stride, kernel, padding) == size
    assert convolved(largest + 1, stride, kernel, padding) == size + 1


def test_transposed_sizes_of_several_axes():
    assert default_transpose_size((3, 4), [2, 3]) == (6, 12)
    assert default_transpose_size(tf.TensorShape([3, None]), 2, (2, 3), snt.VALID) == (7, None)
    assert default_transpose_size([tf1.Dimension(3)], 2) == (6,)
    sizes = default_transpose_size([tf.constant(3), 4], 2, 3, snt.VALID)
    assert [int(size) for size in sizes] == [8, 10]


@pytest.mark.parametrize("shape", [None, (), []])
def test_there_is_a_size(shape):
    with pytest.raises(TypeError, match="input_shape is None"):
        default_transpose_size(shape, 2)


# Data formats and paddings.


@pytest.mark.parametrize("name", FORMATS)
def test_data_formats(name):
    data_format = DataFormat(name)
    assert name[data_format.channel_axis] == "C"
    assert "".join(data_format.spatial(name)) == name.replace("N", "").replace("C", "")
    assert "".join(data_format.arrange("N", data_format.spatial(name), "C")) == name
    assert data_format.channels_first == (name[1] == "C")
    assert data_format.spatial_dims == len(name) - 2


@given(st.integers(1, 20))
def test_amounts_of_padding(size):
    amounts = {
        padding: padding_amounts(padding, size)
        for padding in (snt.SAME, snt.VALID, snt.FULL, snt.CAUSAL, snt.REVERSE_CAUSAL)
    }
    assert amounts[snt.VALID] == (0, 0)
    assert amounts[snt.FULL] == (size - 1, size - 1)
    assert amounts[snt.CAUSAL] == amounts[snt.REVERSE_CAUSAL][::-1] == (size - 1, 0)
    before, after = amounts[snt.SAME]
    assert before + after == size - 1
    assert after - before in (0, 1)
