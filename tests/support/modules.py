"""Small modules that tests of the engine connect."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


class Scale(snt.AbstractModule):
    """The smallest module with a variable."""

    def __init__(self, size: int = 3, name: str = "scale", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._size = size

    def _build(self, inputs: Any, power: Any = 1) -> Any:
        """Scales the inputs."""
        w = tf1.get_variable("w", [self._size], initializer=tf1.ones_initializer())
        return inputs * tf.pow(w, power)


class Parent(snt.AbstractModule):
    """Makes its submodules anew at each connection."""

    def _build(self, inputs: Any) -> Any:
        return Scale()(Scale()(inputs))


class WithGetter(snt.AbstractModule):
    def __init__(self, custom_getter: Any, name: str = "with_getter") -> None:
        super().__init__(custom_getter=custom_getter, name=name)

    def _build(self, inputs: Any) -> Any:
        w = tf1.get_variable("w", [3], initializer=tf1.ones_initializer())
        return Scale(name="inner")(inputs * w)


def names(variables: Any) -> list[str]:
    return [variable.name for variable in variables]


ONES = np.ones([2, 3], np.float32)
