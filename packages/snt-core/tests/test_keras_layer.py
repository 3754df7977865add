"""`KerasLayer`: modules inside Keras models."""

import json
import re
import subprocess
import sys
import textwrap
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


class Scale(snt.AbstractModule):
    """Multiplies by a scalar, by twice as much when training, and counts its training calls."""

    def __init__(self, initial=1.0, trainable=True, regularizer=None, name="scale"):
        super().__init__(name=name)
        self._initial = initial
        self._trainable = trainable
        self._regularizer = regularizer

    def _build(self, inputs, is_training):
        factor = tf1.get_variable(
            "factor",
            [],
            initializer=tf1.constant_initializer(self._initial),
            trainable=self._trainable,
            regularizer=self._regularizer,
        )
        count = tf1.get_variable(
            "count", [], tf.int64, initializer=tf1.zeros_initializer(), trainable=False
        )
        if is_training:
            count.assign_add(1)
        return inputs * factor * (2.0 if is_training else 1.0)


class Mix(snt.AbstractModule):
    """Takes structures, and arguments of many kinds."""

    def _build(self, pair, options, shift=None, times=1, training=None):
        w = tf1.get_variable("w", [pair[0].shape[-1], 2], initializer=tf.ones_initializer())
        sums = (pair[0] + pair[1]) @ w * times
        if shift is not None:
            sums += shift
        return {"sums": sums, "others": [options["x"], tf.constant(bool(training))]}


class Sum(snt.AbstractModule):
    """Adds any number of inputs."""

    def _build(self, *inputs, **options):
        return sum(inputs) * (-1.0 if options.get("is_training") else 1.0)


class MaskedMean(snt.AbstractModule):
    def _build(self, inputs, mask=None):
        weights = tf.cast(mask, inputs.dtype)[..., tf.newaxis]
        return tf.reduce_sum(inputs * weights, 1) / tf.reduce_sum(weights, 1)


class Unroll(snt.AbstractModule):
    """A recurrent core over batches of sequences."""

    def __init__(self, size, name="unroll"):
        super().__init__(name=name)
        with self._enter_variable_scope():
            self.core = snt.LSTM(size)

    def _build(self, inputs):
        outputs, _ = snt.dynamic_unroll(self.core, tf.transpose(inputs, [1, 0, 2]))
        return outputs[-1]


class Net(snt.AbstractModule):
    """With what no file can hold: a function without a name."""

    def __init__(self, activation, name="net"):
        super().__init__(name=name)
        self._activation = activation

    def _build(self, inputs):
        return self._activation(snt.Linear(2)(inputs))


@keras.saving.register_keras_serializable(package="tests")
def make_net():
    return Net(lambda x: tf.sin(x))


@keras.saving.register_keras_serializable(package="tests")
def halve(x):
    return x / 2.0


# NumPy 2 says this of Keras when it saves any model.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def linear(x, size=1, **kwargs):
    """A `snt.Linear` with known weights, as a module not yet connected."""
    start = random(x.shape[-1], size, seed=9)
    return snt.Linear(size, initializers={"w": tf1.constant_initializer(start)}, **kwargs), start


