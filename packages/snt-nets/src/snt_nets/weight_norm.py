"""Weight normalisation: weights as a direction and a length, learnt apart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import NotSupportedError
from snt_nets.norm.inputs import statistics_dtype
from snt_nets.wrapped_weights import WeightsWrapper


def wrap_with_weight_norm(
    module_class: Callable[..., Any], wn_kwargs: Mapping[str, Any] | None = None
) -> Callable[..., WeightNormWrapper]:
    """Returns a constructor of modules whose weights are normalised: `g w / |w|`.

    After Salimans and Kingma, "Weight normalization: A simple reparameterization to accelerate
    training of deep neural networks", 2016, https://arxiv.org/abs/1602.07868.

    Args:
        module_class: Class of modules, or another function that makes one.
        wn_kwargs: Arguments of the normalisation: `axis`, the axis of a weight that its vectors
            are counted along, or several (default -1, the output features; -2 for transposed
            convolutions), and `eps` (default 1e-12). Optional.

    Returns:
        A function that takes the arguments of `module_class` and returns a `WeightNormWrapper`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> linear = snt.wrap_with_weight_norm(snt.Linear)(3, name="policy")
        >>> linear(tf.ones([8, 5])).shape
        TensorShape([8, 3])
        >>> [(variable.name, variable.shape) for variable in linear.get_variables()][:2]
        [('policy_wrapper/policy/w:0', TensorShape([5, 3])),
         ('policy_wrapper/policy/g:0', TensorShape([1, 3]))]
    """
    return functools.partial(WeightNormWrapper, module_class, wn_kwargs)


class WeightNormWrapper(WeightsWrapper):
    """A module whose weights are normalised: `g w / |w|`.

    Weights are all variables called `w` of the inner module and of its submodules; the inner
    module gets the normalised ones, and its regularizers the raw ones. Beside each `w` there is a
    trainable `g`, of its dtype and shape, but with size 1 in the axes that the length |w| is taken
    over. It starts as that length, so that the module computes at first what it would have without
    the wrapper; also if `w` was restored from a checkpoint that has no `g`.

    Args:
        module: Class of the inner module, or another function that makes it.
        wn_kwargs: As for `wrap_with_weight_norm`.
        *args: Arguments for the class.
        **kwargs: Likewise. The name of the wrapper is `name` with "_wrapper" added. Default:
            "wn_wrapper".
    """

    def __init__(
        self,
        module: Callable[..., Any],
        wn_kwargs: Mapping[str, Any] | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._wn_kwargs = dict(wn_kwargs or {})
        super().__init__(module, "wn", args, kwargs)

    def _build(self, *args: Any, **kwargs: Any) -> Any:
        """Connects the inner module, with its arguments; returns what it returns."""
        return self._module(*args, **kwargs)

    def _replaced(self, weight: Any) -> Any:
        return weight_norm(weight, **self._wn_kwargs)["w_bar"]


def weight_norm(weight: Any, axis: int | Iterable[int] = -1, eps: float = 1e-12) -> dict[str, Any]:
    """Gives each vector of a weight a length of its own, `g`, a variable.

    `g` is made in the current variable scope, and starts as the length that the vector has.

    Args:
        weight: Variable of a floating-point type.
        axis: The axis that the vectors are counted along, or several: each vector is made of all
            the others. Default: the last.
        eps: The smallest number that squared lengths are taken for. Default: 1e-12.

    Returns:
        A dictionary: `w_bar`, the weight with lengths `g`, of the shape and dtype of `weight`; and
        the variable `g`, of the same rank, with size 1 in the axes that lengths are taken over.

    Raises:
        ValueError: If the weight lacks an axis that `axis` names.
        NotSupportedError: If `g` is to be made, but a custom getter does not give the variable.
    """
    sizes = weight.shape.as_list()
    kept = {axis} if isinstance(axis, int) else set(axis)
    if not all(-len(sizes) <= a < len(sizes) for a in kept):
        raise ValueError(
            f"weight_norm: axis must name axes of the weight, got {axis} for the shape {sizes}."
        )
    kept = {a % len(sizes) for a in kept}
    axes = [a for a in range(len(sizes)) if a not in kept]
    dtype = statistics_dtype(weight.dtype.base_dtype)

    def initial_length(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        start = tf.cast(_initial_value(weight), statistics_dtype(dtype))
        return tf.cast(tf.sqrt(tf.reduce_sum(tf.square(start), axes, keepdims=True)), dtype)

    g = tf1.get_variable(
        "g",
        shape=[size if a in kept else 1 for a, size in enumerate(sizes)],
        dtype=weight.dtype.base_dtype,
        initializer=initial_length,
    )
    unit = tf.nn.l2_normalize(tf.cast(weight, dtype), axes, eps)
    return {"w_bar": tf.cast(unit * tf.cast(g, dtype), weight.dtype.base_dtype), "g": g}


def _initial_value(weight: Any) -> Any:
    """Returns the value of a weight at the time when the variables are initialised."""
    if tf.executing_eagerly() and tf.is_tensor(weight) and not tf.is_symbolic_tensor(weight):
        return tf.convert_to_tensor(weight)
    if not isinstance(weight, tf.Variable):
        raise NotSupportedError(
            "weight_norm: the length of the weight must be found when variables are initialised, "
            f"which {weight!r} does not allow; a custom getter or a partitioner gives it for the "
            "variable."
        )
    # The one that is read has been restored, perhaps; the other is the value that it gets now.
    return tf.cond(
        tf1.is_variable_initialized(weight),
        lambda: tf.convert_to_tensor(weight),
        lambda: weight.initial_value,
    )
