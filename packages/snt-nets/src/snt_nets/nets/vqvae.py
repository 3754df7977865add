"""`VectorQuantizer` and `VectorQuantizerEMA`: the nearest of a learnt set of embeddings."""

from __future__ import annotations

import abc
import math
import operator
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_nets.flags import conditional, known_flag
from snt_nets.nets.zero_debiased import replicated_variable, zero_debiased
from snt_nets.shapes import reshape


class _Assignment(NamedTuple):
    """Which embedding each input vector was given.

    Attributes:
        inputs: The input vectors, `[..., embedding_dim]`.
        flat_inputs: The same, `[count, embedding_dim]`.
        encodings: One-hot rows, `[count, num_embeddings]`.
        quantized: The embeddings that were chosen, of the shape of `inputs`.
    """

    inputs: Any
    flat_inputs: Any
    encodings: Any
    quantized: Any


class _Quantizer(AbstractModule):
    """Base class of the quantizers: finds the nearest embedding; a subclass says how they learn."""

    def __init__(
        self, embedding_dim: int, num_embeddings: int, commitment_cost: Any, name: str
    ) -> None:
        super().__init__(name=name)
        self._embedding_dim = operator.index(embedding_dim)
        self._num_embeddings = operator.index(num_embeddings)
        self._commitment_cost = commitment_cost
        self._embeddings: Any = None

    @property
    def embeddings(self) -> Any:
        """The embeddings, the columns of a variable `[embedding_dim, num_embeddings]`.

        It is there before the module is connected.
        """
        return self._embeddings

    def quantize(self, encoding_indices: Any) -> Any:
        """Returns the embeddings with these indices.

        Args:
            encoding_indices: Integer tensor of any shape.

        Returns:
            Tensor `[..., embedding_dim]`, whose first axes are those of `encoding_indices`.
        """
        # In a loop that trains, the embeddings are those that the step before has left.
        with tf.control_dependencies([encoding_indices]):
            return tf.gather(tf.transpose(self._read_embeddings()), encoding_indices)

    def _read_embeddings(self) -> Any:
        embeddings = self._embeddings
        if isinstance(embeddings, tf.Variable):
            return embeddings.read_value()
        return tf.convert_to_tensor(embeddings)  # a custom getter made something else of it

    def _build(self, inputs: Any, is_training: Any) -> dict[str, Any]:
        """Quantizes vectors.

        Args:
            inputs: Tensor `[..., embedding_dim]` of the dtype of the embeddings, float32.
            is_training: Whether embeddings that are moving averages take a step, when `loss` is
                computed: a boolean, or a boolean tensor. Not used by other embeddings.

        Returns:
            A dictionary:
                quantize: For each vector the nearest embedding, in the shape of `inputs`. Its
                    gradient is handed straight through to `inputs`.
                loss: The loss, a scalar.
                perplexity: The exponential of the entropy of the use of the embeddings, a scalar.
                encodings: For each vector the index as a one-hot row, `[count, num_embeddings]`.
                encoding_indices: The indices, int64, `[...]`; the lowest of those equally near.

        Raises:
            ValueError: If the last dimension of `inputs` is not `embedding_dim`.
            tf.errors.InvalidArgumentError: Likewise, eagerly, or if it is known no sooner than the
                graph is run.
            TypeError: If `inputs` is of another dtype, or `is_training` is needed and no boolean.
        """
        inputs = tf.convert_to_tensor(inputs)
        flat_inputs = self._flattened(inputs)
        indices = self._nearest(flat_inputs)
        encodings = tf.one_hot(indices, self._num_embeddings, dtype=inputs.dtype)
        encoding_indices = _with_leading_shape(indices, inputs)
        quantized = self.quantize(encoding_indices)
        loss = self._loss(_Assignment(inputs, flat_inputs, encodings, quantized), is_training)
        use = tf.reduce_mean(encodings, 0)
        return {
            "quantize": inputs + tf.stop_gradient(quantized - inputs),
            "loss": loss,
            "perplexity": tf.exp(-tf.reduce_sum(use * tf.math.log(use + 1e-10))),
            "encodings": encodings,
            "encoding_indices": encoding_indices,
        }

    @abc.abstractmethod
    def _loss(self, assignment: _Assignment, is_training: Any) -> Any:
        """Returns the loss."""

    def _commitment_loss(self, assignment: _Assignment) -> Any:
        difference = tf.stop_gradient(assignment.quantized) - assignment.inputs
        return self._commitment_cost * tf.reduce_mean(tf.square(difference))

    def _flattened(self, inputs: Any) -> Any:
        """Returns the vectors in `inputs`, if they are of the right size, as rows."""
        dtype = self._embeddings.dtype.base_dtype
        if inputs.dtype != dtype:
            raise TypeError(
                f"{self.scope_name}: inputs must be of type {dtype.name}, that of the embeddings, "
                f"got {inputs.dtype.name}. Use tf.cast on the inputs."
            )
        shape = inputs.shape
        known = tf1.dimension_value(shape[-1]) if shape.rank else None
        if shape.rank == 0 or known not in (None, self._embedding_dim):
            message = (
                f"{self.scope_name}: Cannot reshape a tensor of the shape {shape} to "
                f"[-1, {self._embedding_dim}]: its last dimension must be embedding_dim, "
                f"{self._embedding_dim}."
            )
            if tf.executing_eagerly():
                raise tf.errors.InvalidArgumentError(None, None, message)
            raise ValueError(message)
        checks = []
        if known is None:
            checks = [
                tf.debugging.assert_equal(
                    tf.shape(inputs)[-1],
                    self._embedding_dim,
                    f"{self.scope_name}: the last dimension of the inputs must be embedding_dim.",
                )
            ]
        with tf.control_dependencies(checks):
            return tf.reshape(inputs, [-1, self._embedding_dim])

    def _nearest(self, flat_inputs: Any) -> Any:
        """Returns the index of the embedding nearest to each row."""
        with tf.control_dependencies([flat_inputs]):
            embeddings = self._read_embeddings()
        squared_distances = (
            tf.reduce_sum(tf.square(flat_inputs), 1, keepdims=True)
            - 2 * tf.matmul(flat_inputs, embeddings)
            + tf.reduce_sum(tf.square(embeddings), 0, keepdims=True)
        )
        return tf.argmin(squared_distances, 1)