# --- Training ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [{"jit_compile": False}, {"jit_compile": True}, {"run_eagerly": True}],
    ids=["function", "xla", "eager"],
)
def test_fit_is_gradient_descent(how):
    """Against NumPy: mean squared error, momentum, and a penalty on the weights alone."""
    x, y = random(24, 3), random(24, 2, seed=1)
    module, start = linear(x, 2, regularizers={"w": snt.l2_regularizer(0.3)})
    model = keras.Sequential([snt.KerasLayer(module)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", **how)
    history = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]

    w, b = start.astype(np.float64), np.zeros(2)
    velocities, losses = [0.0, 0.0], []
    for _ in range(3):
        for at in range(0, 24, 8):
            error = x[at : at + 8] @ w + b - y[at : at + 8]
            losses.append(np.mean(error**2) + 0.3 * np.sum(w**2) / 2)
            gradients = (x[at : at + 8].T @ error / 8 + 0.3 * w, error.sum(0) / 8)
            velocities = [0.9 * v - 0.1 * g for v, g in zip(velocities, gradients, strict=True)]
            w, b = w + velocities[0], b + velocities[1]
    close(module.w, w, 1e-5)
    close(module.b, b, 1e-5)
    close(history, np.mean(np.reshape(losses, [3, 3]), 1), 1e-5)
    close(model.predict(x, verbose=0), x @ w + b, 1e-5)
    expected = np.mean((x @ w + b - y) ** 2) + 0.3 * np.sum(w**2) / 2
    close(model.evaluate(x, y, verbose=0), expected, 1e-5)


def test_fit_equals_a_loop_by_hand():
    """The same module, optimizer and batches, with a tape and without Keras' model."""
    x, y = random(32, 5), random(32, 1, seed=1)

    def mlp():
        tf.random.set_seed(3)
        return snt.nets.MLP([6, 1], initializers={"w": tf1.glorot_uniform_initializer(seed=3)})

    model = keras.Sequential([keras.Input([5]), snt.KerasLayer(mlp())])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0)

    module, optimizer = mlp(), keras.optimizers.Adam(0.02)
    for _ in range(4):
        for at in (0, 16):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((module(x[at : at + 16]) - y[at : at + 16]) ** 2)
            variables = module.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    close(model(x), module(x), 1e-5)


def test_batch_norm_in_fit():
    """The moving averages follow the batches, and are no business of the optimizer."""
    x, y = random(16, 3) * 2 + 1, random(16, 3)
    module = snt.BatchNorm(decay_rate=0.8)
    layer = snt.KerasLayer(module)
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(2):
        for batch in (x[:8], x[8:]):
            mean = 0.8 * mean + 0.2 * batch.mean(0)
            variance = 0.8 * variance + 0.2 * batch.var(0)
    close(module.moving_mean[0], mean, 1e-5)
    close(module.moving_variance[0], variance, 1e-5)
    assert {w.name for w in layer.non_trainable_weights} == {"moving_mean", "moving_variance"}
    assert [w.name for w in layer.trainable_weights] == ["beta"]
    outputs = layer(x, test_local_stats=False)
    beta = module.beta.numpy()
    close(outputs, (x - mean) / np.sqrt(variance + 1e-3) + beta, 1e-4)


def test_moving_averages_that_the_module_declares_trainable():
    """One embedding: the mean of all vectors so far, each epoch weighted by the decay."""
    x = random(8, 2)
    module = snt.nets.VectorQuantizerEMA(2, 1, commitment_cost=0.25, decay=0.5)

    class Quantize(snt.KerasLayer):
        def call(self, inputs, training=None):
            results = super().call(inputs, training=training)
            self.add_loss(results["loss"])
            return results["quantize"]

    layer = Quantize(module)
    model = keras.Sequential([keras.layers.Dense(2, kernel_initializer="identity"), layer])
    model.compile(keras.optimizers.AdamW(0.0, weight_decay=0.5), "mse")
    losses = model.fit(x, x, batch_size=8, epochs=1, verbose=0).history["loss"]
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 7
    close(module.embeddings[:, 0], x.mean(0), 1e-4)
    assert len(model.losses) == 1
    assert losses[0] > 0


def test_layers_are_frozen():
    x, y = random(8, 3), random(8, 1, seed=1)
    module, start = linear(x, regularizers={"w": snt.l2_regularizer(1.0)})
    frozen = snt.KerasLayer(module, trainable=False)
    scale = snt.KerasLayer(Scale(3.0))
    model = keras.Sequential([frozen, scale, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model(x)
    assert model.losses == []
    scale.trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, verbose=0)
    close(module.w, start, 0)
    close(scale.module.variables[1], 3.0, 0)
    assert int(scale.weights[1].numpy()) == 0  # it was called as when not training
    assert [len(layer.trainable_weights) for layer in model.layers] == [0, 0, 2]
    assert len(model.trainable_weights) == 2
    frozen.trainable = scale.trainable = True
    assert [w.name for w in model.trainable_weights[:3]] == ["w", "b", "factor"]
    assert len(model.losses) == 1
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, verbose=0)
    assert np.abs(module.w.numpy() - start).max() > 1e-4
    assert int(scale.weights[1].numpy()) == 1


