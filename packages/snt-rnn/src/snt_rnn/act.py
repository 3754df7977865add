"""`ACTCore`: as many steps of a core for each step in time as it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from snt_nets.linear import Linear
from snt_rnn.core import RNNCore


class ACTCore(RNNCore):
    """Adaptive computation time: lets a core ponder on each input for a number of steps.

    After Graves, "Adaptive computation time for recurrent neural networks", 2016,
    https://arxiv.org/abs/1603.08983. After each step of the core, a linear map of its state tells
    with what probability it halts; it halts where the sum of these is above `threshold`. Outputs
    and states of the steps are averaged with these weights, the last step having what is missing
    to 1; the average of outputs is mapped once more.

    The core sees its input with a feature added: 0 at the first step, 1 from then on.

    Beside the output come the number of steps, and the remainder: what was missing to 1 before the
    last step, 0 if that was the first one. Add their sum, the ponder cost, to the loss. The number
    of steps has no gradient.

    Variables, in the dtype of the input: those of the `snt.Linear` modules `halting_linear` and
    `act_output_linear`. Those of the core are in its own scope.

    Args:
        core: Core whose output is one tensor `[batch, features]`.
        output_size: Number of output features.
        threshold: Sum of the probabilities above which it halts, between 0 and 1.
        get_state_for_halting: Takes the state of the core, returns the tensor `[batch, features]`
            that it is told from whether to halt.
        max_steps: Number of steps after which it halts in any case. Default: 0, which is no limit;
            it ponders for ever then if the probability becomes 0.
        name: Name of the module. Default: "act_core".

    Raises:
        ValueError: If the output of the core is not one vector an example, or `threshold` is not
            between 0 and 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.ACTCore(snt.GRU(5), 3, 0.99, get_state_for_halting=lambda state: state)
        >>> (outputs, (num_steps, remainder)), state = core(tf.ones([8, 4]), core.initial_state(8))
        >>> outputs.shape, num_steps.shape, remainder.shape
        (TensorShape([8, 3]), TensorShape([8, 1]), TensorShape([8, 1]))
    """

    def __init__(
        self,
        core: Any,
        output_size: int,
        threshold: float,
        get_state_for_halting: Callable[[Any], Any],
        max_steps: int = 0,
        name: str = "act_core",
    ) -> None:
        super().__init__(name=name)
        self._core_output_size = self._checked_output_size(core.output_size)
        if not 0 <= threshold <= 1:
            raise ValueError(
                f"{self.scope_name}: Threshold should be between 0 and 1, got {threshold}."
            )
        self._core = core
        self._output_size = output_size
        self._threshold = threshold
        self._get_state_for_halting = get_state_for_halting
        self._max_steps = max_steps
        self._batch_size: int | None = None
        self._dtype: Any = None
        with self._enter_variable_scope(check_same_graph=False):
            self._halting_linear = Linear(1, name="halting_linear")
            self._output_linear = Linear(output_size, name="act_output_linear")

    def _checked_output_size(self, output_size: Any) -> Any:
        if tf.nest.is_nested(output_size):
            raise ValueError(
                f"{self.scope_name}: Output of core should be single Tensor, got the output size "
                f"{output_size}."
            )
        output_size = tf.TensorShape(output_size)
        if output_size.rank != 1:
            raise ValueError(
                f"{self.scope_name}: Output of core should be 1D, got the output size "
                f"{output_size}."
            )
        return output_size

    def _build(self, x: Any, prev_state: Any) -> tuple[Any, Any]:
        """Ponders on one input.

        Args:
            x: Tensor `[batch, features]`.
            prev_state: State of the core.

        Returns:
            `(output, (num_steps, remainder))`, `[batch, output_size]`, `[batch, 1]` and
            `[batch, 1]`, all in the dtype of `x`; and the next state, the average of those of the
            steps, in the structure of `prev_state`.

        Raises:
            ValueError: If `x` is not of rank 2.
        """
        x = tf.convert_to_tensor(x)
        if x.shape.rank != 2:
            raise ValueError(
                f"{self.scope_name}: the input must be of rank 2, [batch, features], got the shape "
                f"{x.shape}."
            )
        self._batch_size = x.shape.as_list()[0]
        self._dtype = x.dtype

        start = tf.nest.map_structure(tf.convert_to_tensor, prev_state)
        zeros = tf.zeros_like(x[:, :1])
        pondering = _Pondering(
            halting=zeros,
            num_steps=zeros,
            remainder=zeros,
            flag=zeros,
            output=tf.tile(zeros, [1, *self._core_output_size.as_list()]),
            mean_state=tf.nest.map_structure(tf.zeros_like, start),
            state=start,
        )
        pondering = _Pondering(
            *tf.while_loop(
                lambda halting, *_: tf.reduce_any(halting < 1),
                lambda *values: self._step(x, _Pondering(*values)),
                pondering,
            )
        )
        output = self._output_linear(pondering.output)
        return (output, (pondering.num_steps, pondering.remainder)), pondering.mean_state

    def _step(self, x: Any, before: _Pondering) -> tuple[Any, ...]:
        """Takes a step of the core, which counts where `before.halting` is less than 1."""
        running = before.halting < 1
        num_steps = before.num_steps + tf.cast(running, x.dtype)
        output, core_state = self._core(tf.concat([x, before.flag], axis=1), before.state)
        state = tf.nest.pack_sequence_as(before.state, tf.nest.flatten(core_state))
        probability = tf.sigmoid(self._halting_linear(self._get_state_for_halting(core_state)))
        reached = before.halting + probability
        stops = reached > self._threshold
        if self._max_steps > 0:
            stops = tf.logical_or(stops, num_steps >= self._max_steps)
        halting = tf.where(
            tf.logical_or(stops, before.halting >= 1), tf.ones_like(reached), reached
        )
        goes_on = tf.logical_and(running, tf.logical_not(stops))
        weight = halting - before.halting
        after = _Pondering(
            halting=halting,
            num_steps=num_steps,
            remainder=tf.where(goes_on, 1 - reached, before.remainder),
            flag=tf.ones_like(before.flag),
            output=before.output + weight * output,
            mean_state=tf.nest.map_structure(
                lambda mean, leaf: _add_weighted(mean, weight, leaf), before.mean_state, state
            ),
            state=state,
        )
        # Loops want shapes as well known as before the step.
        for new, old in zip(tf.nest.flatten(after), tf.nest.flatten(before), strict=True):
            new.set_shape(old.shape)
        return tuple(after)

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Returns a state of zeros, as the core does.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state.
        """
        return self._core.zero_state(batch_size, dtype)

    def initial_state(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the state to begin with, as the core does.

        Args:
            *args: As for the `initial_state` of the core.
            **kwargs: Likewise.
        """
        return self._core.initial_state(*args, **kwargs)

    @property
    def state_size(self) -> Any:
        """That of the core."""
        return self._core.state_size

    @property
    def output_size(self) -> Any:
        """Shapes of the output, the number of steps and the remainder, without the batch."""
        one = tf.TensorShape([1])
        return tf.TensorShape([self._output_size]), (one, one)

    @property
    def batch_size(self) -> int | None:
        """Size of the batch of the last input, None if it was not known.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._batch_size

    @property
    def dtype(self) -> Any:
        """Type of the last input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._dtype


class _Pondering(NamedTuple):
    """How far the pondering has come: tensors, `[batch, 1]` where nothing else is said.

    Attributes:
        halting: Sum of the probabilities of halting; 1 where it has halted.
        num_steps: Number of steps that count.
        remainder: What was missing to 1 before the last of them.
        flag: Whether this is not the first step.
        output: Sum of the weighted outputs of the core, `[batch, features]`.
        mean_state: Sum of the weighted states.
        state: The last state.
    """

    halting: Any
    num_steps: Any
    remainder: Any
    flag: Any
    output: Any
    mean_state: Any
    state: Any


def _add_weighted(mean: Any, weight: Any, state: Any) -> Any:
    if not state.dtype.is_floating:  # for instance a count of steps, which has no mean
        return state
    weight = tf.reshape(weight, [-1] + [1] * (state.shape.rank - 1))
    return mean + tf.cast(weight, state.dtype) * state
