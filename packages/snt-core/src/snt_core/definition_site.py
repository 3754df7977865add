"""Where a module was constructed, told in the errors of its connections."""

from __future__ import annotations

import contextlib
import inspect
import linecache
from collections.abc import Iterator
from types import CodeType

_HEADING = "originally defined at:"
_MAX_FRAMES = 64


class DefinitionSite:
    """The place where a module was constructed.

    Only code objects and line numbers are kept; the text is made when an error needs it, since
    modules are constructed at each connection of their parent.
    """

    def __init__(self, scope_name: str) -> None:
        self._scope_name = scope_name
        self._lines: list[tuple[CodeType, int]] = []
        frame = inspect.currentframe()
        while frame is not None and frame.f_globals.get("__package__") == __package__:
            frame = frame.f_back  # out of the constructor of AbstractModule
        while frame is not None and len(self._lines) < _MAX_FRAMES:
            self._lines.append((frame.f_code, frame.f_lineno))
            frame = frame.f_back

    def __str__(self) -> str:
        text = []
        for code, number in reversed(self._lines):
            text.append(f'  File "{code.co_filename}", line {number}, in {code.co_name}')
            source = linecache.getline(code.co_filename, number).strip()
            if source:
                text.append(f"    {source}")
        return "\n".join(text)

    @contextlib.contextmanager
    def in_errors(self) -> Iterator[None]:
        """Appends the place to the message of an exception that passes; its type stays."""
        try:
            yield
        except Exception as error:
            if error.args and isinstance(error.args[0], str):
                message = error.args[0]
                if _HEADING in message:  # told by a module inside, whose place says more
                    message += f"\ninside {self._scope_name!r}"
                else:
                    message += f"\n\n{_HEADING}\n{self}"
                error.args = (message, *error.args[1:])
            raise
