"""`ResidualCore` and `SkipConnectionCore`: the input of a core goes on beside its output."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from snt_rnn.concatenation import concatenate, concatenated_size
from snt_rnn.core import RNNCore


class _AroundCore(RNNCore):
    """A core around another one, whose state it has."""

    def __init__(self, base_core: Any, name: str) -> None:
        super().__init__(name=name)
        self._base_core = base_core

    @property
    def state_size(self) -> Any:
        """That of the base core."""
        return self._base_core.state_size

    def zero_state(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a state of zeros, as the base core does.

        Args:
            *args: As for the `zero_state` of the base core.
            **kwargs: Likewise.
        """
        return self._base_core.zero_state(*args, **kwargs)

    def initial_state(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the state to begin with, as the base core does.

        Args:
            *args: As for the `initial_state` of the base core.
            **kwargs: Likewise.
        """
        return self._base_core.initial_state(*args, **kwargs)


class ResidualCore(_AroundCore):
    """Adds the inputs to the outputs of a core: the recurrent form of `snt.Residual`.

    It has no variables of its own, and the state is that of the base core.

    Args:
        base_core: Core whose outputs have the structure and shapes of its inputs.
        name: Name of the module. Default: "residual_core".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.ResidualCore(snt.GRU(5))
        >>> outputs, state = core(tf.ones([8, 5]), core.initial_state(batch_size=8))
        >>> outputs.shape
        TensorShape([8, 5])
    """

    def __init__(self, base_core: Any, name: str = "residual_core") -> None:
        super().__init__(base_core, name)

    def _build(self, inputs: Any, prev_state: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Applies the base core, and adds the inputs.

        Args:
            inputs: Tensor `[batch, ...]`, or nested structure of tensors.
            prev_state: State of the base core.
            **kwargs: Handed on to the base core.

        Returns:
            Structure of the inputs, each tensor with that of the outputs added to it; and the next
            state.

        Raises:
            ValueError: If the outputs are structured otherwise than the inputs.
            TypeError: If a container among them is of another type.
        """
        outputs, next_state = self._base_core(inputs, prev_state, **kwargs)
        return tf.nest.map_structure(operator.add, inputs, outputs), next_state

    @property
    def output_size(self) -> Any:
        """That of the base core."""
        return self._base_core.output_size


class SkipConnectionCore(_AroundCore):
    """Joins the inputs and the outputs of a core along the last axis, the inputs first.

    It has no variables of its own, and the state is that of the base core.

    Args:
        base_core: Core whose outputs have the structure of its inputs, and their shapes but for
            the last axis.
        input_shape: Shape of the inputs without the batch, or structure of such shapes. The loops
            of TensorFlow ask for `output_size` before the first connection, and then it must be
            given. Default: that of the inputs of the first connection.
        name: Name of the module. Default: "skip_connection_core".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.SkipConnectionCore(snt.GRU(5), input_shape=[3])
        >>> outputs, state = core(tf.ones([8, 3]), core.initial_state(batch_size=8))
        >>> outputs.shape, core.output_size
        (TensorShape([8, 8]), TensorShape([8]))
    """

    def __init__(
        self, base_core: Any, input_shape: Any = None, name: str = "skip_connection_core"
    ) -> None:
        super().__init__(base_core, name)
        # In a function, since a tf.Module would replace lists in a structure by its own.
        self._get_input_shape: Callable[[], Any] = lambda: _as_shapes(input_shape)

    def _build(self, inputs: Any, prev_state: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Applies the base core, and joins the inputs and its outputs.

        Args:
            inputs: Tensor `[batch, ..., features]`, or nested structure of tensors.
            prev_state: State of the base core.
            **kwargs: Handed on to the base core.

        Returns:
            Structure of tensors `[batch, ..., features + features of the output]`; and the next
            state.

        Raises:
            ValueError: If the outputs are structured otherwise than the inputs.
            TypeError: If a container among them is of another type.
        """
        if self._get_input_shape() is None:
            shape = tf.nest.map_structure(lambda x: tf.TensorShape(x.shape[1:]), inputs)
            self._get_input_shape = lambda: shape
        outputs, next_state = self._base_core(inputs, prev_state, **kwargs)
        return concatenate(inputs, outputs), next_state

    @property
    def output_size(self) -> Any:
        """Shapes of the output without the batch.

        Raises:
            ValueError: If the shape of the inputs is not known yet.
        """
        input_shape = self._get_input_shape()
        if input_shape is None:
            raise ValueError(
                f"{self.scope_name}: Output size unknown. It depends on the shape of the inputs: "
                "give it as input_shape, or connect the core first."
            )
        return concatenated_size(input_shape, self._base_core.output_size)


def _as_shapes(given: Any) -> Any:
    """Returns a shape, or a structure of shapes, as TensorShapes."""
    if given is None or all(isinstance(leaf, tf.TensorShape) for leaf in tf.nest.flatten(given)):
        return given
    return tf.TensorShape(given)
