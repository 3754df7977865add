"""`ModelRNN`: a model that is fed its own output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snt_rnn.core import RNNCore


class ModelRNN(RNNCore):
    """Core that applies a model to the state again and again, and ignores its inputs.

    The output of the model is both the output and the next state. The inputs say only for how many
    steps a loop runs.

    Args:
        model: Module with an attribute `output_size`, whose output has the shape of its input.
        name: Name of the module. Default: "model_rnn".

    Raises:
        TypeError: If `model` cannot be called, or is an `snt.RNNCore`.
        AttributeError: If `model` has no `output_size`.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.ModelRNN(snt.Linear(5))
        >>> outputs, state = core(tf.zeros([8, 0]), tf.ones([8, 5]))
        >>> outputs is state, outputs.shape
        (True, TensorShape([8, 5]))
    """

    def __init__(self, model: Any, name: str = "model_rnn") -> None:
        super().__init__(name=name)
        if not callable(model):
            raise TypeError(f"{self.scope_name}: Model must be callable, got {model!r}.")
        if isinstance(model, RNNCore):
            raise TypeError(
                f"{self.scope_name}: Model should not be an RNNCore, got {model!r}: a core has a "
                "state of its own."
            )
        try:
            size = model.output_size
        except AttributeError as error:
            raise AttributeError(
                f"{self.scope_name}: Model should have an output_size attribute, got {model!r}. "
                "Wrap a function in a module that has one."
            ) from error
        self._model = model
        # In a function, since a tf.Module would replace lists in it by its own.
        self._get_size: Callable[[], Any] = lambda: size

    def _build(self, inputs: Any, prev_state: Any) -> tuple[Any, Any]:
        """Applies the model to the state.

        Args:
            inputs: Not used.
            prev_state: Input of the model.

        Returns:
            Output of the model, as the output and as the next state.
        """
        next_state = self._model(prev_state)
        return next_state, next_state

    @property
    def state_size(self) -> Any:
        """The `output_size` that the model had when this module was constructed."""
        return self._get_size()

    @property
    def output_size(self) -> Any:
        """The same."""
        return self._get_size()
