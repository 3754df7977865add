"""What is remembered of the weights that Bayes by Backprop has replaced.

Weights are known to the outermost graph, and what was drawn for them to the graph in which it was
drawn. Both are kept in collections of these graphs, and live as long as they do. (The keys are no
strings, so that these collections are not exported.)

Eagerly the outermost graph is that of the thread. It lives until `tf.compat.v1.reset_default_graph`
or for ever; therefore weights are forgotten with their variables there. What was drawn eagerly is
not kept at all: it is drawn again, with the same noise, when it is asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from snt_core.custom_getters.lifting import usable_graphs
from snt_core.errors import NotSupportedError
from snt_core.graphs import default_graph_outside_functions, outermost_graph

_T = TypeVar("_T")

_WEIGHTS = ("snt_core", "bayes_by_backprop", "weights")
_DRAWS = ("snt_core", "bayes_by_backprop", "draws")


class Distributions(NamedTuple):
    """The posterior and the prior of some weights, and the variables of both by name."""

    posterior: Any
    posterior_vars: dict[str, Any]
    prior: Any
    prior_vars: dict[str, Any]


class Draw(NamedTuple):
    """The weights that one connection got, and what they cost.

    `distributions` is `None` outside graphs, where it would keep variables alive.
    """

    estimate: tf.Tensor
    kl_cost: tf.Tensor
    distributions: Distributions | None


class BayesianWeights:
    """Weights that have a posterior.

    Attributes:
        name: Full name that the weights were asked for by.
        shape: Their shape.
        scope_name: Name of the variable scope in which they were first asked for.
        noise_seed: Seed of the noise of the latest eager connection, if it can be drawn again.
    """

    def __init__(
        self,
        name: str,
        shape: tf.TensorShape,
        scope_name: str,
        build: Callable[[Callable[..., Any]], Distributions],
        draw: Callable[[BayesianWeights, Distributions], Draw],
        variables: dict[str, Any],
    ) -> None:
        """Remembers the weights.

        Args:
            name: See `name`.
            shape: See `shape`.
            scope_name: See `scope_name`.
            build: Function that builds the distributions with a getter of variables.
            draw: Function that draws from them.
            variables: The variables of both distributions by name.
        """
        self.name = name
        self.shape = shape
        self.scope_name = scope_name
        self.noise_seed: tf.Tensor | None = None
        self._build = build
        self._draw = draw
        self._variables: dict[str, Callable[[], Any]] = {}
        self.hold(variables)

    def hold(self, variables: dict[str, Any]) -> None:
        """Remembers variables, or what other custom getters gave in place of them.

        Such tensors are made anew at each connection, and nobody else keeps them.
        """
        in_graph = outermost_graph() is not None
        for name, value in variables.items():
            keep = in_graph or isinstance(value, tf.Tensor)
            self._variables[name] = _strong(value) if keep else weakref.ref(value)

    def are_alive(self) -> bool:
        """Tells whether all variables still exist."""
        return all(variable() is not None for variable in self._variables.values())

    def have(self, variables: dict[str, Any]) -> bool:
        """Tells whether these variables are among those of the weights."""
        return all(
            name in self._variables
            and (isinstance(value, tf.Tensor) or self._variables[name]() is value)
            for name, value in variables.items()
        )

    def rebuild(self) -> Distributions:
        """Builds the distributions once more, of the same variables."""
        return self._build(self._find)

    def draw_anew(self) -> Draw:
        """Draws from the distributions as they are now."""
        return self._draw(self, self.rebuild())

    def _find(self, name: str, *args: Any, **kwargs: Any) -> Any:
        value = self._variables[name]() if name in self._variables else None
        usable = value is not None and (
            not isinstance(value, tf.Tensor)
            or outermost_graph() is not None
            or (tf.executing_eagerly() and not tf.is_symbolic_tensor(value))
        )
        if not usable:
            raise NotSupportedError(
                f"The posterior of '{self.name}' can't be built here: its getter gave "
                f"{value!r} for '{name}', and not a variable. Connect the module and ask for its "
                "KL cost in one place, both eagerly or both in the same tf.function."
            )
        return value


def known_weights(name: str | None = None) -> list[BayesianWeights]:
    """Returns the weights of the outermost graph in order of creation.

    Args:
        name: Only weights of this full name are returned. Default `None`: all.
    """
    by_name = _kept(default_graph_outside_functions(), _WEIGHTS, dict[str, list[BayesianWeights]])
    for key in list(by_name) if name is None else [name]:
        living = [weights for weights in by_name.get(key, ()) if weights.are_alive()]
        if living:
            by_name[key] = living
        else:
            by_name.pop(key, None)
    if name is not None:
        return list(by_name.get(name, ()))
    return [weights for same_name in by_name.values() for weights in same_name]


def remember(weights: BayesianWeights) -> None:
    """Adds weights to those of the outermost graph."""
    by_name = _kept(default_graph_outside_functions(), _WEIGHTS, dict[str, list[BayesianWeights]])
    by_name.setdefault(weights.name, []).append(weights)


def usable_draw(weights: BayesianWeights) -> Draw | None:
    """Returns what was drawn for the weights, if it can be used in the current graph."""
    if tf.executing_eagerly():
        return None
    graphs = usable_graphs()
    draws = _kept(graphs[-1], _DRAWS, _Draws).get(weights, {})
    return next((draws[graph] for graph in graphs if graph in draws), None)


def remember_draw(weights: BayesianWeights, draw: Draw) -> None:
    """Keeps what was drawn for the weights in the current graph."""
    graphs = usable_graphs()
    _kept(graphs[-1], _DRAWS, _Draws).setdefault(weights, {})[graphs[0]] = draw


class _Draws(weakref.WeakKeyDictionary[BayesianWeights, dict[Any, Draw]]):
    """What was drawn in a graph and in those of its loops, which share its collections."""


def _kept(graph: Any, key: tuple[str, ...], make: Callable[[], _T]) -> _T:
    """Returns the one object that is kept with the graph under the key."""
    collection = graph.get_collection_ref(key)
    if not collection:
        collection.append(make())
    return collection[0]


def _strong(value: Any) -> Callable[[], Any]:
    return lambda: value
