"""The checks, made when a package is imported, that what is installed fits together."""

from __future__ import annotations

import importlib.metadata

# The TensorFlow that this release is made for, as in the dependencies of snt-core.
TENSORFLOW_FROM = (2, 18)
TENSORFLOW_BELOW = (2, 22)


def require_tensorflow() -> None:
    """Checks that TensorFlow is there and of a version that this release is made for.

    Raises:
        SystemError: if TensorFlow is missing, too old or too new; says which versions fit.
    """
    wanted = f"tensorflow>={_dotted(TENSORFLOW_FROM)},<{_dotted(TENSORFLOW_BELOW)}"
    remedy = f"snt-core needs it in the range {wanted}. Install it by `pip install '{wanted}'`."
    try:
        # Not by its metadata: TensorFlow comes as tensorflow, tensorflow-cpu, tf-nightly, ...
        import tensorflow as tf
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise SystemError(f"TensorFlow is not installed. {remedy}") from error
    installed = tuple(int(part) for part in tf.__version__.split(".")[:2])
    if not TENSORFLOW_FROM <= installed < TENSORFLOW_BELOW:
        raise SystemError(f"The installed TensorFlow is {tf.__version__}. {remedy}")


def require_same_version(distribution: str) -> None:
    """Checks that a package of ours is of the same release as snt-core.

    Each package calls it when it is imported. The requirements of the packages demand the same;
    this catches what was installed past them, for example by `pip install --no-deps`. A package
    that is on the path without being installed has no version, and passes.

    Args:
        distribution: Name of the distribution that calls, for example `"snt-nets"`.

    Raises:
        ImportError: if the versions differ; says which they are and what to do.
    """
    ours, core = _installed_version(distribution), _installed_version("snt-core")
    if ours and core and ours != core:
        raise ImportError(
            f"{distribution} {ours} does not fit snt-core {core}: the packages of Sonnet work "
            f"together only in one and the same version. Install them again together: "
            f"`pip install --upgrade snt-core {distribution}` or, in a clone of the repository, "
            f"`pip install ./packages/snt-core ./packages/{distribution}`."
        )


def _installed_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
