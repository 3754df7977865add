"""`BlockTriangularMatrix` and `BlockDiagonalMatrix`."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

RNG = np.random.default_rng(0)


def filled(vector, shape, rows, diagonal, off_diagonal, upper):
    """The matrix, element by element."""
    (height, width), used = shape, 0
    matrix = np.zeros([len(vector), height * rows, width * rows], vector.dtype)
    for i in range(height * rows):
        for j in range(width * rows):
            row, column = i // height, j // width
            outside = column > row if upper else column < row
            if (diagonal and row == column) or (off_diagonal and outside):
                matrix[:, i, j] = vector[:, used]
                used += 1
    assert used == vector.shape[1]
    return matrix


OPTIONS = {
    "diagonal": (True, False, False),
    "diagonal, upper": (True, False, True),
    "lower": (True, True, False),
    "strictly lower": (False, True, False),
    "upper": (True, True, True),
    "strictly upper": (False, True, True),
}


@pytest.mark.parametrize(("diagonal", "off_diagonal", "upper"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_fills_the_blocks(diagonal, off_diagonal, upper, rows, mode):
    module = snt.BlockTriangularMatrix((2, 3), rows, diagonal, off_diagonal, upper)
    blocks = diagonal * rows + off_diagonal * rows * (rows - 1) // 2
    assert module.num_blocks == blocks
    assert module.block_size == 6
    assert module.block_shape == (2, 3)
    assert module.output_shape == (2 * rows, 3 * rows)
    assert module.input_size == 6 * blocks
    for batch in (5, 0):
        vector = RNG.normal(size=[batch, 6 * blocks])
        expected = filled(vector, (2, 3), rows, diagonal, off_diagonal, upper)
        for unknown_batch in (True, False):
            outputs = mode.run(module, vector, unknown_batch=unknown_batch)
            np.testing.assert_array_equal(outputs, expected)


def test_the_order_of_a_block_row(mode):
    """Row-major across all blocks of the row, and not block by block."""
    lower = snt.BlockTriangularMatrix(block_shape=(2, 2), block_rows=2)
    np.testing.assert_array_equal(
        mode.run(lower, np.arange(1, 13)[None]),
        [[[1, 2, 0, 0], [3, 4, 0, 0], [5, 6, 7, 8], [9, 10, 11, 12]]],
    )
    diagonal = snt.BlockDiagonalMatrix(block_shape=[2, 1], block_rows=2)
    np.testing.assert_array_equal(
        mode.run(diagonal, np.arange(1, 5)[None]), [[[1, 0], [2, 0], [0, 3], [0, 4]]]
    )
    assert (lower.module_name, diagonal.module_name) == (
        "block_triangular_matrix",
        "block_diagonal_matrix",
    )


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from(list(OPTIONS.values())),
    st.integers(0, 3),
    st.sampled_from(["float16", "float64", "int32", "bool"]),
)
def test_any_blocks(height, width, rows, options, batch, dtype):
    module = snt.BlockTriangularMatrix((height, width), rows, *options)
    vector = (RNG.normal(size=[batch, module.input_size]) * 9).astype(dtype)
    outputs = module(vector)
    assert outputs.dtype == dtype
    np.testing.assert_array_equal(outputs, filled(vector, (height, width), rows, *options))


def test_nothing_but_the_vector_counts(mode):
    """Zeros are zeros beside infinities, and their gradient is that of the elements."""
    module = snt.BlockTriangularMatrix((1, 1), 2)
    vector = np.array([[np.inf, np.nan, -np.inf]])
    np.testing.assert_array_equal(mode.run(module, vector), [[[np.inf, 0], [np.nan, -np.inf]]])
    weights = np.array([[[1.0, 2.0], [3.0, 4.0]]])

    def gradient(x):
        if mode.in_graph:
            return tf1.gradients(tf.reduce_sum(module(x) * weights), x)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(module(x) * weights)
        return tape.gradient(loss, x)

    np.testing.assert_array_equal(mode.run(gradient, np.ones([1, 3])), [[1, 3, 4]])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_static_shape(options):
    with tf.Graph().as_default(), tf1.Session() as session:
        module = snt.BlockTriangularMatrix((2, 3), 3, *options)
        vector = RNG.normal(size=[4, module.input_size])
        for static, batch in (
            ([4, module.input_size], 4),
            ([None, module.input_size], None),
            ([4, None], 4),
            ([None, None], None),
            (None, None),
        ):
            placeholder = tf1.placeholder(tf.float64, static)
            outputs = module(placeholder)
            assert outputs.shape.as_list() == [batch, 6, 9]
            found = session.run(outputs, {placeholder: vector})
            np.testing.assert_array_equal(found, filled(vector, (2, 3), 3, *options))


def test_sizes_of_other_kinds():
    module = snt.BlockTriangularMatrix((tf1.Dimension(2), np.int64(3)), tf1.Dimension(2))
    assert module.output_shape == (4, 6)
    assert module.block_shape == (2, 3)


# Errors.


def test_some_blocks_are_filled():
    with pytest.raises(ValueError, match="cannot both be False"):
        snt.BlockTriangularMatrix((2, 2), 2, include_diagonal=False, include_off_diagonal=False)


@pytest.mark.parametrize(("shape", "rows"), [((0, 2), 2), ((2, -1), 2), ((2, 2), 0)])
def test_sizes_are_positive(shape, rows):
    with pytest.raises(ValueError, match="must be at least 1"):
        snt.BlockDiagonalMatrix(shape, rows)


@pytest.mark.parametrize("shape", [(2, 11), (2, 13), (12,), (2, 12, 1), ()])
def test_the_vector_is_of_the_input_size(shape, mode):
    with pytest.raises(ValueError, match="are incompatible"):
        mode.run(snt.BlockTriangularMatrix((2, 2), 2), np.ones(shape))


def test_the_old_path():
    from sonnet.python.modules import block_matrix

    assert block_matrix.BlockDiagonalMatrix is snt.BlockDiagonalMatrix
