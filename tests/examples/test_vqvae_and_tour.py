"""The VQ-VAE and the tour do what they say, each with a small budget."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import re
import runpy
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.examples import bar_images, check_png, check_refused

# Where a program finds the files beside it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import digits
import pca_coder
import vqvae
from digits import Digits

EXAMPLES = pathlib.Path(vqvae.__file__).parent
TINY = vqvae.Settings(num_embeddings=8, embedding_dim=4, channels=4, batch_size=10, epochs=3)
TINY_OPTIONS = [
    "--num-embeddings=8", "--embedding-dim=4", "--channels=4", "--batch-size=10", "--epochs=3",
]  # fmt: skip


PARTS = Digits(*bar_images(100, seed=0)), Digits(*bar_images(30, seed=1))


def _train(folder: pathlib.Path) -> tuple[vqvae.VQVAETrainer, dict]:
    trainer = vqvae.VQVAETrainer(TINY, PARTS[0])
    vqvae.train(trainer, folder, TINY, PARTS[1])
    return trainer, json.loads((folder / "history.json").read_text())


class TestVQVAE:
    def test_run(self, tmp_path: pathlib.Path) -> None:
        folder = tmp_path / "new" / "folder"
        output = _run("vqvae.py", "--epochs=2", "--channels=16", f"--output={folder}").stdout

        assert "A digit has 6272 bits; coded it has 294, one in 21\n" in output
        names = ("mean image, 0 bits", "PCA, 294 bits", "VQ-VAE, 294 bits")
        mean, pca, ours = (
            float(re.search(rf"^  {name} +(\d\.\d+)$", output, re.M)[1]) for name in names
        )
        assert mean == pytest.approx(1, abs=0.05)
        assert 0.05 < pca < 0.1  # 0.082, as a program of its own finds
        assert 0.05 < ours < 0.5  # two epochs of a small network reach about 0.3
        used = re.search(r"^Codes in use: (\d+) of 64, perplexity (\S+)$", output, re.M)
        assert 1 < float(used[2]) <= int(used[1]) <= 64
        assert "The checkpoint, loaded into another model, draws the same." in output

        history = json.loads((folder / "history.json").read_text())
        assert [epoch for epoch, _ in history["loss"]] == [1, 2]
        assert history["loss"][1][1] < history["loss"][0][1]
        assert history["error"][1][1] == pytest.approx(ours, abs=6e-4)
        for picture in ("digits.png", "report.png"):
            check_png(folder / picture)

    def test_resumed_training_equals_one_that_never_stopped(self, tmp_path: pathlib.Path) -> None:
        whole, history = _train(tmp_path)
        # As if it had been killed while the last checkpoint was written.
        (tmp_path / "ckpt-3.index").unlink()
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\n')
        resumed, again = _train(tmp_path)

        assert list(again) == list(history)
        for name, curve in history.items():
            np.testing.assert_allclose(again[name], curve, rtol=1e-4, err_msg=name)
        assert [epoch for epoch, _ in history["loss"]] == [1, 2, 3]
        assert history["loss"][2][1] < history["loss"][0][1]
        _check_equal(resumed.model, whole.model)
        _check_equal(vqvae.load(tmp_path, TINY), whole.model)

    def test_seed_decides_where_it_begins(self) -> None:
        one, same, other = (
            vqvae.VQVAETrainer(dataclasses.replace(TINY, seed=seed), PARTS[0]).model
            for seed in (1, 1, 2)
        )
        _check_equal(one, same)
        assert not np.array_equal(one.quantizer.embeddings, other.quantizer.embeddings)

    def test_codes_are_all_that_it_draws_from(self) -> None:
        images = PARTS[1].images
        model = vqvae.VQVAE(TINY)
        coded = model(images, is_training=False)
        codes = model.encode(images)

        assert codes.shape == (len(images), 7, 7)
        assert set(codes.numpy().ravel()) <= set(range(8))
        np.testing.assert_allclose(model.decode(codes), np.clip(coded.images, 0, 1), atol=1e-6)
        assert vqvae.perplexity(codes.numpy()) == pytest.approx(float(coded.perplexity), rel=1e-5)

    def test_only_what_has_gradients_is_trainable(self) -> None:
        embeddings = {}
        for quantizer in ("ema", "gradient"):
            model = vqvae.VQVAE(dataclasses.replace(TINY, quantizer=quantizer))
            model(np.zeros([1, 28, 28], np.float32), is_training=False)
            book = model.quantizer.embeddings
            embeddings[quantizer] = any(book is variable for variable in model.trainable_variables)
        assert embeddings == {"ema": False, "gradient": True}

    @pytest.mark.parametrize(("number", "bits"), [(2, 49), (5, 114), (64, 294), (512, 441)])
    def test_bits(self, number: int, bits: int) -> None:
        assert vqvae.Settings(num_embeddings=number).bits == bits

    def test_perplexity(self) -> None:
        assert vqvae.perplexity(np.repeat([3, 5, 9, 11], 7)) == pytest.approx(4)
        assert vqvae.perplexity(np.zeros([5, 7, 7], int)) == pytest.approx(1)
        assert vqvae.perplexity(np.array([1, 1, 2, 3])) == pytest.approx(2**1.5)

    def test_near_codes_have_similar_colours(self) -> None:
        line = np.outer([1, 2, 3, 4], np.arange(9.0))  # nine embeddings along a line
        first = vqvae.code_colors(line)[:, 0]
        assert np.all(np.diff(first) > 0) or np.all(np.diff(first) < 0)
        assert vqvae.code_colors(np.ones([1, 2])).shape == (2, 3)

    @pytest.mark.parametrize(
        ("argument", "complaint"),
        [
            ("--quantizer=mine", "argument --quantizer: invalid choice: 'mine'"),
            ("--num-embeddings=1", "argument --num-embeddings: 1 must be at least 2"),
            ("--decay=1", "argument --decay: 1 must be at least 0 and at most 0.9999"),
            ("--batch-size=4001", "4001 must be at least 1 and at most 4000"),
            ("--epochs=many", "argument --epochs: invalid int value: 'many'"),
            ("--output={}/file/a", "cannot write to --output .*Not a directory"),
        ],
    )
    def test_careless_use(
        self,
        argument: str,
        complaint: str,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "file").touch()
        output = f"--output={tmp_path / 'out'}"
        check_refused(
            vqvae.main, [output, argument.format(tmp_path)], complaint, monkeypatch, capsys
        )

    def test_run_again(
        self,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(vqvae, "load_digits", lambda seed: PARTS)
        # What test_run has, and what takes longest.
        monkeypatch.setattr(vqvae, "plot_digits", lambda *arguments: None)
        monkeypatch.setattr(vqvae, "PCACoder", _NoCoder)
        options = [*TINY_OPTIONS, "--quantizer=gradient", f"--output={tmp_path}"]
        monkeypatch.setattr(sys, "argv", ["program", *options])
        outputs = []
        for _ in range(2):
            vqvae.main()
            outputs.append(capsys.readouterr().out)

        first, second = (
            [float(e) for e in re.findall(r"^  .* (\d\.\d+)$", o, re.M)] for o in outputs
        )
        assert first == second
        assert len(first) == 3
        assert outputs[0].count("Epoch ") == 3
        assert outputs[1].count("Epoch ") == 0
        assert f"Goes on after epoch 3: {tmp_path / 'ckpt-3'}" in outputs[1]

        sys.argv.append("--epochs=4")
        with pytest.raises(SystemExit, match="epochs was 3 and is 4"):
            vqvae.main()


class TestPCACoder:
    def test_bits_go_where_they_help_most(self) -> None:
        # From 16, 4, 1 the first bit makes 4, 4, 1, two more make 1, 1, 1.
        np.testing.assert_array_equal(pca_coder._allot(np.array([16.0, 4.0, 1.0]), 3), [2, 1, 0])

    def test_levels_of_a_uniform_distribution_are_evenly_spaced(self) -> None:
        levels = pca_coder._best_levels(np.linspace(0, 1, 8001), 8)
        np.testing.assert_allclose(levels, (np.arange(8) + 0.5) / 8, atol=1e-3)

    def test_levels_are_better_than_any_near_them(self) -> None:
        values = np.random.default_rng(0).normal(size=500) ** 3
        levels = pca_coder._best_levels(values, 5)

        def error(levels: np.ndarray) -> float:
            return float(np.mean(np.min((values[:, None] - levels) ** 2, axis=1)))

        for i, change in itertools.product(range(5), (-0.05, 0.05)):
            assert error(levels) < error(levels + change * np.eye(5)[i])
        nearest = np.argmin(np.abs(values[:, None] - levels), axis=1)
        np.testing.assert_array_equal(pca_coder._nearest(levels, values), nearest)

    def test_pictures_of_few_components_come_back(self) -> None:
        rng = np.random.default_rng(0)
        basis = rng.uniform(0.1, 0.2, [3, 6, 4])
        images = np.tensordot(rng.uniform(0.2, 1, [400, 3]), basis, 1)
        coder = pca_coder.PCACoder(images[:300], bits=24)

        assert sum(np.log2(len(levels)) for levels in coder.tables) == 24
        left = np.mean((coder.reconstruct(images[300:]) - images[300:]) ** 2)
        assert left < 1e-3 * np.var(images - images.mean(axis=0))

    def test_one_bit_tells_two_groups_apart(self) -> None:
        images = np.repeat([[[0.2, 0.8]], [[0.6, 0.4]]], 5, axis=0)
        coder = pca_coder.PCACoder(images, bits=1)
        np.testing.assert_allclose(coder.reconstruct(images), images, atol=1e-12)


class TestTour:
    def test_prints_what_it_says(self, tmp_path: pathlib.Path) -> None:
        folder = tmp_path / "new" / "folder"
        finished = _run("tour.py", f"--output={folder}")

        said = re.findall(r"^ *# > (.*)$", (EXAMPLES / "tour.py").read_text(), re.M)
        printed = finished.stdout.splitlines()
        assert len(said) > 40
        for said_line, line in itertools.zip_longest(said, printed, fillvalue="nothing"):
            assert re.fullmatch(re.escape(said_line).replace(r"\.\.\.", ".*"), line)
        assert re.search(
            r"^INFO:tensorflow:reader/answer/w +784x10 +float32", finished.stderr, re.M
        )
        for picture in ("autoencoder.png", "rows.png"):
            check_png(folder / picture)
        assert set(tf.saved_model.load(str(folder / "exported")).signatures) == {"serving_default"}

    def test_is_a_notebook(self) -> None:
        text = (EXAMPLES / "tour.py").read_text()
        cells = re.split(r"^# %%(?: (.*))?\n", text, flags=re.M)[1:]
        kinds, bodies = cells[::2], cells[1::2]

        assert set(kinds) == {None, "[markdown]"}
        for kind, body in zip(kinds, bodies, strict=True):
            lines = body.strip().splitlines()
            if kind:
                assert all(line.startswith("#") for line in lines), body
            else:
                compile(body, "cell", "exec")  # each cell is whole by itself
        headings = re.findall(r"^# #+ (.*)$", text, re.M)
        assert len(headings) == len(set(headings)) >= 12

    def test_shows_pictures_in_a_notebook(
        self,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        display = ModuleType("IPython.display")
        display.Image, display.display = lambda path: f"<{path}>", print
        for name in ("ipykernel", "IPython"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        # Matplotlib asks for it, unless it was imported before.
        monkeypatch.setattr(sys.modules["IPython"], "version_info", (8, 24), raising=False)
        monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None, raising=False)
        monkeypatch.setitem(sys.modules, "IPython.display", display)
        monkeypatch.setattr(digits, "load_digits", lambda seed: PARTS)
        monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = {"__name__": "__main__"}
        exec((EXAMPLES / "tour.py").read_text().partition("# ## Configure")[0], names)
        names["show"](names["plt"].figure(), "some.png")

        assert capsys.readouterr().out.splitlines()[-1] == "<out/tour/some.png>"
        assert (tmp_path / "out/tour/some.png").exists()

    @pytest.mark.parametrize(
        ("argument", "complaint"),
        [
            ("--epochs=3", "unrecognized arguments: --epochs=3"),
            ("--output={}/file/a", "cannot write to --output .*Not a directory"),
        ],
    )
    def test_careless_use(
        self,
        argument: str,
        complaint: str,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.chdir(tmp_path)

        def tour() -> None:
            runpy.run_path(str(EXAMPLES / "tour.py"), run_name="__main__")

        check_refused(tour, [argument.format(tmp_path)], complaint, monkeypatch, capsys)


class _NoCoder:
    """Stands in for `PCACoder` and leaves nothing of a picture."""

    def __init__(self, images: np.ndarray, bits: int) -> None:
        pass

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        return np.zeros_like(images)


def _run(example: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), *arguments]
    environment: dict[str, Any] = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env=environment
    )
    assert finished.returncode == 0, finished.stderr
    return finished


def _check_equal(model: vqvae.VQVAE, other: vqvae.VQVAE) -> None:
    assert len(model.variables) == len(other.variables) > 10
    for ours, theirs in zip(model.variables, other.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=ours.name)
