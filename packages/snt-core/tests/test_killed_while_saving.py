"""A process that is killed while it saves leaves the last good checkpoint, or SavedModel."""

import pathlib

import pytest

from tests.support.processes import run_program

ROUNDS = 4


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    program = pathlib.Path(__file__).with_name("killed_while_saving.py")
    return run_program(program, str(tmp_path_factory.mktemp("killed")), str(ROUNDS), timeout=600)


@pytest.mark.parametrize("kind", ["checkpoint", "export", "graph"])
def test_the_last_good_one_is_there(results, kind):
    assert len(results[kind]) == ROUNDS
    for said, values, _ in results[kind]:
        # Killed after it was in place, and before the process said so, there is one more.
        assert values in ([said], [said + 1])


@pytest.mark.parametrize("kind", ["export", "graph"])
def test_what_a_killed_process_left_is_removed_by_the_next(results, kind):
    for _, _, names in results[kind]:
        assert "model" in names
        assert len(names) <= 2
        assert all(name == "model" or name.startswith(".model.writing-") for name in names)