class VectorQuantizer(_Quantizer):
    """Replaces each vector by the nearest of a learnt set of embeddings, the code book of a VQ-VAE.

    After van den Oord, Vinyals and Kavukcuoglu, "Neural discrete representation learning", NeurIPS
    2017. The loss draws the embeddings to the vectors that chose them, and, weighted by
    `commitment_cost`, the vectors to the embeddings that they chose:
    mean((q - stop(x))²) + commitment_cost · mean((stop(q) - x)²).

    Variable, made by the constructor: `embedding` `[embedding_dim, num_embeddings]`, one embedding
    a column, uniform in ±√(3 / embedding_dim).

    Args:
        embedding_dim: Size of a vector, the last dimension of the inputs.
        num_embeddings: Number of embeddings.
        commitment_cost: Weight of the second part of the loss; the paper has 0.25.
        name: Name of the module. Default: "vq_layer".

    Raises:
        TypeError: If a size is not an integer.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> quantizer = snt.nets.VectorQuantizer(8, num_embeddings=512, commitment_cost=0.25)
        >>> results = quantizer(tf.ones([2, 7, 7, 8]), is_training=True)
        >>> results["quantize"].shape, results["encoding_indices"].shape
        (TensorShape([2, 7, 7, 8]), TensorShape([2, 7, 7]))
    """

    def __init__(
        self,
        embedding_dim: int,
        num_embeddings: int,
        commitment_cost: Any,
        name: str = "vq_layer",
    ) -> None:
        super().__init__(embedding_dim, num_embeddings, commitment_cost, name)
        limit = math.sqrt(3 / max(self._embedding_dim, 1))
        with self._enter_variable_scope():
            self._embeddings = tf1.get_variable(
                "embedding",
                [self._embedding_dim, self._num_embeddings],
                initializer=tf1.random_uniform_initializer(-limit, limit),
            )

    def _loss(self, assignment: _Assignment, is_training: Any) -> Any:
        difference = assignment.quantized - tf.stop_gradient(assignment.inputs)
        return tf.reduce_mean(tf.square(difference)) + self._commitment_loss(assignment)


