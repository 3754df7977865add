"""The data of the examples with recurrent cores, against slow or independent computations."""

from __future__ import annotations

import collections
import itertools
import math
import pathlib
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

# Where a program finds the files beside it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import nth_farthest
import text
from learn_to_execute_data import (
    CombineCurriculum,
    Curriculum,
    Level,
    MixCurriculum,
    Mode,
    NaiveCurriculum,
    TaskType,
    Vocabulary,
    generate_code,
    learn_to_execute,
    sequence_lengths,
)


class TestText:
    def test_is_the_king_james_bible(self) -> None:
        chapters = text.read_chapters()

        assert len(chapters) == 1189
        assert sum(chapter.count("\n") + 1 for chapter in chapters) == 31_103  # as shipped
        assert chapters[0].startswith("In the beginning God created the heaven and the earth.\n")
        (lazarus,) = [chapter for chapter in chapters if "\nJesus wept.\n" in chapter]
        assert lazarus.startswith("Now a certain man was sick")

    def test_subsets_do_not_overlap(self) -> None:
        parts = text.split([str(number) for number in range(1189)])

        assert collections.Counter(itertools.chain(*parts.values())).keys() == set(
            map(str, range(1189))
        )
        assert sum(map(len, parts.values())) == 1189
        assert len(parts["valid"]) == 119
        assert len(parts["test"]) == 118

    def test_an_unknown_subset_is_refused(self) -> None:
        empty = np.zeros(0, np.int32)
        with pytest.raises(ValueError, match="'dev': choose one of train, valid, test"):
            text.Corpus(text.Vocabulary(""), empty, empty, empty).subset("dev")

    def test_vocabulary_gives_the_text_back(self) -> None:
        vocabulary = text.Vocabulary("hello\n")

        assert len(vocabulary) == 6
        assert vocabulary.decode(vocabulary.encode("hell\nole")) == "hell\nole"
        assert vocabulary.decode(vocabulary.encode("hex")) == "he\N{REPLACEMENT CHARACTER}"

    def test_heads_read_on_and_begin_again(self) -> None:
        ids = np.arange(50)
        batches = text.TrainingBatches(ids, batch_size=3, num_steps=7, seed=5)

        for head in range(3):
            read = [number for i in range(20) for number in batches[i].inputs[:, head]]
            start = read[0]
            assert read == [(start + i) % 50 for i in range(140)]
        for number in range(20):
            inputs, targets = batches[number]
            np.testing.assert_array_equal(targets, (inputs + 1) % 50)

    def test_random_heads_jump(self) -> None:
        ids = np.arange(1000)
        batches = text.TrainingBatches(ids, batch_size=3, num_steps=7, random=True, seed=5)

        starts = np.array([batches[number].inputs[0] for number in range(300)])
        assert not np.any(np.diff(starts, axis=0) % 1000 == 7, axis=0).all()
        assert 400 < starts.mean() < 600  # 500, with a deviation of 10
        np.testing.assert_array_equal(batches[3].inputs, batches[3].inputs)

    def test_evaluation_reads_each_part_once(self) -> None:
        batches = list(text.evaluation_batches(np.arange(103), batch_size=4, num_steps=6))

        inputs = np.concatenate([batch.inputs for batch in batches])
        np.testing.assert_array_equal(inputs, np.arange(24)[:, None] + [0, 25, 50, 75])
        for batch in batches:
            np.testing.assert_array_equal(batch.targets, batch.inputs + 1)

    @pytest.mark.parametrize(
        "read",
        [
            lambda: text.evaluation_batches(np.arange(100), batch_size=10, num_steps=10),
            lambda: text.TrainingBatches(np.arange(100), batch_size=2, num_steps=100),
        ],
    )
    def test_a_text_that_is_too_short_is_refused(self, read: Callable[[], Any]) -> None:
        with pytest.raises(ValueError, match="100 characters, too few .* take fewer or shorter"):
            read()


