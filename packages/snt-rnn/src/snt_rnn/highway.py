"""`HighwayCore`: the recurrent highway network."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from snt_nets.layer import Layer
from snt_rnn.core import RNNCore
from snt_rnn.inputs import input_matrix, state_tensor
from snt_rnn.sequence.highway import highway_sequence
from snt_rnn.sequence.protocol import Form, WholeSequence, is_plain, stands_for


class HighwayLayerWeights(NamedTuple):
    """The variables of one layer: `w..` `[hidden_size, hidden_size]`, `b..` `[hidden_size]`."""

    wt: Any
    bt: Any
    wh: Any
    bh: Any


class HighwayWeights(NamedTuple):
    """The variables of a `HighwayCore`, or what custom getters made of them.

    Attributes:
        wt: Of the gate, from the inputs, `[input_size, hidden_size]`.
        wh: Of the new values, likewise.
        layers: Those of each layer.
    """

    wt: Any
    wh: Any
    layers: tuple[HighwayLayerWeights, ...]


class HighwayCore(Layer, RNNCore):
    """Recurrent highway network: several gated layers a step.

    After Zilly, Srivastava, Koutník and Schmidhuber, "Recurrent highway networks", 2016,
    https://arxiv.org/abs/1607.03474. Beginning with the state s, each layer l computes

        t = σ(s wt<l> + bt<l>)
        u = tanh(s wh<l> + bh<l>)
        s' = (1 - t) s + t u

    where the first one, number 0, adds `x wt` and `x wh` before it takes σ and tanh. What the last
    layer computes is the output and the next state.

    Variables, in the dtype of the input, by default from the initializer of the variable scope, or
    Glorot's (the biases too): `wt`, `wh` `[input_size, hidden_size]`, and for each layer `wt<l>`,
    `wh<l>` `[hidden_size, hidden_size]` and `bt<l>`, `bh<l>` `[hidden_size]`.

    Args:
        hidden_size: Number of hidden units.
        num_layers: Number of layers, at least 1.
        initializers: Initializers by variable name. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "highwaycore".

    Raises:
        ValueError: If there is no layer.
        TypeError: If a dictionary is not one, or a value in it cannot be called; or if a size is
            not an integer.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.HighwayCore(hidden_size=16, num_layers=3)
        >>> output, state = core(tf.ones([8, 3]), core.initial_state(batch_size=8))
        >>> output.shape
        TensorShape([8, 16])
    """

    def __init__(
        self,
        hidden_size: int,
        num_layers: int,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "highwaycore",
    ) -> None:
        keys = self.get_possible_initializer_keys(num_layers)
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        self._hidden_size = operator.index(hidden_size)
        self._num_layers = operator.index(num_layers)
        if self._num_layers < 1:
            raise ValueError(f"{self.scope_name}: num_layers must be at least 1, got {num_layers}.")
        self._wt: Any = None
        self._wh: Any = None

    @classmethod
    def get_possible_initializer_keys(  # type: ignore[override]
        cls, num_layers: int
    ) -> set[str]:
        """Returns the keys that `initializers` may have: the names of the variables.

        Args:
            num_layers: Number of layers.
        """
        names = HighwayLayerWeights._fields
        return {"wt", "wh"} | {f"{name}{layer}" for layer in range(num_layers) for name in names}

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

    def _weights(self, input_size: int, dtype: Any) -> HighwayWeights:
        """Returns the variables, which the first connection makes."""
        hidden_size = self._hidden_size
        matrix, vector = [hidden_size, hidden_size], [hidden_size]

        def variable(name: str, shape: list[int]) -> Any:
            return self._layer_variable(name, shape, dtype, lambda: None)

        self._wt = variable("wt", [input_size, hidden_size])
        self._wh = variable("wh", [input_size, hidden_size])
        layers = tuple(
            HighwayLayerWeights(
                wt=variable(f"wt{layer}", matrix),
                bt=variable(f"bt{layer}", vector),
                wh=variable(f"wh{layer}", matrix),
                bh=variable(f"bh{layer}", vector),
            )
            for layer in range(self._num_layers)
        )
        return HighwayWeights(self._wt, self._wh, layers)

    @classmethod
    def _step(cls, weights: HighwayWeights, inputs: Any, state: Any) -> tuple[Any, Any]:
        """Computes one step from nothing but its arguments."""
        return cls._step_after_products(
            weights, tf.matmul(inputs, weights.wt), tf.matmul(inputs, weights.wh), state
        )

    @staticmethod
    def _step_after_products(
        weights: HighwayWeights, inputs_wt: Any, inputs_wh: Any, state: Any
    ) -> tuple[Any, Any]:
        """Computes what follows the products of the inputs with `wt` and `wh`."""
        for number, layer in enumerate(weights.layers):
            gate = tf.matmul(state, layer.wt)
            values = tf.matmul(state, layer.wh)
            if number == 0:
                gate += inputs_wt
                values += inputs_wh
            gate = tf.sigmoid(tf.nn.bias_add(gate, layer.bt))
            values = tf.tanh(tf.nn.bias_add(values, layer.bh))
            # That is (1 - gate) state + gate values.
            state += gate * (values - state)
        return state, state

    @stands_for("_build", "_weights", "_step", "_step_after_products")
    def _sequence_form(self, sequence: WholeSequence) -> Form | None:
        """Offers a form for whole sequences; see `snt_rnn.sequence.protocol`."""
        if not is_plain(sequence, self.state_size):
            return None
        size, dtype = sequence.inputs.shape[-1], sequence.inputs.dtype
        return lambda sequence: highway_sequence(self._weights(size, dtype), sequence)

    @property
    def state_size(self) -> Any:
        """Shape of the state without the batch."""
        return tf.TensorShape([self._hidden_size])

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch."""
        return tf.TensorShape([self._hidden_size])
