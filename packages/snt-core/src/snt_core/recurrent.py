"""`RNNCore`: what TensorFlow's loops over time ask of a module, and how its state begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.function_module import Module
from snt_core.module import AbstractModule


class RNNCore(AbstractModule):
    """Base class of modules that carry a state from one call to the next.

    A subclass implements `_build(inputs, prev_state)`, which returns `(outputs, next_state)`, and
    `state_size` and `output_size`. With these and `zero_state` it is all that
    `tf.compat.v1.nn.dynamic_rnn`, its like, and `snt.dynamic_unroll` ask for. Inputs, outputs and
    states may be nested tuples, lists and namedtuples.

    Args:
        _sentinel: Keeps positional arguments out.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: the name of the class in snake case.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> class Sum(snt.RNNCore):
        ...     state_size = output_size = tf.TensorShape([3])
        ...
        ...     def _build(self, inputs, prev_state):
        ...         total = prev_state + inputs
        ...         return total, total
        >>> core = Sum()
        >>> outputs, state = core(tf.ones([2, 3]), core.initial_state(batch_size=2))
        >>> outputs.shape
        TensorShape([2, 3])
    """

    @property
    def state_size(self) -> Any:
        """Shapes of the state without the batch: a structure of integers and TensorShapes."""
        raise NotImplementedError(f"{type(self).__name__} has no state_size: define it.")

    @property
    def output_size(self) -> Any:
        """Shapes of the output without the batch, likewise."""
        raise NotImplementedError(f"{type(self).__name__} has no output_size: define it.")

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Returns a state of zeros.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state.

        Returns:
            Tensors `[batch_size, ...]` in the structure of `state_size`.
        """
        with tf1.name_scope(f"{type(self).__name__}ZeroState"):
            return tf.nest.map_structure(
                lambda size: _zeros(batch_size, size, dtype), self.state_size
            )

    def initial_state(
        self,
        batch_size: Any,
        dtype: Any = tf.float32,
        trainable: bool = False,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
        **unused_kwargs: Any,
    ) -> Any:
        """Returns the state to begin with: zeros, or a state that is learnt.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state. Default: float32.
            trainable: Whether the state is learnt: then each call makes new variables, except
                inside the `_build` of a module. Default: False.
            trainable_initializers: Initializers of a state that is learnt, as for
                `snt.trainable_initial_state`.
            trainable_regularizers: Its regularizers, likewise.
            name: Name scope of the ops, and start of the names of the variables. Default: the
                name of the module's scope with "_initial_state".
            **unused_kwargs: Not used.

        Returns:
            Tensors `[batch_size, ...]` in the structure of `state_size`.

        Raises:
            ValueError: As `snt.trainable_initial_state` does.
            TypeError: Likewise.
        """
        name = name or f"{self.scope_name}_initial_state"
        with tf1.name_scope(name):
            if not trainable:
                return self.zero_state(batch_size, dtype)
            return trainable_initial_state(
                batch_size,
                self.state_size,
                dtype,
                initializers=trainable_initializers,
                regularizers=trainable_regularizers,
                name=name,
            )


def trainable_initial_state(
    batch_size: Any,
    state_size: Any,
    dtype: Any,
    initializers: Any = None,
    regularizers: Any = None,
    name: str | None = None,
) -> Any:
    """Returns a state to begin with that is learnt: the same for all examples of a batch.

    Each part of the state is a variable `[1, ...]`, repeated over the batch. A call makes new
    variables, except inside the `_build` of a module, where each connection shares them. Eagerly,
    gradients reach them only from a state that is made under the tape.

    Args:
        batch_size: Size of the batch: an integer, or a tensor of one.
        state_size: Shapes of the state without the batch: a structure of integers and
            TensorShapes, all known.
        dtype: Type of the state.
        initializers: A structure of initializers like `state_size`, or one for all its parts.
            Default: zeros.
        regularizers: A structure of regularizers, likewise. Default: none.
        name: Start of the names of the variables: `<name>_<part>/w`, where the part is the field
            of a namedtuple, otherwise a number. Default: "initial_state".

    Returns:
        Tensors `[batch_size, ...]` in the structure of `state_size`.

    Raises:
        ValueError: If a structure is nested in another way than `state_size`, something in it
            cannot be called, or a shape is not fully known.
        TypeError: If a structure is nested by other types than `state_size`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> snt.trainable_initial_state(4, (tf.TensorShape([2]), 3), tf.float32)[1].shape
        TensorShape([4, 3])
    """
    sizes = [tf.TensorShape(size) for size in tf.nest.flatten(state_size)]
    for size in sizes:
        if not size.is_fully_defined():
            raise ValueError(
                f"A trainable initial state needs shapes that are fully defined, got {size} in "
                f"the state size {state_size}."
            )
    parts = [str(number) for number in range(len(sizes))]
    fields = getattr(state_size, "_fields", ())
    if len(fields) >= len(sizes):
        parts = list(fields[: len(sizes)])
    states = []
    for part, size, initializer, regularizer in zip(
        parts,
        sizes,
        _callables("initializer", initializers, state_size, tf1.zeros_initializer()),
        _callables("regularizer", regularizers, state_size, None),
        strict=True,
    ):
        variable = _learnt(
            [1, *size.as_list()],
            dtype,
            initializer,
            regularizer,
            f"{name or 'initial_state'}_{part}",
        )
        multiples = [_as_scalar(batch_size), *[1] * len(size)]
        state = tf.tile(variable, multiples, name=f"state_{part}_tiled")
        state.set_shape([_static_batch_size(batch_size), *size.as_list()])
        states.append(state)
    return tf.nest.pack_sequence_as(state_size, states)


def _learnt(
    shape: list[int], dtype: Any, initializer: Any, regularizer: Any, name: str
) -> tf.Variable:
    def variable() -> Any:
        return tf1.get_variable(
            "w", shape=shape, dtype=dtype, initializer=initializer, regularizer=regularizer
        )

    return Module(variable, name=name)()


def _callables(kind: str, given: Any, state_size: Any, default: Any) -> list[Callable[..., Any]]:
    count = len(tf.nest.flatten(state_size))
    if not given:
        return [default] * count
    if callable(given):
        return [given] * count
    tf.nest.assert_same_structure(given, state_size)
    functions = tf.nest.flatten(given)
    for function in functions:
        if not callable(function):
            raise ValueError(
                f"Not all the passed {kind}s are callable: got {function!r} in the {kind}s "
                f"{given} of a trainable initial state. Pass a function for each part of the state."
            )
    return functions


def _static_batch_size(batch_size: Any) -> int | None:
    """Returns the size of a batch, if it is known when the graph is built."""
    if not tf.is_tensor(batch_size):
        return int(batch_size)
    value = tf.get_static_value(batch_size)
    return None if value is None else int(value.item())


def _as_scalar(batch_size: Any) -> Any:
    return tf.reshape(batch_size, []) if tf.is_tensor(batch_size) else int(batch_size)


def _zeros(batch_size: Any, size: Any, dtype: Any) -> Any:
    sizes = tf.TensorShape(size).as_list()
    static_batch_size = _static_batch_size(batch_size)
    if static_batch_size is not None:
        return tf.zeros([static_batch_size, *sizes], dtype)
    zeros = tf.zeros([_as_scalar(batch_size), *sizes], dtype)
    zeros.set_shape([None, *sizes])
    return zeros
