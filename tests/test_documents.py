"""The programs in the documents run as they are written."""

from __future__ import annotations

import pathlib
import re

import pytest
import tensorflow.compat.v1 as tf1

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = [
    document
    for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md")
    for document in sorted(ROOT.glob(pattern))
    if "```python" in document.read_text()
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_run(document: pathlib.Path) -> None:
    tf1.reset_default_graph()
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    exec(compile("\n".join(blocks), str(document), "exec"), {"__name__": "__main__"})


def test_readme_has_programs() -> None:
    assert ROOT / "README.md" in DOCUMENTS
