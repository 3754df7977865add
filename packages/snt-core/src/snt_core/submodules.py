"""`find_submodules`: the modules that the attributes of a module hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf


def find_submodules(module: tf.Module) -> tuple[tf.Module, ...]:
    """Returns the modules that attributes hold, in containers too, and those that they hold.

    `tf.Module.submodules` asks a method `_flatten` for the same. Programs have modules by that
    name: `self._flatten = snt.BatchFlatten()`.

    Args:
        module: Where to begin; it is not among them.
    """
    found = {id(module): module}
    _find(module, found)
    return tuple(found.values())[1:]


def _find(module: tf.Module, found: dict[int, tf.Module]) -> None:
    """Adds to `found` the modules of the attributes in order of their names, then theirs."""
    new = []
    for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
        if name.startswith("_self_"):  # what TensorFlow notes of the attributes
            continue
        for leaf in _leaves(value):
            if isinstance(leaf, tf.Module) and id(leaf) not in found:
                found[id(leaf)] = leaf
                new.append(leaf)
    for submodule in new:
        _find(submodule, found)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
