"""Spectral normalisation: weights are divided by their largest singular value."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import NotSupportedError
from snt_nets.norm.inputs import statistics_dtype
from snt_nets.wrapped_weights import WeightsWrapper


def wrap_with_spectral_norm(
    module_class: Callable[..., Any],
    sn_kwargs: Mapping[str, Any] | None = None,
    pow_iter_collection: str | None = None,
) -> Callable[..., SpectralNormWrapper]:
    """Returns a constructor of modules whose weights are spectrally normalised.

    After Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial
    networks", 2018, https://arxiv.org/abs/1802.05957.

    Args:
        module_class: Class of modules, or another function that makes one.
        sn_kwargs: Arguments of the normalisation: `num_iters`, the number of power iterations a
            connection (default 1), and `eps` (default 1e-4). Optional.
        pow_iter_collection: Name of the graph collection for the updates of connections without
            power iteration; see `SpectralNormWrapper`. Default: they have none.

    Returns:
        A function that takes the arguments of `module_class` and returns a `SpectralNormWrapper`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> SpectralLinear = snt.wrap_with_spectral_norm(snt.Linear)
        >>> linear = SpectralLinear(3, name="critic")
        >>> linear(tf.ones([8, 5]), enable_power_iteration=True).shape
        TensorShape([8, 3])
        >>> [variable.name for variable in linear.get_variables()]
        ['critic_wrapper/critic/w:0', 'critic_wrapper/critic/b:0']
    """
    return functools.partial(SpectralNormWrapper, module_class, sn_kwargs, pow_iter_collection)


class SpectralNormWrapper(WeightsWrapper):
    """A module whose weights are spectrally normalised: `w / σ(w)`.

    Weights are all variables called `w` of the inner module and of its submodules; the inner
    module gets the normalised ones, and its regularizers the raw ones. The largest singular value
    σ is found by power iteration, which goes on from connection to connection: beside each `w`
    there is a vector `u0` `[1, output_size]`, float32, not trainable, by default from a normal
    distribution truncated at two standard deviations.

    Args:
        module: Class of the inner module, or another function that makes it.
        sn_kwargs: As for `wrap_with_spectral_norm`.
        pow_iter_collection: Likewise.
        *args: Arguments for the class.
        **kwargs: Likewise. The name of the wrapper is `name` with "_wrapper" added. Default:
            "sn_wrapper".
    """

    def __init__(
        self,
        module: Callable[..., Any],
        sn_kwargs: Mapping[str, Any] | None,
        pow_iter_collection: str | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._sn_kwargs = dict(sn_kwargs or {})
        self._pow_iter_collection = pow_iter_collection
        self._connection = threading.local()  # two threads may connect at once, one testing
        super().__init__(module, "sn", args, kwargs)
        self._check_same_graph()  # binds the module to this one, as Sonnet 1 does

    def _build(self, *args: Any, enable_power_iteration: bool = True, **kwargs: Any) -> Any:
        """Connects the inner module.

        Args:
            *args: Arguments of the inner module.
            enable_power_iteration: Whether to update `u0` before the weights are used. If not, the
                connection leaves it alone; in a graph, and with a `pow_iter_collection`, the
                update goes there, one operation for each `w`, and is the program's to run.
                Default: True.
            **kwargs: Arguments of the inner module.

        Returns:
            What the inner module returns.

        Raises:
            ValueError: If the `num_iters` of `sn_kwargs` is less than 1.
        """
        self._connection.enable_power_iteration = enable_power_iteration
        return self._module(*args, **kwargs)

    def _replaced(self, weight: Any) -> Any:
        if getattr(self._connection, "enable_power_iteration", True):
            return spectral_norm(weight, **self._sn_kwargs)["w_bar"]
        collection = self._pow_iter_collection
        return spectral_norm(
            weight, update_collection=collection, update=collection is not None, **self._sn_kwargs
        )["w_bar"]


def spectral_norm(
    weight: Any,
    num_iters: int = 1,
    update_collection: str | None = None,
    eps: float = 1e-4,
    update: bool = True,
) -> dict[str, Any]:
    """Divides a weight by its largest singular value, found by power iteration.

    The weight is taken for a matrix of its last axis by all others. The vector `u0`
    `[1, output_size]`, from which the iteration starts and which it is to update, is made in the
    current variable scope. No gradient flows through the iteration.

    Args:
        weight: Tensor or variable `[..., output_size]`.
        num_iters: Number of power iterations. Default: 1.
        update_collection: Name of a graph collection for the update of `u0`, which is the
            program's to run; there is none where there is no such collection, eagerly and in a
            `tf.function`. Default: None has it made before `w_bar` can be used.
        eps: Small number that is added to squared lengths. Default: 1e-4.
        update: Whether there is an update. Default: True.

    Returns:
        A dictionary: `w_bar`, the divided weight, of the shape and dtype of `weight`; `sigma`, the
        singular value, a scalar; and the variable `u0`.

    Raises:
        ValueError: If `num_iters` is less than 1.
        NotSupportedError: If `u0` is to be updated, but a custom getter does not give the variable.
    """
    if num_iters < 1:
        raise ValueError(
            "spectral_norm: num_iters, the number of power iterations, must be a positive integer, "
            f"got {num_iters}."
        )
    weight = tf.convert_to_tensor(weight)
    output_size = weight.shape.as_list()[-1]
    u0 = tf1.get_variable(
        "u0",
        shape=[1, output_size],
        dtype=tf.float32,
        initializer=tf1.truncated_normal_initializer(),
        regularizer=tf1.no_regularizer,
        trainable=False,
        # The replicas of a distributed program find the same.
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    matrix = tf.reshape(tf.cast(weight, statistics_dtype(weight.dtype)), [-1, output_size])
    u = tf.cast(u0, matrix.dtype)
    for _ in range(num_iters):
        v = _unit(tf.matmul(u, matrix, transpose_b=True), eps)
        u = _unit(tf.matmul(v, matrix), eps)
    u, v = tf.stop_gradient(u), tf.stop_gradient(v)
    sigma = tf.reduce_sum(tf.matmul(v, matrix) * u)
    w_bar = tf.cast(tf.reshape(matrix / sigma, weight.shape), weight.dtype)
    if update and update_collection is None:
        with tf.control_dependencies([_assigned(u0, u)]):
            w_bar = tf.identity(w_bar)
    elif update and not tf.executing_eagerly() and not tf1.get_default_graph().building_function:
        tf1.add_to_collection(update_collection, _assigned(u0, u))
    return {"w_bar": w_bar, "sigma": tf.cast(sigma, weight.dtype), "u0": u0}


def _unit(vector: Any, eps: float) -> Any:
    return vector * tf.math.rsqrt(tf.reduce_sum(tf.square(vector)) + eps)


def _assigned(variable: Any, value: Any) -> Any:
    if not isinstance(variable, tf.Variable):
        raise NotSupportedError(
            f"spectral_norm: the power iteration cannot update {variable!r}, which a custom getter "
            "or a partitioner gives for the variable u0. Connect with enable_power_iteration=False."
        )
    return variable.assign(tf.cast(value, variable.dtype), read_value=False)
