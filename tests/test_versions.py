"""The checks that what is installed fits together, and that the repository has one version."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow as tf

from snt_core import versions

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def installed(monkeypatch):
    """The installed distributions, name -> version; a test fills it."""
    found = {}

    def version(name):
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return found


def test_the_same_version_passes(installed):
    installed.update({"snt-core": "1.37.0", "snt-nets": "1.37.0"})
    versions.require_same_version("snt-nets")


@pytest.mark.parametrize(("core", "nets"), [("1.37.0", "1.37.1"), ("1.38.0", "1.37.0")])
def test_another_version_is_an_import_error_that_says_what_to_do(installed, core, nets):
    installed.update({"snt-core": core, "snt-nets": nets})
    with pytest.raises(ImportError) as caught:
        versions.require_same_version("snt-nets")
    assert f"snt-nets {nets} does not fit snt-core {core}" in str(caught.value)
    assert "pip install --upgrade snt-core snt-nets" in str(caught.value)


def test_packages_that_are_only_on_the_path_pass(installed):
    versions.require_same_version("snt-nets")
    installed["snt-core"] = "1.37.0"
    versions.require_same_version("snt-nets")


@pytest.mark.parametrize("version", ["2.18.0", "2.21.7", "2.21.0-rc1"])
def test_the_tensorflow_of_this_release_passes(monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", version)
    versions.require_tensorflow()


@pytest.mark.parametrize("version", ["1.15.5", "2.17.1", "2.22.0", "3.0.0"])
def test_another_tensorflow_is_a_system_error_with_the_range(monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", version)
    with pytest.raises(SystemError, match=re.escape(f"is {version}")) as caught:
        versions.require_tensorflow()
    assert "tensorflow>=2.18,<2.22" in str(caught.value)


def test_no_tensorflow_is_a_system_error(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "tensorflow")
    with pytest.raises(SystemError, match="TensorFlow is not installed"):
        versions.require_tensorflow()


def test_the_range_is_that_of_the_requirements():
    text = (ROOT / "packages/snt-core/pyproject.toml").read_text()
    low, high = re.search(r'"tensorflow>=([\d.]+),<([\d.]+)"', text).groups()
    assert (low, high) == tuple(
        ".".join(map(str, bound)) for bound in (versions.TENSORFLOW_FROM, versions.TENSORFLOW_BELOW)
    )


def test_one_version_stands_in_all_packages():
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / "version.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.fixture
def clone(tmp_path):
    """A copy of what tools/version.py works on."""
    (tmp_path / "tools").mkdir()
    files = ["VERSION", "tools/version.py"]
    for package in (ROOT / "packages").iterdir():
        files.append(f"packages/{package.name}/pyproject.toml")
        (tmp_path / "packages" / package.name).mkdir(parents=True)
    for file in files:
        (tmp_path / file).write_text((ROOT / file).read_text())
    return tmp_path


def run_version(clone, *arguments):
    return subprocess.run(
        [sys.executable, clone / "tools" / "version.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_version_is_stamped_everywhere(clone):
    assert run_version(clone, "1.99.3").returncode == 0
    assert (clone / "VERSION").read_text() == "1.99.3\n"
    for package in ("core", "nets", "rnn", "ops"):
        text = (clone / f"packages/snt-{package}/pyproject.toml").read_text()
        assert 'version = "1.99.3"' in text
    text = (clone / "packages/snt-rnn/pyproject.toml").read_text()
    assert '"snt-core==1.99.3"' in text
    assert '"snt-nets==1.99.3"' in text
    assert "tensorflow>=2.18" in (clone / "packages/snt-core/pyproject.toml").read_text()
    assert run_version(clone, "--check").returncode == 0


def test_a_file_that_disagrees_is_named_and_mended(clone):
    file = clone / "packages/snt-nets/pyproject.toml"
    file.write_text(re.sub(r"snt-core==[\d.]+", "snt-core==1.2.3", file.read_text()))
    check = run_version(clone, "--check")
    assert check.returncode == 1
    assert "packages/snt-nets/pyproject.toml" in check.stdout
    assert run_version(clone).returncode == 0
    assert run_version(clone, "--check").returncode == 0


@pytest.mark.parametrize("version", ["1.38", "v1.38.0", "next"])
def test_what_is_no_version_is_refused(clone, version):
    before = (clone / "VERSION").read_text()
    assert run_version(clone, version).returncode != 0
    assert (clone / "VERSION").read_text() == before
