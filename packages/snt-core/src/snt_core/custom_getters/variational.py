"""Posteriors, priors and KL costs for Bayes by Backprop.

Builders of distributions are functions `f(getter, name, *args, **kwargs)` that get the variables
they need with `getter`. They return a distribution, or a pair of it and a dictionary of variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

# The scale of both built-in priors, at the start where it is learned.
_PRIOR_SCALE = 0.01


def inverse_softplus(y: float) -> float:
    """Returns the number whose softplus, `log(1 + exp(x))`, is `y`.

    Args:
        y: A number greater than 0.

    Returns:
        `log(exp(y) - 1)`.

    Raises:
        ValueError: If `y` is not greater than 0.

    Example:
        >>> round(inverse_softplus(0.01), 6)
        -4.600166
    """
    if not y > 0:
        raise ValueError(f"inverse_softplus: y must be greater than 0, as a softplus is, not {y}.")
    # The same as log(exp(y) - 1), without overflow for large y or cancellation for small y.
    return y + math.log(-math.expm1(-y))


def scale_variable_initializer(desired_scale: float) -> Callable[..., tf.Tensor]:
    """Makes the initialiser of a variable whose softplus is a scale.

    Args:
        desired_scale: The scale, a number greater than 0.

    Returns:
        A constant initialiser.

    Raises:
        ValueError: If `desired_scale` is not greater than 0.

    Example:
        >>> import tensorflow as tf
        >>> initializer = scale_variable_initializer(0.5)
        >>> tf.nn.softplus(initializer([2], tf.float32)).numpy()
        array([0.5, 0.5], dtype=float32)
    """
    return tf1.constant_initializer(inverse_softplus(desired_scale))


def diagonal_gaussian_posterior_builder(
    getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any
) -> Any:
    """Builds a Gaussian with a mean and a scale of its own for each weight.

    Its variables are `<name>/posterior_loc` and `<name>/posterior_scale`, the scale before a
    softplus. Both are made as the weights were asked for, with the same initialiser: the first
    standard deviations are about 0.69. A builder of your own can start elsewhere:

        def sharp_posterior_builder(getter, name, *args, **kwargs):
            loc = getter(name + "/posterior_loc", *args, **kwargs)
            kwargs["initializer"] = scale_variable_initializer(0.01)
            scale = getter(name + "/posterior_scale", *args, **kwargs)
            return tfp.distributions.Normal(loc=loc, scale=tf.nn.softplus(scale))

    Args:
        getter: The getter of the variables.
        name: Full name of the weights.
        *args: Further positional arguments of the request for the weights.
        **kwargs: Keyword arguments of that request.

    Returns:
        A `tfp.distributions.Normal` with the shape of the weights.

    Raises:
        ImportError: If TensorFlow Probability can't be used.
    """
    distributions = _tfp_distributions()
    loc = getter(f"{name}/posterior_loc", *args, **kwargs)
    scale = getter(f"{name}/posterior_scale", *args, **kwargs)
    return distributions.Normal(loc=loc, scale=tf.nn.softplus(scale), name="posterior")


def fixed_gaussian_prior_builder(
    getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any
) -> Any:
    """Builds a Gaussian of mean 0 and standard deviation 0.01, without variables.

    Args:
        getter: The getter of variables; not used.
        name: Full name of the weights; not used.
        *args: Further positional arguments of the request for the weights; not used.
        **kwargs: Keyword arguments of that request, of which `dtype` is used. Default: float32.

    Returns:
        A scalar `tfp.distributions.Normal`.

    Raises:
        ImportError: If TensorFlow Probability can't be used.
    """
    dtype = weights_dtype(kwargs)
    return _tfp_distributions().Normal(
        loc=tf.constant(0.0, dtype), scale=tf.constant(_PRIOR_SCALE, dtype), name="prior"
    )


def adaptive_gaussian_prior_builder(
    getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any
) -> Any:
    """Builds a Gaussian whose mean and scale are learned, one of each for all the weights.

    Its variables are the scalars `<name>_prior_loc`, with the initialiser of the weights, and
    `<name>_prior_scale`, the scale before a softplus, which starts at a standard deviation of 0.01.

    Args:
        getter: The getter of the variables.
        name: Full name of the weights.
        *args: Further positional arguments of the request for the weights.
        **kwargs: Keyword arguments of that request.

    Returns:
        A scalar `tfp.distributions.Normal`.

    Raises:
        ImportError: If TensorFlow Probability can't be used.
    """
    distributions = _tfp_distributions()
    # The shape comes first among the arguments after the name; scalars have no parts.
    args = args[1:]
    kwargs.update(shape=(), partitioner=None)
    initializer = kwargs.get("initializer")
    if initializer is not None and not callable(initializer):
        # Values for the weights are no values for a scalar.
        kwargs["initializer"] = tf1.zeros_initializer()
    loc = getter(f"{name}_prior_loc", *args, **kwargs)
    kwargs["initializer"] = scale_variable_initializer(_PRIOR_SCALE)
    scale = getter(f"{name}_prior_scale", *args, **kwargs)
    return distributions.Normal(loc=loc, scale=tf.nn.softplus(scale), name="prior")


def stochastic_kl_builder(posterior: Any, prior: Any, sample: tf.Tensor) -> tf.Tensor:
    """Estimates the KL divergence of the posterior from the prior by one sample.

    Args:
        posterior: Distribution with `log_prob`.
        prior: Distribution with `log_prob`.
        sample: The weights, drawn from the posterior.

    Returns:
        The sum over the weights of `log q(w) - log p(w)`, a scalar.
    """
    return tf.reduce_sum(posterior.log_prob(sample)) - tf.reduce_sum(prior.log_prob(sample))


def analytic_kl_builder(posterior: Any, prior: Any, sample: tf.Tensor) -> tf.Tensor:
    """Computes the KL divergence of the posterior from the prior in closed form.

    Args:
        posterior: Distribution with a method `kl_divergence(other)`, as those of TensorFlow
            Probability have.
        prior: Distribution of a kind for which the closed form is known.
        sample: The weights; not used.

    Returns:
        The sum over the weights of their KL divergences, a scalar.

    Raises:
        TypeError: If `posterior` has no such method.
        NotImplementedError: If no closed form is known for the two.
    """
    del sample
    if not hasattr(posterior, "kl_divergence"):
        raise TypeError(
            f"analytic_kl_builder needs posterior.kl_divergence(prior), which {posterior!r} lacks; "
            "use stochastic_kl_builder, or a kl_builder of your own."
        )
    return tf.reduce_sum(posterior.kl_divergence(prior))


def weights_dtype(request: dict[str, Any]) -> tf.DType:
    """Returns the dtype that weights are asked for in."""
    return tf.as_dtype(request.get("dtype") or tf.float32).base_dtype


def _tfp_distributions() -> Any:
    try:
        import tensorflow_probability as tfp

        return tfp.distributions  # it is here that most of the package is imported
    except (ImportError, AttributeError) as error:
        raise ImportError(
            "The built-in posteriors and priors of bayes_by_backprop need TensorFlow Probability "
            f"0.25 or later and, for it, tf_keras; this failed: {error}. Install both with "
            "`pip install 'snt-core[bayes]'`. Or give a posterior_builder and a prior_builder of "
            "your own, whose distributions have sample(), mean(), log_prob(value) and "
            "reparameterization_type: these need no TensorFlow Probability."
        ) from error
