"""The whole-sequence form of `snt.VanillaRNN`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from snt_rnn.sequence.cell import Cell, Tensors
from snt_rnn.sequence.engine import run
from snt_rnn.sequence.layout import Layout
from snt_rnn.sequence.protocol import Unrolled, WholeSequence


class Activation(NamedTuple):
    """A function whose derivative can be told from its value.

    Attributes:
        function: The function.
        gradient: `f(value, gradient)`, returns the gradient of the function's argument.
    """

    function: Callable[[Any], Any]
    gradient: Callable[[Any, Any], Any]


ACTIVATIONS = (
    Activation(tf.tanh, lambda value, gradient: tf.raw_ops.TanhGrad(y=value, dy=gradient)),
    Activation(tf.sigmoid, lambda value, gradient: tf.raw_ops.SigmoidGrad(y=value, dy=gradient)),
    Activation(
        tf.nn.relu,
        lambda value, gradient: tf.raw_ops.ReluGrad(gradients=gradient, features=value),
    ),
)


def find_activation(function: Any) -> Activation | None:
    """Returns what is known of a function, or None."""
    return next((known for known in ACTIVATIONS if known.function is function), None)


class VanillaCell(Cell):
    """The simple recurrence; its one weight is that of the state."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation

    def saved_sizes(self, weights: Tensors) -> list[int]:
        """Nothing: the next state tells all."""
        return []

    def product_sizes(self, weights: Tensors) -> list[int]:
        """Returns the size of the state."""
        return [weights[0].shape[1]]

    def forward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weight."""
        return [layout.forward_weight(weights[0])]

    def backward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weight."""
        return [layout.backward_weight(weights[0])]

    def forward(
        self, layout: Layout, weights: Tensors, z: Any, states: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Returns the state."""
        return [self._activation.function(z + layout.product(states[0], weights[0]))], []

    def backward(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        next_states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Returns the gradients of the state before, and of what the activation is given."""
        d_z = self._activation.gradient(next_states[0], gradients[0])
        return [layout.product(d_z, weights[0])], [d_z]

    def weight_gradients(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> Tensors:
        """Returns that of the weight."""
        return [layout.weight_gradient(states[0], gradients[0])]


def vanilla_sequence(
    in_to_hidden: Any, hidden_to_hidden: Any, activation: Activation, sequence: WholeSequence
) -> Unrolled:
    """Applies an `snt.VanillaRNN` to a sequence.

    Args:
        in_to_hidden: The linear map of the input.
        hidden_to_hidden: The linear map of the state.
        activation: The activation.
        sequence: What to apply it to.
    """
    # A connection gives the variables; what it computes nobody needs.
    for linear, size in (
        (in_to_hidden, sequence.inputs.shape[-1]),
        (hidden_to_hidden, sequence.initial_state.shape[-1]),
    ):
        linear(tf.zeros([1, size], sequence.inputs.dtype))
    bias = tf.convert_to_tensor(in_to_hidden.b) + hidden_to_hidden.b
    return run(VanillaCell(activation), sequence, in_to_hidden.w, bias, [hidden_to_hidden.w])
