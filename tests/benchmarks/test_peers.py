"""The table of the peers: what several environments found, joined by their ratios to bare TF."""

import dataclasses
import xml.etree.ElementTree

import numpy as np
import pytest

from benchmarks import peer_table, peers, problems
from benchmarks.peer_table import OURS, columns, join, main, markdown
from benchmarks.peers import BASELINE
from benchmarks.results import Ratio, Results, write

EMPTY = Results(
    "abc", "2026-01-02T00:00:00+00:00", "machine", {"numpy": "2"}, {"Python": 0.001}, (), ()
)
TITLE = "Linear: forward, eager"


def run_of(*ways, title=TITLE, **changes):
    """Makes a run from pairs of a way and its ratio; the baseline takes 2 ms."""
    ratios = tuple(Ratio(title, way, ratio, 0.1, 2e-3 * ratio, 3e-3) for way, ratio in ways)
    return dataclasses.replace(EMPTY, ratios=ratios, **changes)


HERE = run_of((BASELINE, 1.0), ("snt.Linear", 1.5), ("Keras 3", 3.0))
THERE = run_of(
    (BASELINE, 1.0),
    ("Sonnet 2", 2.0),
    date="2026-01-01T00:00:00+00:00",
    versions={"dm-sonnet": "2"},
)


def test_one_row_has_the_ways_of_both_environments():
    row = join([HERE, THERE])[TITLE]
    assert {name: ratio.ratio for name, ratio in row.items()} == {
        BASELINE: 1.0,
        OURS: 1.5,
        "Keras 3": 3.0,
        "Sonnet 2": 2.0,
    }


def test_the_baseline_is_that_of_the_first_environment():
    slower = run_of((BASELINE, 1.0))
    slower = dataclasses.replace(
        slower, ratios=(dataclasses.replace(slower.ratios[0], cpu=9.0, wall=9.0),)
    )
    assert join([HERE, slower])[TITLE][BASELINE].cpu == 2e-3


def test_what_one_environment_alone_has_is_a_row_too():
    only_there = run_of((BASELINE, 1.0), ("Sonnet 2", 2.0), title="Embed: forward, eager")
    assert list(join([HERE, only_there])) == [TITLE, "Embed: forward, eager"]


def test_columns_begin_with_the_baseline_and_ours():
    table = join([THERE, HERE])
    assert columns(table) == [BASELINE, OURS, "Sonnet 2", "Keras 3"]


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (["snt.BatchNorm", "snt.BatchNorm, fused"], [OURS, "ours, fused"]),
        (
            ["snt.dynamic_unroll", "snt.dynamic_unroll, jit_compile", "snt.* in dynamic_rnn"],
            [OURS, "ours, jit_compile", "ours, dynamic_rnn"],
        ),
        (["snt.DeepRNN, snt.dynamic_unroll"], [OURS]),
        (["snt.nets.VectorQuantizer, snt.Conv2D"], [OURS]),
        (["snt.resampler"], [OURS]),
    ],
)
def test_columns_of_ours(ways, expected):
    assert list(join([run_of(*((way, 1.0) for way in ways))])[TITLE]) == expected


def test_page():
    other = run_of((BASELINE, 1.0), ("snt.Embed", 1.25), title="Embed: forward, eager")
    text = markdown({"layers": join([HERE, THERE, other])}, [HERE, THERE, other])
    assert "| | bare TensorFlow | Sonnet on today's TensorFlow | Keras 3 | Sonnet 2 |" in text
    assert f"| {TITLE} | 2.00 ms | 1.50 | 3.00 | 2.00 |" in text
    assert "| Embed: forward, eager | 2.00 ms | 1.25 | - | - |" in text
    assert "numpy 2, dm-sonnet 2" in text
    assert "2026-01-02, on machine" in text  # the later one's
    assert "![Ratios, Layers](performance/layers.svg)" in text


def test_files(tmp_path, capsys):
    write(HERE, tmp_path / "ours" / "layers.json")
    write(THERE, tmp_path / "sonnet2" / "layers.json")
    folders = [str(tmp_path / name) for name in ("ours", "sonnet2", "missing")]
    main([*folders, "--folder", str(tmp_path / "page")])
    page = tmp_path / "page" / "performance.md"
    assert capsys.readouterr().out == f"{page}\n"
    assert "| 1.50 | 3.00 | 2.00 |" in page.read_text()
    pictures = tmp_path / "page" / "performance"
    assert [file.name for file in pictures.iterdir()] == ["layers.svg"]
    picture = xml.etree.ElementTree.parse(pictures / "layers.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"


def test_docs_go_to_docs(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_table, "ROOT", tmp_path)
    write(HERE, tmp_path / "layers.json")
    main([str(tmp_path), "--docs"])
    assert (tmp_path / "docs" / "performance.md").exists()


def test_sonnet_2_takes_part_only_where_this_library_is_not():
    assert not peers.is_installed("dm-sonnet")
    assert "dm-sonnet" in peers.left_out()
    names = [peer.__name__ for peer in peers.installed(with_others=False)]
    assert names == ["benchmarks.peers.bare", "benchmarks.peers.ours"]


@pytest.mark.parametrize("make", [*problems.LAYERS, *problems.MODELS])
def test_every_problem_is_in_bare_tensorflow_and_in_ours(make):
    kind = make().kind
    for peer in peers.installed(with_others=False):
        assert peer.WAYS[kind]


def test_ways_of_ours_have_names_that_regressions_are_looked_for_in():
    *_, ours = peers.installed(with_others=False)
    assert all(name.startswith("snt.") for ways in ours.WAYS.values() for name in ways)


def test_gates_in_another_order():
    columns_of_ijfo = np.array([[0, 0, 1, 1, 2, 2, 3, 3]])
    assert problems.in_order(columns_of_ijfo, "ifjo").tolist() == [[0, 0, 2, 2, 1, 1, 3, 3]]
    raised = problems.with_forget_bias(np.zeros(8))
    assert raised.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
