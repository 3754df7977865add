"""The programs in the documents run as they are written, and print what the documents say."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

ROOT = pathlib.Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTS = [
    document
    for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md")
    for document in sorted(ROOT.glob(pattern))
    if FENCE.search(document.read_text())
]


class Program(NamedTuple):
    """A block of a document; line 1 of the document is line 1 of the code, for tracebacks."""

    code: str
    printed: list[str]


def programs(document: pathlib.Path) -> Iterator[Program]:
    """Gives the blocks of a document; a line `# > text` says what the block prints."""
    text = document.read_text()
    for match in FENCE.finditer(text):
        before = "\n" * (text.count("\n", 0, match.start()) + 1)
        yield Program(before + match[1], re.findall(r"^ *# ?> ?(.*)$", match[1], re.MULTILINE))


# TensorFlow Probability 0.25 compares versions with distutils when it is imported.
@pytest.mark.filterwarnings("ignore:distutils Version classes are deprecated:DeprecationWarning")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_run(
    document: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf1.reset_default_graph()
    tf.keras.utils.set_random_seed(1)  # "the loss falls" holds with almost any seed
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for program in programs(document):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(program.code, str(document), "exec"), names)
        if program.printed:
            assert output.getvalue().splitlines() == program.printed


def test_documents_have_programs() -> None:
    started = ROOT / "docs/getting_started.md"
    assert {ROOT / "README.md", started} <= set(DOCUMENTS)
    assert "(256, 2)" in [line for program in programs(started) for line in program.printed]


@pytest.mark.parametrize("document", sorted(ROOT.glob("docs/**/*.md")), ids=lambda path: path.name)
def test_no_program_escapes(document: pathlib.Path) -> None:
    """What is fenced is a program that runs above, or says that it is something else."""
    text = document.read_text()
    opening = re.findall(r"^ *(`{3,}|~{3,}) *(.*)$", text, re.MULTILINE)[::2]
    assert {language for _, language in opening} <= {"python", "", "text", "console", "toml"}
    programs_in_text = sum(language == "python" for _, language in opening)
    assert programs_in_text == len(FENCE.findall(text))
