"""`Transposable`: an interface."""

from __future__ import annotations

from typing import Any

import pytest

import sonnet as snt


def test_both_members_are_needed() -> None:
    class NoShape(snt.Transposable):
        def transpose(self, name: str | None = None, **kwargs: Any) -> Any:
            return self

    class NoTranspose(snt.Transposable):
        input_shape = (1,)  # type: ignore[assignment]

    with pytest.raises(TypeError, match="input_shape"):
        NoShape()  # type: ignore[abstract]
    with pytest.raises(TypeError, match="transpose"):
        NoTranspose()  # type: ignore[abstract]


def test_is_no_module() -> None:
    assert not issubclass(snt.Transposable, snt.AbstractModule)