class TestBaselines:
    def test_equal_a_slow_count(self) -> None:
        rng = random.Random(3)
        train = [rng.choice([1, 1, 1, 2, 3]) for _ in range(200)]  # 0 and 4 never come
        held_out = [1, 2, 4, 1, 1, 3, 0, 2]
        size = 5

        single = collections.Counter(train)
        pairs = collections.Counter(itertools.pairwise(train))
        before = collections.Counter(train[:-1])

        def unigram(c: int) -> float:
            return (single[c] + 1) / (len(train) + size)

        def bigram(b: int, c: int) -> float:
            different = max(1, sum(pairs[b, other] > 0 for other in range(size)))
            return (pairs[b, c] + different * unigram(c)) / (before[b] + different)

        measured = text.measure_baselines(
            np.array(train), text.evaluation_batches(np.array(held_out), 1, 1), size
        )
        scored = list(itertools.pairwise(held_out))
        assert measured.unigram == pytest.approx(
            -sum(math.log2(unigram(c)) for _, c in scored) / len(scored)
        )
        assert measured.bigram == pytest.approx(
            -sum(math.log2(bigram(b, c)) for b, c in scored) / len(scored)
        )

    def test_are_probabilities(self) -> None:
        ids = np.array([1, 2, 2, 3, 1])

        assert text.unigram_probabilities(ids, 6).sum() == pytest.approx(1)
        bigram = text.bigram_probabilities(ids, 6)
        np.testing.assert_allclose(bigram.sum(axis=1), np.ones(6))
        assert bigram.min() > 0


class TestNthFarthest:
    @pytest.mark.parametrize("objects", [2, 5])
    def test_labels_equal_brute_force(self, objects: int) -> None:
        features = 3
        inputs, labels = nth_farthest.NthFarthest(40, objects, features, seed=2).get_batch()

        assert inputs.shape == (40, objects, features + 3 * objects)
        for rows, label in zip(inputs, labels, strict=True):
            vectors, ids, references, nths = np.split(
                rows, np.cumsum([features, objects, objects]), axis=1
            )
            for one_hot in (ids, references, nths):
                assert set(one_hot.ravel()) == {0, 1}
                np.testing.assert_array_equal(one_hot.sum(axis=1), np.ones(objects))
            assert (references == references[0]).all()
            assert (nths == nths[0]).all()
            numbers = [int(row.argmax()) for row in ids]
            assert sorted(numbers) == list(range(objects))

            by_number = dict(zip(numbers, vectors.astype(float).tolist(), strict=True))
            origin = by_number[int(references[0].argmax())]
            distance = {number: math.dist(origin, v) for number, v in by_number.items()}
            nearest_first = sorted(distance, key=distance.__getitem__)
            assert label == nearest_first[int(nths[0].argmax())]

    def test_everything_is_drawn(self) -> None:
        inputs, labels = nth_farthest.NthFarthest(2000, 4, 2).get_batch()

        assert np.bincount(labels, minlength=4).min() > 400
        first_in_order = inputs[:, 0, 2:6].argmax(axis=-1)
        assert np.bincount(first_in_order, minlength=4).min() > 400
        assert -1 < inputs[..., :2].min() < -0.9
        assert 0.9 < inputs[..., :2].max() < 1


def _run_with_python(program: str) -> int:
    """Executes a program of the data set: Python's `eval` computes, and its `for` loops."""
    loop = re.fullmatch(r"x=(.*)for\[(\d)\]x\+=(\d+)", program)
    if loop:
        x = _run_with_python(loop[1])
        for _ in range(int(loop[2])):
            x += int(loop[3])
        return x
    nested = re.fullmatch(r"\((.*)\)(.*)", program)
    if nested:
        program = f"({_run_with_python(nested[1])}){nested[2]}"
    return eval(re.sub("if|else", r" \g<0> ", program).replace("/", "//"))


PROGRAMS = [task for task in TaskType if not task.is_memory]
MEMORY = [task for task in TaskType if task.is_memory]


