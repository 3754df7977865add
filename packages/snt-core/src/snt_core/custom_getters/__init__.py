"""Functions that stand between a request for a variable and the variable.

A custom getter is a function `f(getter, name, *args, **kwargs)`. It is given to a module, as in
`snt.Linear(10, custom_getter=f)`, or to a `tf.compat.v1.variable_scope` around the construction of
modules. It runs whenever a variable is asked for, at every connection, and answers with
`getter(name, *args, **kwargs)`, changed before or after as it likes.
"""

from __future__ import annotations

from snt_core.custom_getters import bayes_by_backprop
from snt_core.custom_getters.context import Context
from snt_core.custom_getters.overrides import override_args, override_default_args
from snt_core.custom_getters.restore import restore_initializer
from snt_core.custom_getters.training import non_trainable, stop_gradient

__all__ = [
    "Context",
    "bayes_by_backprop",
    "non_trainable",
    "override_args",
    "override_default_args",
    "restore_initializer",
    "stop_gradient",
]
