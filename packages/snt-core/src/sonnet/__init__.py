"""Sonnet on today's TensorFlow: `import sonnet as snt`.

The public names of every installed package (snt-core, snt-nets, snt-rnn, snt-ops) are found here.
Each is fetched from its package when it is first used, so that importing `sonnet` costs next to
nothing, and a package that is missing or broken costs only its own names. The stub beside this
file, `__init__.pyi`, is the one table of what exists: editors and type checkers read it, and so
does the code below.
"""

from __future__ import annotations

import os
import sys

from sonnet._reasons import reason


def _read_stub() -> dict[str, str]:
    """Returns the module that defines each public name, by the lines of the stub."""
    owners = {}
    path = os.path.join(os.path.dirname(__file__), "__init__.pyi")
    with open(path, encoding="utf-8") as stub:
        for line in stub:
            match line.split():
                case ["from", module, "import", name, "as", _] if module != ".":
                    owners[name] = module
                case ["from", module, "import", "("]:  # a long name stands in the next line
                    name = next(stub).split()[0]
                    owners[name] = module
    return owners


_OWNERS = _read_stub()


def _fetch(name: str) -> object:
    """Imports a public name from the package that owns it, or says why that cannot be."""
    module = _OWNERS[name]
    try:
        return getattr(__import__(module, fromlist=[name]), name)
    except Exception as error:
        raise AttributeError(reason(f"sonnet.{name}", module, error), name=name) from error


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("snt-core")
    except importlib.metadata.PackageNotFoundError as error:
        raise AttributeError(
            "sonnet.__version__ is read from the metadata of snt-core, which is on the path but "
            "not installed.",
            name="__version__",
        ) from error


def _available() -> list[str]:
    """Returns the public names that can be had here, without those of missing packages."""
    return sorted(name for name in _OWNERS if hasattr(sys.modules[__name__], name))


def __getattr__(name: str) -> object:
    if name == "__all__":  # asked for by `from sonnet import *`; depends on what is installed
        return _available()
    if name == "__version__":
        value: object = _version()
    elif name in _OWNERS:
        value = _fetch(name)
    else:
        raise AttributeError(f"module 'sonnet' has no attribute {name!r}{_hint(name)}", name=name)
    # The name is an ordinary attribute from here on. Two threads that come here at once both
    # write the same object.
    globals()[name] = value
    return value


def _hint(name: str) -> str:
    if name.startswith("_"):
        return ""
    import difflib

    matches = difflib.get_close_matches(name, _OWNERS)
    return f". Did you mean: {', '.join(matches)}?" if matches else ""


def __dir__() -> list[str]:
    return sorted(["__version__", "python", *_available()])


class _ReasonFinder:
    """Gives `from sonnet import Linear` the reason for its failure.

    Python turns the AttributeError of such a statement into an ImportError that has lost the text,
    but before that it looks for a submodule of the name, which is where this finder steps in.
    """

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> None:
        package, _, name = fullname.partition(".")
        if package == __name__ and name in _OWNERS:
            try:
                getattr(sys.modules[package], name)
            except AttributeError as error:
                raise ImportError(str(error), name=fullname) from error


sys.meta_path.append(_ReasonFinder)  # type: ignore[arg-type]

__import__("sonnet.python")  # the attribute `python`, and the old deep imports
