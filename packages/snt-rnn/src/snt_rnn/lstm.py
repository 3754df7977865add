"""`LSTM`: long short-term memory."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from snt_core.scoping import get_variable
from snt_nets.initializers import create_linear_initializer
from snt_nets.layer import Layer
from snt_nets.norm.initializers import create_beta_initializer, create_gamma_initializer
from snt_nets.norm.inputs import statistics_dtype
from snt_rnn.core import RNNCore
from snt_rnn.inputs import input_matrix, state_tensor
from snt_rnn.sequence.lstm import lstm_sequence
from snt_rnn.sequence.protocol import Form, WholeSequence, is_plain, stands_for

# That of snt.LayerNorm.
_LAYER_NORM_EPS = 1e-5


class LSTMState(NamedTuple):
    """The state of an `LSTM`, or something for each part of it: a shape, an initializer.

    Attributes:
        hidden: The hidden state, which is also the output, `[batch, output_size]`.
        cell: The memory, `[batch, hidden_size]`.
    """

    hidden: Any
    cell: Any


class LSTMWeights(NamedTuple):
    """The variables of an `LSTM`, or what custom getters made of them; None for those it lacks.

    Attributes:
        w_gates: `[input_size + output_size, 4 hidden_size]`, the inputs first; by columns the
            input gate, the new values, the forget gate, the output gate.
        b_gates: `[4 hidden_size]`.
        w_h_projection: `[hidden_size, output_size]`.
        gamma: Factor of the layer normalisation, `[4 hidden_size]`.
        beta: Its offset, likewise.
        w_f_diag: Peephole of the forget gate, `[hidden_size]`.
        w_i_diag: That of the input gate.
        w_o_diag: That of the output.
    """

    w_gates: Any
    b_gates: Any
    w_h_projection: Any
    gamma: Any
    beta: Any
    w_f_diag: Any
    w_i_diag: Any
    w_o_diag: Any


class LSTM(Layer, RNNCore):
    """Long short-term memory, with peepholes, layer normalisation, clipping and projection.

    After Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization", 2014,
    https://arxiv.org/abs/1409.2329; layer normalisation after Ba, Kiros and Hinton, 2016,
    https://arxiv.org/abs/1607.06450; projection after Sak, Senior and Beaufays, 2014,
    https://arxiv.org/abs/1402.1128. With the hidden state h and the cell c it computes

        i, j, f, o = split([x, h] w_gates + b_gates)
        c' = σ(f + forget_bias) c + σ(i) tanh(j)
        h' = tanh(c') σ(o)

    Layer normalisation is of the whole product, before the bias is added. Peepholes add
    `w_f_diag c` to f and `w_i_diag c` to i, and h' is `tanh(c' + w_o_diag c') σ(o)`: other than in
    the literature, the last one is inside of the hyperbolic tangent. A projection maps h' by
    `w_h_projection`.

    Variables, in the dtype of the input: `w_gates` `[input_size + output_size, 4 hidden_size]` and
    `b_gates` `[4 hidden_size]`, by default both from a truncated normal distribution of standard
    deviation 1/√(input_size + output_size); `w_h_projection` `[hidden_size, output_size]`,
    likewise of 1/√hidden_size; `layer_norm/gamma` and `layer_norm/beta` `[4 hidden_size]`, ones and
    zeros, float32 beside 16-bit inputs; `w_f_diag`, `w_i_diag` and `w_o_diag` `[hidden_size]`, by
    default from the initializer of the variable scope, or Glorot's.

    Args:
        hidden_size: Number of hidden units.
        forget_bias: Added to the forget gate. Default: 1.0.
        initializers: Initializers by variable name, without those of the layer normalisation.
            Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        use_peepholes: Whether the gates see the cell. Default: False.
        use_layer_norm: Whether there is layer normalisation. Default: False.
        hidden_clip_value: Bound of the hidden state that a step is given, 0 or more. Default: none.
        projection_size: Number of outputs, which the hidden units are projected to. Default: no
            projection.
        cell_clip_value: Bound of the cell that a step is given, 0 or more. Default: none.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "lstm".

    Raises:
        ValueError: If a clip value is negative.
        TypeError: If a dictionary is not one, or a value in it cannot be called; or if a size is
            not an integer.
        KeyError: If a dictionary has an unknown key, for instance a peephole without
            `use_peepholes`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> lstm = snt.LSTM(hidden_size=16)
        >>> outputs, state = lstm(tf.ones([8, 3]), lstm.initial_state(batch_size=8))
        >>> outputs.shape, state.cell.shape
        (TensorShape([8, 16]), TensorShape([8, 16]))
    """

    W_GATES = "w_gates"
    B_GATES = "b_gates"
    W_F_DIAG = "w_f_diag"
    W_I_DIAG = "w_i_diag"
    W_O_DIAG = "w_o_diag"
    W_H_PROJECTION = "w_h_projection"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {
        W_GATES,
        B_GATES,
        W_F_DIAG,
        W_I_DIAG,
        W_O_DIAG,
        W_H_PROJECTION,
    }

    def __init__(
        self,
        hidden_size: int,
        forget_bias: Any = 1.0,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        use_peepholes: bool = False,
        use_layer_norm: bool = False,
        hidden_clip_value: float | None = None,
        projection_size: int | None = None,
        cell_clip_value: float | None = None,
        custom_getter: Any = None,
        name: str = "lstm",
    ) -> None:
        keys = self.get_possible_initializer_keys(
            use_peepholes=use_peepholes, use_projection=projection_size is not None
        )
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        for option, value in (
            ("hidden_clip_value", hidden_clip_value),
            ("cell_clip_value", cell_clip_value),
        ):
            if value is not None and value < 0:
                raise ValueError(
                    f"{self.scope_name}: The value of {option} should be nonnegative, got {value}."
                )
        self._hidden_size = operator.index(hidden_size)
        self._forget_bias = forget_bias
        self._use_peepholes = use_peepholes
        self._use_layer_norm = use_layer_norm
        self._hidden_clip_value = hidden_clip_value
        self._cell_clip_value = cell_clip_value
        self._use_projection = projection_size is not None
        # A projection to 0 features is one to the hidden size: old checkpoints may have it.
        self._output_size = operator.index(projection_size or hidden_size)
        self._w_xh: Any = None
        self._b: Any = None
        self._w_h_projection: Any = None
        self._w_f_diag: Any = None
        self._w_i_diag: Any = None
        self._w_o_diag: Any = None

    @classmethod
    def get_possible_initializer_keys(
        cls, use_peepholes: bool = False, use_projection: bool = False
    ) -> set[str]:
        """Returns the keys that `initializers` may have.

        Args:
            use_peepholes: Whether the gates see the cell.
            use_projection: Whether there is a projection.
        """
        keys = {cls.W_GATES, cls.B_GATES}
        if use_peepholes:
            keys |= {cls.W_F_DIAG, cls.W_I_DIAG, cls.W_O_DIAG}
        if use_projection:
            keys.add(cls.W_H_PROJECTION)
        return keys

    def _build(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Takes one step.

        Args:
            inputs: Tensor `[batch, input_size]`.
            prev_state: An `LSTMState`, or another sequence of hidden state and cell: tensors
                `[batch, output_size]` and `[batch, hidden_size]` of the dtype of the inputs.

        Returns:
            The outputs, `[batch, output_size]`, and the next `LSTMState`.

        Raises:
            ValueError: If the rank of the inputs is not 2, their last dimension is unknown or
                another one than before, or the state does not have two parts.
            TypeError: If the inputs are not of a floating-point type, or the state is of another.
        """
        inputs = input_matrix(inputs, self.scope_name)
        hidden, cell = prev_state
        state = LSTMState(
            state_tensor(hidden, inputs, self.scope_name),
            state_tensor(cell, inputs, self.scope_name),
        )
        return self._step(self._weights(inputs.shape.as_list()[-1], inputs.dtype), inputs, state)

    def _weights(self, input_size: int, dtype: Any) -> LSTMWeights:
        """Returns the variables, which the first connection makes."""
        hidden_size = self._hidden_size
        total_size = input_size + self._output_size

        def fan_in_initializer() -> Any:
            return create_linear_initializer(total_size, dtype)

        self._w_xh = self._layer_variable(
            self.W_GATES, [total_size, 4 * hidden_size], dtype, fan_in_initializer
        )
        self._b = self._layer_variable(self.B_GATES, [4 * hidden_size], dtype, fan_in_initializer)
        if self._use_projection:
            self._w_h_projection = self._layer_variable(
                self.W_H_PROJECTION,
                [hidden_size, self._output_size],
                dtype,
                lambda: create_linear_initializer(hidden_size, dtype),
            )
        gamma = beta = None
        if self._use_layer_norm:
            # The variables of an snt.LayerNorm, which a step computes without a module between.
            options = {"shape": [4 * hidden_size], "dtype": statistics_dtype(dtype)}
            gamma = get_variable(
                "layer_norm/gamma", initializer=create_gamma_initializer(), **options
            )
            beta = get_variable("layer_norm/beta", initializer=create_beta_initializer(), **options)
        if self._use_peepholes:
            self._w_f_diag = self._peephole(self.W_F_DIAG, dtype)
            self._w_i_diag = self._peephole(self.W_I_DIAG, dtype)
            self._w_o_diag = self._peephole(self.W_O_DIAG, dtype)
        return LSTMWeights(
            w_gates=self._w_xh,
            b_gates=self._b,
            w_h_projection=self._w_h_projection,
            gamma=gamma,
            beta=beta,
            w_f_diag=self._w_f_diag,
            w_i_diag=self._w_i_diag,
            w_o_diag=self._w_o_diag,
        )

    def _peephole(self, name: str, dtype: Any) -> Any:
        return self._layer_variable(name, [self._hidden_size], dtype, lambda: None)

    def _step(self, weights: LSTMWeights, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Computes one step from nothing but its arguments and the options of the module."""
        hidden, cell = self._clipped(state)
        product = tf.matmul(tf.concat([inputs, hidden], axis=1), weights.w_gates)
        return self._step_after_product(weights, product, cell)

    def _clipped(self, state: Any) -> tuple[Any, Any]:
        hidden, cell = state
        if self._hidden_clip_value is not None:
            hidden = tf.clip_by_value(hidden, -self._hidden_clip_value, self._hidden_clip_value)
        if self._cell_clip_value is not None:
            cell = tf.clip_by_value(cell, -self._cell_clip_value, self._cell_clip_value)
        return hidden, cell

    def _step_after_product(
        self, weights: LSTMWeights, product: Any, cell: Any
    ) -> tuple[Any, LSTMState]:
        """Computes what follows the product of inputs and hidden state with `w_gates`."""
        if weights.gamma is not None:
            product = _layer_norm(product, weights.gamma, weights.beta)
        i, j, f, o = tf.split(tf.nn.bias_add(product, weights.b_gates), 4, axis=1)
        if weights.w_f_diag is not None:
            f += weights.w_f_diag * cell
            i += weights.w_i_diag * cell
        next_cell = tf.sigmoid(f + self._forget_bias) * cell + tf.sigmoid(i) * tf.tanh(j)
        seen_cell = next_cell
        if weights.w_o_diag is not None:
            seen_cell += weights.w_o_diag * next_cell
        next_hidden = tf.tanh(seen_cell) * tf.sigmoid(o)
        if weights.w_h_projection is not None:
            next_hidden = tf.matmul(next_hidden, weights.w_h_projection)
        return next_hidden, LSTMState(next_hidden, next_cell)

    @stands_for("_build", "_weights", "_step", "_clipped", "_step_after_product")
    def _sequence_form(self, sequence: WholeSequence) -> Form | None:
        """Offers a form for whole sequences; see `snt_rnn.sequence.protocol`."""
        has_clipping = self._hidden_clip_value is not None or self._cell_clip_value is not None
        if (
            has_clipping
            or self._use_layer_norm
            or self._use_projection
            or not isinstance(self._forget_bias, (int, float))
            or not is_plain(sequence, self.state_size)
        ):
            return None
        size, dtype = sequence.inputs.shape[-1], sequence.inputs.dtype
        return lambda sequence: lstm_sequence(
            self._weights(size, dtype), self._forget_bias, sequence
        )

    @property
    def state_size(self) -> LSTMState:
        """Shapes of the state without the batch."""
        return LSTMState(tf.TensorShape([self._output_size]), tf.TensorShape([self._hidden_size]))

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch."""
        return tf.TensorShape([self._output_size])

    @property
    def use_peepholes(self) -> bool:
        """Whether the gates see the cell."""
        return self._use_peepholes

    @property
    def use_layer_norm(self) -> bool:
        """Whether there is layer normalisation."""
        return self._use_layer_norm


def _layer_norm(values: Any, gamma: Any, beta: Any) -> Any:
    """Normalises the last axis of `[batch, features]`, 16-bit types in float32."""
    dtype = values.dtype
    values = tf.cast(values, statistics_dtype(dtype))
    mean, variance = tf.nn.moments(values, [1], keepdims=True)
    outputs = tf.nn.batch_normalization(values, mean, variance, beta, gamma, _LAYER_NORM_EPS)
    return tf.cast(outputs, dtype)
