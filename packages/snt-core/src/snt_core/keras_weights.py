"""The variables of a module as weights of a Keras layer."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import tensorflow as tf

from snt_core.errors import NotSupportedError
from snt_core.naming import is_inside, relative_name, variable_name
from snt_core.variable_store import OwnedVariable

# The one `keras.Variable` around each variable, by `id`, since layers may share variables. It holds
# the variable, so the number stands for nothing else while it is there.
_weights: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def as_weights(variables: list[OwnedVariable], scope_name: str, path: str) -> list[Any]:
    """Returns variables as weights of Keras, which read and assign the variables themselves.

    Args:
        variables: Variables of a module.
        scope_name: Full name of its scope.
        path: Path of the layer in its model.
    """

    def make() -> list[Any]:
        with _lock:
            return [_as_weight(owned, scope_name, path) for owned in variables]

    # Where Keras calls a layer only to learn its shapes, it lets no weight be made that has a value
    # already. What a thread is doing does not concern another.
    with ThreadPoolExecutor(1) as other_thread:
        return other_thread.submit(make).result()


def _as_weight(owned: OwnedVariable, scope_name: str, path: str) -> Any:
    variable = owned.variable
    weight = _weights.get(id(variable))
    if weight is not None:
        return weight
    full_name = variable_name(variable)
    inside = is_inside(full_name, scope_name)
    *scopes, name = (relative_name(full_name, scope_name) if inside else full_name).split("/")
    with contextlib.ExitStack() as stack:
        for scope in (*path.split("/"), *scopes):
            stack.enter_context(keras.name_scope(scope))
        # Around a variable that is there, as Keras itself does for those of a SavedModel.
        weight = keras.Variable(
            variable,
            dtype=variable.dtype.name,
            trainable=is_trained(variable),
            autocast=False,
            name=name,
        )
    if weight.value is not variable:
        raise NotSupportedError(
            f"Keras {keras.__version__} copies variables, and would train the copies. "
            "snt.KerasLayer is known to work with Keras 3.12 to 3.15."
        )
    if owned.regularizer is not None:
        weight.regularizer = _Penalty(owned.regularizer)
    _weights[id(variable)] = weight
    return weight


def is_trained(variable: Any) -> bool:
    """Tells whether a variable is for the optimizer.

    Some modules declare variables trainable that they themselves assign to, so that programs that
    save the trainable variables save these. What they assign is the same on each replica.
    """
    is_assigned = variable.aggregation is tf.VariableAggregation.ONLY_FIRST_REPLICA
    return bool(variable.trainable) and not is_assigned


class _Penalty(keras.regularizers.Regularizer):
    """A regularizer of Sonnet, as Keras calls it."""

    def __init__(self, regularizer: Callable[[Any], Any]) -> None:
        self._regularizer = regularizer

    def __call__(self, weight: Any) -> Any:
        weight = tf.convert_to_tensor(weight)
        loss = self._regularizer(weight)
        return tf.zeros([], weight.dtype) if loss is None else loss
