"""The judgement of two revisions: what is slower, what is noise, what cannot be said."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compare import Verdict, compare, summary
from benchmarks.results import Count, Ratio, Results, append, read, write

EMPTY = Results(
    "abc", "2026-01-01T00:00:00+00:00", "machine", {"numpy": "2"}, {"Python": 1.0}, (), ()
)


def timed(*ratios, way="snt.Linear", title="call"):
    return [
        dataclasses.replace(EMPTY, ratios=(Ratio(title, way, ratio, 0.1, 1e-3, 2e-3),))
        for ratio in ratios
    ]


def counted(*counts):
    return [dataclasses.replace(EMPTY, counts=(Count("ops", "ours", count),)) for count in counts]


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        ([1.0, 1.1, 1.0], [1.5, 1.6, 1.5], Verdict.SLOWER),
        ([1.0, 1.1, 1.0], [1.2, 1.2, 1.2], Verdict.SAME),
        ([1.0, 1.0, 1.7], [1.5, 1.6, 1.5], Verdict.UNDECIDED),  # one of the old is slower yet
        ([1.0, 1.5, 2.0], [1.0, 1.5, 2.0], Verdict.UNDECIDED),  # noise could hide anything
        ([1.0, 1.0, 9.0], [1.0, 1.1, 1.0], Verdict.SAME),  # but for one accident
        ([1.5, 1.6, 1.5], [1.0, 1.1, 1.0], Verdict.FASTER),
    ],
)
def test_times(base, head, verdict):
    (comparison,) = compare(timed(*base), timed(*head))
    assert comparison.verdict is verdict
    assert comparison.fails == (verdict is Verdict.SLOWER)


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        ([19, 19], [19, 19], Verdict.SAME),
        ([19, 19], [20, 20], Verdict.MORE),
        ([19, 19], [18, 18], Verdict.FEWER),
        ([19, 20], [20, 20], Verdict.UNDECIDED),
    ],
)
def test_counts(base, head, verdict):
    (comparison,) = compare(counted(*base), counted(*head))
    assert comparison.verdict is verdict
    assert comparison.fails == (verdict is Verdict.MORE)


def test_tripwire():
    (comparison,) = compare(timed(1.0, 1.0), timed(1.2, 1.2), tripwire=1.1)
    assert comparison.fails


def test_what_is_there_on_one_side_only():
    (gone, new) = compare(timed(1.0, title="old"), timed(1.0, title="new"))
    assert (gone.verdict, new.verdict) == (Verdict.GONE, Verdict.NEW)
    assert not gone.fails
    assert not new.fails


def test_peers_are_not_judged():
    assert compare(timed(1.0, way="Keras Dense"), timed(9.0, way="Keras Dense")) == []


def test_summary_names_what_is_slower_with_both_figures():
    text = summary(compare(timed(1.0, 1.0) + counted(1), timed(1.5, 1.5) + counted(1)))
    assert text.splitlines() == [
        "slower: call: snt.Linear: 1 -> 1.500, ratio 1.50, noise 1.00",
        "1 benchmarks of 2 are the same.",
    ]


@given(st.lists(st.floats(0.5, 5), min_size=3, max_size=6), st.randoms())
def test_the_same_runs_never_fail(ratios, random):
    shuffled = random.sample(ratios, len(ratios))
    assert not any(c.fails for c in compare(timed(*ratios), timed(*shuffled)))


@given(st.lists(st.floats(1, 1.1), min_size=3, max_size=6))
def test_what_is_half_as_slow_again_always_fails(ratios):
    (comparison,) = compare(timed(*ratios), timed(*(1.5 * ratio for ratio in ratios)))
    assert comparison.fails


def test_files(tmp_path):
    runs = [*timed(1.25), *counted(3)]
    later = dataclasses.replace(runs[0], date="2026-01-02T00:00:00+00:00")
    history = tmp_path / "history.jsonl"
    for run in (later, runs[1]):
        append(run, history)
    assert read(history) == [runs[1], later]  # by date
    write(runs[0], tmp_path / "new" / "run.json")
    assert read(tmp_path / "new" / "run.json") == [runs[0]]
