"""Recurrent dropout: the same features of the state are dropped all along a sequence."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_rnn.core import RNNCore
from snt_rnn.highway import HighwayCore
from snt_rnn.inputs import check_keep_prob
from snt_rnn.lstm import LSTM, LSTMState


def lstm_with_recurrent_dropout(
    hidden_size: int, keep_prob: Any = 0.5, **kwargs: Any
) -> tuple[RNNCore, LSTM]:
    """Returns an LSTM with recurrent dropout for training, and the LSTM alone for tests.

    After Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", 2015, https://arxiv.org/abs/1512.05287. The two share the variables. Of the state,
    the hidden part is dropped, not the cell. The state of the first core consists of that of the
    LSTM and of a list of dropout masks, which `initial_state` and `zero_state` draw.

    Args:
        hidden_size: Number of hidden units.
        keep_prob: Probability that a feature is kept, in (0, 1]. Default: 0.5.
        **kwargs: Other arguments of `snt.LSTM`.

    Returns:
        The core for training, and that for tests.

    Raises:
        ValueError: If `keep_prob` is not in (0, 1].

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> train_lstm, test_lstm = snt.lstm_with_recurrent_dropout(16, keep_prob=0.75)
        >>> state, masks = train_lstm.initial_state(batch_size=8)
        >>> outputs, (state, masks) = train_lstm(tf.ones([8, 3]), (state, masks))
        >>> outputs, state = test_lstm(tf.ones([8, 3]), state)
    """
    lstm = LSTM(hidden_size, **kwargs)
    return RecurrentDropoutWrapper(lstm, LSTMState(keep_prob, None)), lstm


def highway_core_with_recurrent_dropout(
    hidden_size: int, num_layers: int, keep_prob: Any = 0.5, **kwargs: Any
) -> tuple[RNNCore, HighwayCore]:
    """Returns a highway core with recurrent dropout for training, and it alone for tests.

    As `snt.lstm_with_recurrent_dropout`, for the one state of an `snt.HighwayCore`.

    Args:
        hidden_size: Number of hidden units.
        num_layers: Number of layers.
        keep_prob: Probability that a feature is kept, in (0, 1]. Default: 0.5.
        **kwargs: Other arguments of `snt.HighwayCore`.

    Returns:
        The core for training, and that for tests.

    Raises:
        ValueError: If `keep_prob` is not in (0, 1].

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> train_core, test_core = snt.highway_core_with_recurrent_dropout(16, num_layers=2)
        >>> state, masks = train_core.initial_state(batch_size=8)
        >>> outputs, (state, masks) = train_core(tf.ones([8, 3]), (state, masks))
    """
    core = HighwayCore(hidden_size, num_layers, **kwargs)
    return RecurrentDropoutWrapper(core, keep_prob), core


class RecurrentDropoutWrapper(RNNCore):
    """A core whose state is multiplied, after each step, by masks that are part of the state.

    The state is that of the core, and a list of the masks: one for each part of the state that has
    a probability, of the shape of that part; 0 where a feature is dropped, otherwise 1/keep_prob.
    The outputs are those of the core.

    Args:
        core: The core, whose variables the wrapper uses; it has none of its own.
        keep_probs: Probabilities that a feature is kept, in the structure of the state of the core;
            None for what is not dropped.

    Raises:
        ValueError: If a probability is not in (0, 1], or the structure is not that of the state.
        TypeError: If a container in it is of another type than in the state.
    """

    def __init__(self, core: RNNCore, keep_probs: Any) -> None:
        super().__init__(name=f"{core.module_name}_recdropout")
        tf.nest.assert_same_structure(keep_probs, core.state_size)
        self._core = core
        # In a tuple, which TensorFlow has no reason to wrap as it would a list.
        self._keep_probs = tuple(tf.nest.flatten(keep_probs))
        for keep_prob in self._keep_probs:
            check_keep_prob(keep_prob, self.scope_name)

    def _build(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Takes one step, and drops features of the state.

        Args:
            inputs: Inputs of the core.
            prev_state: State of the core, and a list of masks.

        Returns:
            The outputs of the core, and the next state, with the masks as they were.
        """
        core_state, masks = prev_state
        outputs, next_state = self._core(inputs, core_state)
        parts = tf.nest.flatten(next_state)
        dropped = (i for i, keep_prob in enumerate(self._keep_probs) if keep_prob is not None)
        for i, mask in zip(dropped, masks, strict=True):
            parts[i] *= mask
        return outputs, (tf.nest.pack_sequence_as(next_state, parts), masks)

    @property
    def state_size(self) -> Any:
        """Shapes of the state without the batch: those of the core, and a list of the masks'."""
        return self._core.state_size, [size for size, _ in self._dropped()]

    @property
    def output_size(self) -> Any:
        """That of the core."""
        return self._core.output_size

    def zero_state(self, batch_size: Any, dtype: Any) -> Any:
        """Returns a state of zeros for the core, and new masks.

        So that the loops of TensorFlow, which begin with a zero state where they are given none,
        do not drop everything.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state.
        """
        with tf1.name_scope(f"{type(self).__name__}ZeroState"):
            return self._core.zero_state(batch_size, dtype), self._masks(batch_size, dtype)

    def initial_state(
        self,
        batch_size: Any,
        dtype: Any = tf.float32,
        trainable: bool = False,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
        **unused_kwargs: Any,
    ) -> Any:
        """Returns the state to begin with: that of the core, and new masks.

        In a graph, each run draws other masks.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state. Default: float32.
            trainable: Whether the state of the core is learnt. Default: False.
            trainable_initializers: As for the core.
            trainable_regularizers: As for the core.
            name: As for the core; and name scope of the masks, by default the name of the
                wrapper's scope with "_initial_state".
            **unused_kwargs: Not used.
        """
        core_state = self._core.initial_state(
            batch_size,
            dtype=dtype,
            trainable=trainable,
            trainable_initializers=trainable_initializers,
            trainable_regularizers=trainable_regularizers,
            name=name,
        )
        with tf1.name_scope(name or f"{self.scope_name}_initial_state"):
            return core_state, self._masks(batch_size, dtype)

    def _dropped(self) -> list[tuple[Any, Any]]:
        """Returns size and probability of each part of the state that is dropped."""
        sizes = tf.nest.flatten(self._core.state_size)
        pairs = zip(sizes, self._keep_probs, strict=True)
        return [(size, keep_prob) for size, keep_prob in pairs if keep_prob is not None]

    def _masks(self, batch_size: Any, dtype: Any) -> list[Any]:
        batch_size = tf.reshape(batch_size, []) if tf.is_tensor(batch_size) else int(batch_size)
        masks = []
        for size, keep_prob in self._dropped():
            ones = tf.ones([batch_size, *tf.TensorShape(size).as_list()], dtype)
            masks.append(tf.nn.dropout(ones, rate=1 - keep_prob))
        return masks