class TestPrograms:
    @pytest.mark.parametrize("task", PROGRAMS)
    @pytest.mark.parametrize("length", [1, 2, 4])
    @pytest.mark.parametrize("nesting", [1, 2, 3])
    def test_result_is_what_python_says(self, task: TaskType, length: int, nesting: int) -> None:
        rng = random.Random(7)
        for _ in range(100):
            result, program = generate_code(length, nesting, task, rng)
            assert result == str(_run_with_python(program) % 10 ** (length + 1))

    def test_what_python_says_is_known(self) -> None:
        assert _run_with_python("x=(3if4>8else6)for[3]x+=7") == 27
        assert _run_with_python("((12-50)*2)if9<8else1") == 1

    @pytest.mark.parametrize("task", TaskType)
    @pytest.mark.parametrize(("length", "nesting"), [(1, 1), (1, 3), (3, 1), (3, 2)])
    @pytest.mark.parametrize("by_char", [True, False])
    def test_fits_the_steps(self, task: TaskType, length: int, nesting: int, by_char: bool) -> None:
        by_char = by_char or task.is_memory
        num_steps, num_steps_out = sequence_lengths(length, nesting, task, by_char)
        vocabulary = Vocabulary(None if by_char else 10 ** (length + 1) - 1)
        rng, end = random.Random(8), int(task.is_memory)
        for _ in range(200):
            result, program = generate_code(length, nesting, task, rng)
            assert len(vocabulary.split(program)) + end <= num_steps
            assert len(vocabulary.split(result)) + end <= num_steps_out

    def test_steps_are_those_of_the_paper_s_program(self) -> None:
        assert sequence_lengths(5, 2, TaskType.ALG_CTRL, True) == (25 + 30 + 2, 10)
        assert sequence_lengths(5, 2, TaskType.ALG_CTRL, False) == (10 + 11 + 2, 1)
        assert sequence_lengths(5, 2, TaskType.COPY, True) == (6, 6)
        assert sequence_lengths(5, 2, TaskType.DOUBLE, True) == (6, 11)

    @pytest.mark.parametrize(
        ("task", "times", "step"), [*zip(MEMORY, (1, 2, 1), (1, 1, -1), strict=True)]
    )
    def test_memory_tasks(self, task: TaskType, times: int, step: int) -> None:
        rng = random.Random(9)
        for _ in range(50):
            result, program = generate_code(6, 1, task, rng)
            assert re.fullmatch("[1-9][0-9]{5}", program)
            assert result == (program * times)[::step]

    def test_operands_have_all_digits_and_operations_all_occur(self) -> None:
        rng = random.Random(10)
        programs = [generate_code(3, 2, TaskType.ALL, rng)[1] for _ in range(500)]

        numbers = re.findall(r"(?<!\[)(?<!\d)\d+", "|".join(programs))
        assert {len(number) for number in numbers} == {3}
        for sign in ("if", "for", "*", "-", "<", ">"):
            assert sum(sign in program for program in programs) > 50
        assert all(program.count("(") == 1 for program in programs)


class TestVocabulary:
    def test_begins_with_the_special_tokens(self) -> None:
        assert Vocabulary().tokens[:4] == ("_unk_", "_null_", "_eos_", "|")
        assert len(set(Vocabulary().tokens)) == len(Vocabulary())
        assert Vocabulary().tokens[4:] == tuple(sorted(Vocabulary().tokens[4:]))

    def test_splits_into_words_and_numbers(self) -> None:
        tokens = Vocabulary(999).split("(x=12for[3]x+=4)if15>3else6")
        assert " ".join(tokens) == "( x = 12 for [ 3 ] x + = 4 ) if 15 > 3 else 6"

    def test_pads_and_gives_the_text_back(self) -> None:
        vocabulary = Vocabulary()
        ids = vocabulary.encode("12if3", 8)

        assert len(ids) == 8
        assert vocabulary.decode(ids) == "12if3"
        assert vocabulary.decode(vocabulary.encode("1é", 2)) == "1_unk_"

    def test_what_is_too_long_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'123' has 3 tokens, but there are 2 steps"):
            Vocabulary().encode("123", 2)