def test_penalties():
    w = random(3, 1)

    def module(regularizer):
        initializer = tf1.constant_initializer(w)
        return snt.Linear(
            1, initializers={"w": initializer}, regularizers={"w": regularizer}, use_bias=False
        )

    with tf1.variable_scope("penalised", regularizer=snt.l1_regularizer(0.5)):
        scale = Scale(-3.0)
    model = keras.Sequential(
        [
            keras.Input([3]),
            snt.KerasLayer(module(snt.l2_regularizer(0.5))),
            snt.KerasLayer(scale),
            snt.KerasLayer(Scale(2.0, trainable=False, regularizer=snt.l1_regularizer(1.0))),
            snt.KerasLayer(Scale(2.0, regularizer=snt.l1_regularizer(0.0))),
        ]
    )
    expected = [0.25 * np.sum(w.astype(np.float64) ** 2), 1.5, 0.0]
    close(model.losses, expected, 1e-6)
    model(np.ones([2, 3]))
    close(model.losses, expected, 1e-6)


def test_recurrent():
    """A step of `fit` through an unroll is that of the core called step by step."""
    x, y = random(4, 3, 2), random(4, 2, seed=1)
    module = Unroll(2)
    model = keras.Sequential([keras.Input([None, 2]), snt.KerasLayer(module)])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    with tf.GradientTape() as tape:
        state = module.core.zero_state(4, tf.float32)
        for t in range(3):
            outputs, state = module.core(x[:, t], state)
        loss = tf.reduce_mean((outputs - y) ** 2)
    variables = module.trainable_variables
    gradients = tape.gradient(loss, variables)
    expected = [v - 0.5 * g for v, g in zip(variables, gradients, strict=True)]
    close(model.fit(x, y, verbose=0).history["loss"], [loss], 1e-5)
    assert len(variables) == 2
    for variable, value in zip(variables, expected, strict=True):
        close(variable, value, 1e-5)


