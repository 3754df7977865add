"""`RNNCore` and `trainable_initial_state`: recurrent modules, and a state that is learnt."""

from __future__ import annotations

# They stand in snt-core, where the transformers of snt-nets, which are cores too, can reach them.
from snt_core.recurrent import RNNCore, trainable_initial_state

__all__ = ["RNNCore", "trainable_initial_state"]
