"""`ResidualCore` and `SkipConnectionCore`: the input of a core goes on beside its output."""

from __future__ import annotations

import abc
import operator
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from snt_rnn.concatenation import concatenate, concatenated_size
from snt_rnn.core import RNNCore
from snt_rnn.sequence.protocol import Form, Unrolled, WholeSequence, offers_form, stands_for
from snt_rnn.sequence.steps import unroll


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

    def _build(self, inputs: Any, prev_state: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Applies the base core, and joins the inputs and its outputs.

        Args:
            inputs: Tensor `[batch, ..., features]`, or nested structure of tensors.
            prev_state: State of the base core.
            **kwargs: Handed on to the base core.

        Returns:
            Tensors `[batch, ..., output_features]` in the structure of the inputs; and the next
            state.

        Raises:
            ValueError: If the outputs are structured otherwise than the inputs.
            TypeError: If a container among them is of another type.
        """
        outputs, next_state = self._base_core(inputs, prev_state, **kwargs)
        return self._join(inputs, outputs, batch_axes=1), next_state

    @abc.abstractmethod
    def _join(self, inputs: Any, outputs: Any, batch_axes: int) -> Any:
        """Returns what becomes of the inputs and outputs of the base core.

        Args:
            inputs: The inputs: of a step, or of all steps.
            outputs: The outputs, likewise.
            batch_axes: Number of axes before those of an example's step.
        """

    @stands_for("_build")
    def _sequence_form(self, sequence: WholeSequence) -> Form | None:
        """Offers a form for whole sequences; see `snt_rnn.sequence.protocol`."""
        return self._unroll_around if offers_form(self._base_core) else None

    def _unroll_around(self, sequence: WholeSequence) -> Unrolled:
        unrolled = unroll(self._base_core, sequence)
        # Both are zeros after the end of an example, and so is what becomes of them.
        outputs = self._join(sequence.inputs, unrolled.outputs, batch_axes=2)
        return unrolled._replace(outputs=outputs)


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

    def _join(self, inputs: Any, outputs: Any, batch_axes: int) -> Any:
        """Adds them."""
        return tf.nest.map_structure(operator.add, inputs, outputs)

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

    def _join(self, inputs: Any, outputs: Any, batch_axes: int) -> Any:
        """Joins them along the last axis, and notes the shape of the inputs."""
        if self._get_input_shape() is None:
            shape = tf.nest.map_structure(lambda x: tf.TensorShape(x.shape[batch_axes:]), inputs)
            self._get_input_shape = lambda: shape
        return concatenate(inputs, outputs)

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
