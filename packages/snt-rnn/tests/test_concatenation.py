"""Joining along the last axis."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from snt_rnn.concatenation import concatenate, concatenated_size
from tests.support.cores import Pair

SHAPES = st.lists(st.integers(1, 4), max_size=3).flatmap(
    lambda before: st.lists(st.integers(0, 4), min_size=1, max_size=4).map(
        lambda depths: [(*before, depth) for depth in depths]
    )
)


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(SHAPES)
def test_sizes_are_those_of_what_is_joined(shapes):
    arrays = [np.random.default_rng(i).normal(size=[2, *s]) for i, s in enumerate(shapes)]
    expected = np.concatenate(arrays, axis=-1)
    np.testing.assert_array_equal(concatenate(*arrays), expected)
    assert concatenated_size(*map(tf.TensorShape, shapes)).as_list() == list(expected.shape[1:])


def test_structures():
    sizes = [Pair(3, [tf.TensorShape([2, 4])]), Pair(tf.TensorShape([1]), [tf.TensorShape([2, 2])])]
    size = concatenated_size(*sizes)
    assert type(size) is Pair
    assert size == Pair(tf.TensorShape([4]), [tf.TensorShape([2, 6])])
    joined = concatenate(*(Pair(np.full([2], i), [np.full([1], i)]) for i in range(2)))
    assert type(joined) is Pair
    assert [x.numpy().tolist() for x in tf.nest.flatten(joined)] == [[0, 0, 1, 1], [0, 1]]


def test_unknown_axes():
    shapes = [tf.TensorShape([None, 3, 1]), tf.TensorShape([2, None, None])]
    assert concatenated_size(*shapes).as_list() == [2, 3, None]


@pytest.mark.parametrize(
    ("sizes", "error", "match"),
    [
        ([[8, 8, 5], [4, 8, 5]], ValueError, "all axes but the last must agree"),
        ([[None, 8, 5], [4, 8, 5], [3, 8, 5]], ValueError, "all axes but the last must agree"),
        ([[8, 5], [5]], ValueError, "all axes but the last must agree"),
        ([[], [5]], ValueError, "without a last axis"),
    ],
)
def test_shapes_that_do_not_fit(sizes, error, match):
    with pytest.raises(error, match=match):
        concatenated_size(*map(tf.TensorShape, sizes))


def test_structures_that_do_not_fit():
    with pytest.raises(ValueError, match="structure"):
        concatenated_size((1, 2), (1,))
    with pytest.raises(TypeError, match="type"):
        concatenated_size((1, 2), [1, 2])
