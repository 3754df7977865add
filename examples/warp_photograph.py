"""Turns and shears a photograph with the resampler, and warps it back by the inverse.

    python examples/warp_photograph.py --angle 30 --shear 0.4 --output out/warp_photograph

Whatever is interpolated twice is a little blurred: the mean error tells how much.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage.data
import tensorflow as tf

import sonnet as snt
from affine import rotation, warp_parameters
from training_run import console, number, parse, plt

# These come with scikit-image itself: nothing is downloaded.
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
# Where the photograph ends it fades over one pixel, and again on the way back.
MARGIN = 3


class Warped(NamedTuple):
    """A photograph on its way; all are `[height, width, 3]`, float32 from 0 to 1.

    Attributes:
        original: As it was.
        there: Turned and sheared; as large as it takes to hold all of it.
        back: Of the size of the original, and like it.
    """

    original: np.ndarray
    there: np.ndarray
    back: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """By how much each pixel differs from the original, `[height, width]`."""
        return np.abs(self.back - self.original).mean(axis=-1)

    @property
    def mean_error(self) -> float:
        """Mean of the differences inside of the photograph, without its outermost pixels."""
        return float(self.difference[MARGIN:-MARGIN, MARGIN:-MARGIN].mean())


def load_photograph(name: str) -> np.ndarray:
    """Returns a photograph `[height, width, 3]`, float32 from 0 to 1."""
    return (getattr(skimage.data, name)() / 255).astype(np.float32)


def size_to_hold(linear: np.ndarray, shape: Sequence[int]) -> list[int]:
    """Returns the height and width that a picture of some height and width has, once mapped."""
    width, height = np.abs(linear) @ (np.array(shape[::-1]) - 1)
    # An angle of 90 degrees is not worth another pixel because pi was rounded.
    return [int(np.ceil(size - 1e-6)) + 1 for size in (height, width)]


def warp_and_back(original: np.ndarray, angle: float, shear: float) -> Warped:
    """Warps a photograph, and warps the result back.

    Args:
        original: The photograph, `[height, width, 3]`.
        angle: By how many degrees it is turned, anticlockwise.
        shear: How far each row is first moved against the one below, in pixels.
    """
    linear = rotation(angle) @ np.array([[1, -shear], [0, 1]])
    shape = original.shape[:2]
    larger = size_to_hold(linear, shape)
    parameters = warp_parameters(linear, np.zeros(2), shape, larger)[None]

    warper = snt.AffineGridWarper(source_shape=shape, output_shape=larger)
    there = snt.resampler(original[None], warper(tf.constant(parameters)))
    back = snt.resampler(there, warper.inverse()(tf.constant(parameters)))
    return Warped(original, there[0].numpy(), back[0].numpy())


def plot_report(path: Path, warped: Warped) -> None:
    """Draws the photograph before, warped, warped back, and what differs, into a PNG."""
    figure, row = plt.subplots(1, 4, figsize=(15, 4.4), dpi=110, layout="constrained")
    pictures = {
        "photograph": warped.original,
        "warped": warped.there,
        "warped back": warped.back,
        f"difference, 5 times; on average {warped.mean_error:.4f}": 5 * warped.difference,
    }
    for axes, (title, picture) in zip(row, pictures.items(), strict=True):
        axes.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], title=title)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Reads the command line, warps and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--photograph", choices=PHOTOGRAPHS, default="astronaut", help="which one (%(default)s)"
    )
    parser.add_argument(
        "--angle",
        type=number(float, -360, 360),
        default=30.0,
        metavar="X",
        help="degrees that it is turned by, anticlockwise (%(default)s)",
    )
    parser.add_argument(
        "--shear",
        type=number(float, -2, 2),
        default=0.4,
        metavar="X",
        help="pixels that each row is moved against the next one (%(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/warp_photograph"), help="a folder (%(default)s)"
    )
    arguments = parse(parser)

    photograph = load_photograph(arguments.photograph)
    warped = warp_and_back(photograph, arguments.angle, arguments.shear)
    for name, picture in (("Photograph", warped.original), ("Warped", warped.there)):
        height, width = picture.shape[:2]
        console.print(f"{name + ':':12}{width} x {height} pixels")
    console.print(f"Mean error:  {warped.mean_error:.4f} of the range from black to white")
    picture = arguments.output / "report.png"
    plot_report(picture, warped)
    console.print(f"Picture:     {picture}")


if __name__ == "__main__":
    main()
