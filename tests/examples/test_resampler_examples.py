"""The examples with the resampler do what they say, each with a small budget."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tests.support.examples import bar_images, check_png, check_refused

# Where a program finds the files beside it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import spatial_transformer
import warp_photograph
from affine import warp_parameters
from digits import Digits

# They run without the compiled op as well, which tells once that this is slower.
pytestmark = pytest.mark.filterwarnings("ignore:snt.resampler computes with:RuntimeWarning")


class TestAffine:
    def test_quarter_turn_is_that_of_numpy(self) -> None:
        picture = np.random.default_rng(0).random([4, 6, 3]).astype(np.float32)
        warped = warp_photograph.warp_and_back(picture, 90.0, 0.0)
        np.testing.assert_allclose(
            warped.there[1:-1, 1:-1], np.rot90(picture)[1:-1, 1:-1], atol=1e-5
        )

    def test_warp_is_that_of_scipy(self) -> None:
        picture = np.random.default_rng(0).random([20, 31, 1]).astype(np.float32)
        warped = warp_photograph.warp_and_back(picture, 25.0, 0.3)

        turn, across = np.radians(25.0), 0.3
        x_y = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] @ np.array(
            [[1, -across], [0, 1]]
        )
        back = np.linalg.inv(x_y)[::-1, ::-1]  # SciPy's order is y, x
        middles = [(np.array(p.shape[:2]) - 1) / 2 for p in (picture, warped.there)]
        offset = middles[0] - back @ middles[1]
        expected = ndimage.affine_transform(
            np.pad(picture[..., 0], 2), back, offset + 2, warped.there.shape[:2], order=1
        )
        np.testing.assert_allclose(warped.there[..., 0], expected, atol=1e-4)

    def test_shift_moves_what_is_in_the_picture(self) -> None:
        settings = spatial_transformer.Settings(max_angle=0.0, max_shift=3)
        assert settings.shape == (34, 34)
        parameters = warp_parameters(np.eye(2), np.array([2.0, -1.0]), (28, 28), settings.shape)
        # In the digit, its middle lies 2 pixels left of that of the picture, and 1 below.
        same = np.eye(2, 3).reshape(1, 6)
        angles, middles = spatial_transformer.pose(parameters[None], same)
        np.testing.assert_allclose(angles, [0], atol=1e-5)
        np.testing.assert_allclose(middles, [[-2, 1]], atol=1e-5)


class TestPhotograph:
    @pytest.mark.parametrize(("angle", "shear"), [(30.0, 0.4), (-130.0, 0.0), (0.0, -1.0)])
    def test_the_inverse_brings_it_back(self, angle: float, shear: float) -> None:
        y, x = np.mgrid[:60, :80] / 80
        smooth = np.stack([x, y, (np.sin(4 * x) + np.cos(3 * y) + 2) / 4], axis=-1)
        warped = warp_photograph.warp_and_back(smooth.astype(np.float32), angle, shear)
        assert warped.back.shape == smooth.shape
        assert warped.mean_error < 2e-3
        assert np.abs(warped.there).sum() == pytest.approx(np.abs(smooth).sum(), rel=0.02)

    def test_run(
        self,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = tmp_path / "new" / "folder"
        monkeypatch.setattr(sys, "argv", ["program", "--photograph=rocket", f"--output={folder}"])
        warp_photograph.main()

        error = re.search(r"^Mean error: +(0\.\d+) of", capsys.readouterr().out, re.M)
        assert error
        assert 0 < float(error[1]) < 0.03
        check_png(folder / "report.png")


class TestSpatialTransformer:
    def test_begins_with_the_map_that_changes_nothing(self) -> None:
        images = np.random.default_rng(0).random([3, 12, 12, 1]).astype(np.float32)
        transformer = spatial_transformer.SpatialTransformer((12, 12))
        np.testing.assert_allclose(transformer(images), images, atol=1e-5)

    def test_distortion_undone_leaves_no_spread(self) -> None:
        settings = spatial_transformer.Settings(max_shift=4)
        digits = Digits(*bar_images(200, seed=0))
        made = spatial_transformer.distort(digits, settings, np.random.default_rng(1))
        whole = np.zeros([200, 3, 3])
        whole[:, :2], whole[:, 2, 2] = made.parameters.reshape(-1, 2, 3), 1
        inverse = np.linalg.inv(whole)[:, :2].reshape(-1, 6)
        unchanged = np.tile(np.eye(2, 3).ravel(), [200, 1])

        assert made.images.shape == (200, 36, 36, 1)
        # Of a uniform distribution from -a to a the deviation is a / sqrt(3).
        degrees, pixels = spatial_transformer.spread(made.parameters, unchanged, made.labels)
        assert degrees == pytest.approx(60 / 3**0.5, rel=0.1)
        assert pixels == pytest.approx(4 / 3**0.5, rel=0.1)
        left = spatial_transformer.spread(made.parameters, inverse, made.labels)
        np.testing.assert_allclose(left, [0, 0], atol=1e-4)

    def test_run(
        self,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        made: list[spatial_transformer.SpatialTransformer] = []

        class Kept(spatial_transformer.SpatialTransformer):
            def __init__(self, shape: tuple[int, int]) -> None:
                super().__init__(shape, name="spatial_transformer")
                made.append(self)

        monkeypatch.setattr(spatial_transformer, "SpatialTransformer", Kept)
        parts = Digits(*bar_images(200, seed=0)), Digits(*bar_images(40, seed=1))
        monkeypatch.setattr(spatial_transformer, "load_digits", lambda seed: parts)
        options = ["--epochs=4", "--batch-size=20", "--max-shift=1", "--max-angle=10"]
        folder = tmp_path / "new" / "folder"
        monkeypatch.setattr(sys, "argv", ["program", *options, f"--output={folder}"])
        spatial_transformer.main()

        names = (spatial_transformer.PLAIN, spatial_transformer.STRAIGHTENING)
        history = json.loads((folder / "history.json").read_text())
        for name in names:
            steps, losses = zip(*history[f"loss of {name}"], strict=True)
            assert steps == (10, 20, 30, 40)
            assert losses[-1] < 0.7 * losses[0]
            assert history[f"accuracy of {name}"][-1][1] > 0.3  # a tenth is chance
        # The gradient came through the resampler: the map is no longer the first one.
        assert len(made) == 1
        bars = tf.constant(parts[1].images[:, :, :, None])
        parameters = made[0].localisation(tf.pad(bars, [[0, 0], [1, 1], [1, 1], [0, 0]]))
        assert np.abs(parameters - np.eye(2, 3).ravel()).max() > 0.005
        output = capsys.readouterr().out
        assert re.search(rf"{names[0]} +\d\.\d+\n +{names[1]} +\d\.\d+\n", output)
        assert re.search(r"before +turned by σ = \d+\.\d°.*\n +straightened +turned", output)
        for picture in ("digits.png", "report.png"):
            check_png(folder / picture)


@pytest.mark.parametrize(
    ("program", "argument", "complaint"),
    [
        (spatial_transformer, "--epochs=0", "argument --epochs: 0 must be at least 1"),
        (spatial_transformer, "--batch-size=4001", "4001 must be at least 1 and at most 4000"),
        (spatial_transformer, "--max-shift=-1", "argument --max-shift: -1 must be at least 0"),
        (spatial_transformer, "--max-angle=nan", "argument --max-angle: nan must be at least 0"),
        (spatial_transformer, "--output={}/file/a", "cannot write to --output .*Not a directory"),
        (warp_photograph, "--shear=inf", "argument --shear: inf must be at least -2"),
        (warp_photograph, "--angle=much", "argument --angle: invalid float value: 'much'"),
        (warp_photograph, "--photograph=mine", "argument --photograph: invalid choice: 'mine'"),
        (warp_photograph, "--output={}/file/a", "cannot write to --output .*Not a directory"),
    ],
)
def test_careless_use(
    program: ModuleType,
    argument: str,
    complaint: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    output = f"--output={tmp_path / 'out'}"
    check_refused(program.main, [output, argument.format(tmp_path)], complaint, monkeypatch, capsys)
