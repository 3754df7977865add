"""`LSTMBlockCell`: the LSTM of TensorFlow 1's contrib, with its names and order of variables."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.scoping import get_variable
from snt_rnn.cell_wrapper import RNNCellWrapper


class LSTMStateTuple(NamedTuple):
    """State of an `LSTMBlockCell`: the cell first, where `snt.LSTMState` has it last.

    Attributes:
        c: State of the cell, `[batch, num_units]`.
        h: Output, `[batch, num_units]`.
    """

    c: Any
    h: Any


class LSTMBlockCell(RNNCellWrapper):
    """Long short-term memory as `tf.contrib.rnn.LSTMBlockCell` had it.

    After Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization", 2014,
    https://arxiv.org/abs/1409.2329. With `[i, j, f, o] = [x, h] kernel + bias`, in this order:

        c' = σ(f + forget_bias + w_f c) c + σ(i + w_i c) tanh(j)
        h' = σ(o + w_o c') tanh(c')

    where the terms with `w_f`, `w_i` and `w_o` are there with peepholes only. The state is a
    namedtuple `(c, h)`; `snt.LSTM` has the other order, and other names.

    Variables, in the scope "lstm_cell" inside that of the module, or in one of the same name as the
    module if it has been given a name: `kernel` `[features + num_units, 4 num_units]`; `bias`
    `[4 num_units]`, zeros; with peepholes `w_i_diag`, `w_f_diag` and `w_o_diag` `[num_units]`.
    Weights and peepholes are initialised as `tf.compat.v1.get_variable` does it by default.

    Args:
        num_units: Number of units H.
        forget_bias: What is added to the bias of the forget gate. Default: 1.
        cell_clip: If positive, the new cell is clipped to between -`cell_clip` and `cell_clip`.
            Optional.
        use_peephole: Whether the gates see the cell. Default: False.
        dtype: Type of the variables. Default: that of the inputs.
        reuse: Not used: each connection shares the variables.
        name: Name of the module, and of the scope in it. Default: "lstm_block_cell" and
            "lstm_cell".
        custom_getter: As for `snt.AbstractModule`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.LSTMBlockCell(5, name="blocks")
        >>> outputs, state = core(tf.ones([8, 3]), core.initial_state(batch_size=8))
        >>> outputs.shape, state.c.shape
        (TensorShape([8, 5]), TensorShape([8, 5]))
        >>> [v.name for v in core.get_variables()]
        ['blocks/blocks/kernel:0', 'blocks/blocks/bias:0']
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        cell_clip: float | None = None,
        use_peephole: bool = False,
        dtype: Any = None,
        reuse: bool | None = None,
        name: str | None = None,
        custom_getter: Any = None,
    ) -> None:
        named = {} if name is None else {"name": name}
        super().__init__(
            _Cell,
            num_units,
            forget_bias,
            cell_clip,
            use_peephole,
            dtype,
            custom_getter=custom_getter,
            **named,
        )


class _Cell:
    def __init__(
        self,
        num_units: int,
        forget_bias: float,
        cell_clip: float | None,
        use_peephole: bool,
        dtype: Any,
        name: str = "lstm_cell",
    ) -> None:
        self.output_size = num_units
        self.state_size = LSTMStateTuple(num_units, num_units)
        self._forget_bias = forget_bias
        self._cell_clip = cell_clip
        self._use_peephole = use_peephole
        self._dtype = dtype
        self._name = name

    def __call__(self, inputs: Any, state: Any) -> tuple[Any, LSTMStateTuple]:
        inputs = tf.convert_to_tensor(inputs)
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise ValueError(
                f"{self._name}: the state must be a tuple with length 2, (c, h), got {state!r}."
            )
        if inputs.shape.rank != 2 or inputs.shape.as_list()[1] is None:
            raise ValueError(
                f"{self._name}: inputs must be of the shape [batch, features], of which the "
                f"number of features is known, got the shape {inputs.shape}."
            )
        units, dtype = self.output_size, self._dtype or inputs.dtype
        c, h = state
        kernel = self._variable("kernel", [inputs.shape.as_list()[1] + units, 4 * units], dtype)
        bias = self._variable("bias", [4 * units], dtype, tf1.zeros_initializer())
        gates = tf.matmul(tf.concat([inputs, h], axis=1), kernel) + bias
        i, j, f, o = tf.split(gates, 4, axis=1)
        if self._use_peephole:
            i += self._variable("w_i_diag", [units], dtype) * c
            f += self._variable("w_f_diag", [units], dtype) * c
        c = tf.sigmoid(f + self._forget_bias) * c + tf.sigmoid(i) * tf.tanh(j)
        if self._cell_clip is not None and self._cell_clip > 0:
            c = tf.clip_by_value(c, -self._cell_clip, self._cell_clip)
        if self._use_peephole:
            o += self._variable("w_o_diag", [units], dtype) * c
        h = tf.sigmoid(o) * tf.tanh(c)
        return h, LSTMStateTuple(c, h)

    def _variable(self, name: str, shape: list[int], dtype: Any, initializer: Any = None) -> Any:
        # A scope of that name would do the same, but hide that the variable is known already.
        return get_variable(f"{self._name}/{name}", shape, dtype, initializer=initializer)
