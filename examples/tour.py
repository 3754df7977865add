"""A tour of Sonnet, to be read from top to bottom: each cell says what it shows, and shows it.

    python examples/tour.py --output out/tour

Editors that know cells (`# %%`) open it as a notebook; jupytext makes one of it.
"""

# %% [markdown]
# # A tour of Sonnet
#
# Sonnet is made of modules. A module is a piece of a network that keeps its own variables. This
# tour shows every idea in it, on 5,000 real handwritten digits. A line `# >` below a cell says
# what the cell prints; `...` stands for what differs from machine to machine.

# %%
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from digits import NUM_CLASSES, load_digits, plt

IN_NOTEBOOK = "ipykernel" in sys.modules


def output_folder() -> Path:
    """Returns the folder for pictures and checkpoints, made if need be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=Path("out/tour"), help="a folder (%(default)s)"
    )
    folder = parser.parse_args([] if IN_NOTEBOOK else None).output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot write to --output {folder}: {error.strerror}")
    return folder


def show(figure: Any, name: str) -> None:
    """Writes a picture, and shows it where this is a notebook."""
    figure.savefig(OUTPUT / name)
    plt.close(figure)
    if IN_NOTEBOOK:
        from IPython.display import Image, display

        display(Image(OUTPUT / name))


OUTPUT = output_folder()
tf.keras.utils.set_random_seed(1)
digits, held_out = load_digits(seed=1)
print(digits.images.shape, held_out.images.shape)
# > (4000, 28, 28) (1000, 28, 28)

# %% [markdown]
# ## Configure, then connect
#
# To construct a module is to configure it: nothing is computed, and there are no variables yet,
# since nobody knows the size of the inputs.

# %%
linear = snt.Linear(output_size=10)
print(linear.is_connected)
# > False
try:
    print(linear.w)
except snt.NotConnectedError:
    print("There are no variables yet.")
# > There are no variables yet.

# %% [markdown]
# To call it is to connect it to its inputs. The first time, this makes the variables.

# %%
pixels = snt.BatchFlatten()(held_out.images)
logits = linear(pixels)
print(pixels.shape, "->", logits.shape)
# > (1000, 784) -> (1000, 10)
print(linear.is_connected, linear.w.shape, linear.b.shape)
# > True (784, 10) (10,)

# %% [markdown]
# ## Sharing
#
# Each later call uses the same variables. To share them between two places of a program, hand the
# object around. It does not matter who calls first, or whether one of them is a `tf.function`.

# %%
in_a_graph = tf.function(linear)(pixels)
print(np.allclose(in_a_graph, logits, atol=1e-5), len(linear.variables))
# > True 2

# %% [markdown]
# Another object has other variables, even if it is configured alike.

# %%
other = snt.Linear(output_size=10)
print(np.allclose(other(pixels), logits, atol=1e-5))
# > False

# %% [markdown]
# ## Variables have names
#
# They are made of the scope of the module, which is unique, and the role of the variable. The
# names are those that Sonnet 1 gave, so that its checkpoints fit.

# %%
with tf1.variable_scope("reader"):
    inside = snt.Linear(output_size=10, name="answer")
inside(pixels)
for module in (linear, other, inside):
    print(module.scope_name, [variable.name for variable in module.get_variables()])
# > linear ['linear/w:0', 'linear/b:0']
# > linear_1 ['linear_1/w:0', 'linear_1/b:0']
# > reader/answer ['reader/answer/w:0', 'reader/answer/b:0']

# %% [markdown]
# `snt.log_variables` writes a table of them to TensorFlow's log, as Sonnet 1 did;
# `snt.format_variables` returns it.

# %%
print(snt.format_variables(inside.variables))
# > Variable         Shape   Type     Collections                            Device
# > reader/answer/b  10      float32  global_variables, trainable_variables  ...
# > reader/answer/w  784x10  float32  global_variables, trainable_variables  ...
tf.get_logger().setLevel("INFO")
snt.log_variables(inside.variables)
tf.get_logger().setLevel("WARNING")

# %% [markdown]
# ## A module of your own
#
# The constructor takes the configuration; `_build` computes. Modules inside of it may be made in
# either. In the constructor, `_enter_variable_scope` puts their names inside of this module's. In
# `_build` they are made anew at each call, and find the variables that their predecessors left.


# %%
class DigitReader(snt.AbstractModule):
    """Tells digits apart."""

    def __init__(self, custom_getter: Any = None, name: str = "digit_reader") -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        with self._enter_variable_scope():
            self._convolutions = snt.nets.ConvNet2D(
                output_channels=[8, 16],
                kernel_shapes=[5, 3],
                strides=[2],
                paddings=[snt.SAME],
                activate_final=True,
                name="conv",
            )

    def _build(self, images: tf.Tensor) -> tf.Tensor:
        """Returns logits `[batch, classes]` for images `[batch, 28, 28]`."""
        features = self._convolutions(images[..., tf.newaxis])
        return snt.Linear(NUM_CLASSES, name="answer")(snt.BatchFlatten()(features))


reader = DigitReader()
print(reader(held_out.images[:8]).shape)
# > (8, 10)

# %% [markdown]
# `snt.tabulate` shows what is in a module: the modules in it, with the shapes that went in and
# came out, and their variables. Without the `print`, a notebook shows it as a real table.

# %%
print(snt.tabulate(reader))
# > Name             Class or type  Shape                             Trained  Parameters   Bytes
# > digit_reader     DigitReader    [8, 28, 28] -> [8, 10]                          9,226  36,904
# >   conv           ConvNet2D      [8, 28, 28, 1] -> [8, 7, 7, 16]                 1,376   5,504
# >     conv_2d_0    Conv2D         [8, 28, 28, 1] -> [8, 14, 14, 8]                  208     832
# >       w          float32        [5, 5, 1, 8]                      yes             200     800
# >       b          float32        [8]                               yes               8      32
# >     conv_2d_1    Conv2D         [8, 14, 14, 8] -> [8, 7, 7, 16]                 1,168   4,672
# >       w          float32        [3, 3, 8, 16]                     yes           1,152   4,608
# >       b          float32        [16]                              yes              16      64
# >   batch_flatten  BatchFlatten   [8, 7, 7, 16] -> [8, 784]                           0       0
# >   answer         Linear         [8, 784] -> [8, 10]                             7,850  31,400
# >     w            float32        [784, 10]                         yes           7,840  31,360
# >     b            float32        [10]                              yes              10      40

# %% [markdown]
# ## Training
#
# A module is a `tf.Module`. What TensorFlow 2 has to train with works with it: a tape, a
# `tf.function`, an optimizer.


# %%
def train(
    model: snt.AbstractModule, loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], epochs: int
) -> None:
    """Trains a module with all digits, so many times; `loss` is a function of images and labels."""
    optimizer = tf.keras.optimizers.Adam(4e-3)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(images, labels)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    rng = np.random.default_rng(1)
    for _ in range(epochs):
        for images, labels in digits.shuffled_batches(100, rng):
            step(images, labels)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns how far answers are from the truth."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def accuracy(logits: tf.Tensor) -> float:
    """Returns how many of the held-out digits are read rightly: 0.10 is chance."""
    return float(np.mean(np.argmax(logits, axis=-1) == held_out.labels))


before = accuracy(reader(held_out.images))
train(reader, lambda images, labels: cross_entropy(reader(images), labels), epochs=3)
after = accuracy(reader(held_out.images))
print(f"read rightly: {before:.2f} before the training, {after:.2f} after it")
# > read rightly: 0... before the training, 0.9... after it
assert before < 0.5 < 0.9 < after

# %% [markdown]
# ## Transposition
#
# Many modules can make one of the transposed configuration: it maps outputs back to the size of
# the inputs. It has variables of its own. Here a network squeezes the 784 pixels of a digit into
# 16 numbers, and its transpose draws the digit from these.

# %%
squeeze = snt.nets.MLP([128, 16])
draw = squeeze.transpose()
autoencoder = snt.Sequential([snt.BatchFlatten(), squeeze, draw, snt.BatchReshape([28, 28])])
print(autoencoder(held_out.images).shape, draw.output_sizes)
# > (1000, 28, 28) (128, 784)


def error(images: tf.Tensor) -> tf.Tensor:
    """Returns the mean square error of pictures that are drawn again."""
    return tf.reduce_mean(tf.square(autoencoder(images) - images))


train(autoencoder, lambda images, labels: error(images), epochs=8)
variance = np.mean(np.square(held_out.images - digits.images.mean(axis=0)))
print(f"error of the mean image: {variance:.3f}, of 16 numbers: {error(held_out.images):.3f}")
# > error of the mean image: 0.067, of 16 numbers: 0.0...
assert error(held_out.images) < 0.5 * variance

some = [100 * label for label in range(NUM_CLASSES)]  # the first of each class
figure, rows = plt.subplots(2, NUM_CLASSES, figsize=(10, 2.5), dpi=110, layout="constrained")
figure.suptitle("Held-out digits, and below each what is drawn from 16 numbers")
for axes, picture in zip(
    rows.flat, [*held_out.images[some], *autoencoder(held_out.images[some]).numpy()], strict=True
):
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
show(figure, "autoencoder.png")

# %% [markdown]
# ## Saving and restoring
#
# `tf.train.Checkpoint` keeps the values of the variables. A module that has no variables yet
# takes them from there at its first call.

# %%
path = tf.train.Checkpoint(model=reader).write(str(OUTPUT / "checkpoint" / "reader"))

again = DigitReader()
tf.train.Checkpoint(model=again).read(path)
print(np.array_equal(again(held_out.images), reader(held_out.images)))
# > True

# %% [markdown]
# ## Custom getters
#
# A custom getter stands between whoever asks for a variable and the variable, in a whole module
# and in all that is inside. It may change how the variable is made, or hand out something else.
# This one rounds all values to multiples of 1/32.


# %%
def rounded(getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> tf.Tensor:
    """Hands out the values of a variable, rounded to multiples of 1/32."""
    return tf.round(getter(name, *args, **kwargs) * 32) / 32


coarse = DigitReader(custom_getter=rounded)
tf.train.Checkpoint(model=coarse).read(path)
print(f"read rightly with rounded weights: {accuracy(coarse(held_out.images)):.2f}")
# > read rightly with rounded weights: 0.9...
assert not np.array_equal(coarse(held_out.images), reader(held_out.images))
assert accuracy(coarse(held_out.images)) > after - 0.1

# %% [markdown]
# Those that one needs often are in `snt.custom_getters`. A dictionary says by their names which
# variables they are for. Here the convolutions are kept out of the training:

# %%
partly = DigitReader(custom_getter={"conv/.*": snt.custom_getters.non_trainable})
partly(held_out.images)
print([variable.name for variable in partly.trainable_variables])
# > ['digit_reader_3/answer/b:0', 'digit_reader_3/answer/w:0']

# %% [markdown]
# ## Sequences
#
# A recurrent core takes one step: from an input and a state to an output and the next state.

# %%
core = snt.LSTM(hidden_size=64)
state = core.initial_state(batch_size=1000)
output, state = core(held_out.images[:, 0], state)  # the top row of each digit
print(output.shape, state.hidden.shape, state.cell.shape)
# > (1000, 64) (1000, 64) (1000, 64)

# %% [markdown]
# `snt.dynamic_unroll` takes all steps of a sequence. Here a digit is read row by row, from top to
# bottom, and the network says after each row what it takes the digit for.


# %%
class RowReader(snt.AbstractModule):
    """Reads a digit row by row, and answers after each."""

    def _build(self, images: tf.Tensor) -> tf.Tensor:
        """Returns logits `[28, batch, classes]` for images `[batch, 28, 28]`."""
        rows = tf.transpose(images, [1, 0, 2])  # the time comes first
        outputs, _ = snt.dynamic_unroll(snt.LSTM(hidden_size=64), rows)
        return snt.BatchApply(snt.Linear(NUM_CLASSES))(outputs)


def row_loss(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the mean loss of the answers after all rows."""
    return cross_entropy(row_reader(images), tf.tile(labels[tf.newaxis], [28, 1]))


