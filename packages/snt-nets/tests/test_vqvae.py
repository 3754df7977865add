"""`nets.VectorQuantizer` and `nets.VectorQuantizerEMA`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names

COST = 0.25


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def quantizer(**options):
    return snt.nets.VectorQuantizer(4, 5, COST, **options)


def ema_quantizer(decay=0.9, **options):
    return snt.nets.VectorQuantizerEMA(4, 5, COST, decay, **options)


EITHER = pytest.mark.parametrize("make", [quantizer, ema_quantizer])


class Expected:
    """What a quantizer with these embeddings gives, in float64."""

    def __init__(self, inputs, embeddings):
        inputs, embeddings = inputs.astype("float64"), embeddings.astype("float64")
        differences = inputs[..., None] - embeddings
        self.indices = np.argmin(np.sum(differences**2, axis=-2), axis=-1)
        self.quantized = embeddings.T[self.indices]
        self.encodings = np.eye(embeddings.shape[1])[self.indices.reshape(-1)]
        self.error = np.mean((inputs - self.quantized) ** 2)
        use = self.encodings.mean(0)
        self.perplexity = np.exp(-np.sum(use * np.log(use + 1e-10)))


class ExpectedAverages:
    """The state of a `VectorQuantizerEMA`, moved by NumPy in float64."""

    def __init__(self, embeddings, decay, epsilon):
        self.embeddings = embeddings.astype("float64")
        self.decay, self.epsilon, self.steps = decay, epsilon, 0
        self.biased_counts = np.zeros(embeddings.shape[1])
        self.biased_sums = np.zeros_like(self.embeddings)

    def step(self, inputs):
        expected = Expected(inputs, self.embeddings)
        flat = inputs.reshape([-1, inputs.shape[-1]]).astype("float64")
        decay, self.steps = self.decay, self.steps + 1
        self.biased_counts = decay * self.biased_counts + (1 - decay) * expected.encodings.sum(0)
        self.biased_sums = decay * self.biased_sums + (1 - decay) * flat.T @ expected.encodings
        self.counts = self.biased_counts / (1 - decay**self.steps)
        self.sums = self.biased_sums / (1 - decay**self.steps)
        total = self.counts.sum()
        share = (self.counts + self.epsilon) / (total + len(self.counts) * self.epsilon)
        self.embeddings = self.sums / (share * total)
        return expected


# Both.


@EITHER
@pytest.mark.parametrize(
    ("shape", "unknown_batch"),
    [((4,), False), ((7, 4), True), ((2, 3, 4), False), ((2, 3, 2, 4), True)],
)
def test_chooses_the_nearest_embedding(make, shape, unknown_batch, mode):
    module, inputs = make(), random(shape)
    outputs = mode.run(lambda x: module(x, False), inputs, unknown_batch=unknown_batch)
    expected = Expected(inputs, mode.values(module.embeddings))
    np.testing.assert_allclose(outputs["quantize"], expected.quantized, 1e-5, 1e-6)
    np.testing.assert_array_equal(outputs["encoding_indices"], expected.indices)
    np.testing.assert_array_equal(outputs["encodings"], expected.encodings)
    np.testing.assert_allclose(outputs["perplexity"], expected.perplexity, 1e-5)
    weight = COST if make is ema_quantizer else 1 + COST
    np.testing.assert_allclose(outputs["loss"], weight * expected.error, 1e-5)
    dtypes = {key: value.dtype.name for key, value in outputs.items()}
    assert dtypes.pop("encoding_indices") == "int64"
    assert set(dtypes.values()) == {"float32"}


@EITHER
def test_chooses_the_first_of_equals(make, mode):
    module = make()
    mode.assign(module.embeddings, np.ones([4, 5], np.float32))
    outputs = mode.run(lambda x: module(x, False)["encoding_indices"], random([3, 4]))
    assert outputs.tolist() == [0, 0, 0]


@EITHER
def test_quantizes_indices(make, mode):
    module = make()
    indices = np.array([[0, 4, 2], [1, 1, 3]])
    outputs = mode.run(module.quantize, indices)
    np.testing.assert_array_equal(outputs, mode.values(module.embeddings).T[indices])
    assert not module.is_connected


@EITHER
def test_hands_the_gradient_straight_through(make, mode):
    module, inputs, factors = make(), random([7, 4]), random([7, 4], 1)

    def gradients(x):
        if mode.in_graph:
            loss = tf.reduce_sum(module(x, True)["quantize"] * factors)
            return tf1.gradients(loss, x)[0], tf1.gradients(loss, module.embeddings)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(module(x, True)["quantize"] * factors)
        return tape.gradient(loss, (x, module.embeddings))

    to_embeddings = []

    def to_inputs(x):
        found, other = gradients(x)
        to_embeddings.append(other)
        return found

    np.testing.assert_array_equal(mode.run(to_inputs, inputs), factors)
    assert to_embeddings == [None]


@EITHER
def test_gradients_of_the_loss(make, mode):
    module, inputs = make(), random([7, 4])
    before = mode.values(module.embeddings)
    expected = Expected(inputs, before)
    trains = make is quantizer
    variables = [module.embeddings] if trains else []

    def gradients(x):
        if mode.in_graph:
            return tf1.gradients(module(x, False)["loss"], [x, *variables])
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = module(x, False)["loss"]
        return tape.gradient(loss, [x, *variables])

    found = mode.run(gradients, inputs)
    error = 2 * (inputs - expected.quantized) / inputs.size
    np.testing.assert_allclose(found[0], COST * error, 1e-4, 1e-6)
    if trains:
        np.testing.assert_allclose(found[1], -error.T @ expected.encodings, 1e-4, 1e-6)


@EITHER
@pytest.mark.parametrize("shape", [(3, 5), (2, 8), (2, 2, 3), ()])
def test_inputs_of_another_size(make, shape, mode):
    module = make()
    error = tf.errors.InvalidArgumentError if mode.name == "eager" else ValueError
    with pytest.raises(error, match="Cannot reshape a tensor"):
        mode.run(lambda x: module(x, True), random(shape))
    assert not module.is_connected


@EITHER
@pytest.mark.parametrize("shape", [None, [None, None], [None, 3, None]])
def test_size_that_is_known_when_run(make, shape):
    module = make()
    function = tf.function(
        lambda x: module(x, False), input_signature=[tf.TensorSpec(shape)], autograph=False
    )
    good = random([2, 3, 4] if shape is None else [2, 3, 4][: len(shape) - 1] + [4])
    expected = Expected(good, module.embeddings.numpy())
    np.testing.assert_allclose(function(good)["quantize"], expected.quantized, 1e-5, 1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be embedding_dim"):
        function(random([*good.shape[:-1], 6]))


@EITHER
def test_inputs_of_another_dtype(make, mode):
    module = make()
    with pytest.raises(TypeError, match=f"{module.scope_name}: inputs must be of type float32"):
        mode.run(lambda x: module(x, True), random([3, 4]).astype("float64"))


@EITHER
def test_static_shapes(make):
    with tf.Graph().as_default():
        module = make()
        outputs = module(tf1.placeholder(tf.float32, [None, 3, 4]), is_training=True)
    shapes = {key: value.shape.as_list() for key, value in outputs.items()}
    assert shapes == {
        "quantize": [None, 3, 4],
        "loss": [],
        "perplexity": [],
        "encodings": [None, 5],
        "encoding_indices": [None, 3],
    }


@EITHER
def test_is_bound_to_the_graph_of_its_construction(make):
    with tf.Graph().as_default():
        module = make()
    with tf.Graph().as_default(), pytest.raises(snt.DifferentGraphError):
        module(tf.ones([3, 4]), True)


@EITHER
def test_needs_is_training(make, mode):
    with pytest.raises(TypeError, match="is_training"):
        mode.run(make(), random([3, 4]))


@EITHER
def test_compiles_with_xla(make):
    module, inputs = make(), random([6, 4])
    expected = module(inputs, False)
    compiled = tf.function(module, jit_compile=True)(tf.constant(inputs), is_training=False)
    for key, value in expected.items():
        np.testing.assert_allclose(compiled[key], value, 1e-5, 1e-6)


@EITHER
def test_checkpoints(make, tmp_path):
    module, inputs = make(), tf.constant(random([6, 4]))
    for _ in range(2):
        module(inputs, True)
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    twin = make()
    tf.train.Checkpoint(module=twin).restore(path).assert_consumed()
    for _ in range(2):
        results = [m(inputs, True) for m in (module, twin)]
        for key in results[0]:
            np.testing.assert_array_equal(results[0][key], results[1][key])


@EITHER
def test_saved_models(make, tmp_path):
    module, inputs = make(), tf.constant(random([6, 4]))
    exported = tf.Module()
    exported.module = module
    spec = [tf.TensorSpec([None, 4])]
    exported.call = tf.function(lambda x: module(x, True), input_signature=spec, autograph=False)
    exported.call.get_concrete_function()
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for _ in range(3):  # the loaded one goes on learning
        expected, found = module(inputs, True), loaded.call(inputs)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, 1e-5, 1e-6)


def test_sizes_are_integers():
    with pytest.raises(TypeError):
        snt.nets.VectorQuantizer(2.5, 3, COST)


# VectorQuantizer.


def test_variable_of_a_vector_quantizer(mode):
    with tf1.variable_scope("outer"):
        module = snt.nets.VectorQuantizer(embedding_dim=3, num_embeddings=4000, commitment_cost=1)
    embeddings = module.embeddings
    assert (embeddings.name, embeddings.shape) == ("outer/vq_layer/embedding:0", (3, 4000))
    values = mode.values(embeddings)
    assert values.dtype == np.float32
    assert -1 <= values.min() < -0.99
    assert 0.99 < values.max() <= 1
    np.testing.assert_allclose(values.var(), 1 / 3, rtol=0.05)
    with pytest.raises(snt.NotConnectedError):
        module.get_variables()
    for is_training in (True, None, "whatever"):
        mode.run(lambda x, flag=is_training: module(x, flag), random([2, 3]))
    assert module.embeddings is embeddings
    assert [id(v) for v in module.get_variables()] == [id(embeddings)]
    assert len(module.variables) == 1


def test_obeys_the_getters_of_enclosing_scopes(mode):
    getter = snt.custom_getters.stop_gradient
    with tf1.variable_scope("outer", custom_getter=getter):
        module = quantizer()
    inputs = random([6, 4])
    outputs = mode.run(lambda x: module(x, True)["loss"], inputs)
    expected = Expected(inputs, mode.values(module.embeddings))
    np.testing.assert_allclose(outputs, (1 + COST) * expected.error, 1e-5)


# VectorQuantizerEMA.

VARIABLES = {
    "embedding": (4, 5),
    "ema_cluster_size": (5,),
    "ema_dw": (4, 5),
    "{scope}/ema_cluster_size/biased": (5,),
    "{scope}/ema_cluster_size/local_step": (),
    "{scope}/ema_dw/biased": (4, 5),
    "{scope}/ema_dw/local_step": (),
}


def state(module, mode):
    """Returns the values of all variables by their names in the module."""
    prefix = f"{module.scope_name}/"
    return mode.values({name.removeprefix(prefix): v for name, v in by_name(module).items()})


def by_name(module):
    return dict(zip(names(module.variables), module.variables, strict=True))


@pytest.mark.parametrize("first", [True, False])
def test_variables_of_an_ema_quantizer(first, mode):
    with tf1.variable_scope("outer"):
        module = ema_quantizer()
    for is_training in (first, not first):
        mode.run(lambda x, flag=is_training: module(x, flag)["quantize"], random([6, 4]))
    scope = "outer/VectorQuantizerEMA"
    expected = {f"{scope}/{name.format(scope=scope)}": shape for name, shape in VARIABLES.items()}
    variables = by_name(module)
    assert {name: tuple(v.shape) for name, v in variables.items()} == expected
    assert all(variable.dtype == tf.float32 for variable in variables.values())
    bases = list(expected)[:3]
    assert [name for name, variable in variables.items() if variable.trainable] == sorted(bases)
    assert names(module.get_variables()) == bases
    assert names(module.get_variables(tf1.GraphKeys.GLOBAL_VARIABLES)) == list(expected)
    if mode.in_graph:
        assert len(tf1.global_variables()) == 7
        assert tf1.local_variables() == []


def test_initial_values(mode):
    module = snt.nets.VectorQuantizerEMA(50, 200, COST, 0.9)
    mode.run(lambda x: module(x, False), random([6, 50]))
    values = state(module, mode)
    embeddings, sums = values.pop("embedding"), values.pop("ema_dw")
    np.testing.assert_allclose([embeddings.mean(), embeddings.std()], [0, 1], atol=0.05)
    np.testing.assert_array_equal(sums, embeddings)
    assert all(not value.any() for value in values.values())


@pytest.mark.parametrize(("decay", "epsilon"), [(0.9, 1e-5), (0.5, 0.1), (0, 1e-5)])
def test_embeddings_move_to_the_means_of_their_vectors(decay, epsilon, mode):
    module = ema_quantizer(decay, epsilon=epsilon)
    averages = ExpectedAverages(mode.values(module.embeddings), decay, epsilon)
    for step in range(4):
        inputs = random([50, 2, 4], seed=step)
        expected = averages.step(inputs)
        loss = mode.run(lambda x: module(x, is_training=True)["loss"], inputs)
        np.testing.assert_allclose(loss, COST * expected.error, 1e-4)
        values = state(module, mode)
        np.testing.assert_allclose(values["embedding"], averages.embeddings, 1e-4, 1e-5)
        np.testing.assert_allclose(values["ema_cluster_size"], averages.counts, 1e-4, 1e-5)
        np.testing.assert_allclose(values["ema_dw"], averages.sums, 1e-4, 1e-5)


def test_first_step_gives_the_values_of_the_batch(mode):
    module = ema_quantizer(0.99)
    inputs = random([50, 4])
    expected = Expected(inputs, mode.values(module.embeddings))
    mode.run(lambda x: module(x, True)["loss"], inputs)
    values = state(module, mode)
    counts = expected.encodings.sum(0)
    np.testing.assert_allclose(values["ema_cluster_size"], counts, 1e-4)
    np.testing.assert_allclose(values["ema_dw"], inputs.T @ expected.encodings, 1e-4, 1e-5)
    used = counts > 0
    means = (inputs.T @ expected.encodings)[:, used] / counts[used]
    np.testing.assert_allclose(values["embedding"][:, used], means, 1e-4, 1e-5)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("is_training", [False, True])
def test_moves_only_in_training(is_training, as_tensor, mode):
    module, inputs = ema_quantizer(), random([6, 4])
    before = mode.values(module.embeddings)
    expected = Expected(inputs, before)
    if as_tensor:
        arguments = [inputs, np.asarray(is_training)]
        loss = mode.run(lambda x, flag: module(x, flag)["loss"], *arguments)
    else:
        loss = mode.run(lambda x: module(x, is_training)["loss"], inputs)
    np.testing.assert_allclose(loss, COST * expected.error, 1e-5)  # of the embeddings before
    assert np.any(mode.values(module.embeddings) != before) == is_training


def test_gradient_of_the_loss_of_a_training_step(mode):
    module, inputs = ema_quantizer(), random([6, 4])
    expected = Expected(inputs, mode.values(module.embeddings))

    def gradient(x, flag):
        if mode.in_graph:
            return tf1.gradients(module(x, flag)["loss"], x)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = module(x, flag)["loss"]
        return tape.gradient(loss, x)

    found = mode.run(gradient, inputs, np.asarray(True))
    np.testing.assert_allclose(
        found, 2 * COST * (inputs - expected.quantized) / inputs.size, 1e-4, 1e-6
    )


@pytest.mark.parametrize("flag", [None, "yes", 2.5])
def test_the_flag_of_an_ema_quantizer_is_a_boolean(flag, mode):
    with pytest.raises(TypeError, match="VectorQuantizerEMA: is_training must be a boolean"):
        mode.run(lambda x: ema_quantizer()(x, flag), random([6, 4]))


@pytest.mark.parametrize("control_flow_v2", [False, True])
def test_only_the_loss_moves_the_embeddings(control_flow_v2):
    (tf1.enable_control_flow_v2 if control_flow_v2 else tf1.disable_control_flow_v2)()
    try:
        with tf.Graph().as_default(), tf1.Session() as session:
            module = ema_quantizer()
            flag = tf1.placeholder(tf.bool, [])
            outputs = [module(tf.constant(random([6, 4])), f) for f in (True, flag)]
            session.run(tf1.global_variables_initializer())
            before = session.run(module.embeddings)
            for results, feed in zip(outputs, [{}, {flag: True}], strict=True):
                loss = results.pop("loss")
                for _ in range(2):
                    session.run(list(results.values()), feed)
                np.testing.assert_array_equal(session.run(module.embeddings), before)
                expected = Expected(random([6, 4]), before)
                values = session.run([loss, results["quantize"]], feed)
                np.testing.assert_allclose(values[0], COST * expected.error, 1e-5)
                np.testing.assert_allclose(values[1], expected.quantized, 1e-5, 1e-6)
                after = session.run(module.embeddings)
                assert np.any(after != before)
                before = after
            session.run(loss, {flag: False})
            np.testing.assert_array_equal(session.run(module.embeddings), before)
    finally:
        tf1.enable_control_flow_v2()


@pytest.mark.parametrize("control_flow_v2", [False, True])
def test_reads_the_embeddings_afresh_in_each_step_of_a_loop(control_flow_v2):
    (tf1.enable_control_flow_v2 if control_flow_v2 else tf1.disable_control_flow_v2)()
    try:
        with tf.Graph().as_default():
            mode = Mode("graph")
            with tf1.Session() as session:
                mode._session = session
                check_loop(mode)
    finally:
        tf1.enable_control_flow_v2()


def test_reads_the_embeddings_afresh_in_each_step_of_a_function(mode):
    check_loop(mode)


def check_loop(mode):
    module = ema_quantizer(0.5)
    inputs = random([3, 6, 4])
    averages = ExpectedAverages(mode.values(module.embeddings), 0.5, 1e-5)

    def loop(x):
        def step(i, _, errors):
            with tf.control_dependencies([errors]):
                results = module(tf.identity(x)[i], is_training=True)
            with tf.control_dependencies([results["loss"]]):
                return i + 1, tf.identity(results["quantize"]), errors + results["loss"]

        return tf.while_loop(
            lambda i, *_: i < 3, step, [0, x[0], 0.0], parallel_iterations=1, swap_memory=False
        )

    _, last, errors = mode.run(loop, inputs)
    expected = [averages.step(x) for x in inputs]
    np.testing.assert_allclose(last, expected[-1].quantized, 1e-4, 1e-5)
    np.testing.assert_allclose(errors, COST * sum(e.error for e in expected), 1e-4)
    np.testing.assert_allclose(mode.values(module.embeddings), averages.embeddings, 1e-4, 1e-5)


def test_old_checkpoints_fit(tmp_path):
    """A checkpoint by name, with the names that Sonnet 1 gave to the variables."""
    values = {
        f"net/VectorQuantizerEMA/{name.format(scope='net/VectorQuantizerEMA')}": random(shape, i)
        for i, (name, shape) in enumerate(VARIABLES.items())
    }
    with tf.Graph().as_default(), tf1.Session() as session:
        for name, value in values.items():
            tf1.get_variable(name, initializer=value)
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "model"))
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("net"):
            module = ema_quantizer()
        module(tf.ones([2, 4]), is_training=True)
        tf1.train.Saver().restore(session, str(tmp_path / "model"))
        restored = session.run(by_name(module))
    for name, value in values.items():
        np.testing.assert_array_equal(restored[name], value)
