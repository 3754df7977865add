"""The resampler by its definition, point by point in float64: what the tests compare with."""

from __future__ import annotations

import itertools
import math

import numpy as np


def resample(data: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """Returns the samples `[batch, points, channels]`, of points `[batch, points, 2]`."""
    samples = np.zeros((*warp.shape[:2], data.shape[-1]))
    for image, point in itertools.product(*map(range, warp.shape[:2])):
        for row, column, weight, _, _ in _neighbours(data, warp[image, point]):
            if weight:
                samples[image, point] += weight * data[image, row, column].astype(np.float64)
    return samples


def gradients(
    data: np.ndarray, warp: np.ndarray, grad: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gradients to data and warp, given that to the samples."""
    grad_data, grad_warp = np.zeros(data.shape), np.zeros(warp.shape)
    for image, point in itertools.product(*map(range, warp.shape[:2])):
        given = grad[image, point].astype(np.float64)
        for row, column, weight, by_x, by_y in _neighbours(data, warp[image, point]):
            if weight:
                grad_data[image, row, column] += weight * given
            dot = given @ data[image, row, column].astype(np.float64)
            grad_warp[image, point] += [by_x * dot if by_x else 0.0, by_y * dot if by_y else 0.0]
    return grad_data, grad_warp


def _neighbours(data, point):
    """Yields row, column, weight, and its derivatives by x and y, of those in the image."""
    height, width = data.shape[1:3]
    x, y = map(float, point)
    if not (-1 < x < width and -1 < y < height):  # false for NaN
        return
    left, top = math.floor(x), math.floor(y)
    dx, dy = x - left, y - top
    for row, by_row, sign_y in ((top, 1 - dy, -1), (top + 1, dy, 1)):
        for column, by_column, sign_x in ((left, 1 - dx, -1), (left + 1, dx, 1)):
            if 0 <= row < height and 0 <= column < width:
                yield row, column, by_row * by_column, sign_x * by_row, sign_y * by_column
