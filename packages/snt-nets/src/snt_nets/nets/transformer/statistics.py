"""Statistics of where a transformer with two memories attends to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from snt_nets.nets.transformer.attention import AttentionState
from snt_nets.nets.transformer.memory import memory_sizes, static_length

_NUM_BUCKETS = 6


def attention_statistics(
    states: Iterable[Any], attention_states: Iterable[AttentionState]
) -> dict[str, Any]:
    """Returns the attention that goes to each part of the memories and of the sequence.

    Compressed memory (`cm`), episodic memory (`em`) and sequence (`seq`) are cut into 6 parts of
    about the same number of steps each, from the oldest, 0, to the newest, 5.

    Args:
        states: The `CompressedMemoryState` of each layer that was attended to.
        attention_states: What the attention of each layer computed.

    Returns:
        Scalars by name: `cm_p<part>_l<layer>`, the sum of the weights in that part, its mean over
        examples, heads and queries; likewise `em` and `seq`; without `_l<layer>`, means of layers.
    """
    stats: dict[str, Any] = {}
    by_part: dict[str, list[Any]] = {}
    for layer, (state, attention_state) in enumerate(zip(states, attention_states, strict=True)):
        cm_size, em_size = memory_sizes(state)
        sizes = {
            "cm": cm_size,
            "em": em_size,
            "seq": static_length(attention_state.embeddings, "input"),
        }
        mass = tf.reduce_mean(attention_state.weights, axis=[0, 1, 2])
        start = 0
        for kind, size in sizes.items():
            for part, steps in enumerate(np.array_split(np.arange(size), _NUM_BUCKETS)):
                total = tf.reduce_sum(mass[start : start + len(steps)])
                start += len(steps)
                stats[f"{kind}_p{part}_l{layer:02}"] = total
                by_part.setdefault(f"{kind}_p{part}", []).append(total)
    stats.update((name, tf.add_n(totals) / len(totals)) for name, totals in by_part.items())
    return stats
