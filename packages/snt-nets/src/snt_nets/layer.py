"""`Layer`: what modules with variables of their own have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow.compat.v1 as tf1

from snt_core.checks import check_initializers, check_partitioners, check_regularizers
from snt_core.module import AbstractModule
from snt_core.scoping import get_variable


class Layer(AbstractModule):
    """Base class of modules whose variables have initializers, partitioners and regularizers.

    Args:
        keys: The keys that the three dictionaries may have: the names of the variables.
        initializers: Initializers by variable name.
        partitioners: Partitioners by variable name; in graph mode and eagerly.
        regularizers: Regularizers by variable name.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module.
        statistics: Names of further variables, those that are not learnt: they have initializers
            only, and no regularizer from a surrounding scope.

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.
    """

    def __init__(
        self,
        keys: set[str],
        initializers: Mapping[str, Any] | None,
        partitioners: Mapping[str, Any] | None,
        regularizers: Mapping[str, Any] | None,
        custom_getter: Any = None,
        name: str | None = None,
        statistics: Collection[str] = (),
    ) -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        self.possible_keys = keys.union(statistics)
        # In a tuple, which TensorFlow has no reason to wrap as it would each dictionary.
        self._given = (
            check_initializers(initializers, self.possible_keys),
            check_partitioners(partitioners, keys),
            check_regularizers(regularizers, keys),
        )
        self._variable_options = {
            key: {
                "initializer": self._given_initializers.get(key),
                "partitioner": self._partitioners.get(key),
                "regularizer": tf1.no_regularizer
                if key in statistics
                else self._regularizers.get(key),
            }
            for key in self.possible_keys
        }

    def _layer_variable(
        self,
        name: str,
        shape: Any,
        dtype: Any,
        default_initializer: Callable[[], Any],
        **kwargs: Any,
    ) -> Any:
        """Returns a variable of the layer, which is made by the first connection.

        Args:
            name: Its name, one of the keys.
            shape: Its shape.
            dtype: Its type.
            default_initializer: Called where the user gave no initializer.
            **kwargs: Other arguments of `tf.compat.v1.get_variable`.
        """
        options = self._variable_options[name]
        if options["initializer"] is None:
            options["initializer"] = default_initializer()
        return get_variable(name, shape=shape, dtype=dtype, **options, **kwargs)

    @property
    def _given_initializers(self) -> dict[str, Any]:
        return self._given[0]

    @property
    def _partitioners(self) -> Any:
        return self._given[1]

    @property
    def _regularizers(self) -> dict[str, Any]:
        return self._given[2]

    @property
    def initializers(self) -> dict[str, Any]:
        """Initializers by variable name; the default ones are there once they were needed."""
        initializers = {key: o["initializer"] for key, o in self._variable_options.items()}
        return {key: value for key, value in initializers.items() if value is not None}

    @property
    def partitioners(self) -> Mapping[str, Any]:
        """Partitioners by variable name, as they were given."""
        return self._partitioners

    @property
    def regularizers(self) -> dict[str, Any]:
        """Regularizers by variable name."""
        return self._regularizers
