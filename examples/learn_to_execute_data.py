"""Small programs and what they compute, as text made up on the fly, for `learn_to_execute.py`.

After "Learning to Execute" (Zaremba and Sutskever, 2014): a network reads a program and tells its
result. A level says how hard a program is, and a curriculum which levels come when.
"""

from __future__ import annotations

import enum
import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

START, END, PADDING = "~", "!", "."


# The operations. Each gets its first operand as value and text, the others are drawn by `draw`, and
# returns the value and the text of the whole. There are no spaces in a program.


class Code(NamedTuple):
    """A piece of a program: what it is worth, and its text."""

    value: int
    text: str


Draw = Callable[[int, int], int]
Operation = Callable[[Code, Callable[[], int], Draw], Code]


def add(a: Code, operand: Callable[[], int], _: Draw) -> Code:
    """`a+b`."""
    b = operand()
    return Code(a.value + b, f"{a.text}+{b}")


def subtract(a: Code, operand: Callable[[], int], _: Draw) -> Code:
    """`a-b`."""
    b = operand()
    return Code(a.value - b, f"{a.text}-{b}")


def multiply(a: Code, operand: Callable[[], int], _: Draw) -> Code:
    """`a*b`."""
    b = operand()
    return Code(a.value * b, f"{a.text}*{b}")


