"""`RestoreReport`: how the variables of a module and the entries of a checkpoint fit together."""

from __future__ import annotations

import html
from collections import Counter
from typing import Any, NamedTuple

from snt_core.reporting import _format_table

MATCHES = "matches"
RESHAPED = "reshaped"
MISSING = "missing"
OPTIONAL = "not needed"
OTHER_SHAPE = "other shape"
OTHER_DTYPE = "other dtype"
UNUSED = "unused"

HEADINGS = ("Variable", "Is", "In the checkpoint", "Is there", "Status")


class RestoreRow(NamedTuple):
    """A variable, or an entry of a checkpoint that no variable asked for.

    Attributes:
        variable: Full name of the variable; empty for an unused entry.
        wanted: Its dtype and shape.
        entry: Name in the checkpoint; for a missing one, in brackets, the name that was looked for.
        found: The dtype and shape there.
        status: "matches"; "reshaped", where dimensions of size one are put in or left out;
            "missing"; "not needed", for a local variable that is not there; "other shape"; "other
            dtype"; or "unused".
    """

    variable: str
    wanted: str
    entry: str
    found: str
    status: str


class RestoreReport:
    """What `restore_from_checkpoint` found: text where printed, HTML in a notebook.

    Attributes:
        path: Prefix of the checkpoint.
        rows: The rows of the table, variables first.
    """

    def __init__(self, path: str, rows: list[RestoreRow]) -> None:
        self.path = path
        self.rows = rows

    @property
    def fits(self) -> bool:
        """Whether every variable that has to be in the checkpoint is there, as it should be."""
        return not self.having(MISSING, OTHER_SHAPE, OTHER_DTYPE)

    def having(self, *statuses: str) -> list[RestoreRow]:
        """Returns the rows of these statuses.

        Args:
            *statuses: As in `RestoreRow`.
        """
        return [row for row in self.rows if row.status in statuses]

    def summary(self) -> str:
        """Returns the number of rows of each status, as text."""
        counts = Counter(row.status for row in self.rows)
        return ", ".join(f"{count} {status}" for status, count in counts.items())

    def __str__(self) -> str:
        lines = _format_table([HEADINGS, *self.rows], join_lines=False)
        return "\n".join([*lines, self.summary()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(cells: Any, tag: str) -> str:
            texts = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{texts}</tr>"

        rows = "".join(line(row, "td") for row in self.rows)
        return f"<table>{line(HEADINGS, 'th')}{rows}</table>{html.escape(self.summary())}"