class TestCurriculum:
    HARDEST = Level(nesting=2, length=3)

    def test_levels_are_in_order(self) -> None:
        levels = [str(level) for level in Curriculum(self.HARDEST).levels]
        assert levels == ["1.1", "1.2", "1.3", "2.1", "2.2", "2.3"]

    @pytest.mark.parametrize(
        ("kind", "first", "drawn"),
        [(Curriculum, "2.3", 1), (MixCurriculum, "2.3", 6), (NaiveCurriculum, "1.1", 1)],
    )
    def test_where_it_begins(self, kind: type[Curriculum], first: str, drawn: int) -> None:
        curriculum, rng = kind(self.HARDEST), random.Random(1)
        assert str(curriculum.current_level) == first
        assert len({curriculum.draw(rng) for _ in range(200)}) == drawn

    def test_rises_when_the_loss_stays_and_not_before(self) -> None:
        curriculum = NaiveCurriculum(self.HARDEST, loss_threshold=0.1, min_tries=10)

        falling = [curriculum.evaluate(0.8**i) for i in range(30)]  # a fifth less each time
        assert not any(falling)
        steady = [curriculum.evaluate(0.5) for _ in range(30)]
        assert steady.index(True) == 9  # when the window has forgotten the fall
        assert sum(steady) == 3  # 10 reports for each further level
        assert str(curriculum.current_level) == "2.1"

    def test_stays_at_the_hardest(self) -> None:
        curriculum = CombineCurriculum(Level(1, 2), min_tries=5)

        assert [curriculum.evaluate(1.0) for _ in range(20)].count(True) == 1
        assert str(curriculum.current_level) == "1.2"
        rng = random.Random(2)
        assert {str(curriculum.draw(rng)) for _ in range(50)} == {"1.1", "1.2"}


class TestLearnToExecute:
    @pytest.mark.parametrize("mode", Mode)
    @pytest.mark.parametrize("by_char", [True, False])
    def test_batches(self, mode: Mode, by_char: bool) -> None:
        dataset = learn_to_execute(20, 2, 2, by_char, mode, task_type=TaskType.ALL, seed=3)
        state = dataset.state
        batch = tf.nest.map_structure(np.asarray, next(iter(dataset)))

        for part, steps in (
            (batch.programs, state.num_steps),
            (batch.results, state.num_steps_out),
            (batch.decoder_inputs, state.num_steps_out),
        ):
            assert part.dtype == np.float32
            assert part.shape == (steps, state.batch_size, state.vocab_size)
            np.testing.assert_array_equal(
                np.sort(part, axis=-1)[..., -2:].sum((0, 1)), [0, steps * 20]
            )
        np.testing.assert_array_equal(batch.decoder_inputs[1:], batch.results[:-1])
        starts = batch.decoder_inputs[0].argmax(axis=-1)
        assert {state.vocabulary.tokens[start] for start in starts} == {"~"}

        programs = state.to_human_readable(batch.programs, batch.program_lengths)
        results = state.to_human_readable(batch.results, batch.result_lengths)
        for program, result in zip(programs, results, strict=True):
            length = max(map(len, re.findall(r"(?<!\[)(?<!\d)\d+", program)))
            assert result == str(_run_with_python(program) % 10 ** (length + 1))
        for texts, lengths in ((programs, batch.program_lengths), (results, batch.result_lengths)):
            assert lengths.dtype == np.int64
            assert [len(state.vocabulary.split(t)) for t in texts] == lengths.tolist()

    def test_memory_tasks_end_and_are_by_character(self) -> None:
        dataset = learn_to_execute(2, 3, 2, token_by_char=False, task_type=TaskType.REVERSE)
        batch = next(iter(dataset))

        (program, _), (result, _) = (
            dataset.state.to_human_readable(one_hot.numpy(), lengths.numpy())
            for one_hot, lengths in (
                (batch.programs, batch.program_lengths),
                (batch.results, batch.result_lengths),
            )
        )
        assert re.fullmatch(r"\d!", program)
        assert result == program
        assert dataset.state.vocab_size == len(Vocabulary())

    def test_programs_become_harder_when_it_is_told_the_loss(self) -> None:
        dataset = learn_to_execute(50, 2, 1, mode=Mode.TRAIN_NAIVE, min_tries=5)
        batches = iter(dataset)
        assert next(batches).program_lengths.numpy().min() == 3  # 1+1

        assert not any(dataset.state.evaluate_curriculum(0.5) for _ in range(4))
        assert dataset.state.evaluate_curriculum(0.5)
        assert dataset.state.level == "1.2"
        later = [next(batches) for _ in range(5)][-1]  # a few may have been ready
        assert later.program_lengths.numpy().min() == 5  # 10+10

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"mode": "train"}, "Invalid mode 'train'"),
            ({"task_type": "alg-ctrl"}, "Invalid task_type 'alg-ctrl'"),
            ({"max_length": 0}, "at least 1, but they are 4, 0 and 1"),
        ],
    )
    def test_careless_use(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            learn_to_execute(4, **arguments)
