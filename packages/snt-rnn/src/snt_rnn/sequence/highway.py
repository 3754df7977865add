"""The whole-sequence form of `snt.HighwayCore`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from snt_rnn.sequence.cell import Cell, Tensors
from snt_rnn.sequence.engine import run
from snt_rnn.sequence.layout import Layout
from snt_rnn.sequence.protocol import Unrolled, WholeSequence


class HighwayCell(Cell):
    """The recurrent highway network.

    Its weights are, by layers, that of the state for gate and values together; then the biases of
    all layers but the first, whose bias `z` has.
    """

    def __init__(self, num_layers: int) -> None:
        self._num_layers = num_layers

    def saved_sizes(self, weights: Tensors) -> list[int]:
        """Returns the sizes of gate and values of each layer, and of the states between layers."""
        size = weights[0].shape[0]
        return [size] * (3 * self._num_layers - 1)

    def product_sizes(self, weights: Tensors) -> list[int]:
        """Returns the sizes of what gate and values of each layer are made of."""
        return [weights[0].shape[1]] * self._num_layers

    def forward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares weights and biases."""
        matrices, vectors = weights[: self._num_layers], weights[self._num_layers :]
        return [*map(layout.forward_weight, matrices), *map(layout.vector, vectors)]

    def backward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weights."""
        return [layout.backward_weight(weight) for weight in weights[: self._num_layers]]

    def forward(
        self, layout: Layout, weights: Tensors, z: Any, states: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Returns the state; gates, values, and the states between layers."""
        (state,) = states
        gates, all_values, between = [], [], []
        for layer in range(self._num_layers):
            if layer > 0:
                between.append(state)
            added = weights[self._num_layers + layer - 1] if layer > 0 else z
            gate, values = layout.split(layout.product(state, weights[layer]) + added, 2)
            gate, values = tf.sigmoid(gate), tf.tanh(values)
            state += gate * (values - state)
            gates.append(gate)
            all_values.append(values)
        return [state], [*gates, *all_values, *between]

    def backward(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        next_states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Returns the gradient of the state before, and of what the layers are made of."""
        count = self._num_layers
        gates, all_values = saved[:count], saved[count : 2 * count]
        entered = [states[0], *saved[2 * count :]]
        (gradient,) = gradients
        of_products = []
        for layer in reversed(range(count)):
            gate, values, state = gates[layer], all_values[layer], entered[layer]
            d_values = gradient * gate
            d_z = layout.concat(
                [
                    tf.raw_ops.SigmoidGrad(y=gate, dy=gradient * (values - state)),
                    tf.raw_ops.TanhGrad(y=values, dy=d_values),
                ]
            )
            gradient = gradient - d_values + layout.product(d_z, weights[layer])
            of_products.append(d_z)
        return [gradient], of_products[::-1]

    def weight_gradients(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> Tensors:
        """Returns those of weights and biases."""
        entered = [states[0], *map(layout.rows, saved[2 * self._num_layers :])]
        return [
            *map(layout.weight_gradient, entered, gradients),
            *map(layout.vector_gradient, gradients[1:]),
        ]


def highway_sequence(weights: Any, sequence: WholeSequence) -> Unrolled:
    """Applies an `snt.HighwayCore` to a sequence.

    Args:
        weights: The weights of the core.
        sequence: What to apply it to.
    """
    input_weight = tf.concat([weights.wt, weights.wh], axis=1)
    matrices = [tf.concat([layer.wt, layer.wh], axis=1) for layer in weights.layers]
    biases = [tf.concat([layer.bt, layer.bh], axis=0) for layer in weights.layers]
    cell = HighwayCell(len(weights.layers))
    return run(cell, sequence, input_weight, biases[0], [*matrices, *biases[1:]])
