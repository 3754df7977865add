"""The examples with recurrent cores do what they say, each with a small budget."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from tests.support.examples import check_refused

# Where a program finds the files beside it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import language_model
import language_model_sonnet1
import learn_to_execute
import nth_farthest
import text
from learn_to_execute_data import Batch, TaskType

SIZES = {"embedding": 6, "hidden": 12, "depth": 2, "batch_size": 8, "num_steps": 10}
TINY = language_model.Settings(**SIZES, learning_rate=0.01)
TINY_1 = language_model_sonnet1.Settings(**SIZES)


def _corpus() -> text.Corpus:
    parts = {name: "\n".join(part) for name, part in text.split(text.read_chapters()[:30]).items()}
    vocabulary = text.Vocabulary(parts["train"])
    return text.Corpus(vocabulary, **{name: vocabulary.encode(parts[name]) for name in parts})


@pytest.fixture(scope="module")
def corpus() -> text.Corpus:
    return _corpus()


@pytest.fixture(scope="module")
def trainer(corpus: text.Corpus) -> language_model.Trainer:
    """A model in training, at its beginning: tests leave it as it is."""
    return language_model.Trainer(TINY, corpus)


@pytest.fixture
def graph(corpus: text.Corpus) -> Iterator[tuple[language_model_sonnet1.Graph, tf1.Session]]:
    with tf.Graph().as_default():
        graph = language_model_sonnet1.Graph(corpus, TINY_1, 1000, length=7)
        with tf1.Session() as session:
            session.run(graph.initialize)
            yield graph, session


class TestLanguageModel:
    def test_resumed_training_equals_one_that_never_stopped(
        self, corpus: text.Corpus, tmp_path: pathlib.Path
    ) -> None:
        def train(folder: str, steps: int) -> tuple[list, list]:
            trainer = language_model.Trainer(TINY, corpus)
            (tmp_path / folder).mkdir(exist_ok=True)
            history = language_model.train(trainer, tmp_path / folder, steps, 100, 4)
            return history["train"], [v.numpy() for v in trainer.model.variables]

        losses, variables = train("whole", 10)
        first, _ = train("parts", 6)
        assert first == losses[:6]
        (tmp_path / "parts" / "ckpt-6.index").unlink()  # as if it had been killed in step 6
        os.truncate(tmp_path / "parts" / "checkpoint", 0)
        _point_to_checkpoint(tmp_path / "parts", "ckpt-4")
        again, resumed = train("parts", 10)

        assert [step for step, _ in again] == list(range(1, 11))
        np.testing.assert_allclose(again, losses, rtol=1e-6)
        for one, other in zip(resumed, variables, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)

    def test_killed_program_goes_on(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes = ["--hidden=4", "--depth=1", "--batch-size=100", "--num-steps=20"]
        command = [
            language_model.__file__,
            *sizes,
            "--checkpoint-interval=3",
            f"--output={tmp_path}",
        ]
        process = subprocess.Popen(
            [sys.executable, *command, "--steps=100000000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(lambda: (tmp_path / "checkpoint").exists() or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

        checkpoint = tf.train.latest_checkpoint(str(tmp_path))
        saved = int(checkpoint.rpartition("-")[2])
        assert saved >= 3
        monkeypatch.setattr(sys, "argv", [*command, f"--steps={saved + 2}"])
        language_model.main()
        history = json.loads((tmp_path / "history.json").read_text())
        assert [step for step, _ in history["train"]] == list(range(1, saved + 3))

    def test_learns(self, corpus: text.Corpus) -> None:
        trainer = language_model.Trainer(TINY, corpus)
        before = trainer.evaluate(trainer.held_out("valid"))
        losses = [trainer.train_step() for _ in range(60)]

        assert before == pytest.approx(math.log2(len(corpus.vocabulary)), abs=0.5)
        assert np.mean(losses[-10:]) < before - 1
        assert trainer.evaluate(trainer.held_out("valid")) < before - 1

    def test_state_is_carried_from_batch_to_batch(
        self, corpus: text.Corpus, trainer: language_model.Trainer
    ) -> None:
        batches = list(text.evaluation_batches(corpus.valid, TINY.batch_size, TINY.num_steps))[:5]
        whole = text.Batch(*(np.concatenate(part) for part in zip(*batches, strict=True)))

        in_parts, at_once = trainer.evaluate(batches), trainer.evaluate([whole])
        assert in_parts == pytest.approx(at_once, rel=1e-5)
        apart = np.mean([trainer.evaluate([batch]) for batch in batches])
        assert abs(apart - at_once) > 1e-4 * at_once

    def test_loss_is_in_bits(self, corpus: text.Corpus, trainer: language_model.Trainer) -> None:
        (batch,) = list(text.evaluation_batches(corpus.valid, TINY.batch_size, TINY.num_steps))[:1]
        logits, _ = trainer.model(batch.inputs, trainer.model.initial_state(TINY.batch_size))
        logits = logits.numpy().astype(float)
        chosen = np.take_along_axis(logits, batch.targets[..., None], axis=-1)[..., 0]
        nats = np.log(np.exp(logits).sum(axis=-1)) - chosen

        assert trainer.evaluate([batch]) == pytest.approx(nats.mean() / math.log(2), rel=1e-5)

    def test_writes_what_is_likeliest_when_it_is_cold(
        self, corpus: text.Corpus, trainer: language_model.Trainer
    ) -> None:
        written = trainer.write("In the", 12, temperature=0.001)

        assert len(written) == 18
        ids = corpus.vocabulary.encode("In the")
        for _ in range(12):
            logits, _ = trainer.model(ids[:, None], trainer.model.initial_state(1))
            ids = np.append(ids, np.argmax(logits[-1, 0])).astype(np.int32)
        assert written == corpus.vocabulary.decode(ids)

    def test_writes_by_chance_that_a_seed_decides(self, trainer: language_model.Trainer) -> None:
        texts = [trainer.write("A", 40, seed=seed) for seed in (1, 1, 2)]
        assert texts[0] == texts[1] != texts[2]


class TestLanguageModelOfSonnet1:
    def test_resumed_training_equals_one_that_never_stopped(
        self, corpus: text.Corpus, tmp_path: pathlib.Path
    ) -> None:
        def train(folder: str, steps: int) -> tuple[list, float]:
            test = language_model_sonnet1.train(
                steps, 100, 5, TINY_1, 4, 5, tmp_path / folder, corpus
            )
            return json.loads((tmp_path / folder / "history.json").read_text())["train"], test

        losses, test = train("whole", 10)
        first, _ = train("parts", 6)
        assert first == losses[:6]
        _point_to_checkpoint(tmp_path / "parts", "model-4")
        again, resumed = train("parts", 10)

        assert [step for step, _ in again] == list(range(1, 11))
        np.testing.assert_allclose(again, losses, rtol=1e-6)
        assert resumed == pytest.approx(test, rel=1e-6)

    def test_trains_with_small_numbers(
        self, corpus: text.Corpus, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(language_model_sonnet1, "load_corpus", lambda: corpus)

        bits = language_model_sonnet1.train(5, 5, 4)

        assert 0 < bits < 8
        names = dict(tf.train.list_variables("out/language_model_sonnet1"))
        assert {
            name: shape for name, shape in names.items() if re.search(r"_\d/w_gates$", name)
        } == {f"text_model/lstm_{i}/w_gates": [32 + 128 * (i + 1), 512] for i in range(3)}
        assert names["text_model/linear_output/w"] == [32 + 3 * 128, len(corpus.vocabulary)]

    @pytest.mark.parametrize("random", [False, True])
    def test_dataset(self, corpus: text.Corpus, random: bool) -> None:
        with tf.Graph().as_default(), tf1.Session() as session:
            dataset = language_model_sonnet1.TextDataset(corpus, 7, 3, "valid", random, seed=4)
            batch = dataset()
            session.run(tf1.global_variables_initializer())
            first, second = session.run(batch), session.run(batch)

        ids = corpus.valid
        windows = np.lib.stride_tricks.sliding_window_view(np.append(ids, ids[:15]), 15)
        follows = []
        for entry in range(3):
            read = [part[:, entry].argmax(axis=-1) for part in (*first, *second)]
            np.testing.assert_array_equal(read[0][1:], read[1][:-1])
            np.testing.assert_array_equal(read[2][1:], read[3][:-1])
            seen = np.concatenate([read[0], read[2], read[3][-1:]])
            follows.append(bool((windows == seen).all(axis=1).any()))
        assert follows == ([False] * 3 if random else [True] * 3)
        assert dataset.to_human_readable(first[0], 1) == corpus.vocabulary.decode(
            first[0][:, 1].argmax(axis=-1)
        )

    def test_an_unknown_subset_is_refused(self, corpus: text.Corpus) -> None:
        with pytest.raises(ValueError, match="no subset 'dev'"):
            language_model_sonnet1.TextDataset(corpus, subset="dev")

    def test_cost_is_in_nats_a_sequence(self, corpus: text.Corpus) -> None:
        rng = np.random.default_rng(0)
        logits, target = rng.normal(size=[5, 2, 4]), np.eye(4)[rng.integers(4, size=[5, 2])]
        with tf.Graph().as_default(), tf1.Session() as session:
            cost = session.run(
                language_model_sonnet1.TextDataset(corpus).cost(logits, tf.constant(target))
            )
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        assert cost == pytest.approx(-(log_probabilities * target).sum() / 2)

    def test_unrollers_agree(self, corpus: text.Corpus) -> None:
        one_hot = np.eye(9, dtype=np.float32)[np.random.default_rng(0).integers(9, size=[5, 2])]
        logits = []
        for use_dynamic_rnn in (True, False):
            with tf.Graph().as_default(), tf1.Session() as session:
                tf1.set_random_seed(3)
                model = language_model_sonnet1.TextModel(4, 6, 2, 9, use_dynamic_rnn)
                told, _ = model(tf.constant(one_hot))
                session.run(
                    [
                        v.assign(
                            tf.sin(tf.reshape(tf.range(tf.size(v), dtype=tf.float32), v.shape))
                        )
                        for v in model.get_all_variables()
                    ]
                )
                logits.append(session.run(told))
        np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-6)

    def test_works_without_skip_connections(self) -> None:
        with tf.Graph().as_default():
            model = language_model_sonnet1.TextModel(4, 6, 2, 9, use_skip_connections=False)
            told, _ = model(tf.zeros([3, 2, 9]))
            assert told.shape == [3, 2, 9]
            assert {v.op.name: v.shape.as_list() for v in model.get_all_variables()}[
                "text_model/lstm_1/w_gates"
            ] == [12, 24]

    def test_evaluation_carries_the_state(
        self, corpus: text.Corpus, graph: tuple[language_model_sonnet1.Graph, tf1.Session]
    ) -> None:
        built, session = graph
        batches = list(text.evaluation_batches(corpus.valid, 8, 10))[:4]

        together = built.evaluate(session, batches)
        apart = [built.evaluate(session, [batch]) for batch in batches]
        assert built.evaluate(session, batches[:1]) == apart[0]
        assert abs(together - np.mean(apart)) > 1e-4

    def test_writes_on_from_state_and_logits(self, corpus: text.Corpus) -> None:
        size = 9
        prompt = np.eye(size, dtype=np.float32)[[[1], [5], [2]]]
        with tf.Graph().as_default(), tf1.Session() as session:
            model = language_model_sonnet1.TextModel(4, 6, 2, size)
            fed = tf1.placeholder(tf.float32, [None, 1, size])
            logits, state = model(fed, model.initial_state(1))
            sample = model.generate_string(logits[-1], state, 6)
            session.run(tf1.global_variables_initializer())
            weights = next(v for v in model.get_all_variables() if "linear_output/w" in v.name)
            session.run(weights.assign(weights * 1e6))  # so that chance has no say

            written = session.run(sample, {fed: prompt})
            expected = prompt
            for _ in range(6):
                likeliest = session.run(logits, {fed: expected})[-1].argmax(axis=-1)
                expected = np.concatenate([expected, np.eye(size, dtype=np.float32)[[likeliest]]])
        assert written.shape == (6, 1, size)
        np.testing.assert_array_equal(written, expected[3:])


class TestNthFarthest:
    def test_lstm_is_as_large_as_the_memory(self) -> None:
        memory, lstm = nth_farthest.make_trainers(nth_farthest.Settings(), 10).values()
        sizes = [nth_farthest.count(t.model.trainable_variables) for t in (memory, lstm)]
        assert sizes[0] <= sizes[1] <= 1.03 * sizes[0]


class TestLearnToExecute:
    SETTINGS = learn_to_execute.Settings(
        batch_size=32, mem_slots=2, head_size=8, num_heads=1, mlp_layers=1, mlp_size=16,
        learning_rate=1e-2, min_tries=1,
    )  # fmt: skip

    def test_measure_equals_a_count(self) -> None:
        rng = np.random.default_rng(0)
        steps, size, tokens = 3, 40, 4
        logits = rng.normal(size=[steps, size, tokens])
        results, lengths = rng.integers(tokens, size=[steps, size]), rng.integers(1, 4, size=size)
        one_hot = np.eye(tokens)[results]
        measured = learn_to_execute.measure(
            tf.constant(logits), Batch(one_hot, tf.constant(one_hot), one_hot, lengths, lengths)
        )

        losses, right, solved = [], [], []
        for entry in range(size):
            answers = []
            for step in range(lengths[entry]):
                scores, token = logits[step, entry], results[step, entry]
                losses.append(math.log(sum(map(math.exp, scores))) - scores[token])
                answers.append(scores.argmax() == token)
            right += answers
            solved.append(all(answers))
        expected = [np.mean(losses), np.mean(right), np.mean(solved)]
        np.testing.assert_allclose(measured, expected, rtol=1e-6)
        assert 0 < expected[2] < expected[1]

    def test_padding_does_not_matter(self) -> None:
        batch, state = learn_to_execute.hardest_programs(self.SETTINGS, TaskType.ALG_CTRL, 20)
        trainer = learn_to_execute.Trainer(self.SETTINGS, state.vocab_size, 10)
        logits, measured = trainer.execute(batch)
        noise = tf.random.normal(batch.programs.shape)
        padding = ~tf.transpose(tf.sequence_mask(batch.program_lengths, state.num_steps))
        other = batch._replace(programs=tf.where(padding[..., None], noise, batch.programs))

        np.testing.assert_allclose(trainer.execute(other)[0], logits, rtol=1e-5, atol=1e-6)
        assert np.all(np.isfinite(tf.nest.flatten(measured)))


SMALL_MODEL = [
    "--report-interval=2", "--batch-size=16", "--num-steps=8", "--hidden=8", "--embedding=4",
    "--depth=2", "--sample-length=30",
]  # fmt: skip
SMALL = {
    language_model: ["--steps=4", *SMALL_MODEL],
    language_model_sonnet1: ["--num-training-iterations=4", *SMALL_MODEL],
    nth_farthest: [
        "--steps=60", "--report-interval=20", "--num-objects=2", "--batch-size=32",
        "--head-size=8", "--mlp-size=32", "--learning-rate=0.01",
    ],
    learn_to_execute: [
        "--steps=48", "--report-interval=8", "--task=addition", "--mode=train_naive",
        "--loss-threshold=10", "--min-tries=1", "--batch-size=32", "--mem-slots=2",
        "--head-size=8", "--num-heads=1", "--mlp-size=16", "--learning-rate=0.01",
    ],
}  # fmt: skip
SHOWN = {
    language_model: r"unigram +4\.\d+\n +bigram +3\.\d+\n +LSTM +\d\.\d+\n",
    language_model_sonnet1: r"unigram +4\.\d+\n +bigram +3\.\d+\n +LSTM +\d\.\d+\n",
    nth_farthest: r"chance +0\.500\n +relational memory +\d\.\d+\n +LSTM +\d\.\d+\n",
    learn_to_execute: r"are solved. Some of them:\n( +\S+ -> .*(right|not \d+)\n){10}",
}


def _check_nth_farthest(history: dict) -> None:
    for name in ("relational memory", "LSTM"):
        steps, losses = zip(*history[f"loss of {name}"], strict=True)
        assert steps == (20, 40, 60)
        assert losses[-1] < 0.8 * losses[0]
        assert history[f"accuracy of {name}"][-1][1] > 0.7  # a half is chance


def _check_learn_to_execute(history: dict) -> None:
    losses = [loss for _, loss in history["loss"]]
    assert losses[4] < 0.8 * losses[0]
    # Five reports are the least that a curriculum judges by; then the level rises.
    assert history["raised"] == [[8, 0], [16, 0], [24, 0], [32, 0], [40, 1], [48, 0]]


LEARNT = {nth_farthest: _check_nth_farthest, learn_to_execute: _check_learn_to_execute}


class TestPrograms:
    @pytest.mark.parametrize("program", SMALL, ids=lambda program: program.__name__)
    def test_run(
        self,
        program: ModuleType,
        corpus: text.Corpus,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(program, "load_corpus", lambda: corpus, raising=False)
        folder = tmp_path / "new" / "folder"
        monkeypatch.setattr(sys, "argv", ["program", *SMALL[program], f"--output={folder}"])
        program.main()

        assert re.search(SHOWN[program], capsys.readouterr().out)
        header = (folder / "report.png").read_bytes()[:24]
        assert header.startswith(b"\x89PNG\r\n\x1a\n")
        assert int.from_bytes(header[16:20], "big") > 600
        history = json.loads((folder / "history.json").read_text())
        LEARNT.get(program, lambda history: None)(history)

    @pytest.mark.parametrize("program", SMALL, ids=lambda program: program.__name__)
    @pytest.mark.parametrize(
        ("argument", "complaint"),
        [
            ("--batch-size=0", "argument --batch-size: 0 must be at least 1"),
            ("--learning-rate=-1", "argument --learning-rate: -1 must be at least 0"),
            ("--batch-size=many", "argument --batch-size: invalid int value: 'many'"),
            ("--output={}/file/folder", "cannot write to --output .*file/folder: Not a directory"),
        ],
    )
    def test_careless_use(
        self,
        program: ModuleType,
        argument: str,
        complaint: str,
        tmp_path: pathlib.Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "file").touch()
        output = f"--output={tmp_path / 'out'}"
        check_refused(
            program.main, [output, argument.format(tmp_path)], complaint, monkeypatch, capsys
        )

    @pytest.mark.parametrize("program", [language_model, language_model_sonnet1])
    def test_other_sizes_are_refused_where_there_is_a_checkpoint(
        self, program: ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = program.Settings()
        program.keep_settings(tmp_path, {**dataclasses.asdict(settings), "hidden": 7})
        program.keep_settings(tmp_path, {"hidden": 64})  # there is nothing to resume yet
        (tmp_path / "checkpoint").touch()
        monkeypatch.setattr(sys, "argv", ["program", f"--output={tmp_path}"])
        with pytest.raises(SystemExit, match=r"hidden was 64 and is 128.* or another --output"):
            program.main()


def _point_to_checkpoint(folder: pathlib.Path, name: str) -> None:
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\n')


def _wait_for(condition: Callable[[], Any], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
