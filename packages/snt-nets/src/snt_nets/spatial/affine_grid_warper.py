"""`AffineGridWarper`: a grid, mapped by an affine function."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from snt_core.errors import Error, IncompatibleShapeError
from snt_core.function_module import Module
from snt_nets.norm.inputs import floating_tensor
from snt_nets.shapes import reshape
from snt_nets.spatial.affine_warp_constraints import AffineWarpConstraints
from snt_nets.spatial.grid_warper import GridWarper


class AffineGridWarper(GridWarper):
    """Maps the points of a regular grid by an affine function: the grid of a spatial transformer.

    After Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial transformer networks", 2015,
    https://arxiv.org/abs/1506.02025. `snt.resampler` samples an image at the points.

    Source and grid both extend from -1 to 1 along each axis. With A the matrix `[N, N + 1]` of the
    parameters, the point (x, y, ...) of the grid goes to A (x, y, ..., 1), which is given in
    pixels of the source, from 0 to size - 1. Coordinates stand in the order x, y, z: the last axis
    of a shape first. A grid with fewer axes than the source lies at 0 in the others.

    Args:
        source_shape: Sizes of the source, for instance `[height, width]`: N of them.
        output_shape: Sizes of the grid, at most N.
        constraints: Which entries of A are fixed, and to what: an `snt.AffineWarpConstraints`, or
            what one is made from. Default: none are.
        name: Name of the module. Default: "affine_grid_warper".
        indexing: In which order the points of a grid with three or more axes stand. "ij": the
            point (i, j, k) of the grid at `[i, j, k]`. "xy", as in Sonnet 1: for a grid `[a, b, c]`
            the points of one of axes (b, c, a), counted through and put into the shape
            `[a, b, c]`. With one or two axes both are the same. Default: "xy".

    Raises:
        TypeError: If a shape is not a sequence of integers, or the constraints are not a nested
            iterable.
        ValueError: If the constraints do not have the shape `[N, N + 1]` for any N, a size is less
            than 1, or `indexing` is unknown.
        Error: If no entry is free, the constraints are for another number of dimensions, or the
            grid has more axes than the source.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> warper = snt.AffineGridWarper(source_shape=[3, 3], output_shape=[3, 3])
        >>> grid = warper(tf.constant([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]))
        >>> grid.shape, grid[0, 1, 2].numpy().tolist()
        (TensorShape([1, 3, 3, 2]), [2.0, 1.0])
    """

    def __init__(
        self,
        source_shape: Sequence[int],
        output_shape: Sequence[int],
        constraints: AffineWarpConstraints | Iterable[Iterable[Any]] | None = None,
        name: str = "affine_grid_warper",
        indexing: str = "xy",
    ) -> None:
        if constraints is None:
            constraints = AffineWarpConstraints.no_constraints(len(source_shape))
        elif not isinstance(constraints, AffineWarpConstraints):
            constraints = AffineWarpConstraints(constraints)
        num_dim = len(source_shape)
        if constraints.num_free_params == 0:
            raise Error(f"{name}: Transformation is fully constrained by {constraints}.")
        if constraints.num_dim != num_dim:
            raise Error(
                f"{name}: Incompatible set of constraints provided: they are for "
                f"{constraints.num_dim} dimensions, but the source has {num_dim}."
            )
        if indexing not in ("xy", "ij"):
            raise ValueError(f'{name}: indexing must be "xy" or "ij", got {indexing!r}.')
        super().__init__(
            source_shape=source_shape,
            output_shape=output_shape,
            num_coeff=num_dim * (num_dim + 1),
            name=name,
            constraints=constraints,
            indexing=indexing,
        )
        self._constraints = constraints

    def _create_features(self, **kwargs: Any) -> list[Any]:
        return _features(self._source_shape, self._output_shape, **kwargs)

    def _build(self, inputs: Any) -> Any:
        """Maps the grid.

        Args:
            inputs: Parameters `[batch, P]` of a floating-point type: the P free entries of the
                matrix, row by row.

        Returns:
            Tensor `[batch] + output_shape + [N]` of the dtype of `inputs`: the mapped points.

        Raises:
            Error: If P is not the number of free entries.
            IncompatibleShapeError: If the rank of `inputs` is not 2.
            TypeError: If they are not of a floating-point type.
        """
        return _warped(self._parameters(inputs), self._psi, self._output_shape)

    def _parameters(self, inputs: Any) -> Any:
        inputs = floating_tensor(inputs, self.scope_name)
        expected = self._constraints.num_free_params
        if inputs.shape.rank not in (None, 2):
            raise IncompatibleShapeError(
                f"{self.scope_name}: parameters must have the shape [batch, {expected}], got "
                f"{inputs.shape}."
            )
        if inputs.shape.rank is None or inputs.shape.as_list()[1] is None:
            return tf.ensure_shape(inputs, [None, expected])
        if inputs.shape[1] != expected:
            raise Error(
                f"{self.scope_name}: Input size is not consistent with constraint definition: got "
                f"{inputs.shape[1]} parameters, but {expected} are free."
            )
        return inputs

    @property
    def constraints(self) -> AffineWarpConstraints:
        """Which parameters are fixed, and to what."""
        return self._constraints

    def inverse(self, name: str | None = None) -> Module:
        """Returns a module that maps the grid of the source by the inverse function.

        It takes the same parameters as this one, and returns the points of a grid of
        `source_shape`, in pixels of `output_shape`. Nothing guards against matrices that have no
        inverse.

        Args:
            name: Name of the new module. Default: the name of this one with "_inverse" added.

        Raises:
            tf.errors.UnimplementedError: If source and grid are not both two-dimensional.
        """
        shapes = self._source_shape, self._output_shape
        if any(len(shape) != 2 for shape in shapes):
            raise tf.errors.UnimplementedError(
                None,
                None,
                f"{self.scope_name}: inverse is implemented for two dimensions only, got "
                f"source_shape={shapes[0]} and output_shape={shapes[1]}.",
            )
        free = AffineWarpConstraints.no_constraints()
        psi = _features(self._output_shape, self._source_shape, free, indexing="xy")

        def inverse_grid(inputs: Any) -> Any:
            """Maps the grid of the source; the arguments are those of the warper itself."""
            parameters = _inverse(self._parameters(inputs), self._constraints)
            return _warped(parameters, psi, self._source_shape)

        return Module(inverse_grid, name=name or f"{self.module_name}_inverse")


def _features(
    source_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    constraints: AffineWarpConstraints,
    indexing: str,
) -> list[Any]:
    """Computes what the mapped grid is made of, for each of the N coordinates.

    Returns:
        A list: N arrays `[free entries of the row, points]` to multiply parameters with, or None
        where the row has no free entry; N arrays `[points]` to be added, or None where it has no
        fixed one; and N numbers to be added.
    """
    points = _points(output_shape, len(source_shape), indexing)
    scales = [(size - 1) / 2 for size in reversed(source_shape)]
    features: list[Any] = []
    offsets: list[Any] = []
    for row, scale in zip(constraints.constraints, scales, strict=True):
        entries = list(zip(row, points, strict=True))
        free = [point for entry, point in entries if entry is None]
        fixed = [float(entry) * point for entry, point in entries if entry is not None]
        features.append(scale * np.stack(free) if free else None)
        offsets.append(scale * np.sum(fixed, axis=0) if fixed else None)
    return [*features, *offsets, *scales]


def _points(output_shape: tuple[int, ...], num_dim: int, indexing: str) -> Any:
    """Returns the points of the grid in homogeneous coordinates, `[num_dim + 1, points]`."""
    axes = [np.linspace(-1, 1, size) for size in output_shape]
    if indexing == "ij":
        coordinates = np.meshgrid(*axes, indexing="ij")[::-1]
    else:
        coordinates = np.meshgrid(*axes[::-1], indexing="xy")
    points = np.zeros([num_dim + 1, math.prod(output_shape)])
    for i, coordinate in enumerate(coordinates):
        points[i] = coordinate.ravel()
    points[-1] = 1
    return points


def _warped(parameters: Any, psi: list[Any], output_shape: tuple[int, ...]) -> Any:
    """Returns the mapped grid, `[batch] + output_shape + [N]`.

    Args:
        parameters: Tensor `[batch, P]`.
        psi: What `_features` returned.
        output_shape: Sizes of the grid.
    """
    num_dim, dtype = len(psi) // 3, parameters.dtype
    rows = list(zip(psi[:num_dim], psi[num_dim : 2 * num_dim], psi[2 * num_dim :], strict=True))
    counts = [len(features) for features, _, _ in rows if features is not None]
    parts = iter(tf.split(parameters, counts, axis=1) if len(counts) > 1 else [parameters])
    coordinates: list[Any] = []
    for features, offset, scale in rows:
        shift = tf.constant(scale if offset is None else scale + offset, dtype)
        if features is None:
            points = math.prod(output_shape)
            coordinate = tf.broadcast_to(shift, tf.stack([tf.shape(parameters)[0], points]))
        else:
            coordinate = tf.matmul(next(parts), tf.constant(features, dtype)) + shift
        coordinates.append(coordinate)
    sizes = [parameters.shape.as_list()[0], *output_shape, num_dim]
    return reshape(tf.stack(coordinates, axis=2), sizes, lambda: sizes)


def _inverse(parameters: Any, constraints: AffineWarpConstraints) -> Any:
    """Returns all parameters of the inverse function, `[batch, 6]`."""
    free = iter(tf.unstack(parameters, axis=1))
    batch = tf.shape(parameters)[:1]
    a, b, x, c, d, y = (
        next(free) if entry is None else tf.fill(batch, tf.constant(float(entry), parameters.dtype))
        for row in constraints.constraints
        for entry in row
    )
    adjugate = tf.stack([d, -b, b * y - d * x, -c, a, c * x - a * y], axis=1)
    return adjugate / (a * d - b * c)[:, tf.newaxis]
