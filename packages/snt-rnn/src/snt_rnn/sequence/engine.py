"""The engine of whole-sequence forms: one loop forward, one light loop backward.

What makes the gradient of TensorFlow's own loops slow is that each step adds to the gradient of
each weight. Here the forward loop keeps the activations of all steps; the backward loop finds the
gradients of what the weights were multiplied to; and the gradient of each weight is one product
over time and batch. The products of the inputs need no loop at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import NotSupportedError
from snt_rnn.sequence.cell import Cell, Tensors
from snt_rnn.sequence.layout import Columns, Layout, Rows
from snt_rnn.sequence.loop import loop
from snt_rnn.sequence.protocol import Unrolled, WholeSequence

# From these sizes on products with examples in columns are the faster ones, on a CPU.
WIDE, FEW = 256, 16


def run(
    cell: Cell,
    sequence: WholeSequence,
    input_weight: Any,
    bias: Any,
    weights: Sequence[Any],
) -> Unrolled:
    """Applies a cell to a sequence.

    Args:
        cell: The cell.
        sequence: What to apply it to: plain, and at least one step if their number is known.
        input_weight: What inputs are multiplied with, `[input_size, features]`.
        bias: Added to the products of the inputs, `[features]`.
        weights: The other weights, as the cell takes them.
    """
    inputs, length = sequence.inputs, sequence.sequence_length
    states = [_with_batch_size(state, inputs) for state in tf.nest.flatten(sequence.initial_state)]
    inputs = tf.ensure_shape(inputs, [None, states[0].shape[0], None])
    num_steps: Any = sequence.num_steps
    has_steps = None
    if num_steps is None:
        # There may be no steps. The loops are spared that: they get one, which is left out after.
        num_steps = tf.shape(inputs)[0]
        has_steps = num_steps > 0
        inputs = tf.pad(inputs, [[0, tf.maximum(1 - num_steps, 0)], [0, 0], [0, 0]])
    at_least_1 = num_steps if has_steps is None else tf.maximum(num_steps, 1)
    mask = None
    if length is not None:  # [time, batch, 1]
        mask = tf.range(at_least_1, dtype=length.dtype)[:, tf.newaxis, tf.newaxis] < length[:, None]
    layout = _layout(states[0])
    engine = _Engine(cell, layout, at_least_1, sequence, mask, len(states), len(weights))
    tensors = [inputs, input_weight, bias, *weights, *states]
    results = list(engine(*map(tf.convert_to_tensor, tensors)))
    finals, stacks = results[: len(states)], results[len(states) :]
    if has_steps is not None:
        finals = [tf.where(has_steps, *pair) for pair in zip(finals, states, strict=True)]
        stacks = [stack[:num_steps] for stack in stacks]
        mask = None if mask is None else mask[:num_steps]
    for final, state in zip(finals, states, strict=True):
        final.set_shape(state.shape)
    for stack, state in zip(stacks, states, strict=False):
        stack.set_shape(tf.TensorShape([sequence.num_steps]).concatenate(state.shape))
    outputs = stacks[0]
    if mask is not None:
        outputs = tf.where(mask, outputs, tf.zeros_like(outputs))
    packed = [tf.nest.pack_sequence_as(sequence.initial_state, finals)]
    if sequence.return_all_states:
        packed.append(tf.nest.pack_sequence_as(sequence.initial_state, stacks))
    return Unrolled(outputs, packed[0], packed[1] if sequence.return_all_states else None)


def _with_batch_size(state: Any, inputs: Any) -> Any:
    return tf.ensure_shape(state, [inputs.shape[1], None])


def _layout(state: Any) -> Layout:
    batch_size, size = state.shape
    is_few = batch_size is not None and batch_size < FEW
    return Columns() if size >= WIDE and not is_few else Rows()


class _Engine:
    """A function of tensors with a gradient of its own."""

    def __init__(
        self,
        cell: Cell,
        layout: Layout,
        num_steps: Any,
        sequence: WholeSequence,
        mask: Any,
        num_states: int,
        num_weights: int,
    ) -> None:
        self._cell = cell
        self._layout = layout
        self._num_steps = num_steps
        self._static = sequence.static
        self._keep_all = sequence.return_all_states
        self._mask = None if mask is None else layout.steps(mask)
        self._num_states = num_states
        self._num_weights = num_weights

    def __call__(self, *tensors: Any) -> Any:
        """Returns the final states, and the outputs or all states of all steps.

        Args:
            *tensors: Inputs, their weight, their bias; the other weights; the states.
        """
        return tf.custom_gradient(self._with_gradient)(*tensors)

    def _with_gradient(self, *tensors: Any) -> Any:
        results, kept = self._forward(*tensors)

        def gradient(*upstream: Any) -> Any:
            return self._first_order(list(upstream), list(tensors), kept)

        return tuple(results), gradient

    def _first_order(self, upstream: Tensors, tensors: Tensors, kept: Tensors) -> Tensors:
        """Returns the gradients of the tensors, such that they too have the right gradients.

        Differentiated op by op, they would lack what the activations, kept from the forward loop,
        owe to the tensors. So their gradients are those of TensorFlow's own gradients.
        """
        num_upstream, num_tensors = len(upstream), len(tensors)

        def first(*given: Any) -> Any:
            upstream = list(given[:num_upstream])
            tensors = list(given[num_upstream : num_upstream + num_tensors])
            kept = list(given[num_upstream + num_tensors :])

            def second(*gradients: Any) -> Any:
                found = self._second_order(upstream, tensors, list(gradients))
                return [*found, *[None] * len(kept)]

            return tuple(self._backward(upstream, tensors, kept)), second

        return list(tf.custom_gradient(first)(*upstream, *tensors, *kept))

    def _second_order(self, upstream: Tensors, tensors: Tensors, gradients: Tensors) -> Tensors:
        if not (tf.executing_eagerly() or tf1.control_flow_v2_enabled()):
            raise NotSupportedError(
                "Gradients of gradients do not pass through TensorFlow's loops of control flow "
                "v1. Enable control flow v2, unroll inside a tf.function, or use "
                "snt.static_unroll."
            )
        sources = [*upstream, *tensors]
        with tf.GradientTape() as outer:
            outer.watch(sources)
            with tf.GradientTape() as inner:
                inner.watch(tensors)
                results, _ = self._forward(*tensors)
            first = inner.gradient(results, tensors, output_gradients=upstream)
        return outer.gradient(first, sources, output_gradients=gradients)

    def _unpack(self, tensors: Sequence[Any]) -> tuple[Any, Any, Any, Tensors, Tensors]:
        inputs, input_weight, bias, *others = tensors
        return (
            inputs,
            input_weight,
            bias,
            others[: self._num_weights],
            others[self._num_weights :],
        )

    def _forward(self, *tensors: Any) -> tuple[Tensors, Tensors]:
        layout, cell = self._layout, self._cell
        inputs, input_weight, bias, weights, states = self._unpack(tensors)
        prepared = cell.forward_weights(layout, weights)
        if isinstance(layout, Rows):
            z = tf.tensordot(inputs, input_weight, 1) + bias

            def z_at(time: Any) -> Any:
                return tf.gather(z, time)

        else:
            # Here the products of all steps would have to be transposed: more work than it saves.
            columns = layout.steps(inputs)
            prepared_input = layout.forward_weight(input_weight)
            prepared_bias = layout.vector(bias)

            def z_at(time: Any) -> Any:
                return layout.product(tf.gather(columns, time), prepared_input) + prepared_bias

        def body(time: Any, states: Tensors) -> tuple[Tensors, Tensors]:
            next_states, saved = cell.forward(layout, prepared, z_at(time), states)
            if self._mask is not None:
                goes_on = tf.gather(self._mask, time)
                next_states = [
                    tf.where(goes_on, new, old)
                    for new, old in zip(next_states, states, strict=True)
                ]
            return next_states, [*next_states, *saved]

        sizes = [*(state.shape[1] for state in states), *cell.saved_sizes(weights)]
        states, kept = loop(
            body,
            self._num_steps,
            [layout.state(state) for state in states],
            self._shapes(sizes, inputs),
            inputs.dtype,
            static=self._static,
        )
        all_states = kept[: self._num_states] if self._keep_all else kept[:1]
        finals = [layout.state(state) for state in states]
        return [*finals, *map(layout.rows, all_states)], kept

    def _shapes(self, sizes: Sequence[int], inputs: Any) -> list[Any]:
        return [self._layout.shape(inputs.shape[1], size) for size in sizes]

    def _backward(self, upstream: Tensors, tensors: Tensors, kept: Tensors) -> Tensors:
        layout, cell, count = self._layout, self._cell, self._num_states
        inputs, input_weight, _, weights, states = self._unpack(tensors)
        prepared = cell.backward_weights(layout, weights)
        of_steps = [layout.steps(gradient) for gradient in upstream[count:]]
        after, saved = kept[:count], kept[count:]
        before = [
            tf.concat([layout.state(first)[tf.newaxis], stack[:-1]], axis=0)
            for first, stack in zip(states, after, strict=True)
        ]

        def body(time: Any, gradients: Tensors) -> tuple[Tensors, Tensors]:
            gradients = [
                carried + tf.gather(of_steps[i], time) if i < len(of_steps) else carried
                for i, carried in enumerate(gradients)
            ]
            passed_on = None
            if self._mask is not None:
                goes_on = tf.gather(self._mask, time)
                passed_on = [tf.where(goes_on, tf.zeros_like(g), g) for g in gradients]
                gradients = [tf.where(goes_on, g, tf.zeros_like(g)) for g in gradients]
            gradients, of_products = cell.backward(
                layout,
                prepared,
                [tf.gather(stack, time) for stack in before],
                [tf.gather(stack, time) for stack in after],
                [tf.gather(stack, time) for stack in saved],
                gradients,
            )
            if passed_on is not None:
                gradients = [a + b for a, b in zip(gradients, passed_on, strict=True)]
            return gradients, of_products

        gradients, of_products = loop(
            body,
            self._num_steps,
            [layout.state(gradient) for gradient in upstream[:count]],
            self._shapes(cell.product_sizes(weights), inputs),
            inputs.dtype,
            reverse=True,
            static=self._static,
        )
        return [
            layout.inputs_gradient(of_products[0], input_weight),
            layout.weight_gradient(inputs, of_products[0]),
            layout.vector_gradient(of_products[0]),
            *cell.weight_gradients(
                layout, weights, [layout.rows(stack) for stack in before], saved, of_products
            ),
            *map(layout.state, gradients),
        ]
