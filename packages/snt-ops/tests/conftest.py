"""Runs tests on each way of computing."""

import pytest

from snt_ops import library


@pytest.fixture(params=["compiled", "composite"])
def path(request, monkeypatch):
    """The way that the resampler computes: by the compiled op, or by TensorFlow's own."""
    monkeypatch.setenv(library.PATH_VARIABLE, request.param)
    return request.param
