"""`BidirectionalRNN`: one core reads a sequence forwards, another one backwards."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_rnn.core import RNNCore


class BidirectionalRNN(AbstractModule):
    """Reads a whole sequence with two cores, with one of them from its end.

    After Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997,
    https://doi.org/10.1109/78.650093.

    It is not itself a core, and has no variables of its own.

    Args:
        forward_core: `snt.RNNCore`, or what has `initial_state`, `state_size` and `output_size`
            as one.
        backward_core: Likewise.
        name: Name of the module. Default: "bidir_rnn".

    Raises:
        ValueError: If one of the two is no such core.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> rnn = snt.BidirectionalRNN(snt.GRU(5), snt.GRU(5))
        >>> results = rnn(tf.ones([7, 8, 3]), rnn.initial_state(batch_size=8))
        >>> forward = results["outputs"]["forward"]
        >>> backward = tf.reverse(results["outputs"]["backward"], axis=[0])
        >>> tf.concat([forward, backward], axis=-1).shape
        TensorShape([7, 8, 10])
    """

    def __init__(self, forward_core: Any, backward_core: Any, name: str = "bidir_rnn") -> None:
        super().__init__(name=name)
        for core in (forward_core, backward_core):
            if not _is_core(core):
                raise ValueError(
                    f"{self.scope_name}: forward_core and backward_core must both be instances of "
                    "snt.RNNCore, or have initial_state, state_size and output_size; got "
                    f"{core!r}."
                )
        self._forward_core = forward_core
        self._backward_core = backward_core

    def _build(self, input_sequence: Any, state: Any) -> dict[str, dict[str, Any]]:
        """Reads a sequence.

        Args:
            input_sequence: Tensor `[time, batch, ...]`, of which the number of steps is known when
                the graph is built.
            state: The states with which the forward and the backward core begin, a pair.

        Returns:
            `{"outputs": {"forward": ..., "backward": ...}, "state": {"forward": ...,
            "backward": ...}}`: the outputs and the states after each step, in the structure of
            those of the cores, with an axis of time in front, `[time, batch, ...]`. Those of the
            backward core are in the order in which it read: the first one belongs to the last step
            of the input. To put them beside those of the forward core, reverse their first axis.

        Raises:
            ValueError: If the number of steps is unknown, or zero.
        """
        input_sequence = tf.convert_to_tensor(input_sequence)
        shape = input_sequence.shape
        time = shape.as_list()[0] if shape.rank else None
        if not time:
            raise ValueError(
                f"{self.scope_name}: the number of steps, the first axis of input_sequence "
                "([time, batch, ...]), must be statically known, and at least 1; got the shape "
                f"{shape}."
            )
        steps = tf.unstack(input_sequence, num=time)
        forward_state, backward_state = state
        with tf1.name_scope("forward_rnn"):
            forward = _unroll(self._forward_core, steps, forward_state)
        with tf1.name_scope("backward_rnn"):
            backward = _unroll(self._backward_core, steps[::-1], backward_state)
        return {
            key: {"forward": forward[i], "backward": backward[i]}
            for i, key in enumerate(["outputs", "state"])
        }

    def initial_state(
        self,
        batch_size: Any,
        dtype: Any = tf.float32,
        trainable: bool = False,
        trainable_initializers: Any = None,
        trainable_regularizers: Any = None,
        name: str | None = None,
    ) -> tuple[Any, Any]:
        """Returns the pair of states to begin with.

        Args:
            batch_size: Size of the batch: an integer, or a tensor of one.
            dtype: Type of the states. Default: float32.
            trainable: Whether the states are learnt. Default: False.
            trainable_initializers: Initializers of states that are learnt, as each of the two
                cores takes them; both get the same.
            trainable_regularizers: Their regularizers, likewise.
            name: Start of the names of the two states, which are `<name>_forward` and
                `<name>_backward`. Default: "state".
        """
        name = name or "state"
        forward, backward = (
            core.initial_state(
                batch_size,
                dtype,
                trainable,
                trainable_initializers,
                trainable_regularizers,
                name=f"{name}_{direction}",
            )
            for core, direction in (
                (self._forward_core, "forward"),
                (self._backward_core, "backward"),
            )
        )
        return forward, backward

    @property
    def state_size(self) -> tuple[Any, Any]:
        """Those of the two cores."""
        return self._forward_core.state_size, self._backward_core.state_size

    @property
    def output_size(self) -> tuple[Any, Any]:
        """Those of the two cores."""
        return self._forward_core.output_size, self._backward_core.output_size


def _is_core(core: Any) -> bool:
    return isinstance(core, RNNCore) or all(
        hasattr(core, name) for name in ("initial_state", "state_size", "output_size")
    )


def _unroll(core: Any, steps: list[Any], state: Any) -> tuple[Any, Any]:
    """Returns the outputs and the states after each step, each with an axis of time in front."""
    outputs, states = [], []
    for inputs in steps:
        output, state = core(inputs, state)
        outputs.append(output)
        states.append(state)
    return _stack(outputs), _stack(states)


def _stack(structures: list[Any]) -> Any:
    return tf.nest.map_structure(lambda *tensors: tf.stack(tensors), *structures)
