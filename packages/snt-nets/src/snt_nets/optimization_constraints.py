"""Constrained optimisation by Lagrange multipliers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import NotSupportedError, UnderspecifiedError
from snt_nets.gradients import scale_gradient
from snt_nets.trainable_variable import TrainableVariable

LAGRANGE_MULTIPLIERS = "Lagrange Multipliers"


def get_lagrange_multiplier(
    shape: Any = (),
    rate: Any = 1.0,
    initializer: Any = 1.0,
    maximize: bool = True,
    valid_range: tuple[Any, Any] | None = None,
    name: str = "lagrange_multiplier",
) -> Any:
    """Makes Lagrange multipliers, whose gradient is reversed.

    With the loss `f + λ c`, where c > 0 is to be avoided, an optimiser that minimises it makes λ
    larger as long as c > 0, and smaller while c < 0. λ is positive: it is softplus(w)² of a
    variable `<name>/w` of dtype float32, which is also in the graph collection
    "Lagrange Multipliers". After Platt and Barr, "Constrained differential optimization", 1987.

    Each call makes variables of its own. Inside a module each connection finds those of the first,
    which is the way to have multipliers eagerly and in a `tf.function`.

    Args:
        shape: Shape of the multipliers. Default: one, without axes.
        rate: Number or scalar tensor that their gradient is multiplied by; 0 for none. Default: 1.
        initializer: Initial value of the multipliers: a positive number, an array that broadcasts
            to `shape`, an initializer as TensorFlow has them, 1 or 2, or None for ones. Default: 1.
        maximize: Whether the loss is to be maximised with respect to the multipliers. If not, -λ
            is returned: as the value has changed its sign, too, minimising f - λ c makes λ
            smaller as long as c > 0. Default: True.
        valid_range: Smallest and largest value of the multipliers, to which they are clipped.
            There is no gradient that would lead further beyond. Default: all positive numbers.
        name: Name of the variable scope, made unique. Default: "lagrange_multiplier".

    Returns:
        Tensor of the given shape, float32.

    Raises:
        ValueError: If an initial value is not positive, or does not broadcast to `shape`, or
            `valid_range` is not a pair.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> with tf.GradientTape() as tape:
        ...     multiplier = snt.get_lagrange_multiplier(initializer=2.0)
        ...     loss = multiplier * 3.0
        >>> bool(tape.gradient(loss, tape.watched_variables()[0]) < 0)
        True
    """
    initializers = {"w": _initializer(initializer, shape)}
    variable = TrainableVariable(shape, initializers=initializers, name=name)()
    if not tf.executing_eagerly():  # where a collection would keep every variable for ever
        collection = tf1.get_collection_ref(LAGRANGE_MULTIPLIERS)
        if not any(member is variable for member in collection):
            collection.append(variable)
    multiplier = _parametrize(variable, rate)
    if valid_range is not None:
        if len(valid_range) != 2:
            raise ValueError(f"valid_range must be a pair (min, max), got {valid_range!r}.")
        multiplier = _constrain_to_range(multiplier, *valid_range)
    return multiplier if maximize else -multiplier


class OptimizationConstraints:
    """A container of constraints on tensors, and the penalty that makes an optimiser obey them.

    Each constraint has a Lagrange multiplier for each of its elements, see
    `snt.get_lagrange_multiplier`; an optimiser that minimises the loss with the penalty added
    approaches a solution that satisfies them. Strict and other inequalities are the same.

    Args:
        rate: Number or scalar tensor that the gradients of the multipliers are multiplied by.
            Default: 1.
        valid_range: Smallest and largest value of the multipliers. Default: all positive numbers.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> constraints = snt.OptimizationConstraints()
        >>> constraints.add_leq(tf.constant([3.0, 5.0]), 4.0).add_geq(tf.constant(1.0), 0.0)()
        <tf.Tensor: shape=(), dtype=float32, numpy=-1.0>
    """

    def __init__(self, rate: Any = 1.0, valid_range: tuple[Any, Any] | None = None) -> None:
        self._rate = rate
        self._valid_range = valid_range
        self._constraints: list[Any] = []
        self._lagrange_multipliers: list[Any] = []
        self._penalty: Any = None

    def __call__(self) -> Any:
        """Returns the penalty: the sum of all constraints times their multipliers.

        Returns:
            Tensor `[]`, float32; the same one at each call.
        """
        if self._penalty is None:
            terms = [
                tf.reduce_sum(multiplier * tf.cast(constraint, multiplier.dtype))
                for multiplier, constraint in zip(
                    self._lagrange_multipliers, self._constraints, strict=True
                )
            ]
            self._penalty = tf.add_n(terms) if terms else tf.zeros([])
        return self._penalty

    def add(
        self,
        expression: Any,
        rate: Any = None,
        valid_range: tuple[Any, Any] | None = None,
        initializer: Any = None,
    ) -> OptimizationConstraints:
        """Adds a constraint, written as an inequality; in a graph or a `tf.function`.

        Args:
            expression: Tensor that is the result of `x < y`, `x <= y`, `x > y` or `x >= y`.
            rate: As for the container, for this constraint. Default: that of the container.
            valid_range: Likewise.
            initializer: Initial value of the multiplier; as for `snt.get_lagrange_multiplier`.

        Returns:
            This container.

        Raises:
            TypeError: If `expression` is the result of anything else.
            NotSupportedError: If it was computed eagerly, where a result does not tell from what.
            ValueError: If the penalty was already asked for.
            UnderspecifiedError: If the shape is not fully known.
        """
        if tf.is_tensor(expression) and not tf.is_symbolic_tensor(expression):
            raise NotSupportedError(
                "Expressions can be parsed in graphs only. Eagerly, use add_leq(lhs, rhs) for "
                "lhs <= rhs, and add_geq(lhs, rhs) for lhs >= rhs."
            )
        kind = expression.op.type if tf.is_tensor(expression) else None
        if kind in ("Less", "LessEqual"):
            add = self.add_leq
        elif kind in ("Greater", "GreaterEqual"):
            add = self.add_geq
        else:
            raise TypeError(
                "add only supports parsing of the following ops: Less, LessEqual, Greater and "
                f"GreaterEqual, got {expression!r}{f' from the op {kind}' if kind else ''}."
            )
        lhs, rhs = expression.op.inputs
        return add(lhs, rhs, rate, valid_range, initializer)

    def add_leq(
        self,
        lhs: Any,
        rhs: Any = 0.0,
        rate: Any = None,
        valid_range: tuple[Any, Any] | None = None,
        initializer: Any = None,
    ) -> OptimizationConstraints:
        """Adds the constraint `lhs <= rhs`.

        Args:
            lhs: Tensor or number.
            rhs: Likewise. Default: 0.
            rate: As for the container, for this constraint. Default: that of the container.
            valid_range: Likewise.
            initializer: Initial value of the multiplier; as for `snt.get_lagrange_multiplier`.

        Returns:
            This container.

        Raises:
            ValueError: If the penalty was already asked for.
            UnderspecifiedError: If the shape of `lhs - rhs` is not fully known.
        """
        self._check_open()
        constraint = tf.convert_to_tensor(lhs - rhs)  # a number takes the type of the tensor
        if not constraint.shape.is_fully_defined():
            raise UnderspecifiedError(
                "Each element of a constraint has a multiplier: its shape must be fully known, got "
                f"{constraint.shape}. Use set_shape, or tf.reduce_mean over the axis."
            )
        ranges = (r for r in (valid_range, self._valid_range) if r is not None and len(r))
        multiplier = get_lagrange_multiplier(
            constraint.shape,
            self._rate if rate is None else rate,
            initializer,
            valid_range=next(ranges, None),
        )
        self._constraints.append(constraint)
        self._lagrange_multipliers.append(multiplier)
        return self

    def add_geq(
        self,
        lhs: Any,
        rhs: Any = 0.0,
        rate: Any = None,
        valid_range: tuple[Any, Any] | None = None,
        initializer: Any = None,
    ) -> OptimizationConstraints:
        """Adds the constraint `lhs >= rhs`.

        Args:
            lhs: Tensor or number.
            rhs: Likewise. Default: 0.
            rate: As for `add_leq`.
            valid_range: Likewise.
            initializer: Likewise.

        Returns:
            This container.

        Raises:
            ValueError: If the penalty was already asked for.
            UnderspecifiedError: If the shape of `lhs - rhs` is not fully known.
        """
        self._check_open()
        return self.add_leq(rhs, lhs, rate, valid_range, initializer)

    def _check_open(self) -> None:
        if self._is_connected:
            raise ValueError(
                "Cannot add further constraints once the penalty was asked for: it would not "
                "have them. Add them first, or use a second container."
            )

    @property
    def _is_connected(self) -> bool:
        return self._penalty is not None

    @property
    def constraints(self) -> list[Any]:
        """The constraints: tensors that shall not be positive."""
        return self._constraints

    @property
    def lagrange_multipliers(self) -> list[Any]:
        """The multipliers, a tensor for each constraint and of its shape."""
        return self._lagrange_multipliers


def _initializer(value: Any, shape: Any) -> Callable[..., Any]:
    """Returns the initializer of the variable for the initial value of the multipliers."""
    if inspect.isclass(value):
        value = value()
    array = None if callable(value) else _positive_array(1.0 if value is None else value, shape)

    def initializer(shape: Any, dtype: Any = tf.float32, partition_info: Any = None) -> Any:
        if array is not None:
            initial = tf.broadcast_to(tf.constant(array, dtype), shape)
        elif _takes(value, 3):
            initial = value(shape, dtype, partition_info)
        else:  # as those of TensorFlow 2
            initial = value(shape, dtype)
        root = tf.sqrt(initial)
        return root + tf.math.log(-tf.math.expm1(-root))  # the inverse of softplus

    return initializer


def _positive_array(value: Any, shape: Any) -> Any:
    array = np.asarray(value, np.float32)
    if not (array > 0).all():
        raise ValueError(
            "initializer must be positive: multipliers are, and one that is 0 would have no "
            f"gradient. Got {value!r}."
        )
    try:
        np.broadcast_to(array, tuple(shape))
    except ValueError:
        raise ValueError(
            f"initializer must broadcast to the shape {tuple(shape)} of the multipliers, got the "
            f"shape {array.shape}."
        ) from None
    return array


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    return True


def _parametrize(x: Any, rate: Any) -> Any:
    """Returns softplus(x)², with a gradient that is multiplied by `-rate`."""
    return scale_gradient(tf.square(tf.nn.softplus(x)), -rate)


def _constrain_to_range(x: Any, min_value: Any, max_value: Any) -> Any:
    """Clips a tensor; there is no gradient where descending it would lead further beyond.

    Args:
        x: Tensor of a floating-point type.
        min_value: Number or scalar tensor: the smallest value.
        max_value: Likewise the largest.

    Raises:
        ValueError: If `x` is not of a floating-point type.
    """
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise ValueError(f"_constrain_to_range does not support non-float `x`, got {x.dtype.name}.")
    low, high = (
        tf.cast(value, x.dtype) if tf.is_tensor(value) else tf.constant(value, x.dtype)
        for value in (min_value, max_value)
    )

    @tf.custom_gradient
    def clipped(x: Any) -> Any:
        def gradient_inside(gradient: Any) -> Any:
            # The sign of the gradient is reversed later on: the multiplier follows it.
            leads_out = ((x < low) & (gradient < 0)) | ((x > high) & (gradient > 0))
            return tf.where(leads_out, tf.zeros_like(gradient), gradient)

        return tf.clip_by_value(x, low, high), gradient_inside

    return clipped(x)
