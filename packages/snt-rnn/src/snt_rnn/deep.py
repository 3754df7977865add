"""`DeepRNN`: a stack of cores as one core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.deprecation import deprecation_warning
from snt_core.introspection import remove_unsupported_kwargs
from snt_rnn.concatenation import concatenate, concatenated_size
from snt_rnn.core import RNNCore
from snt_rnn.sequence.deep import deep_sequence
from snt_rnn.sequence.protocol import Form, Unrolled, WholeSequence, offers_form, stands_for


class DeepRNN(RNNCore):
    """A stack of cores, and of modules and functions between them, as one core.

    After Pascanu, Gulcehre, Cho and Bengio, "How to construct deep recurrent neural networks",
    2013, https://arxiv.org/abs/1312.6026; with skip connections after Graves, "Generating
    sequences with recurrent neural networks", 2013, https://arxiv.org/abs/1308.0850.

    What is an `snt.RNNCore` is called with its part of the state; everything else with the output
    of the one before only. The state is a tuple of those of the cores. The variables are those of
    the parts, each in its own scope: see `variables`, not `get_variables()`.

    Args:
        cores: Cores and, without skip connections, modules and functions.
        skip_connections: Whether each core but the first gets the inputs joined with the output of
            the core before. Default: True, which is to change: give it.
        concat_final_output_if_skip: With skip connections, whether the output is that of all cores
            joined, or that of the last one. Default: True.
        name: Name of the module. Default: "deep_rnn".

    Raises:
        ValueError: If `cores` is not iterable, or empty; or, with skip connections, if not all are
            an `snt.RNNCore`, or their outputs cannot be joined.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> cores = [snt.LSTM(5), tf.tanh, snt.LSTM(4), snt.Linear(2)]
        >>> deep = snt.DeepRNN(cores, skip_connections=False)
        >>> outputs, state = deep(tf.ones([8, 3]), deep.initial_state(batch_size=8))
        >>> outputs.shape, len(state)
        (TensorShape([8, 2]), 2)
    """

    def __init__(
        self,
        cores: Iterable[Callable[..., Any]],
        skip_connections: bool = True,
        concat_final_output_if_skip: bool = True,
        name: str = "deep_rnn",
    ) -> None:
        super().__init__(name=name)
        if not isinstance(cores, Iterable):
            raise ValueError(
                f"{self.scope_name}: Cores should be an iterable object, got {cores!r}."
            )
        self._cores = tuple(cores)
        if not self._cores:
            raise ValueError(f"{self.scope_name}: Cores should have at least one core, got none.")
        self._skip_connections = skip_connections
        self._concat_final_output_if_skip = concat_final_output_if_skip
        self._get_connected_size: Callable[[], Any] | None = None
        if skip_connections:
            deprecation_warning(
                "The argument skip_connections of DeepRNN will be deprecated. Use "
                "snt.SkipConnectionCore instead, and skip_connections=False."
            )
            self._check_skip_connections()

    def _check_skip_connections(self) -> None:
        odd = [core for core in self._cores if not _is_recurrent(core)]
        if odd:
            raise ValueError(
                f"{self.scope_name}: skip_connections are enabled but not all cores are "
                f"`snt.RNNCore`s, got {odd}. Construct with skip_connections=False."
            )
        try:
            self._joined_output_size()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.scope_name}: with skip_connections the outputs of the cores are "
                "concatenated along the first feature dimension, counted from the last one, and "
                f"these cannot be: {error}"
            ) from error

    def _build(self, inputs: Any, prev_state: Any, **kwargs: Any) -> tuple[Any, tuple[Any, ...]]:
        """Applies the cores one after the other.

        Args:
            inputs: Tensor `[batch, ...]`, or what the first core takes.
            prev_state: States of the cores that have one, in their order.
            **kwargs: Handed on to each of the cores, and to what stands between them.

        Returns:
            Output of the last core; with skip connections and `concat_final_output_if_skip` the
            outputs of all cores, joined along the last axis. And the tuple of the next states.

        Raises:
            ValueError: If there are more or fewer states than cores that have one.
        """
        count = len(self._recurrent_cores)
        if isinstance(prev_state, (tuple, list)) and len(prev_state) != count:
            raise ValueError(
                f"{self.scope_name}: the state must have one entry for each of the {count} cores "
                f"that have a state, as initial_state(batch_size) returns it; got "
                f"{len(prev_state)} entries."
            )
        current = inputs
        outputs: list[Any] = []
        next_states: list[Any] = []
        for core in self._cores:
            if self._skip_connections and outputs:
                current = concatenate(inputs, current)
            if _is_recurrent(core):
                current, next_state = core(current, prev_state[len(next_states)], **kwargs)
                next_states.append(next_state)
            else:
                current = core(current, **kwargs)
            outputs.append(current)
        output = concatenate(*outputs) if self._joins_outputs else current
        size = tf.nest.map_structure(lambda x: tf.TensorShape(x.shape[1:]), output)
        self._get_connected_size = lambda: size  # a tf.Module would replace lists in it by its own
        return output, tuple(next_states)

    @stands_for("_build")
    def _sequence_form(self, sequence: WholeSequence) -> Form | None:
        """Offers a form for whole sequences; see `snt_rnn.sequence.protocol`."""
        state = sequence.initial_state
        if (
            len(self._recurrent_cores) != len(self._cores)
            or not any(map(offers_form, self._cores))
            or type(state) is not tuple
            or len(state) != len(self._cores)
        ):
            return None
        return self._unroll_by_layers

    def _unroll_by_layers(self, sequence: WholeSequence) -> Unrolled:
        join = concatenate if self._skip_connections else None
        outputs, unrolled = deep_sequence(self._cores, join, sequence)
        return unrolled._replace(outputs=concatenate(*outputs)) if self._joins_outputs else unrolled

    def initial_state(  # type: ignore[override]
        self,
        batch_size: Any,
        dtype: Any = tf.float32,
        trainable: bool = False,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
    ) -> tuple[Any, ...]:
        """Returns the state to begin with: those of the cores.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the state. Default: float32.
            trainable: Whether the state is learnt. Default: False.
            trainable_initializers: Sequence with the initializers of each core that has a state,
                or None for its default; or one function for all. Optional.
            trainable_regularizers: Regularizers, likewise.
            name: Name scope of the ops; the variables have the names that the cores give them.
                Default: the name of the module's scope with "_initial_state".

        Raises:
            ValueError: If there are more or fewer entries than cores that have a state.
        """
        cores = self._recurrent_cores
        initializers = self._one_for_each("initializers", trainable_initializers)
        regularizers = self._one_for_each("regularizers", trainable_regularizers)
        states = []
        with tf1.name_scope(name or f"{self.scope_name}_initial_state"):
            for core, initializer, regularizer in zip(
                cores, initializers, regularizers, strict=True
            ):
                options: dict[str, Any] = {
                    "dtype": dtype,
                    "trainable": trainable,
                    "trainable_initializers": initializer,
                    "trainable_regularizers": regularizer,
                }
                if not trainable:  # which is as good as what a core of fewer parameters does
                    options = remove_unsupported_kwargs(core.initial_state, options)
                states.append(core.initial_state(batch_size, **options))
        return tuple(states)

    def _one_for_each(self, what: str, given: Any) -> Sequence[Any]:
        count = len(self._recurrent_cores)
        if callable(given):
            return [given] * count
        if not given:
            return [None] * count
        if len(given) != count:
            raise ValueError(
                f"{self.scope_name}: the number of {what} and recurrent cores should be the same, "
                f"got {len(given)} {what} for {count} cores. Pass None for a core without any."
            )
        return tuple(given)

    @property
    def state_size(self) -> tuple[Any, ...]:
        """Those of the cores that have a state."""
        return tuple(core.state_size for core in self._recurrent_cores)

    @property
    def output_size(self) -> Any:
        """Shapes of the output without the batch.

        Where the last of `cores` does not tell, it is that of the output of the latest connection.
        Before there was one, it is guessed: that of the last of `cores` that tells.

        Raises:
            ValueError: If none of `cores` has an `output_size`.
        """
        if self._joins_outputs:
            return self._joined_output_size()
        *before, final_core = self._cores
        if hasattr(final_core, "output_size"):
            return final_core.output_size
        if self._get_connected_size is not None:
            size = self._get_connected_size()
            tf1.logging.warning(
                "DeepRNN has been connected into the graph, so inferred output size %s from its "
                "output, since the final core %s does not have the .output_size field.",
                size,
                final_core,
            )
            return size
        for core in reversed(before):
            if hasattr(core, "output_size"):
                size = core.output_size
                tf1.logging.warning(
                    "The final core %s does not have the .output_size field. The output size is "
                    "guessed to be %s, that of %s. If it is another one, make the final core a "
                    "module that has an output_size.",
                    final_core,
                    size,
                    core,
                )
                return size
        raise ValueError(
            f"{self.scope_name}: none of the cores have output_size information, got "
            f"{list(self._cores)}. Connect the module first, or make one of them a module that "
            "has an output_size."
        )

    def _joined_output_size(self) -> Any:
        return concatenated_size(*(core.output_size for core in self._recurrent_cores))

    @property
    def _joins_outputs(self) -> bool:
        return self._skip_connections and self._concat_final_output_if_skip

    @property
    def _recurrent_cores(self) -> list[Any]:
        return [core for core in self._cores if _is_recurrent(core)]


def _is_recurrent(core: Any) -> bool:
    return isinstance(core, RNNCore)
