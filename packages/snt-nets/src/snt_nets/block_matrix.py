"""`BlockTriangularMatrix` and `BlockDiagonalMatrix`: matrices of blocks, filled from a vector."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule


class BlockTriangularMatrix(AbstractModule):
    """Arranges the elements of a vector in a block triangular matrix.

    The matrix has `block_rows` × `block_rows` blocks; the vector fills those of a triangle, and the
    others are zero. It is used up block row by block row, and inside a block row row-major, across
    all its blocks.

    Args:
        block_shape: Height and width of a block.
        block_rows: Number of blocks along the diagonal.
        include_diagonal: Whether the blocks on the diagonal are filled. Default: True.
        include_off_diagonal: Whether those of the triangle are. Default: True.
        upper: Whether that is the upper triangle, and not the lower. Default: False.
        name: Name of the module. Default: "block_triangular_matrix".

    Raises:
        ValueError: If no block is to be filled, or a size is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> matrix = snt.BlockTriangularMatrix(block_shape=(1, 2), block_rows=2)
        >>> matrix.input_size, matrix.output_shape
        (6, (2, 4))
        >>> matrix(tf.constant([[1, 2, 3, 4, 5, 6]])).numpy()[0].tolist()
        [[1, 2, 0, 0], [3, 4, 5, 6]]
    """

    def __init__(
        self,
        block_shape: Iterable[int],
        block_rows: int,
        include_diagonal: bool = True,
        include_off_diagonal: bool = True,
        upper: bool = False,
        name: str = "block_triangular_matrix",
    ) -> None:
        super().__init__(name=name)
        height, width = map(operator.index, block_shape)
        self._block_shape = (height, width)
        self._block_rows = operator.index(block_rows)
        if min(height, width, self._block_rows) < 1:
            raise ValueError(
                f"{self.scope_name}: block_shape and block_rows must be at least 1, got "
                f"{self._block_shape} and {self._block_rows}."
            )
        if not include_diagonal and not include_off_diagonal:
            raise ValueError(
                f"{self.scope_name}: include_diagonal and include_off_diagonal cannot both be "
                "False, since no block would be filled."
            )
        self._include_diagonal = bool(include_diagonal)
        self._include_off_diagonal = include_off_diagonal
        self._upper = upper

    def _filled_blocks(self, row: int) -> range:
        """Returns which blocks of a block row are filled."""
        lower = self._include_off_diagonal and not self._upper
        upper = self._include_off_diagonal and self._upper
        start = 0 if lower else row + (not self._include_diagonal)
        stop = self._block_rows if upper else row + self._include_diagonal
        return range(start, stop)

    def _build(self, vector: Any) -> Any:
        """Fills the matrix.

        Args:
            vector: Tensor `[batch, input_size]` of any dtype.

        Returns:
            Tensor `[batch, *output_shape]` of the same dtype.

        Raises:
            ValueError: If the input is of another shape.
        """
        vector = tf.convert_to_tensor(vector)
        if not vector.shape.is_compatible_with([None, self.input_size]):
            raise ValueError(
                f"{self.scope_name}: Shapes {vector.shape} and (None, {self.input_size}) are "
                f"incompatible: the input must be [batch, {self.input_size}] for "
                f"{self.num_blocks} blocks of {self._block_shape}."
            )
        height, width = self._block_shape
        batch = tf.compat.dimension_value(vector.shape.with_rank(2)[0])
        batch = -1 if batch is None else batch
        rows = [self._filled_blocks(row) for row in range(self._block_rows)]
        filled = [blocks for blocks in rows if blocks]
        if not filled:
            return tf.reshape(
                tf.pad(vector, [[0, 0], [0, self.block_size]]), [batch, height, width]
            )
        pieces = [vector]
        if len(filled) > 1:
            pieces = tf.split(vector, [self.block_size * len(blocks) for blocks in filled], axis=1)
        strips = []
        for piece, blocks in zip(pieces, filled, strict=True):
            strip = tf.reshape(piece, [batch, height, len(blocks) * width])
            zeros = [blocks.start * width, (self._block_rows - blocks.stop) * width]
            strips.append(tf.pad(strip, [[0, 0], [0, 0], zeros]) if any(zeros) else strip)
        matrix = tf.concat(strips, axis=1) if len(strips) > 1 else strips[0]
        if len(filled) == len(rows):
            return matrix
        # Off the diagonal alone one block row is empty: the last of the upper triangle, or the
        # first of the lower.
        return tf.pad(matrix, [[0, 0], [0, height] if self._upper else [height, 0], [0, 0]])

    @property
    def num_blocks(self) -> int:
        """Number of blocks that are filled."""
        return sum(len(self._filled_blocks(row)) for row in range(self._block_rows))

    @property
    def block_size(self) -> int:
        """Number of elements of a block."""
        height, width = self._block_shape
        return height * width

    @property
    def block_shape(self) -> tuple[int, int]:
        """Height and width of a block."""
        return self._block_shape

    @property
    def output_shape(self) -> tuple[int, int]:
        """Height and width of the matrix."""
        height, width = self._block_shape
        return (height * self._block_rows, width * self._block_rows)

    @property
    def input_size(self) -> int:
        """Number of elements that the vector must have."""
        return self.block_size * self.num_blocks


class BlockDiagonalMatrix(BlockTriangularMatrix):
    """Arranges the elements of a vector in a block diagonal matrix.

    The vector is used up block by block, and each block is filled row by row.

    Args:
        block_shape: Height and width of a block.
        block_rows: Number of blocks.
        name: Name of the module. Default: "block_diagonal_matrix".

    Raises:
        ValueError: If a size is less than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> matrix = snt.BlockDiagonalMatrix(block_shape=(1, 2), block_rows=2)
        >>> matrix(tf.constant([[1, 2, 3, 4]])).numpy()[0].tolist()
        [[1, 2, 0, 0], [0, 0, 3, 4]]
    """

    def __init__(
        self, block_shape: Iterable[int], block_rows: int, name: str = "block_diagonal_matrix"
    ) -> None:
        super().__init__(
            block_shape=block_shape,
            block_rows=block_rows,
            include_diagonal=True,
            include_off_diagonal=False,
            name=name,
        )
