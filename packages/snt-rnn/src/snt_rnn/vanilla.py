"""`VanillaRNN`: the plain recurrent network."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_nets.layer import Layer
from snt_nets.linear import Linear
from snt_rnn.core import RNNCore
from snt_rnn.inputs import state_tensor
from snt_rnn.sequence.protocol import Form, WholeSequence, is_plain, stands_for
from snt_rnn.sequence.vanilla import find_activation, vanilla_sequence


class VanillaRNN(Layer, RNNCore):
    """Plain recurrent network, after Elman, "Finding structure in time", Cognitive Science, 1990.

    With the state h it computes `h' = activation(x w_in + b_in + h w_h + b_h)`, which is the
    output and the next state.

    Variables are those of two `snt.Linear`, in the dtype of the input: `in_to_hidden/w`
    `[input_size, hidden_size]`, `hidden_to_hidden/w` `[hidden_size, hidden_size]`, and the biases
    `in_to_hidden/b` and `hidden_to_hidden/b` `[hidden_size]`; their defaults are those of
    `snt.Linear`.

    Args:
        hidden_size: Number of hidden units.
        activation: Function of a tensor. Default: `tf.tanh`.
        initializers: Initializers by linear map, "in_to_hidden" and "hidden_to_hidden"; each a
            dictionary as for `snt.Linear`. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        name: Name of the module. Default: "vanilla_rnn".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called; or if
            `hidden_size` is not an integer.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> rnn = snt.VanillaRNN(hidden_size=16)
        >>> output, state = rnn(tf.ones([8, 3]), rnn.initial_state(batch_size=8))
        >>> output.shape
        TensorShape([8, 16])
    """

    IN_TO_HIDDEN = "in_to_hidden"
    HIDDEN_TO_HIDDEN = "hidden_to_hidden"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {IN_TO_HIDDEN, HIDDEN_TO_HIDDEN}

    def __init__(
        self,
        hidden_size: int,
        activation: Callable[[Any], Any] = tf.tanh,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        name: str = "vanilla_rnn",
    ) -> None:
        keys = self.POSSIBLE_INITIALIZER_KEYS
        super().__init__(keys, initializers, partitioners, regularizers, name=name)
        self._hidden_size = operator.index(hidden_size)
        self._activation = activation
        # Without the check of the graph, so that the module can be connected in another one.
        with self._enter_variable_scope(check_same_graph=False):
            self._in_to_hidden_linear = self._linear(self.IN_TO_HIDDEN)
            self._hidden_to_hidden_linear = self._linear(self.HIDDEN_TO_HIDDEN)

    def _linear(self, name: str) -> Linear:
        return Linear(
            self._hidden_size,
            initializers=self._given_initializers.get(name),
            partitioners=self._partitioners.get(name),
            regularizers=self._regularizers.get(name),
            name=name,
        )

    def _build(self, input_: Any, prev_state: Any) -> tuple[Any, Any]:
        """Takes one step.

        Args:
            input_: Tensor `[batch, input_size]`.
            prev_state: The state, a tensor `[batch, hidden_size]` of the dtype of the input.

        Returns:
            The output and the next state, which are one tensor, `[batch, hidden_size]`.

        Raises:
            IncompatibleShapeError: If the rank of the input is not 2, its last dimension is
                unknown, or it is not that of an earlier connection.
            TypeError: If the state is not of the dtype of the input.
        """
        inputs = tf.convert_to_tensor(input_)
        state = state_tensor(prev_state, inputs, self.scope_name)
        output = self._activation(
            self._in_to_hidden_linear(inputs) + self._hidden_to_hidden_linear(state)
        )
        return output, output

    @stands_for("_build")
    def _sequence_form(self, sequence: WholeSequence) -> Form | None:
        """Offers a form for whole sequences; see `snt_rnn.sequence.protocol`."""
        activation = find_activation(self._activation)
        if activation is None or not is_plain(sequence, self.state_size):
            return None
        return lambda sequence: vanilla_sequence(
            self._in_to_hidden_linear, self._hidden_to_hidden_linear, activation, sequence
        )

    @property
    def in_to_hidden_linear(self) -> Linear:
        """The linear map of the input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._in_to_hidden_linear

    @property
    def hidden_to_hidden_linear(self) -> Linear:
        """The linear map of the state.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._hidden_to_hidden_linear

    @property
    def in_to_hidden_variables(self) -> tuple[Any, ...]:
        """Weights and bias of the linear map of the input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return self.in_to_hidden_linear.get_variables()

    @property
    def hidden_to_hidden_variables(self) -> tuple[Any, ...]:
        """Weights and bias of the linear map of the state.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        return self.hidden_to_hidden_linear.get_variables()

    @property
    def state_size(self) -> Any:
        """Shape of the state without the batch."""
        return tf.TensorShape([self._hidden_size])

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch."""
        return tf.TensorShape([self._hidden_size])
