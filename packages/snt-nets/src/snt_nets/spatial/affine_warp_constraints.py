"""`AffineWarpConstraints`: which entries of an affine matrix are fixed."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

Row = tuple[Any, ...]


class AffineWarpConstraints:
    """Fixed and free entries of the matrix `[N, N + 1]` of an affine map in N dimensions.

    Two are combined with `&`, where each entry may be fixed by either, or by both to the same
    number. Row i is `constraints[i]`.

    Args:
        constraints: For each row of the matrix an iterable of its entries: a number for one that
            is fixed to it, None for a free one. Default: two dimensions, all free.

    Raises:
        TypeError: If `constraints` is not a nested iterable, or an entry not a number or None.
        ValueError: If they do not have the shape `[N, N + 1]`.

    Example:
        >>> import sonnet as snt
        >>> scale_only = snt.AffineWarpConstraints.translation_2d(0, 0) & [
        ...     [None, 0, None],
        ...     [0, None, None],
        ... ]
        >>> scale_only.constraints
        ((None, 0, 0), (0, None, 0))
        >>> scale_only.num_free_params
        2
    """

    def __init__(self, constraints: Iterable[Iterable[Any]] = ((None,) * 3,) * 2) -> None:
        try:
            self._constraints = tuple(tuple(row) for row in constraints)
        except TypeError:
            raise TypeError(
                "constraints must be a nested iterable: for each row of the affine matrix its "
                f"entries, numbers or None. Got {constraints!r}."
            ) from None
        columns = len(self._constraints) + 1
        if columns == 1 or any(len(row) != columns for row in self._constraints):
            raise ValueError(
                "constraints must be for an Nx(N+1) matrix, got rows of the lengths "
                f"{[len(row) for row in self._constraints]}."
            )
        for entry in (entry for row in self._constraints for entry in row):
            if not (entry is None or isinstance(entry, numbers.Real)):
                raise TypeError(
                    f"constraints must have numbers and None as entries, got {entry!r}."
                )

    @property
    def constraints(self) -> tuple[Row, ...]:
        """The entries, row by row: a number for a fixed one, None for a free one."""
        return self._constraints

    @property
    def mask(self) -> tuple[tuple[bool, ...], ...]:
        """Whether each entry is free, row by row."""
        return tuple(tuple(entry is None for entry in row) for row in self._constraints)

    @property
    def num_free_params(self) -> int:
        """Number of free entries."""
        return sum(map(sum, self.mask))

    @property
    def num_dim(self) -> int:
        """Number of dimensions, N."""
        return len(self._constraints)

    def __getitem__(self, i: int) -> Row:
        return self._constraints[i]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._constraints})"

    def __and__(self, additional_constraints: Any) -> AffineWarpConstraints:
        return self.combine_with(additional_constraints)

    def combine_with(self, additional_constraints: Any) -> AffineWarpConstraints:
        """Returns constraints that fix what these fix, and what others fix.

        Args:
            additional_constraints: An `AffineWarpConstraints`, or what one is made from.

        Raises:
            ValueError: If both fix an entry, to different numbers, or they are for different
                numbers of dimensions.
        """
        other = additional_constraints
        if not isinstance(other, AffineWarpConstraints):
            other = AffineWarpConstraints(other)
        if self.num_dim != other.num_dim:
            raise ValueError(
                "Incompatible set of constraints provided: one is for "
                f"{self.num_dim} dimensions, the other for {other.num_dim}."
            )
        return AffineWarpConstraints(
            [
                [_combined(first, second) for first, second in zip(row, other_row, strict=True)]
                for row, other_row in zip(self._constraints, other.constraints, strict=True)
            ]
        )

    @classmethod
    def no_constraints(cls, num_dim: int = 2) -> AffineWarpConstraints:
        """Returns constraints that fix nothing.

        Args:
            num_dim: Number of dimensions. Default: 2.
        """
        return cls(((None,) * (num_dim + 1),) * num_dim)

    @classmethod
    def translation_2d(
        cls, x: float | None = None, y: float | None = None
    ) -> AffineWarpConstraints:
        """Fixes the translation, the last column.

        Args:
            x: Translation along the last axis of an image, if it is fixed.
            y: Likewise along the first.
        """
        return cls([[None, None, x], [None, None, y]])

    @classmethod
    def translation_3d(
        cls, x: float | None = None, y: float | None = None, z: float | None = None
    ) -> AffineWarpConstraints:
        """Fixes the translation, the last column.

        Args:
            x: Translation along the last axis of a volume, if it is fixed.
            y: Likewise along the second.
            z: Likewise along the first.
        """
        return cls([[None, None, None, x], [None, None, None, y], [None, None, None, z]])

    @classmethod
    def scale_2d(cls, x: float | None = None, y: float | None = None) -> AffineWarpConstraints:
        """Fixes the scale, the diagonal.

        Args:
            x: Scale along the last axis of an image, if it is fixed.
            y: Likewise along the first.
        """
        return cls([[x, None, None], [None, y, None]])

    @classmethod
    def scale_3d(
        cls, x: float | None = None, y: float | None = None, z: float | None = None
    ) -> AffineWarpConstraints:
        """Fixes the scale, the diagonal.

        Args:
            x: Scale along the last axis of a volume, if it is fixed.
            y: Likewise along the second.
            z: Likewise along the first.
        """
        return cls([[x, None, None, None], [None, y, None, None], [None, None, z, None]])

    @classmethod
    def shear_2d(cls, x: float | None = None, y: float | None = None) -> AffineWarpConstraints:
        """Fixes the shear, what stands beside the diagonal.

        Args:
            x: How much the last axis of an image is shifted along the first, if it is fixed.
            y: Likewise the first along the last.
        """
        return cls([[None, x, None], [y, None, None]])

    @classmethod
    def no_shear_2d(cls) -> AffineWarpConstraints:
        """Fixes the shear to 0."""
        return cls.shear_2d(x=0, y=0)

    @classmethod
    def no_shear_3d(cls) -> AffineWarpConstraints:
        """Fixes the shear to 0: all that stands beside the diagonal, translation aside."""
        return cls([[None, 0, 0, None], [0, None, 0, None], [0, 0, None, None]])


def _combined(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    if first != second:
        raise ValueError(
            "Incompatible set of constraints provided: the same entry is fixed to "
            f"{first} and to {second}."
        )
    return first
