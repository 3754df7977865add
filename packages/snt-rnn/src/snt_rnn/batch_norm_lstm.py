"""`BatchNormLSTM`: long short-term memory with batch normalisation."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.scoping import get_variable
from snt_nets.initializers import create_linear_initializer
from snt_nets.layer import Layer
from snt_rnn.core import RNNCore, trainable_initial_state
from snt_rnn.core_with_extra_build_args import CoreWithExtraBuildArgs
from snt_rnn.indexed_stats_batch_norm import IndexedStatsBatchNorm
from snt_rnn.inputs import input_matrix, state_tensor


class BatchNormLSTM(Layer, RNNCore):
    """LSTM with batch normalisation of its input, of its hidden state, and of its cell.

    After Cooijmans et al., "Recurrent batch normalization", 2016, https://arxiv.org/abs/1603.09025.
    With the hidden state h, the cell c, and BN for batch normalisation it computes

        i, j, f, o = split(gamma_h BN(h w_gates_H) + gamma_x BN(x w_gates_X) + b_gates)
        c' = σ(f + forget_bias) c + σ(i) tanh(j)
        h' = tanh(beta_c + gamma_c BN(c')) σ(o)

    where each of the three can be left out. Peepholes add `w_f_diag c` to f, `w_i_diag c` to i, and
    to what stands in the last hyperbolic tangent its product with `w_o_diag`. The cell in the state
    is c', not normalised.

    Batch normalisation uses the statistics of the batch while training, and follows them by moving
    averages; testing uses the batch, too, or the moving averages; see `snt.BatchNorm`. As the first
    steps of a sequence have other statistics than later ones, the moving averages may be kept for
    each of the first `max_unique_stats` steps by itself. The state counts the steps then, and
    `tf.compat.v1.nn.dynamic_rnn` must be told the `dtype` of the outputs.

    In TensorFlow's loops use the core that `with_batch_norm_control` returns.

    Variables, in the dtype of the input: `w_gates_H` `[hidden_size, 4 hidden_size]`, `w_gates_X`
    `[input_size, 4 hidden_size]` (without normalisation of either, `w_gates` for both) and
    `b_gates` `[4 hidden_size]`, by default from a truncated normal distribution of standard
    deviation 1/√(input_size + hidden_size); `gamma_h` and `gamma_x` `[4 hidden_size]` and `gamma_c`
    `[hidden_size]`, by default 0.1; `beta_c`, `w_f_diag`, `w_i_diag` and `w_o_diag`
    `[hidden_size]`, by default from the initializer of the variable scope, or Glorot's.

    The moving averages stand in scopes beside that of the module, `batch_norm_h`, `batch_norm_x`
    and `batch_norm_c`; `variables` has them, and so has a `tf.train.Checkpoint` of the module. A
    graph keeps their updates in `tf.compat.v1.GraphKeys.UPDATE_OPS`, for the program to run, where
    it can run them. In loops, and with `max_unique_stats`, each step makes them; as it does eagerly
    and in a `tf.function`.

    Args:
        hidden_size: Number of hidden units.
        forget_bias: Added to the forget gate. Default: 1.0.
        initializers: Initializers by variable name; "w_gates" is for `w_gates_H` and `w_gates_X`
            both. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        use_peepholes: Whether the gates see the cell. Default: False.
        use_batch_norm_h: Whether what comes from the hidden state is normalised. Default: True.
        use_batch_norm_x: Whether what comes from the input is. Default: False.
        use_batch_norm_c: Whether the cell is, on its way to the output. Default: False.
        max_unique_stats: Number of steps with moving averages of their own; the last ones are those
            of all later steps. Default: 1.
        hidden_clip_value: Bound of the hidden state that a step is given, 0 or more. Default: none.
        cell_clip_value: Bound of the cell that a step is given, 0 or more. Default: none.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "batch_norm_lstm".

    Raises:
        ValueError: If nothing is to be normalised, `max_unique_stats` is less than 1, or a clip
            value is negative.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, or one of a feature that is not used.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> lstm = snt.BatchNormLSTM(hidden_size=16)
        >>> core = lstm.with_batch_norm_control(is_training=True)
        >>> outputs, state = tf.compat.v1.nn.dynamic_rnn(
        ...     core, tf.ones([8, 20, 3]), initial_state=core.initial_state(8)
        ... )
        >>> outputs.shape
        TensorShape([8, 20, 16])
    """

    IndexedStatsBatchNorm = IndexedStatsBatchNorm
    CoreWithExtraBuildArgs = CoreWithExtraBuildArgs

    W_GATES = "w_gates"
    B_GATES = "b_gates"
    W_F_DIAG = "w_f_diag"
    W_I_DIAG = "w_i_diag"
    W_O_DIAG = "w_o_diag"
    GAMMA_H = "gamma_h"
    GAMMA_X = "gamma_x"
    GAMMA_C = "gamma_c"
    BETA_C = "beta_c"

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {
        W_GATES,
        B_GATES,
        W_F_DIAG,
        W_I_DIAG,
        W_O_DIAG,
        GAMMA_H,
        GAMMA_X,
        GAMMA_C,
        BETA_C,
    }

    def __init__(
        self,
        hidden_size: int,
        forget_bias: Any = 1.0,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        use_peepholes: bool = False,
        use_batch_norm_h: bool = True,
        use_batch_norm_x: bool = False,
        use_batch_norm_c: bool = False,
        max_unique_stats: int = 1,
        hidden_clip_value: float | None = None,
        cell_clip_value: float | None = None,
        custom_getter: Any = None,
        name: str = "batch_norm_lstm",
    ) -> None:
        keys = self.get_possible_initializer_keys(
            use_peepholes, use_batch_norm_h, use_batch_norm_x, use_batch_norm_c
        )
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        if not (use_batch_norm_h or use_batch_norm_x or use_batch_norm_c):
            raise ValueError(
                f"{self.scope_name}: At least one use_batch_norm_* option is required for "
                "BatchNormLSTM. For none of them there is snt.LSTM."
            )
        if max_unique_stats < 1:
            raise ValueError(
                f"{self.scope_name}: max_unique_stats must be >= 1, got {max_unique_stats}."
            )
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
        self._max_unique_stats = operator.index(max_unique_stats)
        self._hidden_clip_value = hidden_clip_value
        self._cell_clip_value = cell_clip_value
        # Beside the scope of this module, not inside it: that is where checkpoints have them.
        self._batch_norm_h = self._batch_norm("batch_norm_h") if use_batch_norm_h else None
        self._batch_norm_x = self._batch_norm("batch_norm_x") if use_batch_norm_x else None
        self._batch_norm_c = self._batch_norm("batch_norm_c") if use_batch_norm_c else None
        self._w_h: Any = None
        self._w_x: Any = None
        self._w_xh: Any = None
        self._b: Any = None
        self._gamma_h: Any = None
        self._gamma_x: Any = None
        self._gamma_c: Any = None
        self._beta_c: Any = None
        self._w_f_diag: Any = None
        self._w_i_diag: Any = None
        self._w_o_diag: Any = None

    def _batch_norm(self, name: str) -> Any:
        return IndexedStatsBatchNorm(self._max_unique_stats, name)

    @classmethod
    def get_possible_initializer_keys(
        cls,
        use_peepholes: bool = False,
        use_batch_norm_h: bool = True,
        use_batch_norm_x: bool = False,
        use_batch_norm_c: bool = False,
    ) -> set[str]:
        """Returns the keys that `initializers` may have.

        Args:
            use_peepholes: Whether the gates see the cell.
            use_batch_norm_h: Whether what comes from the hidden state is normalised.
            use_batch_norm_x: Whether what comes from the input is.
            use_batch_norm_c: Whether the cell is.
        """
        keys = {cls.W_GATES, cls.B_GATES}
        if use_peepholes:
            keys |= {cls.W_F_DIAG, cls.W_I_DIAG, cls.W_O_DIAG}
        if use_batch_norm_h:
            keys.add(cls.GAMMA_H)
        if use_batch_norm_x:
            keys.add(cls.GAMMA_X)
        if use_batch_norm_c:
            keys |= {cls.GAMMA_C, cls.BETA_C}
        return keys

    def _build(
        self, inputs: Any, prev_state: Any, is_training: Any = None, test_local_stats: Any = True
    ) -> tuple[Any, Any]:
        """Takes one step.

        Args:
            inputs: Tensor `[batch, input_size]`.
            prev_state: Hidden state and cell, tensors `[batch, hidden_size]` of the dtype of the
                inputs; with `max_unique_stats` also the number of the step, an integer tensor
                without axes.
            is_training: Whether to normalise by the statistics of the batch and to update the
                moving averages: a boolean, or a boolean tensor. Must be given.
            test_local_stats: Whether to use the statistics of the batch, and not the moving
                averages, also when `is_training` is False: likewise.

        Returns:
            The outputs, `[batch, hidden_size]`, and the next state, a tuple.

        Raises:
            ValueError: If `is_training` is missing, the rank of the inputs is not 2, their last
                dimension is unknown or another one than before, or the state does not have the
                right number of parts.
            TypeError: If the inputs are not of a floating-point type, the state is of another, or
                a flag is not a boolean.
        """
        if is_training is None:
            raise ValueError(
                f"{self.scope_name}: is_training flag must be explicitly specified. In the loops "
                "of TensorFlow use the core that with_batch_norm_control(is_training=...) returns."
            )
        inputs = input_matrix(inputs, self.scope_name)
        if self._max_unique_stats == 1:
            hidden, cell = prev_state
            step = None
        else:
            hidden, cell, step = prev_state
        hidden = state_tensor(hidden, inputs, self.scope_name)
        cell = state_tensor(cell, inputs, self.scope_name)
        self._make_variables(inputs.shape[-1], inputs.dtype)
        control = {"index": step, "is_training": is_training, "test_local_stats": test_local_stats}
        next_hidden, next_cell = self._step(inputs, hidden, cell, control)
        if step is None:
            return next_hidden, (next_hidden, next_cell)
        return next_hidden, (next_hidden, next_cell, step + 1)

    def _make_variables(self, input_size: int, dtype: Any) -> None:
        hidden_size = self._hidden_size
        total_size = input_size + hidden_size
        gates = self._variable_options[self.W_GATES]
        if gates["initializer"] is None:
            gates["initializer"] = create_linear_initializer(total_size, dtype)
        if self._batch_norm_h is None and self._batch_norm_x is None:
            self._w_xh = get_variable("w_gates", [total_size, 4 * hidden_size], dtype, **gates)
        else:
            self._w_h = get_variable("w_gates_H", [hidden_size, 4 * hidden_size], dtype, **gates)
            self._w_x = get_variable("w_gates_X", [input_size, 4 * hidden_size], dtype, **gates)
        self._b = self._layer_variable(
            self.B_GATES,
            [4 * hidden_size],
            dtype,
            lambda: create_linear_initializer(total_size, dtype),
        )
        if self._batch_norm_h is not None:
            self._gamma_h = self._gamma(self.GAMMA_H, 4 * hidden_size, dtype)
        if self._batch_norm_x is not None:
            self._gamma_x = self._gamma(self.GAMMA_X, 4 * hidden_size, dtype)
        if self._batch_norm_c is not None:
            self._gamma_c = self._gamma(self.GAMMA_C, hidden_size, dtype)
            self._beta_c = self._vector(self.BETA_C, dtype)
        if self._use_peepholes:
            self._w_f_diag = self._vector(self.W_F_DIAG, dtype)
            self._w_i_diag = self._vector(self.W_I_DIAG, dtype)
            self._w_o_diag = self._vector(self.W_O_DIAG, dtype)

    def _gamma(self, name: str, size: int, dtype: Any) -> Any:
        return self._layer_variable(name, [size], dtype, lambda: tf1.constant_initializer(0.1))

    def _vector(self, name: str, dtype: Any) -> Any:
        return self._layer_variable(name, [self._hidden_size], dtype, lambda: None)

    def _step(
        self, inputs: Any, hidden: Any, cell: Any, control: dict[str, Any]
    ) -> tuple[Any, Any]:
        if self._hidden_clip_value is not None:
            hidden = tf.clip_by_value(hidden, -self._hidden_clip_value, self._hidden_clip_value)
        if self._cell_clip_value is not None:
            cell = tf.clip_by_value(cell, -self._cell_clip_value, self._cell_clip_value)
        gates = self._gates(inputs, hidden, control)
        i, j, f, o = tf.split(tf.nn.bias_add(gates, self._b), 4, axis=1)
        if self._use_peepholes:
            f += self._w_f_diag * cell
            i += self._w_i_diag * cell
        next_cell = tf.sigmoid(f + self._forget_bias) * cell + tf.sigmoid(i) * tf.tanh(j)
        seen_cell = next_cell
        if self._batch_norm_c is not None:
            seen_cell = self._beta_c + self._gamma_c * self._batch_norm_c(next_cell, **control)
        if self._use_peepholes:
            seen_cell += self._w_o_diag * seen_cell
        return tf.tanh(seen_cell) * tf.sigmoid(o), next_cell

    def _gates(self, inputs: Any, hidden: Any, control: dict[str, Any]) -> Any:
        if self._w_xh is not None:
            return tf.matmul(tf.concat([inputs, hidden], axis=1), self._w_xh)
        by_hidden = tf.matmul(hidden, self._w_h)
        if self._batch_norm_h is not None:
            by_hidden = self._gamma_h * self._batch_norm_h(by_hidden, **control)
        # Not before the last step is done: the iterations of a loop may overlap, but each update of
        # a moving average builds on the last one.
        with tf.control_dependencies([hidden]):
            by_input = tf.matmul(inputs, self._w_x)
        if self._batch_norm_x is not None:
            by_input = self._gamma_x * self._batch_norm_x(by_input, **control)
        return by_hidden + by_input

    def with_batch_norm_control(self, is_training: Any, test_local_stats: Any = True) -> RNNCore:
        """Returns a core of the same variables that passes these flags to each step.

        Args:
            is_training: As for the call of this core.
            test_local_stats: Likewise.
        """
        return self.CoreWithExtraBuildArgs(
            self, is_training=is_training, test_local_stats=test_local_stats
        )

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Returns a state of zeros, of which with `max_unique_stats` the number of the step is one.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of hidden state and cell.

        Returns:
            The tuple that is the state.
        """
        hidden, cell, *_ = super().zero_state(batch_size, dtype)
        return self._with_step(hidden, cell)

    def initial_state(  # type: ignore[override]
        self,
        batch_size: Any,
        dtype: Any = tf.float32,
        trainable: bool = False,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
    ) -> Any:
        """Returns the state to begin with: zeros, or a hidden state and cell that are learnt.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of hidden state and cell. Default: float32.
            trainable: Whether they are learnt: then each call makes new variables, except inside
                the `_build` of a module. Default: False.
            trainable_initializers: Initializers of what is learnt: a pair, or one for both.
                Default: zeros.
            trainable_regularizers: Regularizers, likewise.
            name: Name scope of the ops, and start of the names of the variables. Default: the name
                of the module's scope with "_initial_state".

        Returns:
            The tuple that is the state; with `max_unique_stats` the number of the step is 0.

        Raises:
            ValueError: As `snt.trainable_initial_state` does.
            TypeError: Likewise.
        """
        name = name or f"{self.scope_name}_initial_state"
        with tf1.name_scope(name):
            if not trainable:
                return self.zero_state(batch_size, dtype)
            return self._with_step(
                *trainable_initial_state(
                    batch_size,
                    self.state_size[:2],
                    dtype,
                    initializers=trainable_initializers,
                    regularizers=trainable_regularizers,
                    name=name,
                )
            )

    def _with_step(self, hidden: Any, cell: Any) -> tuple[Any, ...]:
        if self._max_unique_stats == 1:
            return hidden, cell
        return hidden, cell, tf.constant(0, tf.int32)

    @property
    def state_size(self) -> tuple[Any, ...]:
        """Shapes of hidden state and cell without the batch.

        With `max_unique_stats`, [1] stands beside them for the number of the step, although that is
        a tensor without axes: use `initial_state` or `zero_state` to make a state.
        """
        size = tf.TensorShape([self._hidden_size])
        return (size, size) if self._max_unique_stats == 1 else (size, size, tf.TensorShape([1]))

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch."""
        return tf.TensorShape([self._hidden_size])

    @property
    def use_peepholes(self) -> bool:
        """Whether the gates see the cell."""
        return self._use_peepholes

    @property
    def use_batch_norm_h(self) -> bool:
        """Whether what comes from the hidden state is normalised."""
        return self._batch_norm_h is not None

    @property
    def use_batch_norm_x(self) -> bool:
        """Whether what comes from the input is normalised."""
        return self._batch_norm_x is not None

    @property
    def use_batch_norm_c(self) -> bool:
        """Whether the cell is normalised."""
        return self._batch_norm_c is not None
