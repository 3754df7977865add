"""`AttentiveRead`: reading from a memory by attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from snt_core.errors import IncompatibleShapeError, UnderspecifiedError
from snt_core.module import AbstractModule
from snt_nets.batch_apply import BatchApply
from snt_nets.norm.inputs import floating_tensor


class AttentionOutput(NamedTuple):
    """What `AttentiveRead` returns.

    Attributes:
        read: Weighted sum of the slots of the memory, `[batch, memory_size]`.
        weights: Weights of the slots, `[batch, slots]`, which sum to 1.
        weight_logits: Their logarithms but for a constant, `[batch, slots]`.
    """

    read: Any
    weights: Any
    weight_logits: Any


class AttentiveRead(AbstractModule):
    """Reads a weighted sum of the slots of a memory, the weights being learnt from a query.

    After Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and
    translate", 2014, https://arxiv.org/abs/1409.0473. A module scores each slot beside the query;
    the softmax of the scores weights the slots.

    Args:
        attention_logit_mod: Module or function that maps `[batch * slots, memory_size +
            query_size]`, a slot and the query, to `[batch * slots, 1]`, a score. Its variables
            stay in its own scope.
        name: Name of the module. Default: "attention".

    Raises:
        TypeError: If `attention_logit_mod` cannot be called.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> attention = snt.AttentiveRead(snt.nets.MLP([16, 1]))
        >>> output = attention(memory=tf.ones([8, 10, 4]), query=tf.ones([8, 3]))
        >>> output.read.shape, output.weights.shape
        (TensorShape([8, 4]), TensorShape([8, 10]))
    """

    def __init__(self, attention_logit_mod: Callable[..., Any], name: str = "attention") -> None:
        super().__init__(name=name)
        if not callable(attention_logit_mod):
            raise TypeError(
                f"{self.scope_name}: attention_logit_mod must be a module or a function, got "
                f"{attention_logit_mod!r}."
            )
        self._attention_logit_mod = attention_logit_mod

    def _build(self, memory: Any, query: Any, memory_mask: Any = None) -> AttentionOutput:
        """Reads from `memory`.

        Args:
            memory: Tensor `[batch, slots, memory_size]`.
            query: Tensor `[batch, query_size]` of the dtype of the memory.
            memory_mask: Boolean tensor `[batch, slots]`, False for a slot to ignore. Default:
                no slot is.

        Returns:
            An `AttentionOutput`. The logit of an ignored slot is the lowest number of float32, or
            of the dtype if it has none so low.

        Raises:
            IncompatibleShapeError: If an argument, or what `attention_logit_mod` returns, is of
                another rank.
            UnderspecifiedError: If the size of a slot or that of the query is unknown.
            ValueError: If the last axis of what `attention_logit_mod` returns has not size 1.
            TypeError: If `memory` is not of a floating-point type, or the mask not boolean.
            tf.errors.InvalidArgumentError: If the arguments are for different numbers of examples
                or slots, or all slots of an example are ignored. Where the sizes are not known
                before, and always for the mask, this comes when the graph is run.
        """
        memory = floating_tensor(memory, self.scope_name)
        query = tf.convert_to_tensor(query)
        self._check_rank(memory, 3, "memory", "[batch, slots, memory_size]")
        self._check_rank(query, 2, "query", "[batch, query_size]")
        self._check_size_is_known(memory, "memory")
        self._check_size_is_known(query, "query")
        checks = [self._same_size(memory, "memory", query, "query", axis=0)]
        if memory_mask is not None:
            memory_mask = tf.convert_to_tensor(memory_mask)
            checks += self._mask_checks(memory_mask, memory)
        query = _after(checks, query)
        repetitions = tf.stack([1, _size(memory, 1), 1])
        queries = tf.tile(tf.expand_dims(query, 1), repetitions)
        logits = self._logits(tf.concat([memory, queries], axis=2))
        if memory_mask is not None:
            lowest = max(float(tf.float32.min), float(logits.dtype.min))
            logits = tf.where(memory_mask, logits, tf.constant(lowest, logits.dtype))
        weights = tf.nn.softmax(logits)
        read = tf.linalg.matvec(memory, weights, transpose_a=True)
        return AttentionOutput(read, weights, logits)

    def _logits(self, pairs: Any) -> Any:
        score = BatchApply(self._attention_logit_mod, name="batch_apply_attention_logit")
        logits = tf.convert_to_tensor(score(pairs))
        self._check_rank(
            logits, 3, "the output of attention_logit_mod", "[batch, slots, 1] with the batch split"
        )
        if logits.shape.as_list()[2] not in (None, 1):
            raise ValueError(
                f"{self.scope_name}: attention_logit_mod must return one number a slot, of the "
                f"shape [batch * slots, 1], got [batch * slots, {logits.shape[2]}]."
            )
        return tf.squeeze(logits, axis=2)

    def _check_rank(self, tensor: Any, rank: int, role: str, expected: str) -> None:
        if tensor.shape.rank != rank:
            raise IncompatibleShapeError(
                f"{self.scope_name}: {role} must be of rank {rank}, {expected}, got the shape "
                f"{tensor.shape}."
            )

    def _check_size_is_known(self, tensor: Any, role: str) -> None:
        if tensor.shape.as_list()[-1] is None:
            raise UnderspecifiedError(
                f"{self.scope_name}: the size of the last axis of {role} must be known, got the "
                f"shape {tensor.shape}. Use set_shape."
            )

    def _mask_checks(self, mask: Any, memory: Any) -> list[Any]:
        if mask.dtype != tf.bool:
            raise TypeError(
                f"{self.scope_name}: memory_mask must be boolean, got {mask.dtype.name}."
            )
        self._check_rank(mask, 2, "memory_mask", "[batch, slots]")
        return [
            *(self._same_size(memory, "memory", mask, "memory_mask", axis) for axis in (0, 1)),
            tf.debugging.Assert(
                tf.reduce_all(tf.reduce_any(mask, axis=1)),
                [f"{self.scope_name}: memory_mask leaves an example without any slot:", mask],
            ),
        ]

    def _same_size(self, first: Any, role: str, second: Any, other_role: str, axis: int) -> Any:
        """Returns an op that checks sizes of an axis, or None where they are equal for sure."""
        sizes = _size(first, axis), _size(second, axis)
        message = (
            f"{self.scope_name}: {role} and {other_role} must have the same size along axis {axis}"
        )
        if all(isinstance(size, int) for size in sizes):
            if sizes[0] != sizes[1]:
                raise tf.errors.InvalidArgumentError(
                    None, None, f"{message}, got the shapes {first.shape} and {second.shape}."
                )
            return None
        return tf.debugging.Assert(tf.equal(*sizes), [f"{message}, got", *sizes])


def _size(tensor: Any, axis: int) -> Any:
    """Returns a size as an integer, or as a tensor where it is not known yet."""
    size = tensor.shape.as_list()[axis]
    return tf.shape(tensor)[axis] if size is None else size


def _after(checks: list[Any], tensor: Any) -> Any:
    """Returns a tensor that has no value before the checks are passed."""
    checks = [check for check in checks if check is not None]
    if not checks:
        return tensor
    with tf.control_dependencies(checks):
        return tf.identity(tensor)
