"""`snt.experimental`: the older name of `snt.reuse_variables`, which the field still uses."""

from __future__ import annotations

from snt_core.reuse import reuse_variables

reuse_vars = reuse_variables

__all__ = ["reuse_vars"]
