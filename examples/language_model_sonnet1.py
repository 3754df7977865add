"""A language model of characters in the style of Sonnet 1: a graph first, then a session.

    python examples/language_model_sonnet1.py --output out/language_model_sonnet1

Deep LSTMs with skip connections learn English text, character by character. Kill the program and
start it again: it goes on from its last checkpoint. `language_model.py` does the like in the style
of TensorFlow 2. But for the import, all that concerns TensorFlow is as it was written for
TensorFlow 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import sonnet as snt
from text import Baselines, Batch, Corpus, evaluation_batches, load_corpus, measure_baselines
from training_run import (
    History,
    Stopwatch,
    add_numbers,
    console,
    keep_settings,
    make_folder,
    number,
    parse,
    plot_curves,
    progress_bar,
)

OUTPUT = Path("out/language_model_sonnet1")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training is made of; `RANGES` says what each is."""

    embedding: int = 32
    hidden: int = 128
    depth: int = 3
    batch_size: int = 32
    num_steps: int = 64
    learning_rate: float = 0.1
    clip_norm: float = 5.0
    seed: int = 1
    dynamic_rnn: bool = True
    skip_connections: bool = True


RANGES = {
    "embedding": (1, "size that a character is embedded in"),
    "hidden": (1, "size of each LSTM"),
    "depth": (1, "number of LSTMs, one above the other"),
    "batch_size": (1, "places in the text that are read side by side"),
    "num_steps": (1, "characters that each of them reads at a step"),
    "learning_rate": (0, "to begin with"),
    "clip_norm": (0, "gradients that are longer than this together are shortened"),
    "seed": (0, "of all that is random"),
}


