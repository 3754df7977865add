"""Zoneout: features of the state keep their value for a step, at random."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from snt_rnn.core import RNNCore
from snt_rnn.inputs import check_keep_prob
from snt_rnn.lstm import LSTM, LSTMState


def lstm_with_zoneout(
    hidden_size: int, keep_prob_c: Any = 0.5, keep_prob_h: Any = 0.95, **kwargs: Any
) -> tuple[RNNCore, RNNCore]:
    """Returns an LSTM with zoneout, for training and for tests.

    After Krueger et al., "Zoneout: Regularizing RNNs by randomly preserving hidden activations",
    2016, https://arxiv.org/abs/1606.01305. The two share the variables. While training, each
    feature of the state is updated with the probability that is given here, and otherwise keeps
    its value; in tests it becomes the mean of the two, weighted by that probability. The state
    must be an `snt.LSTMState`.

    Args:
        hidden_size: Number of hidden units.
        keep_prob_c: Probability that a feature of the cell is updated, in [0, 1]. Default: 0.5.
        keep_prob_h: Probability that a feature of the hidden state is updated, in [0, 1]. Default:
            0.95.
        **kwargs: Other arguments of `snt.LSTM`.

    Returns:
        The core for training, and that for tests.

    Raises:
        ValueError: If a probability is not in [0, 1].

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> train_lstm, test_lstm = snt.lstm_with_zoneout(16)
        >>> outputs, state = train_lstm(tf.ones([8, 3]), train_lstm.initial_state(batch_size=8))
        >>> outputs, state = test_lstm(tf.ones([8, 3]), state)
    """
    lstm = LSTM(hidden_size, **kwargs)
    keep_probs = LSTMState(keep_prob_h, keep_prob_c)
    return (
        ZoneoutWrapper(lstm, keep_probs, is_training=True),
        ZoneoutWrapper(lstm, keep_probs, is_training=False),
    )


class ZoneoutWrapper(RNNCore):
    """A core whose state is updated in part only, at random or in the mean.

    The state is that of the core, and so are the outputs.

    Args:
        core: The core, whose variables the wrapper uses; it has none of its own.
        keep_probs: Probabilities that a feature is updated, in the structure of the state of the
            core; None for what always is.
        is_training: Whether the choice is random; otherwise its mean is taken.

    Raises:
        ValueError: If a probability is not in [0, 1], or the structure is not that of the state.
        TypeError: If a container in it is of another type than in the state.
    """

    def __init__(self, core: RNNCore, keep_probs: Any, is_training: bool) -> None:
        super().__init__(name=f"{core.module_name}_zoneout")
        tf.nest.assert_same_structure(keep_probs, core.state_size)
        self._core = core
        # In a tuple, which TensorFlow has no reason to wrap as it would a list.
        self._keep_probs = tuple(tf.nest.flatten(keep_probs))
        self._is_training = is_training
        for keep_prob in self._keep_probs:
            check_keep_prob(keep_prob, self.scope_name, may_be_zero=True)

    def _build(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Takes one step, and updates the state in part.

        Args:
            inputs: Inputs of the core.
            prev_state: State of the core, of its very types.

        Returns:
            The outputs of the core, and the next state.

        Raises:
            ValueError: If the state is structured otherwise than that of the core.
            TypeError: If a container in it is of another type, for instance a plain tuple.
        """
        tf.nest.assert_same_structure(prev_state, self._core.state_size)
        outputs, next_state = self._core(inputs, prev_state)
        parts = [
            new if keep_prob is None else self._updated(old, new, keep_prob)
            for old, new, keep_prob in zip(
                tf.nest.flatten(prev_state),
                tf.nest.flatten(next_state),
                self._keep_probs,
                strict=True,
            )
        ]
        return outputs, tf.nest.pack_sequence_as(next_state, parts)

    def _updated(self, old: Any, new: Any, keep_prob: Any) -> Any:
        if not self._is_training:
            return old + keep_prob * (new - old)
        # Not of 16 bits, which make few different numbers.
        return tf.where(tf.random.uniform(tf.shape(new)) < keep_prob, new, old)

    @property
    def state_size(self) -> Any:
        """That of the core."""
        return self._core.state_size

    @property
    def output_size(self) -> Any:
        """That of the core."""
        return self._core.output_size

    def zero_state(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a state of zeros, as the core does.

        Args:
            *args: As for the `zero_state` of the core.
            **kwargs: Likewise.
        """
        return self._core.zero_state(*args, **kwargs)

    def initial_state(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the state to begin with, as the core does.

        Args:
            *args: As for the `initial_state` of the core.
            **kwargs: Likewise.
        """
        return self._core.initial_state(*args, **kwargs)
