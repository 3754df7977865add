"""What the engine asks of a recurrent cell."""

from __future__ import annotations

import abc
from typing import Any

from snt_rnn.sequence.layout import Layout

Tensors = list[Any]


class Cell(abc.ABC):
    """One step of a recurrence, forward and backward, in ordinary ops.

    A step is given the products of its inputs, biases added, as one matrix `z`, and the states; the
    first state it makes is also its output. A cell holds options only; tensors are arguments.
    Matrices of a step are in the `layout`: `[batch, features]` or `[features, batch]`.
    """

    @abc.abstractmethod
    def saved_sizes(self, weights: Tensors) -> list[int]:
        """Returns the numbers of features of what a forward step saves."""

    @abc.abstractmethod
    def product_sizes(self, weights: Tensors) -> list[int]:
        """Returns those of the products whose gradients a backward step returns."""

    @abc.abstractmethod
    def forward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weights for the forward steps."""

    @abc.abstractmethod
    def backward_weights(self, layout: Layout, weights: Tensors) -> Tensors:
        """Prepares the weights for the backward steps."""

    @abc.abstractmethod
    def forward(
        self, layout: Layout, weights: Tensors, z: Any, states: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Takes one step.

        Args:
            layout: How matrices lie.
            weights: What `forward_weights` prepared.
            z: Products of the inputs.
            states: The states before the step.

        Returns:
            The states after the step, and what the backward step needs besides.
        """

    @abc.abstractmethod
    def backward(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        next_states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Takes one step back.

        Args:
            layout: How matrices lie.
            weights: What `backward_weights` prepared.
            states: The states before the step.
            next_states: The states after it.
            saved: What the forward step returned.
            gradients: Gradients of the states after the step.

        Returns:
            The gradients of the states before the step; and those of what the step multiplied
            weights to, first that of `z`.
        """

    @abc.abstractmethod
    def weight_gradients(
        self,
        layout: Layout,
        weights: Tensors,
        states: Tensors,
        saved: Tensors,
        gradients: Tensors,
    ) -> Tensors:
        """Returns the gradients of the weights, from all steps at once.

        Args:
            layout: How the matrices of each step lie.
            weights: The weights.
            states: The states before each step, in rows: `[time, batch, features]`.
            saved: What the forward steps returned, of all steps.
            gradients: What the backward steps returned, of all steps.
        """
