"""`CoreWithExtraBuildArgs`: a core with arguments that loops over time do not pass."""

from __future__ import annotations

from typing import Any

from snt_rnn.core import RNNCore


class CoreWithExtraBuildArgs(RNNCore):
    """A core that passes further arguments to each call of another core.

    It has no variables of its own. Its name is that of the core with "_extra_args".

    Args:
        core: The core.
        *args: Arguments of its call that come after inputs and state.
        **kwargs: Likewise, by name.
    """

    def __init__(self, core: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(name=f"{core.module_name}_extra_args")
        self._core = core
        self._args = args
        self._kwargs = kwargs

    def _build(self, inputs: Any, state: Any) -> Any:
        """Calls the core.

        Args:
            inputs: Inputs of the core.
            state: State of the core.

        Returns:
            Outputs of the core, and its next state.
        """
        return self._core(inputs, state, *self._args, **self._kwargs)

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

    @property
    def state_size(self) -> Any:
        """That of the core."""
        return self._core.state_size

    @property
    def output_size(self) -> Any:
        """That of the core."""
        return self._core.output_size
