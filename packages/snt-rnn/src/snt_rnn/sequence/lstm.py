"""The whole-sequence form of `snt.LSTM`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from snt_rnn.sequence.cell import Cell, Tensors
from snt_rnn.sequence.engine import run
from snt_rnn.sequence.layout import Layout
from snt_rnn.sequence.protocol import Unrolled, WholeSequence


class LSTMCell(Cell):
    """The plain LSTM; its one weight beside that of the inputs is that of the hidden state.

    The gates come in the order i, f, o, j, so that those with a sigmoid lie side by side.
    """

    def saved_sizes(self, weights: Tensors) -> list[int]:
        """Returns the sizes of the gates."""
        return [weights[0].shape[1] // 4] * 4

    def product_sizes(self, weights: Tensors) -> list[int]:
        """Returns the size of what the gates are made of."""
        return [weights[0].shape[1]]

    def forward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weight of the hidden state."""
        return [layout.forward_weight(weights[0])]

    def backward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weight of the hidden state."""
        return [layout.backward_weight(weights[0])]

    def forward(
        self, layout: Layout, weights: Tensors, z: Any, states: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Returns hidden state and cell, and the gates."""
        hidden, cell = states
        i, f, o, j = layout.split(z + layout.product(hidden, weights[0]), 4)
        i, f, o, j = tf.sigmoid(i), tf.sigmoid(f), tf.sigmoid(o), tf.tanh(j)
        cell = f * cell + i * j
        return [tf.tanh(cell) * o, cell], [i, f, o, j]

    def backward(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        next_states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Returns gradients of the states before, and of what the gates are made of."""
        i, f, o, j = saved
        d_hidden, d_cell = gradients
        seen = tf.tanh(next_states[1])
        d_cell += tf.raw_ops.TanhGrad(y=seen, dy=d_hidden * o)
        d_z = layout.concat(
            [
                tf.raw_ops.SigmoidGrad(y=i, dy=d_cell * j),
                tf.raw_ops.SigmoidGrad(y=f, dy=d_cell * states[1]),
                tf.raw_ops.SigmoidGrad(y=o, dy=d_hidden * seen),
                tf.raw_ops.TanhGrad(y=j, dy=d_cell * i),
            ]
        )
        return [layout.product(d_z, weights[0]), d_cell * f], [d_z]

    def weight_gradients(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> Tensors:
        """Returns that of the weight of the hidden state."""
        return [layout.weight_gradient(states[0], gradients[0])]


class PeepholeLSTMCell(LSTMCell):
    """The LSTM with peepholes; further weights are those of the gates i and f and of the output."""

    def product_sizes(self, weights: Tensors) -> list[int]:
        """Returns the size of what the gates are made of, and those of the peepholes."""
        size = weights[0].shape[1] // 4
        return [4 * size, size, size, size]

    def forward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weight of the hidden state, and the peepholes."""
        return [layout.forward_weight(weights[0]), *map(layout.vector, weights[1:])]

    def backward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the same."""
        return [layout.backward_weight(weights[0]), *map(layout.vector, weights[1:])]

    def forward(
        self, layout: Layout, weights: Tensors, z: Any, states: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Returns hidden state and cell, and the gates."""
        hidden, cell = states
        weight, w_i, w_f, w_o = weights
        i, f, o, j = layout.split(z + layout.product(hidden, weight), 4)
        i, f = tf.sigmoid(i + w_i * cell), tf.sigmoid(f + w_f * cell)
        o, j = tf.sigmoid(o), tf.tanh(j)
        cell = f * cell + i * j
        return [tf.tanh(cell + w_o * cell) * o, cell], [i, f, o, j]

    def backward(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        next_states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Returns gradients of the states before, of what the gates are made of, and of peepholes.

        Those of the peepholes are to be summed over time and batch.
        """
        i, f, o, j = saved
        weight, w_i, w_f, w_o = weights
        cell, next_cell = states[1], next_states[1]
        d_hidden, d_cell = gradients
        seen = tf.tanh(next_cell + w_o * next_cell)
        d_seen = tf.raw_ops.TanhGrad(y=seen, dy=d_hidden * o)
        d_cell += d_seen + w_o * d_seen
        d_i = tf.raw_ops.SigmoidGrad(y=i, dy=d_cell * j)
        d_f = tf.raw_ops.SigmoidGrad(y=f, dy=d_cell * cell)
        d_o = tf.raw_ops.SigmoidGrad(y=o, dy=d_hidden * seen)
        d_j = tf.raw_ops.TanhGrad(y=j, dy=d_cell * i)
        d_z = layout.concat([d_i, d_f, d_o, d_j])
        d_states = [layout.product(d_z, weight), d_cell * f + w_i * d_i + w_f * d_f]
        return d_states, [d_z, d_i * cell, d_f * cell, d_seen * next_cell]

    def weight_gradients(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> Tensors:
        """Returns that of the weight of the hidden state, and those of the peepholes."""
        plain = super().weight_gradients(layout, weights, states, saved, gradients)
        return [*plain, *map(layout.vector_gradient, gradients[1:])]


def lstm_sequence(weights: Any, forget_bias: Any, sequence: WholeSequence) -> Unrolled:
    """Applies an LSTM to a sequence.

    Args:
        weights: The weights of an `snt.LSTM` without projection and normalisation; here the gates
            come in the order i, j, f, o.
        forget_bias: Added to the forget gate.
        sequence: What to apply it to.
    """
    b_i, b_j, b_f, b_o = tf.split(tf.convert_to_tensor(weights.b_gates), 4)
    bias = tf.concat([b_i, b_f + tf.cast(forget_bias, b_f.dtype), b_o, b_j], axis=0)
    i, j, f, o = tf.split(tf.convert_to_tensor(weights.w_gates), 4, axis=1)
    weight = tf.concat([i, f, o, j], axis=1)
    size = sequence.inputs.shape[-1]
    # The gradient of a split is one concatenation, that of two slices a sum of padded matrices.
    input_weight, hidden_weight = tf.split(weight, [size, weight.shape[0] - size], axis=0)
    if weights.w_i_diag is None:
        return run(LSTMCell(), sequence, input_weight, bias, [hidden_weight])
    peepholes = [weights.w_i_diag, weights.w_f_diag, weights.w_o_diag]
    return run(PeepholeLSTMCell(), sequence, input_weight, bias, [hidden_weight, *peepholes])
