"""What the compiled part of this installation was built with and for."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import snt_ops


@dataclasses.dataclass(frozen=True)
class BuildInfo:
    """What the compiled part was built with; None stands for what it was built without.

    Attributes:
        compiler: Name and version of the C++ compiler; None if nothing was built.
        build_type: CMake's build type, such as "Release".
        processor: Architecture of the processor, such as "x86_64".
        simd: Instruction sets that there are kernels for; the best is chosen at run time.
        tensorflow: Version of TensorFlow that the op was built for.
        tensorflow_cxx11_abi: Whether that TensorFlow has the new ABI of libstdc++.
        cuda: Version of the CUDA compiler.
        cuda_architectures: Architectures of GPUs that there are kernels for.
    """

    compiler: str | None = None
    build_type: str | None = None
    processor: str | None = None
    simd: tuple[str, ...] = ()
    tensorflow: str | None = None
    tensorflow_cxx11_abi: bool | None = None
    cuda: str | None = None
    cuda_architectures: tuple[str, ...] | None = None


def build_info() -> BuildInfo:
    """Tells what the compiled part was built with and for.

    Returns:
        A `BuildInfo`; all its entries are None or empty in a source tree where nothing was built.

    Example:
        >>> import snt_ops
        >>> info = snt_ops.build_info()
        >>> info.cuda is None or isinstance(info.cuda, str)
        True
    """
    file = find_file("build_info.json")
    if file is None:
        return BuildInfo()
    found = json.loads(file.read_text())
    abi = found["tensorflow_cxx11_abi"]
    cuda = found["cuda"] or None
    return BuildInfo(
        compiler=found["compiler"],
        build_type=found["build_type"],
        processor=found["processor"],
        simd=_split(found["simd"]),
        tensorflow=found["tensorflow"] or None,
        tensorflow_cxx11_abi=bool(int(abi)) if abi else None,
        cuda=cuda,
        cuda_architectures=_split(found["cuda_architectures"]) if cuda else None,
    )


def find_file(name: str) -> pathlib.Path | None:
    """Returns where a file that the build made lies, or None.

    An editable installation has the Python files in the source tree and what was built elsewhere;
    the package's path lists both.
    """
    for folder in snt_ops.__path__:
        file = pathlib.Path(folder, name)
        if file.exists():
            return file
    return None


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