def divide(a: Code, operand: Callable[[], int], _: Draw) -> Code:
    """`a/b`, rounded down. No task has it."""
    b = operand()
    return Code(a.value // b, f"{a.text}/{b}")


def choose(a: Code, operand: Callable[[], int], draw: Draw) -> Code:
    """`aifb>celsed` or `aifb<celsed`."""
    b, c, d = operand(), operand(), operand()
    larger = draw(0, 1)
    condition = b > c if larger else b < c
    return Code(a.value if condition else d, f"{a.text}if{b}{'<>'[larger]}{c}else{d}")


def repeat(a: Code, operand: Callable[[], int], draw: Draw) -> Code:
    """`x=afor[k]x+=b`: x, after b was added k times."""
    times, b = draw(1, 9), operand()
    return Code(a.value + times * b, f"x={a.text}for[{times}]x+={b}")


class TaskType(enum.Enum):
    """What programs are made of; the memory tasks repeat a number, or turn it round."""

    ALGEBRA = (add, subtract, multiply)
    CONTROL = (choose, repeat)
    ALL = (add, subtract, multiply, choose, repeat)
    ALG_CTRL = (add, subtract, choose)
    ADDITION = (add,)
    COPY = "copy"
    DOUBLE = "double"
    REVERSE = "reverse"

    @property
    def is_memory(self) -> bool:
        """Whether there is nothing to compute."""
        return isinstance(self.value, str)


def generate_code(
    max_length: int, max_nest: int, task_type: TaskType, rng: random.Random
) -> tuple[str, str]:
    """Makes up a program.

    Args:
        max_length: Number of digits of each operand.
        max_nest: Number of operations, each of which has the one before as its first operand.
            Memory tasks have none.
        task_type: What it may be made of.
        rng: Where chance comes from.

    Returns:
        The result, modulo 10^(max_length + 1), and the program.
    """

    def operand() -> int:
        return rng.randint(10 ** (max_length - 1), 10**max_length - 1)

    if task_type.is_memory:
        digits = str(operand())
        results = {"copy": digits, "double": digits * 2, "reverse": digits[::-1]}
        return results[task_type.value], digits
    first = operand()
    code = Code(first, str(first))
    for nesting in range(max_nest):
        if nesting:
            code = code._replace(text=f"({code.text})")
        code = rng.choice(task_type.value)(code, operand, rng.randint)
    return str(code.value % 10 ** (max_length + 1)), code.text


def sequence_lengths(
    max_length: int, max_nest: int, task_type: TaskType, token_by_char: bool
) -> tuple[int, int]:
    """Returns how many tokens programs and results of a level have at most."""
    if task_type.is_memory:
        return max_length + 1, (2 * max_length if task_type is TaskType.DOUBLE else max_length) + 1
    if token_by_char:
        inner = (3 * max_length + 10) * (max_nest - 1)
        return inner + 4 * max_length + 10 + 2 * (max_nest - 1), 2 * max_length
    return 10 * (max_nest - 1) + 11 + 2 * (max_nest - 1), 1


class Vocabulary:
    """Tokens and their numbers; 0 stands for a token that is not in it.

    Args:
        max_number: Tokens are words and numbers up to this one. Default: characters.
    """

    SPECIAL = ("_unk_", "_null_", "_eos_", "|")
    LITERALS = (*"+-*=:/() x|<>[]", START, END, PADDING)
    KEYWORDS = ("if", "for", "else", "range")

    def __init__(self, max_number: int | None = None) -> None:
        numbers = map(str, range(10 if max_number is None else max_number + 1))
        tokens = {*numbers, *self.LITERALS, *self.KEYWORDS, *"".join(self.KEYWORDS)}
        self.tokens = (*self.SPECIAL, *sorted(tokens - set(self.SPECIAL)))
        self._ids = {token: number for number, token in enumerate(self.tokens)}
        self._by_char = max_number is None

    def __len__(self) -> int:
        return len(self.tokens)

    def split(self, text: str) -> list[str]:
        """Returns the tokens of a program or a result."""
        return list(text) if self._by_char else re.findall(r"\d+|if|for|else|.", text)

    def encode(self, tokens: Sequence[str], num_steps: int) -> np.ndarray:
        """Returns the numbers of the tokens, padded to `num_steps`.

        Raises:
            ValueError: If there are more tokens.
        """
        if len(tokens) > num_steps:
            raise ValueError(
                f"{''.join(tokens)!r} has {len(tokens)} tokens, but there are {num_steps} steps."
            )
        padded = [*tokens, *PADDING * (num_steps - len(tokens))]
        return np.array([self._ids.get(token, 0) for token in padded], np.int64)

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text that has these numbers, without padding."""
        return "".join(self.tokens[number] for number in ids).rstrip(PADDING)


# How hard programs are. Levels are ordered: those of nesting 1 by length, then those of nesting 2,
# and so on.


class Level(NamedTuple):
    """How hard a program is."""

    nesting: int
    length: int

    def __str__(self) -> str:
        return f"{self.nesting}.{self.length}"


class Curriculum:
    """Draws always from the hardest level. Base class of those that change.

    Args:
        hardest: The hardest level there is.
        loss_threshold: A level is mastered when the loss, from one report to the next, changes
            on average by less than this fraction of it.
        min_tries: How many reports a level takes at least.
    """

    WINDOW = 10

    def __init__(self, hardest: Level, loss_threshold: float = 0.1, min_tries: int = 10) -> None:
        lengths, nestings = range(1, hardest.length + 1), range(1, hardest.nesting + 1)
        self.levels = list(itertools.starmap(Level, itertools.product(nestings, lengths)))
        self._loss_threshold = loss_threshold
        self._min_tries = min_tries
        self._losses: list[float] = []
        self._rank = self._first_rank()

    def _first_rank(self) -> int:
        return len(self.levels) - 1

    @property
    def current_level(self) -> Level:
        """The hardest level that comes at the moment."""
        return self.levels[self._rank]

    def draw(self, rng: random.Random) -> Level:
        """Returns the level of the next program."""
        return self.current_level

    def evaluate(self, loss: float) -> bool:
        """Takes a report of the loss, and returns whether it raised the level."""
        self._losses.append(loss)
        recent = self._losses[-self.WINDOW :]
        if self._rank == len(self.levels) - 1 or len(self._losses) < max(self._min_tries, 5):
            return False
        change = np.abs(np.diff(recent)).mean()
        if change >= self._loss_threshold * np.mean(recent):
            return False
        self._rank += 1
        self._losses.clear()
        return True


class NaiveCurriculum(Curriculum):
    """Draws from the current level, which rises from the first one."""

    def _first_rank(self) -> int:
        return 0


class MixCurriculum(Curriculum):
    """Draws from all levels alike, always."""

    def draw(self, rng: random.Random) -> Level:
        """Returns the level of the next program."""
        return rng.choice(self.levels)


class CombineCurriculum(NaiveCurriculum):
    """Draws from the levels up to the current one alike, which rises from the first one."""

    def draw(self, rng: random.Random) -> Level:
        """Returns the level of the next program."""
        return rng.choice(self.levels[: self._rank + 1])


class Mode(enum.Enum):
    """Which levels come when."""

    TRAIN_COMBINE = CombineCurriculum
    TRAIN_MIX = MixCurriculum
    TRAIN_NAIVE = NaiveCurriculum
    TEST = Curriculum


class Batch(NamedTuple):
    """Programs and results.

    Attributes:
        programs: One-hot, `[time of programs, batch, vocabulary]`, float32.
        results: One-hot, `[time of results, batch, vocabulary]`, float32.
        decoder_inputs: `results` one step later, with the start token before.
        program_lengths: Tokens of each program without padding, `[batch]`, int64.
        result_lengths: Those of each result, likewise.
    """

    programs: tf.Tensor
    results: tf.Tensor
    decoder_inputs: tf.Tensor
    program_lengths: tf.Tensor
    result_lengths: tf.Tensor


class State:
    """What the programs are like at the moment.

    Attributes:
        curriculum: Which levels come when.
        vocabulary: The tokens.
        batch_size: Programs in a batch.
        num_steps: Tokens of a program, padding included.
        num_steps_out: Tokens of a result, likewise.
    """

    MAX_TRIES = 10

    def __init__(
        self,
        batch_size: int,
        curriculum: Curriculum,
        task_type: TaskType,
        token_by_char: bool,
        seed: int,
    ) -> None:
        nesting, length = curriculum.levels[-1]
        by_char = token_by_char or task_type.is_memory
        self.curriculum = curriculum
        self.vocabulary = Vocabulary(None if by_char else 10 ** (length + 1) - 1)
        self.batch_size = batch_size
        self.num_steps, self.num_steps_out = sequence_lengths(length, nesting, task_type, by_char)
        self._task_type = task_type
        self._rng = random.Random(seed)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self.vocabulary)

    @property
    def level(self) -> str:
        """The hardest level that comes at the moment: "nesting.length"."""
        return str(self.curriculum.current_level)

    def evaluate_curriculum(self, loss: float) -> bool:
        """Takes a report of the loss, and returns whether it raised the level.

        The training program must call it now and then: nothing else raises the level.
        """
        return self.curriculum.evaluate(loss)

    def make_batch(self) -> Batch:
        """Makes up the next batch, as arrays."""
        pairs = [self._make_pair() for _ in range(self.batch_size)]
        programs, results = zip(*pairs, strict=True)
        encode, one_hot = self.vocabulary.encode, np.eye(self.vocab_size, dtype=np.float32)
        inputs = np.stack([encode(tokens, self.num_steps) for tokens in programs], axis=1)
        targets = np.stack([encode(tokens, self.num_steps_out) for tokens in results], axis=1)
        start = np.full_like(targets[:1], encode([START], 1)[0])
        return Batch(
            one_hot[inputs],
            one_hot[targets],
            one_hot[np.concatenate([start, targets[:-1]])],
            np.array([len(tokens) for tokens in programs]),
            np.array([len(tokens) for tokens in results]),
        )

    def _make_pair(self) -> tuple[list[str], list[str]]:
        for _ in range(self.MAX_TRIES):
            nesting, length = self.curriculum.draw(self._rng)
            result, program = generate_code(length, nesting, self._task_type, self._rng)
            end = [END] if self._task_type.is_memory else []
            pair = self.vocabulary.split(program) + end, self.vocabulary.split(result) + end
            if len(pair[0]) <= self.num_steps and len(pair[1]) <= self.num_steps_out:
                return pair
        raise ValueError(
            f"{self.MAX_TRIES} programs in a row were longer than {self.num_steps} tokens or had "
            f"results longer than {self.num_steps_out}."
        )

    def to_human_readable(self, one_hot: np.ndarray, lengths: Sequence[int]) -> list[str]:
        """Returns the text of each entry of a batch `[time, batch, vocabulary]`."""
        ids = np.argmax(one_hot, axis=-1)
        return [self.vocabulary.decode(ids[:n, b]) for b, n in enumerate(lengths)]


def learn_to_execute(
    batch_size: int,
    max_length: int = 1,
    max_nesting: int = 1,
    token_by_char: bool = True,
    mode: Mode = Mode.TRAIN_COMBINE,
    loss_threshold: float = 0.1,
    min_tries: int = 10,
    task_type: TaskType = TaskType.ALG_CTRL,
    seed: int = 0,
) -> tf.data.Dataset:
    """Returns programs and results without end.

    Args:
        batch_size: Programs in a batch.
        max_length: Digits of a number at the hardest level.
        max_nesting: Operations of a program at the hardest level.
        token_by_char: Whether tokens are characters; otherwise words and numbers. Memory tasks
            are always by character.
        mode: Which levels come when.
        loss_threshold: As for `Curriculum`.
        min_tries: As for `Curriculum`.
        task_type: What programs are made of.
        seed: Of what is random.

    Returns:
        A dataset of `Batch`, with an attribute `state`: a `State`.

    Raises:
        ValueError: If a size is less than 1, or `mode` or `task_type` is none of ours.
    """
    if min(batch_size, max_length, max_nesting) < 1:
        raise ValueError(
            "batch_size, max_length and max_nesting must be at least 1, but they are "
            f"{batch_size}, {max_length} and {max_nesting}."
        )
    if not isinstance(mode, Mode):
        raise ValueError(f"Invalid mode {mode!r}: it must be one of {[*Mode]}.")
    if not isinstance(task_type, TaskType):
        raise ValueError(f"Invalid task_type {task_type!r}: it must be one of {[*TaskType]}.")

    hardest = Level(1 if task_type.is_memory else max_nesting, max_length)
    curriculum = mode.value(hardest, loss_threshold, min_tries)
    state = State(batch_size, curriculum, task_type, token_by_char, seed)

    def batches() -> Iterator[Batch]:
        while True:
            yield state.make_batch()

    programs = tf.TensorSpec([state.num_steps, batch_size, state.vocab_size])
    results = tf.TensorSpec([state.num_steps_out, batch_size, state.vocab_size])
    lengths = tf.TensorSpec([batch_size], tf.int64)
    dataset = tf.data.Dataset.from_generator(
        batches, output_signature=Batch(programs, results, results, lengths, lengths)
    )
    dataset.state = state
    return dataset
