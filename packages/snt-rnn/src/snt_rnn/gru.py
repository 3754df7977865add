"""`GRU`: the gated recurrent unit."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from snt_nets.layer import Layer
from snt_rnn.core import RNNCore
from snt_rnn.inputs import input_matrix, state_tensor
from snt_rnn.sequence.gru import gru_sequence
from snt_rnn.sequence.protocol import Form, WholeSequence, is_plain, stands_for


class GRUWeights(NamedTuple):
    """The variables of a `GRU`, or what custom getters made of them, in order of creation.

    `w...` is `[input_size, hidden_size]`, `u...` `[hidden_size, hidden_size]`, `b...`
    `[hidden_size]`; `z` of the update gate, `r` of the reset gate, `h` of the candidate.
    """

    wz: Any
    uz: Any
    bz: Any
    wr: Any
    ur: Any
    br: Any
    wh: Any
    uh: Any
    bh: Any


class GRU(Layer, RNNCore):
    """Gated recurrent unit.

    After Chung, Gulcehre, Cho and Bengio, "Empirical evaluation of gated recurrent neural networks
    on sequence modeling", 2014, https://arxiv.org/abs/1412.3555. With the state h it computes

        z = σ(x wz + h uz + bz)
        r = σ(x wr + h ur + br)
        h' = (1 - z) h + z tanh(x wh + (r h) uh + bh)

    where h' is the output and the next state.

    Variables, in the dtype of the input, by default from the initializer of the variable scope, or
    Glorot's (the biases too): `wz`, `wr`, `wh` `[input_size, hidden_size]`, `uz`, `ur`, `uh`
    `[hidden_size, hidden_size]`, `bz`, `br`, `bh` `[hidden_size]`.

    Args:
        hidden_size: Number of hidden units.
        initializers: Initializers by variable name. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "gru".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called; or if
            `hidden_size` is not an integer.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> gru = snt.GRU(hidden_size=16)
        >>> output, state = gru(tf.ones([8, 3]), gru.initial_state(batch_size=8))
        >>> output.shape
        TensorShape([8, 16])
    """

    WZ = "wz"
    UZ = "uz"
    BZ = "bz"
    WR = "wr"
    UR = "ur"
    BR = "br"
    WH = "wh"
    UH = "uh"
    BH = "bh"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {WZ, UZ, BZ, WR, UR, BR, WH, UH, BH}

    def __init__(
        self,
        hidden_size: int,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "gru",
    ) -> None:
        keys = self.POSSIBLE_INITIALIZER_KEYS
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        self._hidden_size = operator.index(hidden_size)
        self._wz: Any = None
        self._uz: Any = None
        self._bz: Any = None
        self._wr: Any = None
        self._ur: Any = None
        self._br: Any = None
        self._wh: Any = None
        self._uh: Any = None
        self._bh: Any = None

    def _build(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Takes one step.

        Args:
            inputs: Tensor `[batch, input_size]`.
            prev_state: The state, a tensor `[batch, hidden_size]` of the dtype of the inputs.

        Returns:
            The output and the next state, which are one tensor, `[batch, hidden_size]`.

        Raises:
            ValueError: If the rank of the inputs is not 2, or their last dimension is unknown or
                another one than before.
            TypeError: If the inputs are not of a floating-point type, or the state is of another.
        """
        inputs = input_matrix(inputs, self.scope_name)
        state = state_tensor(prev_state, inputs, self.scope_name)
        return self._step(self._weights(inputs.shape.as_list()[-1], inputs.dtype), inputs, state)

    def _weights(self, input_size: int, dtype: Any) -> GRUWeights:
        """Returns the variables, which the first connection makes."""
        hidden_size = self._hidden_size
        shapes = {"w": [input_size, hidden_size], "u": [hidden_size] * 2, "b": [hidden_size]}
        weights = GRUWeights(
            *(
                self._layer_variable(name, shapes[name[0]], dtype, lambda: None)
                for name in GRUWeights._fields
            )
        )
        self._wz, self._uz, self._bz = weights.wz, weights.uz, weights.bz
        self._wr, self._ur, self._br = weights.wr, weights.ur, weights.br
        self._wh, self._uh, self._bh = weights.wh, weights.uh, weights.bh
        return weights

    @staticmethod
    def _step(weights: GRUWeights, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Computes one step from nothing but its arguments."""
        wz, uz, bz, wr, ur, br, wh, uh, bh = weights
        z = tf.sigmoid(tf.nn.bias_add(tf.matmul(inputs, wz) + tf.matmul(state, uz), bz))
        r = tf.sigmoid(tf.nn.bias_add(tf.matmul(inputs, wr) + tf.matmul(state, ur), br))
        candidate = tf.tanh(tf.nn.bias_add(tf.matmul(inputs, wh) + tf.matmul(r * state, uh), bh))
        # That is (1 - z) state + z candidate.
        output = state + z * (candidate - state)
        return output, output

    @stands_for("_build", "_weights", "_step")
    def _sequence_form(self, sequence: WholeSequence) -> Form | None:
        """Offers a form for whole sequences; see `snt_rnn.sequence.protocol`."""
        if not is_plain(sequence, self.state_size):
            return None
        size, dtype = sequence.inputs.shape[-1], sequence.inputs.dtype
        return lambda sequence: gru_sequence(self._weights(size, dtype), sequence)

    @property
    def state_size(self) -> Any:
        """Shape of the state without the batch."""
        return tf.TensorShape([self._hidden_size])

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch."""
        return tf.TensorShape([self._hidden_size])
