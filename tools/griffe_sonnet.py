"""How mkdocstrings is to read the docstrings of this repository: an extension of griffe.

Three things of ours are not what griffe expects:

- A section `Example:` is called `Examples:` there, and only under that name shown as a program.
- A module is called, and what its call takes and returns stands at `_build`, which users never
  name. The pages show it as `__call__`.
- TensorFlow carries no types: what comes from it is `Any`, which would stand at every tensor.
"""

from __future__ import annotations

import re
from typing import Any

import griffe


class SonnetDocstrings(griffe.Extension):
    """Renames `Example:` and `_build`, and forgets `Any`, before the pages are made."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the sections `Example:`."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Forgets the annotation `Any`."""
        for parameter in func.parameters:
            if str(parameter.annotation) == "Any":
                parameter.annotation = None
        if str(func.returns) == "Any":
            func.returns = None

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Shows `_build` as `__call__`, first among the methods, but in the base class itself."""
        build = cls.members.get("_build")
        if isinstance(build, griffe.Function) and "__call__" not in cls.members:
            del cls.members["_build"]
            build.name = "__call__"
            cls.members = {"__call__": build, **cls.members}
