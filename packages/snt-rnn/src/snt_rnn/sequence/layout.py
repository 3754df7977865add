"""How the matrices of one step lie in memory while a sequence is computed."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any

import tensorflow as tf


class Layout(abc.ABC):
    """Examples in rows or in columns.

    Cells are written for either. A weight `w` `[inputs, outputs]` is prepared once, outside the
    loop; the loop has matrices only, of one example a row or one a column.
    """

    @abc.abstractmethod
    def steps(self, rows: Any) -> Any:
        """Returns `[time, batch, features]` in this layout."""

    @abc.abstractmethod
    def rows(self, steps: Any) -> Any:
        """Returns what `steps` was given."""

    @abc.abstractmethod
    def state(self, rows: Any) -> Any:
        """Returns `[batch, features]` in this layout, or the other way round."""

    @abc.abstractmethod
    def shape(self, batch_size: int | None, size: int) -> list[int | None]:
        """Returns the shape of so many features of one step."""

    @abc.abstractmethod
    def vector(self, vector: Any) -> Any:
        """Returns `[features]` such that it is broadcast to the examples."""

    @abc.abstractmethod
    def forward_weight(self, w: Any) -> Any:
        """Prepares a weight for `product`."""

    @abc.abstractmethod
    def backward_weight(self, w: Any) -> Any:
        """Prepares a weight for `product` with gradients of what it made."""

    @abc.abstractmethod
    def product(self, features: Any, prepared: Any) -> Any:
        """Returns the product of the features of one step with a prepared weight."""

    @abc.abstractmethod
    def split(self, features: Any, number: int) -> list[Any]:
        """Splits features into so many equal parts."""

    @abc.abstractmethod
    def concat(self, parts: Iterable[Any]) -> Any:
        """Undoes `split`."""

    @abc.abstractmethod
    def split_steps(self, steps: Any, sizes: list[int]) -> list[Any]:
        """Splits the features of all steps into parts of these sizes."""

    @abc.abstractmethod
    def inputs_gradient(self, gradients: Any, w: Any) -> Any:
        """Returns the gradient of `[time, batch, inputs]`, in rows.

        Args:
            gradients: Those of the products of all steps.
            w: The weight.
        """

    @abc.abstractmethod
    def weight_gradient(self, inputs: Any, gradients: Any) -> Any:
        """Returns the gradient of a weight, in one product over time and batch.

        Args:
            inputs: `[time, batch, inputs]`, in rows.
            gradients: Those of the products of all steps, in this layout.
        """

    @abc.abstractmethod
    def vector_gradient(self, gradients: Any) -> Any:
        """Returns the gradient of a bias."""


class Rows(Layout):
    """One example a row, as everywhere else."""

    def steps(self, rows: Any) -> Any:
        """Returns `rows`."""
        return rows

    def rows(self, steps: Any) -> Any:
        """Returns `steps`."""
        return steps

    def state(self, rows: Any) -> Any:
        """Returns `rows`."""
        return rows

    def shape(self, batch_size: int | None, size: int) -> list[int | None]:
        """Returns `[batch, features]`."""
        return [batch_size, size]

    def vector(self, vector: Any) -> Any:
        """Returns `vector`."""
        return vector

    def forward_weight(self, w: Any) -> Any:
        """Returns `w`."""
        return w

    def backward_weight(self, w: Any) -> Any:
        """Returns `w` transposed: TensorFlow's product is slow at doing it each time."""
        return tf.transpose(w)

    def product(self, features: Any, prepared: Any) -> Any:
        """Returns `[batch, outputs]`."""
        return tf.matmul(features, prepared)

    def split(self, features: Any, number: int) -> list[Any]:
        """Splits columns."""
        return tf.split(features, number, axis=1)

    def concat(self, parts: Iterable[Any]) -> Any:
        """Joins columns."""
        return tf.concat(list(parts), axis=1)

    def split_steps(self, steps: Any, sizes: list[int]) -> list[Any]:
        """Splits the last axis."""
        return tf.split(steps, sizes, axis=2)

    def inputs_gradient(self, gradients: Any, w: Any) -> Any:
        """Returns it by one product."""
        return tf.tensordot(gradients, tf.transpose(w), 1)

    def weight_gradient(self, inputs: Any, gradients: Any) -> Any:
        """Returns `[inputs, outputs]`."""
        return tf.matmul(_flat(inputs), _flat(gradients), transpose_a=True)

    def vector_gradient(self, gradients: Any) -> Any:
        """Returns the sum over time and batch."""
        return tf.reduce_sum(gradients, axis=[0, 1])


class Columns(Layout):
    """One example a column.

    For wide layers TensorFlow's products with a few columns run at twice the speed of those with a
    few rows, and parts of the features are parts of memory: splitting them copies nothing.
    """

    def steps(self, rows: Any) -> Any:
        """Returns `[time, features, batch]`."""
        return tf.transpose(rows, [0, 2, 1])

    def rows(self, steps: Any) -> Any:
        """Returns `[time, batch, features]`."""
        return tf.transpose(steps, [0, 2, 1])

    def state(self, rows: Any) -> Any:
        """Returns the transpose."""
        return tf.transpose(rows)

    def shape(self, batch_size: int | None, size: int) -> list[int | None]:
        """Returns `[features, batch]`."""
        return [size, batch_size]

    def vector(self, vector: Any) -> Any:
        """Returns `[features, 1]`."""
        return vector[:, tf.newaxis]

    def forward_weight(self, w: Any) -> Any:
        """Returns `w` transposed."""
        return tf.transpose(w)

    def backward_weight(self, w: Any) -> Any:
        """Returns `w`."""
        return w

    def product(self, features: Any, prepared: Any) -> Any:
        """Returns `[outputs, batch]`."""
        return tf.matmul(prepared, features)

    def split(self, features: Any, number: int) -> list[Any]:
        """Splits rows."""
        return tf.split(features, number, axis=0)

    def concat(self, parts: Iterable[Any]) -> Any:
        """Joins rows."""
        return tf.concat(list(parts), axis=0)

    def split_steps(self, steps: Any, sizes: list[int]) -> list[Any]:
        """Splits the middle axis."""
        return tf.split(steps, sizes, axis=1)

    def inputs_gradient(self, gradients: Any, w: Any) -> Any:
        """Returns it by one product, and transposes what is smaller than the gradients."""
        by_feature = tf.tensordot(w, gradients, [[1], [1]])
        return tf.transpose(by_feature, [1, 2, 0])

    def weight_gradient(self, inputs: Any, gradients: Any) -> Any:
        """Returns `[inputs, outputs]`."""
        by_feature = tf.transpose(gradients, [1, 0, 2])
        size = gradients.shape[1]
        return tf.transpose(tf.matmul(tf.reshape(by_feature, [size, -1]), _flat(inputs)))

    def vector_gradient(self, gradients: Any) -> Any:
        """Returns the sum over time and batch."""
        return tf.reduce_sum(gradients, axis=[0, 2])


def _flat(rows: Any) -> Any:
    """Returns `[time, batch, features]` as `[time batch, features]`."""
    return tf.reshape(rows, [-1, rows.shape[2]])
