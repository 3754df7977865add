"""Compiled operations of Sonnet: `resampler` for TensorFlow, and its kernels for arrays.

Importing this package imports neither TensorFlow nor anything compiled.
"""

from snt_ops.build_info import BuildInfo as BuildInfo
from snt_ops.build_info import build_info as build_info

__all__ = ["BuildInfo", "build_info"]