row_reader = RowReader(name="row_reader")
row_reader(held_out.images)
train(row_reader, row_loss, epochs=6)
answers = row_reader(held_out.images)
for row in (0, 9, 18, 27):
    print(f"read rightly after row {row + 1:2}: {accuracy(answers[row]):.2f}")
# > read rightly after row  1: 0.1...
# > read rightly after row 10: 0...
# > read rightly after row 19: 0...
# > read rightly after row 28: 0...
assert accuracy(answers[0]) < 0.2 < 0.7 < accuracy(answers[27])

beliefs = tf.nn.softmax(answers).numpy()
figure, pairs = plt.subplots(
    1, 10, figsize=(12, 2.4), dpi=110, layout="constrained", width_ratios=[2, 1.2] * 5
)
figure.suptitle("Digits, and beside each what the network takes it for, row after row")
for left, right, index in zip(pairs[::2], pairs[1::2], [103, 303, 503, 703, 903], strict=True):
    left.imshow(held_out.images[index], cmap="gray_r", aspect="auto")
    left.set(xticks=[], yticks=[])
    right.imshow(beliefs[:, index], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    right.set(xticks=range(NUM_CLASSES), yticks=[])
    right.tick_params(labelsize=6, length=0)
show(figure, "rows.png")

# %% [markdown]
# ## Graphs and sessions
#
# Programs for Sonnet 1 build a graph, and then run it in a session. The same class does both: only
# `tf` is `tensorflow.compat.v1`, which has the name `tf1` here. `snt.get_saver` saves variables by
# their names, seen from the module.

# %%
with tf1.Graph().as_default():
    tf1.set_random_seed(1)
    image_input = tf1.placeholder(tf.float32, [None, 28, 28])
    label_input = tf1.placeholder(tf.int64, [None])
    old_reader = DigitReader()
    old_logits = old_reader(image_input)
    loss = tf1.losses.sparse_softmax_cross_entropy(label_input, old_logits)
    train_step = tf1.train.AdamOptimizer(2e-3).minimize(loss)
    saver = snt.get_saver(old_reader, collections=[tf1.GraphKeys.TRAINABLE_VARIABLES])

    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        for images, labels in digits.shuffled_batches(50, np.random.default_rng(1)):
            session.run(train_step, {image_input: images, label_input: labels})
        old_answers = session.run(old_logits, {image_input: held_out.images})
        old_path = saver.save(session, str(OUTPUT / "sonnet1" / "reader"), write_meta_graph=False)

print(f"read rightly: {accuracy(old_answers):.2f}")
# > read rightly: 0...
assert accuracy(old_answers) > 0.75

# %% [markdown]
# ## Old checkpoints
#
# `snt.restore_from_checkpoint` puts such a checkpoint, or any that Sonnet 1 wrote, into a module
# of today. It checks everything first, and returns a table. `prefix` says in which scope of the
# checkpoint the names begin.

# %%
new_reader = DigitReader(name="new")
new_reader(held_out.images)
print(snt.restore_from_checkpoint(new_reader, old_path, prefix=""))
# > Variable              Is                     In the checkpoint  Is there               Status
# > new/answer/b          float32 [10]           answer/b           float32 [10]           matches
# > new/answer/w          float32 [784, 10]      answer/w           float32 [784, 10]      matches
# > new/conv/conv_2d_0/b  float32 [8]            conv/conv_2d_0/b   float32 [8]            matches
# > new/conv/conv_2d_0/w  float32 [5, 5, 1, 8]   conv/conv_2d_0/w   float32 [5, 5, 1, 8]   matches
# > new/conv/conv_2d_1/b  float32 [16]           conv/conv_2d_1/b   float32 [16]           matches
# > new/conv/conv_2d_1/w  float32 [3, 3, 8, 16]  conv/conv_2d_1/w   float32 [3, 3, 8, 16]  matches
# > 6 matches
print(np.allclose(new_reader(held_out.images), old_answers, atol=1e-4))
# > True

# %% [markdown]
# ## For those who have neither Sonnet nor this program
#
# `snt.export` writes the computation too, as a SavedModel. The batch may have any size there.

# %%
snt.export(reader, OUTPUT / "exported", tf.TensorSpec([None, 28, 28]))
loaded = tf.saved_model.load(str(OUTPUT / "exported"))
print(np.allclose(loaded(held_out.images), reader(held_out.images), atol=1e-4))
# > True
print(list(loaded.signatures), len(loaded.trainable_variables))
# > ['serving_default'] 6

# %% [markdown]
# ## From here
#
# `vqvae.py`, `language_model.py` and `spatial_transformer.py` are whole programs;
# `docs/ideas.md` says more on each idea, and `docs/from_sonnet_1.md` brings old programs over.
