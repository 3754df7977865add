"""The whole-sequence form of `snt.GRU`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from snt_rnn.sequence.cell import Cell, Tensors
from snt_rnn.sequence.engine import run
from snt_rnn.sequence.layout import Layout
from snt_rnn.sequence.protocol import Unrolled, WholeSequence


class GRUCell(Cell):
    """The GRU; its weights are those of the state for z and r together, and for the candidate."""

    def saved_sizes(self, weights: Tensors) -> list[int]:
        """Returns the sizes of z, r and the candidate."""
        return [weights[1].shape[1]] * 3

    def product_sizes(self, weights: Tensors) -> list[int]:
        """Returns the size of what the three are made of."""
        return [3 * weights[1].shape[1]]

    def forward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares both weights."""
        return [layout.forward_weight(weight) for weight in weights]

    def backward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares both weights."""
        return [layout.backward_weight(weight) for weight in weights]

    def forward(
        self, layout: Layout, weights: Tensors, z: Any, states: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Returns the state; z, r and the candidate."""
        (state,) = states
        inputs_z, inputs_r, inputs_h = layout.split(z, 3)
        state_z, state_r = layout.split(layout.product(state, weights[0]), 2)
        z, r = tf.sigmoid(inputs_z + state_z), tf.sigmoid(inputs_r + state_r)
        candidate = tf.tanh(inputs_h + layout.product(r * state, weights[1]))
        return [state + z * (candidate - state)], [z, r, candidate]

    def backward(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        next_states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Returns the gradient of the state before, and of what z, r and candidate are made of."""
        (state,), (gradient,) = states, gradients
        z, r, candidate = saved
        d_candidate = tf.raw_ops.TanhGrad(y=candidate, dy=gradient * z)
        d_reset_state = layout.product(d_candidate, weights[1])
        d_z = tf.raw_ops.SigmoidGrad(y=z, dy=gradient * (candidate - state))
        d_r = tf.raw_ops.SigmoidGrad(y=r, dy=d_reset_state * state)
        d_state = gradient - gradient * z + d_reset_state * r
        d_state += layout.product(layout.concat([d_z, d_r]), weights[0])
        return [d_state], [layout.concat([d_z, d_r, d_candidate])]

    def weight_gradients(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> Tensors:
        """Returns those of both weights."""
        size = weights[1].shape[1]
        d_gates, d_candidate = layout.split_steps(gradients[0], [2 * size, size])
        return [
            layout.weight_gradient(states[0], d_gates),
            layout.weight_gradient(layout.rows(saved[1]) * states[0], d_candidate),
        ]


def gru_sequence(weights: Any, sequence: WholeSequence) -> Unrolled:
    """Applies a GRU to a sequence.

    Args:
        weights: The weights of an `snt.GRU`.
        sequence: What to apply it to.
    """
    input_weight = tf.concat([weights.wz, weights.wr, weights.wh], axis=1)
    bias = tf.concat([weights.bz, weights.br, weights.bh], axis=0)
    gates = tf.concat([weights.uz, weights.ur], axis=1)
    return run(GRUCell(), sequence, input_weight, bias, [gates, weights.uh])