def test_half_precision():
    """Inputs arrive in float16; a custom getter keeps the variables in float32."""

    def float32_variables(getter, name, *args, dtype=None, **kwargs):
        return tf.cast(getter(name, *args, dtype=tf.float32, **kwargs), dtype)

    x = random(16, 3)
    module = snt.nets.MLP([4, 1], custom_getter=float32_variables)
    model = keras.Sequential([snt.KerasLayer(module, dtype="mixed_float16")])
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05)), "mse")
    losses = model.fit(x, x[:, :1], epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {w.dtype for w in model.weights} == {"float32"}
    assert model(x).dtype == tf.float16


# --- Models -----------------------------------------------------------------------------------


def test_weights_are_the_variables():
    module = snt.nets.MLP([4, 2], name="my_mlp")
    layer = snt.KerasLayer(module, name="layer")
    assert layer.weights == []
    model = keras.Sequential([keras.Input([3]), layer], name="model")
    assert [weight.path for weight in layer.weights] == [
        f"model/layer/linear_{i}/{name}" for i in (0, 1) for name in "wb"
    ]
    assert {id(weight.value) for weight in layer.weights} == {id(v) for v in module.variables}
    names = [weight.value.name for weight in model.trainable_weights]
    assert sorted(names) == [variable.name for variable in module.variables]
    assert names[0] == "my_mlp/linear_0/w:0"
    model.weights[1].assign(np.full([4], 7.0))
    close(module.layers[0].b, np.full([4], 7.0), 0)
    assert model.count_params() == 3 * 4 + 4 + 4 * 2 + 2


def test_structures_and_arguments():
    layer = snt.KerasLayer(Mix())
    a, b, c = random(4, 3), random(4, 3, seed=1), random(4, 5, seed=2)
    expected = np.repeat((a + b).sum(-1, keepdims=True, dtype=np.float64), 2, -1)
    results = layer([a, b], {"x": c}, training=True)
    close(results["sums"], expected, 1e-5)
    assert bool(results["others"][1])
    inputs = [keras.Input([3]), keras.Input([3]), keras.Input([5])]
    shift = keras.Input([2])
    outputs = layer(inputs[:2], {"x": inputs[2]}, shift=shift, times=3)
    model = keras.Model([*inputs, shift], outputs)
    assert outputs["sums"].shape == (None, 2)
    for results in (model([a, b, c, expected]), layer([a, b], {"x": c}, expected, times=3)):
        close(results["sums"], 4 * expected, 1e-4)
        close(results["others"][0], c, 0)
        assert not bool(results["others"][1])
    assert len(model.weights) == 1


def test_any_number_of_inputs():
    """The signature of `_build` does not tell of the argument for training."""
    layer = snt.KerasLayer(Sum(), training_argument="is_training")
    a, b = random(4, 3), random(4, 3, seed=1)
    close(layer(a, b), a + b, 1e-6)
    close(layer(a, b, training=True), -a - b, 1e-6)
    close(snt.KerasLayer(Sum())(a, training=True), a, 1e-6)  # it is none of its arguments
    inputs = keras.Input([3])
    close(keras.Model(inputs, layer(inputs))(a, training=True), -a, 1e-6)


def test_training_reaches_nested_layers():
    class Outer(keras.layers.Layer):
        """Without `build`: Keras has the layers in it built while it learns the shapes."""

        def __init__(self):
            super().__init__()
            self.inner = snt.KerasLayer(Scale())

        def call(self, inputs):
            return self.inner(inputs)

    outer = Outer()
    model = keras.Sequential([outer])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = random(4, 1)
    close(model.fit(x, 2 * x, verbose=0).history["loss"], [0.0], 1e-6)
    close(model.evaluate(x, x, verbose=0), 0.0, 1e-6)
    close(model.predict(x, verbose=0), x, 1e-6)
    assert len(model.trainable_weights) == 1
    assert int(outer.inner.module.variables[0]) == 1


def test_functions_as_modules():
    def affine(x, training):
        return x * tf1.get_variable("a", [], initializer=tf.ones_initializer()) + float(training)

    layer = snt.KerasLayer(snt.Module(affine))
    close(layer(np.ones([2])), [1.0, 1.0], 0)
    close(layer(np.ones([2]), training=True), [2.0, 2.0], 0)


def test_masks():
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    embedding = keras.layers.Embedding(4, 2, mask_zero=True)
    model = keras.Sequential(
        [embedding, snt.KerasLayer(snt.Module(tf.sin)), snt.KerasLayer(MaskedMean())]
    )
    table = np.sin(embedding(np.arange(4)).numpy())
    close(model(ids), [(table[1] + table[2]) / 2, table[3]], 1e-6)


def test_integer_inputs():
    layer = snt.KerasLayer(snt.Embed(vocab_size=5, embed_dim=2))
    model = keras.Sequential([keras.Input([3], dtype="int32"), layer])
    assert model(np.array([[0, 1, 4]])).shape == (1, 3, 2)
    assert layer.weights[0].shape == (5, 2)


def test_a_shared_module():
    """Two layers of one module: its gradient is the sum, and it is applied once."""
    x, y = random(6, 3), random(6, 1, seed=1)
    module, start = linear(x, use_bias=False)
    inputs = [keras.Input([3]), keras.Input([3])]
    layers = [snt.KerasLayer(module), snt.KerasLayer(module)]
    outputs = layers[0](inputs[0]) + layers[1](inputs[1])
    model = keras.Model(inputs, outputs)
    assert len(model.trainable_weights) == 1
    assert layers[0].weights[0] is layers[1].weights[0]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit([x, 2 * x], y, verbose=0)
    error = 3 * x @ start - y
    close(module.w, start - 0.1 * 2 * 3 * x.T @ error / 6, 1e-5)
    close(module(x), layers[0](x), 1e-6)
    # A frozen layer of a module freezes it for all, and stays frozen when another is made.
    layers[0].trainable = False
    other = snt.KerasLayer(module)
    other(x)
    assert model.trainable_weights == other.trainable_weights == []
    layers[0].trainable = True
    assert len(other.trainable_weights) == 1


def test_a_connected_module():
    x = random(4, 3)
    module = snt.nets.MLP([4, 1])
    before, variables = module(x), module.variables
    layer = snt.KerasLayer(module)
    close(layer(x), before, 1e-6)
    assert all(a is b for a, b in zip(module.variables, variables, strict=True))
    assert {id(weight.value) for weight in layer.weights} == {id(v) for v in variables}


def test_first_calls_elsewhere():
    layer = snt.KerasLayer(snt.Linear(2))

    @tf.function
    def first_call(x):
        return layer(x)

    outputs = first_call(tf.ones([1, 3]))
    close(outputs, layer(np.ones([1, 3])), 1e-6)
    assert len(layer.trainable_weights) == 2
    built = snt.KerasLayer(snt.Linear(2))
    built.build((None, 3))
    assert [weight.shape for weight in built.weights] == [(3, 2), (2,)]


# --- Saving -----------------------------------------------------------------------------------


def saved(model, tmp_path, **kwargs):
    path = tmp_path / "model.keras"
    model.save(path)
    return keras.models.load_model(path, **kwargs)


def construction(model):
    """What is saved of the module of a model, without what stands for its identity."""
    config = json.dumps(model.layers[0].get_config()["module"])
    return re.sub(r'"shared_object_id": \d+', "", config)


@pytest.mark.parametrize(
    "make",
    [
        lambda: snt.Linear(2, initializers={"w": tf1.random_normal_initializer(stddev=2.0)}),
        lambda: snt.nets.MLP((4, 2), activation=tf.nn.tanh, name="other"),
        lambda: snt.Sequential([snt.Linear(np.int64(2)), tf.identity, tf.sigmoid, halve]),
        lambda: snt.Linear(2, regularizers={"w": keras.regularizers.L2(0.1)}),
        lambda: snt.Module(halve),
        lambda: snt.BatchReshape(tf.TensorShape([3, 1])),
        make_net,
    ],
    ids=["initializer", "tuple", "modules", "keras", "function", "shape", "builder"],
)
def test_models_are_loaded(make, tmp_path):
    x = random(4, 3)
    module = make_net if make is make_net else make()
    model = keras.Sequential([keras.Input([3]), snt.KerasLayer(module, name="sonnet")])
    loaded = saved(model, tmp_path)
    assert loaded.layers[0].module is not model.layers[0].module
    assert construction(loaded) == construction(model)
    close(loaded(x), model(x), 1e-6)
    close(loaded.losses, model.losses, 1e-6)
    assert loaded.layers[0].name == "sonnet"


def test_training_goes_on_after_loading(tmp_path):
    """Optimizer, frozen layers and moving averages are as they were."""
    x, y = random(16, 3), random(16, 1, seed=1)
    model = keras.Sequential(
        [
            snt.KerasLayer(snt.Linear(3), trainable=False),
            snt.KerasLayer(snt.BatchNorm(decay_rate=0.5)),
            snt.KerasLayer(snt.nets.MLP([4, 1])),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse")
    fit = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(x, y, **fit)
    loaded = saved(model, tmp_path)
    for each in (model, loaded):
        each.fit(x, y, **fit)
    assert len(loaded.trainable_weights) == 5
    for a, b in zip(loaded.weights, model.weights, strict=True):
        close(a, b, 1e-5)


def test_sharing_is_saved(tmp_path):
    module = snt.Linear(3)
    inputs = keras.Input([3])
    outputs = snt.KerasLayer(module)(keras.ops.sin(snt.KerasLayer(module)(inputs)))
    loaded = saved(keras.Model(inputs, outputs), tmp_path)
    assert len(loaded.weights) == 2
    assert len({layer.module for layer in loaded.layers if hasattr(layer, "module")}) == 1


def test_models_that_are_classes(tmp_path):
    """Their layers are built from what they were first called with."""

    @keras.saving.register_keras_serializable(package="tests")
    class Model(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.mix = snt.KerasLayer(Mix(), name="mix")

        def call(self, inputs):
            return self.mix((inputs, inputs), {"x": inputs}, times=2)["sums"]

        def get_config(self):
            return {"name": self.name}

    model = Model()
    x = random(4, 3)
    outputs = model(x)
    loaded = saved(model, tmp_path)
    assert loaded.mix.built
    close(loaded(x), outputs, 1e-6)


def test_build_config():
    """Keras stores it with a layer; with the shape alone an embedding could not be built."""
    layer = snt.KerasLayer(snt.Embed(4, 3))
    assert layer.get_build_config() is None
    layer(np.array([[1, 3]]))
    mix = snt.KerasLayer(Mix())
    mix((random(4, 3), random(4, 3)), {"x": np.ones([2])}, times=2, training=True)
    for built, module in ((layer, snt.Embed(4, 3)), (mix, Mix())):
        again = snt.KerasLayer(module)
        again.build_from_config(json.loads(json.dumps(built.get_build_config())))
        assert [w.shape for w in again.weights] == [w.shape for w in built.weights]
        assert again.get_build_config() == built.get_build_config()


def test_classes_of_the_program(tmp_path):
    model = keras.Sequential([keras.Input([3]), snt.KerasLayer(Scale(3.0))])
    with pytest.raises(ValueError, match=r"module class 'Scale'.*custom_objects"):
        saved(model, tmp_path)
    loaded = saved(model, tmp_path, custom_objects={"Scale": Scale})
    close(loaded(np.ones([1, 3])), [[3.0] * 3], 0)


def test_what_cannot_be_saved_says_so(tmp_path):
    def no_file_can_hold(x):
        return x

    class Forgetful(Scale):
        def __new__(cls, *args):
            return super().__new__(cls, forgotten=args)

    layer = snt.KerasLayer(snt.nets.MLP([2], activation=no_file_can_hold))
    model = keras.Sequential([keras.Input([3]), layer])
    with pytest.raises(snt.NotSupportedError, match=r"no_file_can_hold.*function that constructs"):
        model.save(tmp_path / "model.keras")
    with pytest.raises(snt.NotSupportedError, match="its arguments are not known"):
        snt.KerasLayer(Forgetful(3.0)).get_config()


@pytest.mark.parametrize(
    "change",
    [
        {"class": "os.system", "args": ["true"]},
        {"class": "snt.tabulate", "args": []},
        {"class": "snt.AbstractModule.from_config", "args": []},
        {"class": "snt.python.modules.basic.Linear", "args": [3]},
        {"class": "snt._fetch", "args": ["Linear"]},
        {"class": "tests>halve", "args": [3]},
        {"args": [{"tensorflow": "io.read_file"}]},
        {"args": [{"tensorflow": "nn.__class__"}]},
        {"args": [{"registered": "print"}]},
        {"args": [{"initializer": ["__class__", {"dict": []}]}]},
        {"args": [{"keras": {"class_name": "__lambda__", "config": {"value": "x"}}}]},
        {"args": [{"eval": "1"}]},
    ],
    ids=lambda change: "-".join(map(str, change.values()))[:40],
)
def test_files_that_ask_for_more_are_refused(change, tmp_path):
    model = keras.Sequential([keras.Input([3]), snt.KerasLayer(snt.Linear(2))])
    model.save(tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad,
    ):
        for name in good.namelist():
            content = good.read(name)
            if name == "config.json":
                config = json.loads(content)
                layer = config["config"]["layers"][1]["config"]
                layer["module"]["config"].update(change)
                content = json.dumps(config)
            bad.writestr(name, content)
    with pytest.raises((ValueError, TypeError)) as error:
        keras.models.load_model(tmp_path / "bad.keras")
    assert any(word in str(error.value) for word in ("Cannot load", "lambda"))


def test_weights_and_callbacks(tmp_path):
    x, y = random(32, 3), random(32, 1, seed=1)

    def make():
        return keras.Sequential([keras.Input([3]), snt.KerasLayer(snt.nets.MLP([4, 1]))])

    model = make()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True)
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10.0)
    history = model.fit(x, y, epochs=9, callbacks=[best, stop], verbose=0).history
    assert len(history["loss"]) == 2
    model.save_weights(tmp_path / "model.weights.h5")
    other = make()
    other.load_weights(tmp_path / "model.weights.h5")
    close(other(x), model(x), 1e-6)
    close(keras.models.load_model(tmp_path / "best.keras")(x), model(x), 1e-6)
    wider = keras.Sequential([keras.Input([3]), snt.KerasLayer(snt.nets.MLP([5, 1]))])
    with pytest.raises(ValueError, match="shape"):
        wider.load_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}


def test_checkpoints_of_tensorflow(tmp_path):
    """The module's own variables are in them, once, and are restored when they are made."""
    x = random(2, 3)

    def make(**kwargs):
        return keras.Sequential([snt.KerasLayer(snt.nets.MLP([4, 1]), name="mlp")], **kwargs)

    model = make()
    outputs = model(x)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    saved_shapes = [shape for name, shape in tf.train.list_variables(path) if "VALUE" in name]
    assert sorted(map(tuple, saved_shapes)) == [(), (1,), (3, 4), (4,), (4, 1)]
    other = make()
    status = tf.train.Checkpoint(model=other).restore(path)
    close(other(x), outputs, 1e-6)
    status.assert_existing_objects_matched()


@pytest.mark.filterwarnings("ignore:.*imp module.*:DeprecationWarning")
def test_export(tmp_path, capsys):
    x = random(5, 3)
    model = keras.Sequential(
        [keras.Input([3]), snt.KerasLayer(snt.Linear(2)), snt.KerasLayer(Scale(2.0))]
    )
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    close(loaded.serve(x), model(x), 1e-6)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    (outputs,) = signature(tf.constant(x)).values()
    close(outputs, model(x), 1e-6)


def test_in_a_fresh_program(tmp_path):
    """What is for Keras is imported when the layer is first used, and registered with it then."""
    x = random(2, 3)
    model = keras.Sequential([keras.Input([3]), snt.KerasLayer(snt.nets.MLP([2]))])
    model.save(tmp_path / "model.keras")
    program = f"""
        import sys
        sys.path[:] = {sys.path!r}
        import sonnet as snt
        snt.AbstractModule, snt.Linear
        assert not any(name.startswith("snt_core.keras") for name in sys.modules)
        snt.KerasLayer
        import keras, numpy
        model = keras.models.load_model({str(tmp_path / "model.keras")!r})
        print(model(numpy.array({x.tolist()!r})).numpy().tolist())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    close(json.loads(done.stdout), model(x), 1e-6)


# --- What cannot be ---------------------------------------------------------------------------


def test_what_is_no_module():
    for thing in (3, None, "snt.Linear", keras.layers.Dense):
        with pytest.raises(TypeError, match="KerasLayer takes a module, or a function"):
            snt.KerasLayer(thing)
    with pytest.raises(TypeError, match="Wrap a function that computes in snt.Module"):
        snt.KerasLayer(lambda x: x + 1)
    with pytest.raises(TypeError, match="KerasLayer takes a module"):
        snt.KerasLayer(lambda: 3)
    with pytest.raises(snt.NotInitializedError):
        snt.KerasLayer(Scale.__new__(Scale))


def test_graphs():
    with tf.Graph().as_default():
        module = snt.Linear(2)
        module(tf.ones([1, 3]))
    with pytest.raises(snt.DifferentGraphError, match="construct another module"):
        snt.KerasLayer(module)
    layer = snt.KerasLayer(snt.Linear(2))
    with tf.Graph().as_default(), pytest.raises(snt.NotSupportedError, match="was called in a gra"):
        layer(tf.ones([1, 3]))


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match=r"training_argument is 'train', but .* \(inputs, is_tr"):
        snt.KerasLayer(Scale(), training_argument="train")
    with pytest.raises(ValueError, match="at least one input"):
        snt.KerasLayer(snt.TrainableVariable([2]))
    with pytest.raises(TypeError, match="missing a required argument|unexpected"):
        snt.KerasLayer(Mix())(np.ones([2, 2]))


def test_another_backend(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(snt.NotSupportedError, match="KERAS_BACKEND"):
        snt.KerasLayer(snt.Linear(2))


def test_a_keras_that_copies_variables(monkeypatch):
    class Copy(keras.Variable):
        def __init__(self, initializer, **kwargs):
            super().__init__(initializer.numpy(), **kwargs)

    monkeypatch.setattr(keras, "Variable", Copy)
    with pytest.raises(snt.NotSupportedError, match="copies variables"):
        snt.KerasLayer(snt.Linear(2))(np.ones([1, 3]))


def test_stateless_calls():
    x = random(2, 3)
    layer = snt.KerasLayer(snt.Linear(2))
    layer(x)
    with pytest.raises(snt.NotSupportedError, match="other values in place of its weights"):
        layer.stateless_call([w.numpy() * 0 for w in layer.weights], [], x)
