"""What one does with the repository, a session each: `nox --list`."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "subsets"]

# Compiling TensorFlow's Python files once costs less than doing it in each process.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

PACKAGES = ("snt-core", "snt-nets", "snt-rnn", "snt-ops")
PYTEST = ("python", "-m", "pytest")

# Replaces an installed package by one that cannot be imported. The file is removed first: it may
# be a hard link into uv's cache.
BREAK = """
import importlib.util, pathlib, sys
file = pathlib.Path(importlib.util.find_spec(sys.argv[1]).origin)
file.unlink()
file.write_text("raise OSError('broken on purpose')")
"""


@nox.session
def tests(session: nox.Session) -> None:
    """All tests and the examples in docstrings; `-- snt-core -k scoping` runs a part."""
    session.install(*_group("test"), *_group("example"), *_editable(*PACKAGES))
    arguments = [f"packages/{word}" if word in PACKAGES else word for word in session.posargs]
    # A part is over before a second process has imported TensorFlow.
    session.run(*PYTEST, *(arguments or ["-n", "2", "--dist", "worksteal"]))


@nox.session(reuse_venv=False)
def subsets(session: nox.Session) -> None:
    """Each package with only what it needs, installed as a user would, in one environment."""
    core, nets, rnn, ops = (f"./packages/{package}" for package in PACKAGES)

    def check(*expected: str) -> None:
        session.log(f"Here is {' '.join(expected)}")
        environment = {"SNT_EXPECTED": " ".join(expected)}
        file = "tests/subsets/check_installed.py"
        session.run(*PYTEST, "-q", "--noconftest", file, env=environment)

    session.install("pytest>=8")
    session.install(ops)
    check("snt-ops")

    _uninstall(session, "snt-ops")
    session.install("--no-deps", core)
    check("snt-core:alone")

    session.install(core)
    check("snt-core")
    session.install(core, nets)
    check("snt-core", "snt-nets")
    session.install(core, nets, rnn)
    check("snt-core", "snt-nets", "snt-rnn")
    session.install(core, nets, rnn, ops)
    check(*PACKAGES)

    folder = pathlib.Path(session.create_tmp())
    _uninstall(session, *PACKAGES)
    _build_wheels(session, folder)
    session.install("--no-index", "--find-links", str(folder), "snt-rnn", "snt-ops")
    check(*PACKAGES)

    _uninstall(session, *PACKAGES)
    session.install("pip")
    session.run("python", "-m", "pip", "install", "--quiet", core, nets)
    check("snt-core", "snt-nets")

    session.install("--no-deps", _with_version(nets, "1.0.0", folder))
    check("snt-core", "snt-nets:old")

    session.install(core, nets)
    session.run("python", "-c", BREAK, "snt_nets")
    check("snt-core", "snt-nets:broken")


@nox.session
def quickstart(session: nox.Session) -> None:
    """The main job: trains a network on real digits, shows and saves what it learnt."""
    session.install(*_group("example"), *_editable("snt-core", "snt-nets"))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # without a GPU, TensorFlow calls that an error
    session.run("python", "examples/quickstart.py", *session.posargs, env=quiet)


@nox.session
def lint(session: nox.Session) -> None:
    """Style of the code, by ruff."""
    session.install(*_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types of the sources, and what a user's type checker sees through `sonnet`, by mypy."""
    session.install(*_group("types"), "numpy")  # whose types count
    session.install("--no-deps", *_editable(*PACKAGES))
    session.run("mypy")
    session.run("mypy", "tests/typing/user_program.py")


@nox.session
def bench(session: nox.Session) -> None:
    """What the library costs beside bare TensorFlow, by pytest-benchmark."""
    session.install(*_group("bench"), *_editable(*PACKAGES))
    session.run(*PYTEST, *(session.posargs or ["benchmarks"]))


@nox.session
def bench_regress(session: nox.Session) -> None:
    """Whether the working tree is slower than a base revision; `-- --help` tells more."""
    session.install(*_group("bench"), "uv", "tensorflow>=2.21,<2.22")
    session.run("python", "-m", "benchmarks.regress", *session.posargs)


@nox.session
def bench_selftest(session: nox.Session) -> None:
    """Whether bench_regress finds what it should, and nothing else; half an hour."""
    session.install(*_group("bench"), "uv", "tensorflow>=2.21,<2.22")
    session.run("python", "-m", "benchmarks.selftest")


@nox.session
def bench_report(session: nox.Session) -> None:
    """Makes out/bench_report/ of the history that `bench -- benchmarks --record` writes."""
    session.install(*_group("bench"))
    session.run("python", "-m", "benchmarks.report", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Builds all packages into dist/."""
    _build_wheels(session, pathlib.Path("dist"))


@nox.session(venv_backend="none")
def version(session: nox.Session) -> None:
    """Writes the version in VERSION into all packages; `-- 1.38.0` sets another one."""
    session.run("python", "tools/version.py", *session.posargs)


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)


def _editable(*packages: str) -> list[str]:
    return [word for package in packages for word in ("-e", f"./packages/{package}")]


def _uninstall(session: nox.Session, *packages: str) -> None:
    if session.venv_backend == "uv":
        session.run("uv", "pip", "uninstall", "--quiet", *packages, external=True)
    else:
        session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *packages)


def _build_wheels(session: nox.Session, folder: pathlib.Path) -> None:
    session.install("build[uv]")
    build = ("python", "-m", "build", "--quiet", "--installer", "uv", "--wheel")
    for package in PACKAGES:
        session.run(*build, "--outdir", str(folder), f"packages/{package}")


def _with_version(package: str, version: str, folder: pathlib.Path) -> str:
    """Returns the path of a copy of a package that has another version."""
    copy = shutil.copytree(package, folder / version)
    project = copy / "pyproject.toml"
    text = re.sub(r'(?m)^version = ".*"', f'version = "{version}"', project.read_text())
    project.write_text(text)
    return str(copy)
