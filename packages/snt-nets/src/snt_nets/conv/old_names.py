"""Names that programs import from Sonnet 1's `conv`; nothing in this library uses them."""

from __future__ import annotations

from snt_nets.conv.padded import PaddedConvolution as _ConvND  # noqa: F401
from snt_nets.conv.sizes import default_transpose_size as _default_transpose_size  # noqa: F401
from snt_nets.conv.sizes import fill_shape as _fill_shape  # noqa: F401
from snt_nets.conv.transpose import ConvNDTranspose as _ConvNDTranspose  # noqa: F401