class VectorQuantizerEMA(_Quantizer):
    """Replaces each vector by the nearest embedding, where these are moving averages of vectors.

    After van den Oord, Vinyals and Kavukcuoglu, "Neural discrete representation learning", NeurIPS
    2017, appendix A.1. The embeddings have no gradient. Each time that the loss of a training
    connection is computed, each one moves to the mean of the vectors that chose it: a moving
    average of their sum, over a moving average of their number. The loss, which draws the vectors
    to their embeddings, is commitment_cost · mean((stop(q) - x)²).

    Variables, made by the constructor: `embedding` `[embedding_dim, num_embeddings]`, one embedding
    a column, standard normal; `ema_cluster_size` `[num_embeddings]` and `ema_dw`, of the shape of
    `embedding`, the two averages; and in a scope inside of the module that repeats its name, for
    each average what it is computed from: `biased`, of its shape, and the scalar `local_step`. The
    first three are trainable variables for the sake of programs that save, copy or restore the
    trainable variables. An optimizer finds no gradient for them, and what else it may do to them
    (weight decay) the next training step undoes.

    Args:
        embedding_dim: Size of a vector, the last dimension of the inputs.
        num_embeddings: Number of embeddings.
        commitment_cost: Weight of the loss; the paper has 0.25.
        decay: Weight of the past in the moving averages, from 0 up to 1; the paper has 0.99.
        epsilon: Added to the numbers of vectors, which are then scaled to the same sum, so that an
            embedding that is hardly ever chosen divides by no zero. Default: 1e-5.
        name: Name of the module. Default: "VectorQuantizerEMA".

    Raises:
        TypeError: If a size is not an integer.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> quantizer = snt.nets.VectorQuantizerEMA(2, 1, commitment_cost=0.25, decay=0.99)
        >>> results = quantizer(tf.constant([[1.0, 2.0], [3.0, 4.0]]), is_training=True)
        >>> quantizer.embeddings.numpy().round(4).tolist()
        [[2.0], [3.0]]
    """

    def __init__(
        self,
        embedding_dim: int,
        num_embeddings: int,
        commitment_cost: Any,
        decay: Any,
        epsilon: Any = 1e-5,
        name: str = "VectorQuantizerEMA",
    ) -> None:
        super().__init__(embedding_dim, num_embeddings, commitment_cost, name)
        self._decay = decay
        self._epsilon = epsilon
        shape = [self._embedding_dim, self._num_embeddings]
        with self._enter_variable_scope():
            self._embeddings = replicated_variable(
                "embedding", shape, tf1.random_normal_initializer()
            )
            cluster_size = replicated_variable(
                "ema_cluster_size", shape[1:], tf1.zeros_initializer()
            )
            dw = replicated_variable("ema_dw", shape, self._initial_embeddings)
            # What they are computed from has the full name once more, inside of the scope.
            inner_scope = self.scope_name
            self._cluster_size = zero_debiased(cluster_size, f"{inner_scope}/ema_cluster_size")
            self._dw = zero_debiased(dw, f"{inner_scope}/ema_dw")

    def _initial_embeddings(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        """Initializer that gives the values that the embeddings start with."""
        if tf.executing_eagerly():
            return self._embeddings.read_value()
        return self._embeddings.initial_value

    def _loss(self, assignment: _Assignment, is_training: Any) -> Any:
        loss = self._commitment_loss(assignment)

        def with_update() -> Any:
            with tf.control_dependencies(self._update(assignment)):
                return tf.identity(loss)

        training = known_flag(is_training, f"{self.scope_name}: is_training")
        with tf.control_dependencies([loss]):  # and so after the embeddings were read
            return conditional(training, with_update, lambda: tf.identity(loss))

    def _update(self, assignment: _Assignment) -> list[Any]:
        """Moves the embeddings to the means of the vectors that chose them."""
        inputs, encodings = assignment.flat_inputs, assignment.encodings
        counts, count_updates = self._cluster_size.update(
            _sum_over_replicas(tf.reduce_sum(encodings, 0)), self._decay
        )
        sums, sum_updates = self._dw.update(
            _sum_over_replicas(tf.matmul(inputs, encodings, transpose_a=True)), self._decay
        )
        total = tf.reduce_sum(counts)
        share = (counts + self._epsilon) / (total + self._num_embeddings * self._epsilon)
        return [*count_updates, *sum_updates, self._embeddings.assign(sums / (share * total))]


def _sum_over_replicas(value: Any) -> Any:
    """Returns the sum of a tensor over the replicas of a distributed program."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _with_leading_shape(flat: Any, inputs: Any) -> Any:
    """Reshapes one element a vector to the shape of `inputs` without its last axis."""
    if inputs.shape.rank is None:
        return tf.reshape(flat, tf.shape(inputs)[:-1])
    return reshape(flat, inputs.shape.as_list()[:-1], lambda: tf.shape(inputs)[:-1])
