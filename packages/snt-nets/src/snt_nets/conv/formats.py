"""Data formats: in which order the axes of a tensor stand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

DATA_FORMAT_NWC = "NWC"
DATA_FORMAT_NCW = "NCW"
DATA_FORMAT_NHWC = "NHWC"
DATA_FORMAT_NCHW = "NCHW"
DATA_FORMAT_NDHWC = "NDHWC"
DATA_FORMAT_NCDHW = "NCDHW"

SUPPORTED_1D_DATA_FORMATS = {DATA_FORMAT_NWC, DATA_FORMAT_NCW}
SUPPORTED_2D_DATA_FORMATS = {DATA_FORMAT_NHWC, DATA_FORMAT_NCHW}
SUPPORTED_3D_DATA_FORMATS = {DATA_FORMAT_NDHWC, DATA_FORMAT_NCDHW}

_SUPPORTED = {
    1: SUPPORTED_1D_DATA_FORMATS,
    2: SUPPORTED_2D_DATA_FORMATS,
    3: SUPPORTED_3D_DATA_FORMATS,
}
_CHANNELS_LAST = {1: DATA_FORMAT_NWC, 2: DATA_FORMAT_NHWC, 3: DATA_FORMAT_NDHWC}


@dataclasses.dataclass(frozen=True)
class DataFormat:
    """Order of the axes: the batch first, the channels second or last.

    Attributes:
        name: As TensorFlow has it; "NCHW" stands for batch, channels, height, width.
    """

    name: str

    @property
    def spatial_dims(self) -> int:
        """Number of axes that are neither the batch nor the channels."""
        return len(self.name) - 2

    @property
    def channels_first(self) -> bool:
        """Whether the channels are the second axis, and not the last."""
        return self.name.startswith("NC")

    @property
    def channel_axis(self) -> int:
        """Index of the axis of the channels."""
        return 1 if self.channels_first else self.spatial_dims + 1

    def spatial(self, entries: Sequence[Any]) -> tuple[Any, ...]:
        """Returns those of `entries`, one for each axis, that belong to spatial axes."""
        return tuple(entries[2:] if self.channels_first else entries[1:-1])

    def arrange(self, batch: Any, spatial: Sequence[Any], channels: Any) -> tuple[Any, ...]:
        """Returns entries for all axes in the order of the format."""
        if self.channels_first:
            return (batch, channels, *spatial)
        return (batch, *spatial, channels)


def checked_data_format(given: Any, spatial_dims: int, module: str) -> DataFormat:
    """Returns the data format of that name.

    Args:
        given: Its name, or None for the one with the channels last.
        spatial_dims: Number of spatial axes that it must have.
        module: Name of the module that asks.

    Raises:
        ValueError: If there is no such format.
    """
    if given is None:
        given = _CHANNELS_LAST[spatial_dims]
    allowed = _SUPPORTED[spatial_dims]
    if not isinstance(given, str) or given not in allowed:
        raise ValueError(
            f"{module}: Invalid data_format {given!r}, must be one of {sorted(allowed)}."
        )
    return DataFormat(given)
