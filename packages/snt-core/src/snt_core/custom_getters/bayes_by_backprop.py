"""Bayes by Backprop: weights that are drawn from a learned distribution.

The custom getter replaces each trainable variable by a draw from a variational posterior, and
keeps account of what the posterior costs: its KL divergence from a prior, the complexity cost that
is added to the loss. See Blundell et al., Weight Uncertainty in Neural Networks, 2015,
https://arxiv.org/abs/1505.05424, and for recurrent networks Fortunato et al., Bayesian Recurrent
Neural Networks, 2017, https://arxiv.org/abs/1704.02798.

    getter = bayes_by_backprop.bayes_by_backprop_getter()
    net = snt.Linear(10, custom_getter=getter)
    with tf.GradientTape() as tape:
        loss = error(net(inputs), targets) + bayes_by_backprop.get_total_kl_cost() / batches
    gradients = tape.gradient(loss, net.trainable_variables)

Which draw of the weights the KL costs belong to depends on where they are asked for:

- In a graph, they are those of the first connection, so that they count once however often a module
  is connected.
- Inside a `tf.function`, they are those of the latest connection in it. As for any value, gradients
  flow to the posterior where that connection is under the same `tf.GradientTape`.
- Eagerly, and in a function without a connection, they are computed when they are asked for, from
  the variables as they are then; gradients flow to these under any tape. With the posteriors of
  TensorFlow Probability the noise is that of the latest eager connection, so that, until the
  variables change, the cost is that of the very weights which the connection used.

Eagerly only modules that still exist count. All of one graph, or eagerly of one thread, count
together; `filter_by_name_substring` singles out some.

The built-in posteriors and priors need TensorFlow Probability (`pip install 'snt-core[bayes]'`).
Builders of your own don't: any distribution with `sample()`, `mean()`, `log_prob(value)` and
`reparameterization_type` will do.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.custom_getters import posterior_records as records
from snt_core.custom_getters.lifting import outside_control_flow
from snt_core.custom_getters.posterior_estimates import (
    EstimatorModes,
    check_reparameterised,
    estimate_weights,
    takes_stateless_seed,
)
from snt_core.custom_getters.posterior_records import BayesianWeights, Distributions, Draw
from snt_core.custom_getters.variational import (
    adaptive_gaussian_prior_builder,
    analytic_kl_builder,
    diagonal_gaussian_posterior_builder,
    fixed_gaussian_prior_builder,
    inverse_softplus,
    scale_variable_initializer,
    stochastic_kl_builder,
    weights_dtype,
)
from snt_core.errors import NotSupportedError
from snt_core.graphs import outermost_graph

__all__ = [
    "EstimatorModes",
    "VariableMetadata",
    "adaptive_gaussian_prior_builder",
    "analytic_kl_builder",
    "bayes_by_backprop_getter",
    "diagonal_gaussian_posterior_builder",
    "fixed_gaussian_prior_builder",
    "get_total_kl_cost",
    "get_variable_metadata",
    "inverse_softplus",
    "scale_variable_initializer",
    "stochastic_kl_builder",
]

_ALLOWED_DTYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


class VariableMetadata(NamedTuple):
    """What is known of one variable that a posterior has replaced.

    Attributes:
        raw_variable_name: Full name of the variable that was asked for.
        raw_variable_shape: Its `tf.TensorShape`.
        scope_name: Name of the variable scope in which it was first asked for.
        posterior: The posterior distribution.
        posterior_estimate: Tensor of the weights.
        prior: The prior distribution.
        kl_cost: Scalar tensor, the KL cost of the posterior.
        prior_vars: Variables of the prior: the dictionary that its builder gave or, if it gave
            none, those it got, by name.
        posterior_vars: Variables of the posterior, likewise.
    """

    raw_variable_name: str
    raw_variable_shape: tf.TensorShape
    scope_name: str
    posterior: Any
    posterior_estimate: tf.Tensor
    prior: Any
    kl_cost: tf.Tensor
    prior_vars: dict[str, Any]
    posterior_vars: dict[str, Any]


def bayes_by_backprop_getter(
    posterior_builder: Callable[..., Any] = diagonal_gaussian_posterior_builder,
    prior_builder: Callable[..., Any] = fixed_gaussian_prior_builder,
    kl_builder: Callable[[Any, Any, tf.Tensor], tf.Tensor] = stochastic_kl_builder,
    sampling_mode_tensor: Any = None,
    fresh_noise_per_connection: bool = True,
    keep_control_dependencies: bool = False,
) -> Callable[..., tf.Tensor]:
    """Makes a custom getter that draws trainable weights from a variational posterior.

    Variables that are asked for with `trainable=False` are left alone.

    Args:
        posterior_builder: Function `f(getter, name, *args, **kwargs)`, with the arguments of a
            custom getter, that returns the posterior, or a pair of it and a dictionary of its
            variables. Default: `diagonal_gaussian_posterior_builder`.
        prior_builder: The same for the prior. Default: `fixed_gaussian_prior_builder`.
        kl_builder: Function from the posterior, the prior and the weights drawn to the KL cost, a
            scalar. Default: `stochastic_kl_builder`.
        sampling_mode_tensor: Scalar string tensor or variable, or a string, with one of the values
            of `EstimatorModes`. It is read whenever weights are drawn. Default `None`: always
            `EstimatorModes.sample`.
        fresh_noise_per_connection: Whether each connection draws anew. Default `True`. With
            `False`, all connections in one graph, or in one `tf.function`, have the weights of the
            first, which are drawn anew at each run of the graph or call of the function. Eagerly
            nothing marks a new run: all connections have the same noise for good, applied to the
            posterior as it then is; train in a `tf.function`.
        keep_control_dependencies: Where weights are drawn that a loop or conditional asks for.
            Default `False`: outside it, so that a recurrent core, say, has the same weights at all
            steps. With `True`, inside: there are others at each step. Eagerly, where a loop is
            plain Python, each connection draws for itself; see `fresh_noise_per_connection`.

    Returns:
        A custom getter. What it gives is a tensor. It raises `ValueError` for variables that are
        not of a floating type; for posteriors that are not reparameterised, through whose samples
        no gradient flows; and, without fresh noise, if a variable has to be reused that never had
        a posterior. A mode other than those of `EstimatorModes` is a
        `tf.errors.InvalidArgumentError` when weights are drawn.

    Example:
        >>> import tensorflow as tf
        >>> import tensorflow.compat.v1 as tf1
        >>> class Dirac:
        ...     reparameterization_type = "FULLY_REPARAMETERIZED"
        ...     def __init__(self, value):
        ...         self.value = tf.convert_to_tensor(value)
        ...     def sample(self):
        ...         return self.value
        ...     mean = sample
        >>> def dirac_builder(getter, name, *args, **kwargs):
        ...     return Dirac(getter(name + "/posterior_loc", *args, **kwargs))
        >>> getter = bayes_by_backprop_getter(
        ...     posterior_builder=dirac_builder,
        ...     prior_builder=lambda getter, name, *args, **kwargs: None,
        ...     kl_builder=lambda posterior, prior, sample: 0.5 * tf.reduce_sum(sample**2),
        ... )
        >>> with tf.Graph().as_default(), tf1.Session() as session:
        ...     with tf1.variable_scope("linear", custom_getter=getter):
        ...         w = tf1.get_variable("w", [2, 3], initializer=tf1.ones_initializer())
        ...     print([variable.name for variable in tf1.trainable_variables()])
        ...     session.run(tf1.global_variables_initializer())
        ...     print(session.run(get_total_kl_cost()))
        ['linear/w/posterior_loc:0']
        3.0
    """
    return _BayesByBackpropGetter(
        posterior_builder,
        prior_builder,
        kl_builder,
        sampling_mode_tensor,
        fresh_noise_per_connection,
        keep_control_dependencies,
    )


def get_variable_metadata(scope_name_substring: str | None = None) -> list[VariableMetadata]:
    """Returns what is known of the variables that posteriors have replaced.

    Estimates and KL costs are those that the head of this module describes.

    Args:
        scope_name_substring: Only variables are returned whose variable scope has this in its name.
            Default `None`: all.

    Returns:
        The metadata in the order in which the variables were made.
    """
    metadata = []
    for weights in records.known_weights():
        if scope_name_substring is None or scope_name_substring in weights.scope_name:
            draw = records.usable_draw(weights) or weights.draw_anew()
            made = draw.distributions or weights.rebuild()
            metadata.append(
                VariableMetadata(
                    raw_variable_name=weights.name,
                    raw_variable_shape=weights.shape,
                    scope_name=weights.scope_name,
                    posterior=made.posterior,
                    posterior_estimate=draw.estimate,
                    prior=made.prior,
                    kl_cost=draw.kl_cost,
                    prior_vars=made.prior_vars,
                    posterior_vars=made.posterior_vars,
                )
            )
    return metadata


def get_total_kl_cost(
    name: str = "total_kl_cost", filter_by_name_substring: str | None = None
) -> tf.Tensor:
    """Returns the sum of the KL costs of the posteriors.

    Args:
        name: Name of the op. Default `"total_kl_cost"`.
        filter_by_name_substring: Only variables count that have this in their full name, or in the
            name of their variable scope. Default `None`: all.

    Returns:
        A scalar of the dtype of the variables; of float32, or float64 where that is among them, if
        they are of several. If there are none, a warning is logged and it is 0.0 in float32.
    """
    costs = [
        (records.usable_draw(weights) or weights.draw_anew()).kl_cost
        for weights in records.known_weights()
        if filter_by_name_substring is None
        or filter_by_name_substring in weights.name
        or filter_by_name_substring in weights.scope_name
    ]
    if not costs:
        tf1.logging.warning(
            "get_total_kl_cost: no variable%s has a posterior; the KL cost is 0.0. Connect the "
            "modules first, in the same graph.",
            f" with '{filter_by_name_substring}' in its name" if filter_by_name_substring else "",
        )
        return tf.constant(0.0, name=name)
    dtypes = {cost.dtype for cost in costs}
    if len(dtypes) > 1:
        widest = tf.float64 if tf.float64 in dtypes else tf.float32
        costs = [tf.cast(cost, widest) for cost in costs]
    return tf.add_n(costs, name=name)


@dataclasses.dataclass(frozen=True, eq=False)
class _BayesByBackpropGetter:
    """The custom getter; its attributes are the arguments of `bayes_by_backprop_getter`."""

    posterior_builder: Callable[..., Any]
    prior_builder: Callable[..., Any]
    kl_builder: Callable[[Any, Any, tf.Tensor], tf.Tensor]
    sampling_mode_tensor: Any
    fresh_noise_per_connection: bool
    keep_control_dependencies: bool

    def __call__(self, getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
        trainable = kwargs.get("trainable")
        if trainable is not None and not trainable:
            return getter(name, *args, **kwargs)
        if weights_dtype(kwargs) not in _ALLOWED_DTYPES:
            raise ValueError(
                f"Disallowed data type {weights_dtype(kwargs).name} of variable '{name}'. Bayes by "
                f"Backprop draws {', '.join(dtype.name for dtype in _ALLOWED_DTYPES)}; make other "
                "variables with trainable=False."
            )
        shares_noise = not self.fresh_noise_per_connection and bool(kwargs.get("reuse"))
        if shares_noise and kwargs["reuse"] is True and not records.known_weights(name):
            raise ValueError(
                f"No metadata for variable '{name}', which is to be reused with the noise of its "
                "first connection: it was not made by a getter of Bayes by Backprop."
            )
        if shares_noise and outermost_graph() is not None:
            for weights in records.known_weights(name):
                draw = records.usable_draw(weights)
                if draw is not None:
                    return draw.estimate
        keep = self.keep_control_dependencies
        with contextlib.nullcontext() if keep else outside_control_flow():
            return self._connect(shares_noise, getter, name, args, kwargs)

    def _connect(
        self,
        shares_noise: bool,
        getter: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tf.Tensor:
        in_graph, eager = outermost_graph() is not None, tf.executing_eagerly()
        made = _Recorder(getter)
        posterior, posterior_vars = made.build(self.posterior_builder, name, args, kwargs)
        check_reparameterised(name, posterior)
        weights = next((w for w in records.known_weights(name) if w.have(made.variables)), None)
        if weights is not None and eager:
            weights.hold(made.variables)
            return self._estimate_eagerly(weights, posterior)
        earlier = None if weights is None else records.usable_draw(weights)
        if earlier is not None and shares_noise:
            return earlier.estimate
        if weights is not None and earlier is not None and in_graph:
            return self._estimate(weights, posterior)  # its cost is that of the first connection

        prior, prior_vars = made.build(self.prior_builder, name, args, kwargs)
        if weights is None:
            weights = self._remember(name, args, kwargs, made.variables)
        if eager:
            return self._estimate_eagerly(weights, posterior)
        draw = self._draw(weights, Distributions(posterior, posterior_vars, prior, prior_vars))
        records.remember_draw(weights, draw if in_graph else draw._replace(distributions=None))
        return draw.estimate

    def _remember(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        variables: dict[str, Any],
    ) -> BayesianWeights:
        def build(getter: Callable[..., Any]) -> Distributions:
            again = _Recorder(getter)
            return Distributions(
                *again.build(self.posterior_builder, name, args, kwargs),
                *again.build(self.prior_builder, name, args, kwargs),
            )

        shape = args[0] if args else kwargs.get("shape")
        weights = BayesianWeights(
            name, tf.TensorShape(shape), tf1.get_variable_scope().name, build, self._draw, variables
        )
        records.remember(weights)
        return weights

    def _draw(self, weights: BayesianWeights, distributions: Distributions) -> Draw:
        estimate = self._estimate(weights, distributions.posterior)
        with tf1.name_scope(f"{weights.name}/kl_cost"):
            kl_cost = self.kl_builder(distributions.posterior, distributions.prior, estimate)
        return Draw(estimate, tf.convert_to_tensor(kl_cost), distributions)

    def _estimate_eagerly(self, weights: BayesianWeights, posterior: Any) -> tf.Tensor:
        """Draws for an eager connection, with noise that can be drawn again for the KL cost."""
        if takes_stateless_seed(posterior):
            if weights.noise_seed is None or self.fresh_noise_per_connection:
                weights.noise_seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        elif not self.fresh_noise_per_connection:
            raise NotSupportedError(
                "fresh_noise_per_connection=False eagerly needs a posterior of TensorFlow "
                f"Probability, which can draw the same noise again; that of '{weights.name}' is "
                f"{posterior!r}. Connect the module inside a tf.function."
            )
        return self._estimate(weights, posterior)

    def _estimate(self, weights: BayesianWeights, posterior: Any) -> tf.Tensor:
        seed = weights.noise_seed if tf.executing_eagerly() else None
        with tf1.name_scope(f"{weights.name}/estimate"):
            estimate = tf.convert_to_tensor(
                estimate_weights(posterior, self.sampling_mode_tensor, seed)
            )
        if weights.shape.rank is None:  # asked for with values, which say the shape
            weights.shape = estimate.shape
        return estimate


class _Recorder:
    """A getter that notes the variables that it gets."""

    def __init__(self, getter: Callable[..., Any]) -> None:
        self.variables: dict[str, Any] = {}
        self._getter = getter

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        variable = self.variables[name] = self._getter(name, *args, **kwargs)
        return variable

    def build(
        self,
        builder: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        """Returns what a builder builds, and its variables."""
        before = set(self.variables)
        built = builder(self, name, *args, **kwargs)
        if isinstance(built, tuple):
            distribution, variables = built
            return distribution, variables
        return built, {key: self.variables[key] for key in self.variables if key not in before}
