"""Warnings about names that have a better one."""

from __future__ import annotations

import tensorflow.compat.v1 as tf1

_seen: set[str] = set()


def deprecation_warning(deprecation_message: str) -> None:
    """Logs a warning, the first time that it is called with this message.

    Args:
        deprecation_message: What is deprecated, and what to use instead.
    """
    if deprecation_message not in _seen:
        _seen.add(deprecation_message)
        tf1.logging.warning(deprecation_message)
