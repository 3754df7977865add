"""Pictures in a given number of bits by their principal components: what others must do better."""

from __future__ import annotations

import numpy as np


class PCACoder:
    """Codes pictures by their principal components, rounded to a given number of bits in all.

    Each bit goes where it helps most, to the component whose rounding error is largest: one more
    bit makes that error a fourth. The values that a component is rounded to lie where they make
    the mean square error least (Lloyd's algorithm).

    Args:
        images: What the components are made of, `[number, height, width]`.
        bits: How many bits a picture may have.

    Attributes:
        mean: The mean picture, `[height * width]`.
        components: Components `[height * width, height * width]`, the most important one first.
        tables: For each component that has bits the values that it is rounded to, in order.
    """

    def __init__(self, images: np.ndarray, bits: int) -> None:
        flat = _flatten(images)
        self.mean = flat.mean(axis=0)
        centred = flat - self.mean
        variances, vectors = np.linalg.eigh(centred.T @ centred / len(flat))
        self.components = vectors.T[::-1]
        allotted = _allot(variances[::-1], bits)
        values = centred @ self.components[: np.flatnonzero(allotted)[-1] + 1].T
        self.tables = [
            _best_levels(column, 2**width)
            for column, width in zip(values.T, allotted, strict=False)
        ]

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Returns what is left of pictures `[number, height, width]`, from 0 to 1."""
        used = self.components[: len(self.tables)]
        values = (_flatten(images) - self.mean) @ used.T
        for column, levels in zip(values.T, self.tables, strict=True):
            column[:] = levels[_nearest(levels, column)]
        return np.clip(self.mean + values @ used, 0, 1).reshape(images.shape)


def _flatten(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)


def _allot(variances: np.ndarray, bits: int) -> np.ndarray:
    allotted = np.zeros(len(variances), int)
    for _ in range(bits):
        allotted[np.argmax(variances / 4.0**allotted)] += 1
    return allotted


def _best_levels(values: np.ndarray, number: int) -> np.ndarray:
    levels = np.quantile(values, (np.arange(number) + 0.5) / number)
    for _ in range(30):
        nearest = _nearest(levels, values)
        sizes = np.bincount(nearest, minlength=number)
        sums = np.bincount(nearest, weights=values, minlength=number)
        levels = np.where(sizes > 0, sums / np.maximum(sizes, 1), levels)
    return levels


def _nearest(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values)