class TextDataset(snt.AbstractModule):
    """Batches of a text, one-hot. A head at each of `batch_size` places reads on, run by run.

    Args:
        corpus: The text.
        num_steps: Characters that each head reads a batch.
        batch_size: Number of heads.
        subset: "train", "valid" or "test".
        random: Whether the heads are put at new random places for each batch.
        dtype: Type of the batches.
        seed: Of what is random.
        name: Name of the module.

    Raises:
        ValueError: If there is no such subset.
    """

    def __init__(
        self,
        corpus: Corpus,
        num_steps: int = 1,
        batch_size: int = 1,
        subset: str = "train",
        random: bool = False,
        dtype: tf.DType = tf.float32,
        seed: int = 0,
        name: str = "text_dataset",
    ) -> None:
        super().__init__(name=name)
        self._ids = corpus.subset(subset)
        self._vocabulary = corpus.vocabulary
        self._num_steps = num_steps
        self._batch_size = batch_size
        self._random = random
        self._dtype = dtype
        self._seed = seed

    def _build(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns characters and those that come next, both `[time, batch, characters]`."""
        length, text = len(self._ids), tf.constant(self._ids.astype(np.uint8))
        if self._random:
            shape = [self._batch_size]
            heads = tf.random_uniform(shape, maxval=length, dtype=tf.int64, seed=self._seed)
        else:
            heads = self._advance(length)
        places = (heads + tf.range(self._num_steps + 1, dtype=tf.int64)[:, None]) % length
        one_hot = tf.one_hot(
            tf.cast(tf.gather(text, places), tf.int32), len(self._vocabulary), dtype=self._dtype
        )
        return one_hot[:-1], one_hot[1:]

    def _advance(self, length: int) -> tf.Tensor:
        rng = np.random.default_rng(self._seed)
        # It is a variable that the Saver knows: so a training that is resumed reads on.
        heads = tf.get_variable(
            "heads",
            initializer=tf.constant(rng.integers(length, size=self._batch_size)),
            trainable=False,
        )
        now = tf.identity(heads)
        with tf.control_dependencies([now]):
            onwards = tf.assign(heads, (now + self._num_steps) % length)
        with tf.control_dependencies([onwards]):
            return tf.identity(now)

    def cost(self, logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Returns the cross entropy in nats: summed over the time, averaged over the batch."""
        nats = tf.nn.softmax_cross_entropy_with_logits_v2(labels=target, logits=logits)
        return tf.reduce_mean(tf.reduce_sum(nats, axis=0))

    def to_human_readable(self, one_hot: np.ndarray, entry: int = 0) -> str:
        """Returns one entry of a batch `[time, batch, characters]` as text."""
        return self._vocabulary.decode(one_hot[:, entry].argmax(axis=-1))


class TextModel(snt.AbstractModule):
    """Tells which character comes next: LSTMs, each of which sees all below it and the input.

    Args:
        num_embedding: Size that a character is embedded in.
        num_hidden: Size of each LSTM.
        lstm_depth: Number of LSTMs.
        output_size: Number of characters.
        use_dynamic_rnn: Whether a loop unrolls the LSTMs, or Python: a larger graph.
        use_skip_connections: Whether each LSTM passes its input on, beside its output.
        name: Name of the module.
    """

    def __init__(
        self,
        num_embedding: int,
        num_hidden: int,
        lstm_depth: int,
        output_size: int,
        use_dynamic_rnn: bool = True,
        use_skip_connections: bool = True,
        name: str = "text_model",
    ) -> None:
        super().__init__(name=name)
        self._output_size = output_size
        self._use_dynamic_rnn = use_dynamic_rnn
        with self._enter_variable_scope():
            self._embed = snt.Linear(num_embedding, name="linear_embed")
            self._output = snt.Linear(output_size, name="linear_output")
            cores = [snt.LSTM(num_hidden, name=f"lstm_{i}") for i in range(lstm_depth)]
            if use_skip_connections:
                # An unroller asks for the output size before it connects the core for the first
                # time: the width of the input must be known by then.
                cores = [
                    snt.SkipConnectionCore(
                        core, input_shape=[num_embedding + i * num_hidden], name=f"skip_lstm_{i}"
                    )
                    for i, core in enumerate(cores)
                ]
            self._core = snt.DeepRNN(cores, skip_connections=False, name="deep_lstm")

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state to begin with: zeros."""
        return self._core.initial_state(batch_size)

    def _build(self, one_hot: tf.Tensor, state: Any = None) -> tuple[tf.Tensor, Any]:
        """Connects the model.

        Args:
            one_hot: Characters, `[time, batch, characters]`.
            state: The state after the character before. Default: zeros.

        Returns:
            Logits of the next characters, of the same shape, and the state after the last.
        """
        if state is None:
            state = self.initial_state(one_hot.shape.as_list()[1])
        embedded = tf.nn.relu(snt.BatchApply(self._embed)(one_hot))
        if self._use_dynamic_rnn:
            hidden, state = tf.nn.dynamic_rnn(
                self._core, embedded, initial_state=state, time_major=True
            )
        else:
            steps, state = tf.nn.static_rnn(self._core, tf.unstack(embedded), initial_state=state)
            hidden = tf.stack(steps)
        return snt.BatchApply(self._output)(hidden), state

    @snt.reuse_variables
    def generate_string(
        self, initial_logits: tf.Tensor, initial_state: Any, sequence_length: int
    ) -> tf.Tensor:
        """Writes on: samples a character, reads it, and so forth.

        Args:
            initial_logits: Logits of the first character, `[batch, characters]`.
            initial_state: The state that they were told from.
            sequence_length: How many characters to write.

        Returns:
            One-hot characters, `[sequence_length, batch, characters]`.
        """

        def write_one(before: Any, _: tf.Tensor) -> Any:
            _, logits, state = before
            chosen = tf.random.categorical(logits, 1)[:, 0]
            one_hot = tf.one_hot(chosen, self._output_size, dtype=logits.dtype)
            hidden, state = self._core(tf.nn.relu(self._embed(one_hot)), state)
            return one_hot, self._output(hidden), state

        first = (tf.zeros_like(initial_logits), initial_logits, initial_state)
        characters, _, _ = tf.scan(write_one, tf.range(sequence_length), first)
        return characters


class Graph:
    """All that the session computes."""

    def __init__(
        self, corpus: Corpus, settings: Settings, reduce_learning_rate_interval: int, length: int
    ) -> None:
        size, self.settings = len(corpus.vocabulary), settings
        self.dataset = TextDataset(
            corpus, settings.num_steps, settings.batch_size, seed=settings.seed
        )
        self.model = TextModel(
            settings.embedding,
            settings.hidden,
            settings.depth,
            size,
            use_dynamic_rnn=settings.dynamic_rnn,
            use_skip_connections=settings.skip_connections,
        )
        inputs, targets = self.dataset()
        logits, state = self.model(inputs)
        self.loss = self._bits(self.dataset.cost(logits, targets))
        self.global_step = tf.train.get_or_create_global_step()
        self.train_step = self._optimize(
            self.dataset.cost(logits, targets), reduce_learning_rate_interval
        )
        self.sample = self.model.generate_string(logits[-1], state, length)
        self._connect_to_evaluate(size)
        self.initialize = tf.global_variables_initializer()
        self.saver = tf.train.Saver(max_to_keep=2)

    def _bits(self, cost: tf.Tensor) -> tf.Tensor:
        return cost / (self.settings.num_steps * np.log(2))

    def _optimize(self, cost: tf.Tensor, reduce_learning_rate_interval: int) -> tf.Operation:
        rate = tf.train.exponential_decay(
            self.settings.learning_rate,
            self.global_step,
            reduce_learning_rate_interval,
            decay_rate=0.1,
            staircase=True,
        )
        variables = self.model.get_all_variables()
        gradients, _ = tf.clip_by_global_norm(
            tf.gradients(cost, variables), self.settings.clip_norm
        )
        return tf.train.AdamOptimizer(rate, epsilon=0.01).apply_gradients(
            zip(gradients, variables, strict=True), global_step=self.global_step
        )

    def _connect_to_evaluate(self, size: int) -> None:
        """Connects the model once more, to a batch and a state that are fed."""
        shape = [self.settings.num_steps, self.settings.batch_size]
        self._fed = Batch(tf.placeholder(tf.int32, shape), tf.placeholder(tf.int32, shape))
        self._state = tf.nest.map_structure(
            lambda zeros: tf.placeholder_with_default(zeros, zeros.shape),
            self.model.initial_state(self.settings.batch_size),
        )
        logits, self._next_state = self.model(tf.one_hot(self._fed.inputs, size), self._state)
        targets = tf.one_hot(self._fed.targets, size)
        self._fed_loss = self._bits(self.dataset.cost(logits, targets))

    def evaluate(self, session: tf.Session, batches: Iterable[Batch]) -> float:
        """Returns the bits per character of a text whose batches follow one another."""
        losses, feed, placeholders = [], {}, tf.nest.flatten(self._state)
        for batch in batches:
            feed.update(zip(self._fed, batch, strict=True))
            loss, state = session.run([self._fed_loss, self._next_state], feed)
            feed = dict(zip(placeholders, tf.nest.flatten(state), strict=True))
            losses.append(loss)
        return float(np.mean(losses))


def train(
    num_training_iterations: int,
    report_interval: int,
    reduce_learning_rate_interval: int,
    settings: Settings = Settings(),
    checkpoint_interval: int = 500,
    sample_length: int = 500,
    folder: Path = OUTPUT,
    corpus: Corpus | None = None,
) -> float:
    """Trains the model, or goes on with a training, and shows what it learnt.

    Args:
        num_training_iterations: At which step to end.
        report_interval: After how many steps to validate, and to write a text.
        reduce_learning_rate_interval: After how many steps to divide the learning rate by ten.
        settings: What the model and the batches are like.
        checkpoint_interval: After how many steps to save.
        sample_length: Length of the texts that it writes.
        folder: Where checkpoints, history and picture are.
        corpus: The text. Default: what `load_corpus` returns.

    Returns:
        Bits per character of the text that was held out for the test.

    Raises:
        SystemExit: If the training in the folder was begun with other settings.
    """
    corpus = corpus or load_corpus()
    make_folder(folder)
    kept = dataclasses.asdict(settings)
    keep_settings(folder, {**kept, "reduce_learning_rate": reduce_learning_rate_interval})

    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)
        graph = Graph(corpus, settings, reduce_learning_rate_interval, sample_length)
        console.print(f"{snt.format_variables(graph.model.get_all_variables())}\n", markup=False)
        with tf.Session() as session:
            begin = _start(session, graph, folder)
            history = History(folder / "history.json", resumed_at=begin)
            with progress_bar() as progress:
                bar = progress.add_task("Training", total=num_training_iterations, completed=begin)
                for step in range(begin + 1, num_training_iterations + 1):
                    loss, _ = session.run([graph.loss, graph.train_step])
                    history.add(step, train=loss)
                    if step % report_interval == 0:
                        _report(session, graph, corpus, history, step)
                    if step % checkpoint_interval == 0 or step == num_training_iterations:
                        # First the history: it may know more than the checkpoint, not less.
                        history.save()
                        graph.saver.save(
                            session, str(folder / "model"), step, write_meta_graph=False
                        )
                    progress.advance(bar)
            return _conclude(session, graph, corpus, history, folder)


def _start(session: tf.Session, graph: Graph, folder: Path) -> int:
    checkpoint = tf.train.latest_checkpoint(str(folder))
    if checkpoint is None:
        session.run(graph.initialize)
        return 0
    graph.saver.restore(session, checkpoint)
    step = int(session.run(graph.global_step))
    console.print(f"Goes on from step {step}, as saved in {checkpoint}")
    return step


def _report(session: tf.Session, graph: Graph, corpus: Corpus, history: History, step: int) -> None:
    batches = evaluation_batches(corpus.valid, graph.settings.batch_size, graph.settings.num_steps)
    valid = graph.evaluate(session, itertools.islice(batches, 50))
    history.add(step, valid=valid)
    console.print(
        f"{step}: Training loss {history['train'][-1][1]:.3f}, validation loss {valid:.3f} bits "
        "per character. It writes:"
    )
    written = graph.dataset.to_human_readable(session.run(graph.sample))
    console.print(f"{written}\n", markup=False)


def _conclude(
    session: tf.Session, graph: Graph, corpus: Corpus, history: History, folder: Path
) -> float:
    batches = list(
        evaluation_batches(corpus.test, graph.settings.batch_size, graph.settings.num_steps)
    )
    baselines = measure_baselines(corpus.train, batches, len(corpus.vocabulary))
    test = graph.evaluate(session, batches)
    show_result(folder / "report.png", test, baselines, history)
    return test


def show_result(picture: Path, test: float, baselines: Baselines, history: History) -> None:
    """Prints how well a language model does, and draws how it came there."""
    console.print("Bits per character of the text held out for the test:")
    for name, bits in {**baselines._asdict(), "LSTM": test}.items():
        console.print(f"  {name:8}{bits:.3f}")
    curves = {name: history[name] for name in ("train", "valid")}
    plot_curves(
        picture,
        f"Language model: {test:.3f} bits per character on held-out text",
        {"bits per character": curves},
        levels={"bits per character": baselines._asdict()},
    )
    console.print(f"Picture: {picture}")


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Run it again with the same --output to go on with a training.",
    )
    integer = number(int, 1)
    for name, default, meaning in (
        ("--num-training-iterations", 1500, "the step to end at"),
        ("--report-interval", 500, "steps between reports, each with a sample"),
        ("--reduce-learning-rate-interval", 1000, "steps until the learning rate falls tenfold"),
        ("--checkpoint-interval", 500, "steps between checkpoints"),
        ("--sample-length", 500, "length of the texts that it writes"),
    ):
        parser.add_argument(
            name, type=integer, default=default, metavar="N", help=f"{meaning} (%(default)s)"
        )
    add_numbers(parser, Settings(), RANGES)
    parser.add_argument(
        "--static-rnn", action="store_true", help="unroll in Python instead of a loop"
    )
    parser.add_argument(
        "--no-skip-connections", action="store_true", help="stack the LSTMs and no more"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a folder (%(default)s)")
    arguments = parse(parser)

    watch = Stopwatch()
    train(
        arguments.num_training_iterations,
        arguments.report_interval,
        arguments.reduce_learning_rate_interval,
        Settings(
            **{name: getattr(arguments, name) for name in RANGES},
            dynamic_rnn=not arguments.static_rnn,
            skip_connections=not arguments.no_skip_connections,
        ),
        checkpoint_interval=arguments.checkpoint_interval,
        sample_length=arguments.sample_length,
        folder=arguments.output,
    )
    console.print(f"It took {watch}.")


if __name__ == "__main__":
    main()
