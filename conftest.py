"""Fixtures for the tests of all packages."""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

pytest_plugins = ["tests.support.modes"]


@pytest.fixture(autouse=True)
def names_begin_anew(request: pytest.FixtureRequest) -> None:
    """Makes the names that an example in a docstring shows those that it gets."""
    if isinstance(request.node, pytest.DoctestItem):
        import tensorflow.compat.v1 as tf1

        tf1.reset_default_graph()


@pytest.fixture(autouse=True)
def seed_ends_with_its_test() -> Iterator[None]:
    """Lets what is random be so again: with a seed, each new function draws the same numbers."""
    yield
    tf = sys.modules.get("tensorflow")  # not imported for the tests that do without
    if tf is not None and tf.compat.v1.get_seed(None)[0] is not None:
        tf.random.set_seed(None)
