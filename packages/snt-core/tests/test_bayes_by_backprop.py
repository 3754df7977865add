"""Bayes by Backprop, against closed forms and `scipy.stats`."""

import contextlib
import gc
import logging
import math
import sys
import threading
import types
import weakref

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import custom_getters
from snt_core.custom_getters import bayes_by_backprop as bbb
from snt_core.errors import NotSupportedError
from snt_core.module import AbstractModule

# TensorFlow Probability 0.25 compares versions with distutils when it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:distutils Version classes are deprecated:DeprecationWarning"
)

LOC, RHO = np.array([0.5, -1.0, 2.0]), np.array([-1.0, 0.0, -3.0])
SCALE = np.log1p(np.exp(RHO))
PRIOR_SCALE = 0.01


class Scale(AbstractModule):
    """Multiplies its inputs with the weights."""

    def __init__(self, custom_getter, dtype=tf.float32, name="scale"):
        super().__init__(custom_getter=custom_getter, name=name)
        self._dtype = dtype

    def _build(self, inputs):
        return inputs * tf1.get_variable("w", LOC.shape, self._dtype)


class Dirac:
    """A distribution without TensorFlow Probability, without scale, and with a memory."""

    reparameterization_type = "FULLY_REPARAMETERIZED"

    def __init__(self, value):
        self.value = tf.convert_to_tensor(value)

    def sample(self):
        return self.value + 1.0

    def mean(self):
        return self.value

    def last_sample(self):
        return self.value + 2.0

    def log_prob(self, value):
        return -tf.square(value)


def dirac_builder(getter, name, *args, **kwargs):
    return Dirac(getter(f"{name}/posterior_loc", *args, **kwargs))


def zero_prior_builder(getter, name, *args, **kwargs):
    return Dirac(0.0)


def known_posterior_builder(getter, name, *args, **kwargs):
    """The default posterior, but with known parameters."""

    def known(name, *args, **kwargs):
        value = LOC if name.endswith("posterior_loc") else RHO
        return getter(name, *args, **{**kwargs, "initializer": tf1.constant_initializer(value)})

    return bbb.diagonal_gaussian_posterior_builder(known, name, *args, **kwargs)


def dirac_getter(**kwargs):
    return bbb.bayes_by_backprop_getter(
        **{"posterior_builder": dirac_builder, "prior_builder": zero_prior_builder, **kwargs}
    )


def get_w(custom_getter, scope="net", reuse=None, shape=LOC.shape, **kwargs):
    with tf1.variable_scope(scope, custom_getter=custom_getter, reuse=reuse):
        return tf1.get_variable("w", shape, **kwargs)


def run(*fetches, feed=None):
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        values = session.run(fetches, feed)
    return values[0] if len(fetches) == 1 else values


def stochastic_kl(sample, loc=LOC, scale=SCALE):
    posterior = scipy.stats.norm(loc, scale).logpdf(sample).sum()
    return posterior - scipy.stats.norm(0.0, PRIOR_SCALE).logpdf(sample).sum()


def analytic_kl(loc=LOC, scale=SCALE, prior_loc=0.0, prior_scale=PRIOR_SCALE):
    return np.sum(
        np.log(prior_scale / scale)
        + (scale**2 + (loc - prior_loc) ** 2) / (2 * prior_scale**2)
        - 0.5
    )


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def eager():
    """Forgets what other tests made eagerly."""
    tf1.reset_default_graph()


@pytest.fixture
def log():
    messages = []

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Handler()
    tf.get_logger().addHandler(handler)
    yield messages
    tf.get_logger().removeHandler(handler)


class TestScales:
    @pytest.mark.parametrize("y", [1e-12, 0.01, 0.5, 1.0, 30.0, 1e4])
    def test_inverse_softplus(self, y):
        assert math.isclose(np.logaddexp(0.0, bbb.inverse_softplus(y)), y, rel_tol=1e-9)

    def test_known_value(self):
        assert math.isclose(bbb.inverse_softplus(0.01), -4.600166, abs_tol=1e-6)

    @pytest.mark.parametrize("y", [0.0, -1.0, float("nan")])
    def test_what_no_softplus_reaches(self, y):
        with pytest.raises(ValueError, match="must be greater than 0"):
            bbb.inverse_softplus(y)

    def test_initializer(self):
        values = bbb.scale_variable_initializer(0.25)([2, 3], tf.float64)
        np.testing.assert_allclose(tf.nn.softplus(values), np.full([2, 3], 0.25))


class TestPosteriorAndPriors:
    def test_posterior_variables(self, graph):
        get_w(
            bbb.bayes_by_backprop_getter(),
            initializer=tf1.constant_initializer(3.0),
            regularizer=lambda w: tf.reduce_sum(w),
        )
        variables = tf1.trainable_variables()
        assert [v.op.name for v in variables] == ["net/w/posterior_loc", "net/w/posterior_scale"]
        assert [v.shape for v in variables] == [LOC.shape, LOC.shape]
        for value in run(*variables):
            np.testing.assert_array_equal(value, [3.0, 3.0, 3.0])
        assert len(tf1.losses.get_regularization_losses()) == 2

    def test_posterior_is_normal(self, graph):
        getter = bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder)
        get_w(getter)
        (metadata,) = bbb.get_variable_metadata()
        mean, scale = run(metadata.posterior.mean(), metadata.posterior.stddev())
        np.testing.assert_allclose(mean, LOC, rtol=1e-6)
        np.testing.assert_allclose(scale, SCALE, rtol=1e-6)

    def test_samples_follow_the_posterior(self, eager):
        getter = bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder)
        tf.random.set_seed(1)
        module = Scale(getter)
        module(tf.ones_like(LOC, tf.float32))
        draw = tf.function(lambda: module(tf.ones_like(LOC, tf.float32)))
        samples = np.stack([draw().numpy() for _ in range(400)])
        for sample, loc, scale in zip(samples.T, LOC, SCALE, strict=True):
            assert scipy.stats.kstest(sample, scipy.stats.norm(loc, scale).cdf).pvalue > 1e-3

    @pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
    def test_dtypes(self, graph, dtype):
        for builder in (bbb.fixed_gaussian_prior_builder, bbb.adaptive_gaussian_prior_builder):
            getter = bbb.bayes_by_backprop_getter(prior_builder=builder)
            w = get_w(getter, scope=builder.__name__, dtype=dtype)
            assert w.dtype == dtype
            assert w.shape == LOC.shape
        assert [m.kl_cost.dtype for m in bbb.get_variable_metadata()] == [dtype, dtype]
        assert bbb.get_total_kl_cost().dtype == dtype
        assert {v.dtype.base_dtype for v in tf1.global_variables()} == {dtype}

    def test_fixed_prior(self, graph):
        get_w(bbb.bayes_by_backprop_getter())
        (metadata,) = bbb.get_variable_metadata()
        assert run(metadata.prior.mean(), metadata.prior.stddev()) == (0.0, np.float32(0.01))
        assert metadata.prior.batch_shape == ()
        assert metadata.prior_vars == {}

    def test_adaptive_prior(self, graph):
        getter = bbb.bayes_by_backprop_getter(prior_builder=bbb.adaptive_gaussian_prior_builder)
        get_w(
            getter,
            initializer=tf1.constant_initializer(0.5),
            regularizer=lambda w: tf.reduce_sum(w),
        )
        (metadata,) = bbb.get_variable_metadata()
        assert sorted(metadata.prior_vars) == ["net/w_prior_loc", "net/w_prior_scale"]
        loc, scale = metadata.prior_vars.values()
        assert loc.shape == scale.shape == ()
        assert loc.trainable
        assert scale.trainable
        loc, deviation = run(loc, metadata.prior.stddev())
        assert loc == 0.5
        assert math.isclose(deviation, 0.01, rel_tol=1e-6)
        assert len(tf1.losses.get_regularization_losses()) == 4

    @pytest.mark.parametrize("initializer", [None, LOC.astype(np.float32)], ids=["none", "values"])
    def test_adaptive_prior_has_one_part_whatever_the_weights_are(self, graph, initializer):
        getter = bbb.bayes_by_backprop_getter(prior_builder=bbb.adaptive_gaussian_prior_builder)
        shape = LOC.shape if initializer is None else None
        get_w(getter, shape=shape, initializer=initializer)
        (metadata,) = bbb.get_variable_metadata()
        assert np.isfinite(run(metadata.kl_cost))
        assert metadata.raw_variable_shape == LOC.shape

    def test_partitioned_weights(self, graph):
        getter = bbb.bayes_by_backprop_getter(prior_builder=bbb.adaptive_gaussian_prior_builder)
        w = get_w(getter, shape=[4, 3], partitioner=tf1.fixed_size_partitioner(2))
        assert w.shape == [4, 3]
        assert len(tf1.trainable_variables()) == 2 * 2 + 2
        assert np.isfinite(run(bbb.get_total_kl_cost()))


class TestKlCosts:
    def test_stochastic(self, graph):
        get_w(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        (metadata,) = bbb.get_variable_metadata()
        for _ in range(3):
            sample, cost = run(metadata.posterior_estimate, metadata.kl_cost)
            np.testing.assert_allclose(cost, stochastic_kl(sample), rtol=1e-4)

    def test_analytic(self, graph):
        get_w(
            bbb.bayes_by_backprop_getter(
                posterior_builder=known_posterior_builder, kl_builder=bbb.analytic_kl_builder
            )
        )
        np.testing.assert_allclose(run(bbb.get_total_kl_cost()), analytic_kl(), rtol=1e-5)

    def test_mean_of_the_stochastic_is_the_analytic(self, eager):
        tfp = pytest.importorskip("tensorflow_probability")
        posterior = tfp.distributions.Normal(LOC, SCALE)
        prior = tfp.distributions.Normal(np.float64(0.3), np.float64(0.7))
        tf.random.set_seed(1)
        samples = posterior.sample(20000)
        mean = bbb.stochastic_kl_builder(posterior, prior, samples) / 20000
        expected = analytic_kl(prior_loc=0.3, prior_scale=0.7)
        np.testing.assert_allclose(
            bbb.analytic_kl_builder(posterior, prior, None), expected, rtol=1e-12
        )
        np.testing.assert_allclose(mean, expected, rtol=0.02)

    def test_analytic_needs_the_closed_form(self):
        with pytest.raises(TypeError, match="use stochastic_kl_builder"):
            bbb.analytic_kl_builder(Dirac(1.0), Dirac(0.0), None)

    def test_gradients_of_the_analytic_cost(self, graph):
        get_w(
            bbb.bayes_by_backprop_getter(
                posterior_builder=known_posterior_builder, kl_builder=bbb.analytic_kl_builder
            )
        )
        to_loc, to_rho = run(*tf1.gradients(bbb.get_total_kl_cost(), tf1.trainable_variables()))
        np.testing.assert_allclose(to_loc, LOC / PRIOR_SCALE**2, rtol=1e-5)
        to_scale = -1 / SCALE + SCALE / PRIOR_SCALE**2
        np.testing.assert_allclose(to_rho, to_scale * scipy.special.expit(RHO), rtol=1e-5)

    def test_total_sums_over_variables(self, graph):
        getter = dirac_getter(kl_builder=lambda posterior, prior, sample: tf.reduce_sum(sample))
        for scope, value in (("first", 1.0), ("second", 10.0), ("third", 100.0)):
            get_w(getter, scope, initializer=tf1.constant_initializer(value))
        total = bbb.get_total_kl_cost()
        assert total.op.name == "total_kl_cost"
        assert bbb.get_total_kl_cost(name="cost").op.name == "cost"
        assert run(total) == 3 * (111.0 + 3.0)
        assert run(bbb.get_total_kl_cost(filter_by_name_substring="second")) == 33.0
        assert run(bbb.get_total_kl_cost(filter_by_name_substring="ir")) == 3 * (101.0 + 2.0)

    def test_filter_sees_names_of_variables_and_of_scopes(self, graph):
        getter = dirac_getter(kl_builder=lambda posterior, prior, sample: tf.reduce_sum(sample))
        with tf1.variable_scope("net", custom_getter=getter):
            tf1.get_variable("w", [1], initializer=tf1.zeros_initializer())
            tf1.get_variable("b", [2], initializer=tf1.zeros_initializer())
        for substring, expected in (("net/w", 1.0), ("/b", 2.0), ("net", 3.0)):
            assert run(bbb.get_total_kl_cost(filter_by_name_substring=substring)) == expected
        assert [m.raw_variable_name for m in bbb.get_variable_metadata("net")] == ["net/w", "net/b"]
        assert bbb.get_variable_metadata("/b") == []

    def test_dtypes_may_differ(self, graph):
        getter = dirac_getter(kl_builder=lambda posterior, prior, sample: tf.reduce_sum(sample))
        for dtype in (tf.float16, tf.float32):
            get_w(getter, dtype.name, dtype=dtype, initializer=tf1.zeros_initializer())
        assert bbb.get_total_kl_cost().dtype == tf.float32
        get_w(getter, "float64", dtype=tf.float64, initializer=tf1.zeros_initializer())
        total = bbb.get_total_kl_cost()
        assert total.dtype == tf.float64
        assert run(total) == 9.0

    def test_nothing_costs_nothing(self, graph, log):
        total = bbb.get_total_kl_cost()
        assert total.dtype == tf.float32
        assert run(total) == 0.0
        assert len(log) == 1
        assert "the KL cost is 0.0" in log[0]
        get_w(dirac_getter())
        assert run(bbb.get_total_kl_cost(filter_by_name_substring="other")) == 0.0
        assert "'other'" in log[1]


class TestMetadata:
    def test_fields(self, graph):
        w = get_w(bbb.bayes_by_backprop_getter())
        (metadata,) = bbb.get_variable_metadata()
        assert metadata._fields == (
            *("raw_variable_name", "raw_variable_shape", "scope_name", "posterior"),
            *("posterior_estimate", "prior", "kl_cost", "prior_vars", "posterior_vars"),
        )
        assert metadata.raw_variable_name == "net/w"
        assert metadata.raw_variable_shape == LOC.shape
        assert metadata.scope_name == "net"
        assert metadata.posterior_estimate is w
        assert list(metadata.posterior_vars.values()) == tf1.trainable_variables()

    def test_builders_may_name_their_variables(self, graph):
        def builder(getter, name, *args, **kwargs):
            loc = getter(f"{name}/mu", *args, **kwargs)
            return Dirac(loc), {"mu": loc}

        get_w(dirac_getter(posterior_builder=builder))
        (metadata,) = bbb.get_variable_metadata()
        assert list(metadata.posterior_vars) == ["mu"]

    def test_is_of_the_first_connection_and_one_a_variable(self, graph):
        getter = bbb.bayes_by_backprop_getter()
        first = get_w(getter)
        operations = len(graph.get_operations())
        second = get_w(getter, reuse=True)
        assert second is not first
        (metadata,) = bbb.get_variable_metadata()
        assert metadata.posterior_estimate is first
        assert not any("kl_cost" in op.name for op in graph.get_operations()[operations:])
        first, second = run(first, second)
        assert np.all(first != second)

    def test_graphs_are_apart_and_freed(self):
        graphs = []
        for _ in range(2):
            with tf.Graph().as_default() as graph:
                get_w(bbb.bayes_by_backprop_getter())
                assert len(bbb.get_variable_metadata()) == 1
            graphs.append(weakref.ref(graph))
        del graph
        gc.collect()
        assert [reference() for reference in graphs] == [None, None]

    def test_is_not_exported(self, graph, log):
        get_w(bbb.bayes_by_backprop_getter())
        exported = tf1.train.export_meta_graph(graph=graph)
        assert not any("bayes" in key for key in exported.collection_def)
        assert log == []


class TestModes:
    EXPECTED = {"sample": LOC + 1, "mean": LOC, "last": LOC + 2}  # noqa: RUF012

    @staticmethod
    def w(mode, **kwargs):
        return get_w(
            dirac_getter(sampling_mode_tensor=mode, **kwargs),
            initializer=tf1.constant_initializer(LOC),
        )

    def test_constants(self):
        modes = (bbb.EstimatorModes.sample, bbb.EstimatorModes.mean, bbb.EstimatorModes.last_sample)
        assert modes == ("sample", "mean", "last")

    def test_placeholder(self, graph):
        mode = tf1.placeholder(tf.string, [])
        w = self.w(mode)
        assert w.shape == LOC.shape
        for value, expected in self.EXPECTED.items():
            np.testing.assert_allclose(run(w, feed={mode: value}), expected)

    def test_gradients_under_each_mode(self, graph):
        mode = tf1.placeholder(tf.string, [])
        w = self.w(mode)
        (gradient,) = tf1.gradients(tf.reduce_sum(w * 3.0), tf1.trainable_variables())
        for value in self.EXPECTED:
            np.testing.assert_allclose(run(gradient, feed={mode: value}), [3.0, 3.0, 3.0])

    @pytest.mark.parametrize("make", [str, tf.constant], ids=["str", "constant"])
    @pytest.mark.parametrize("mode", EXPECTED)
    def test_constant_builds_one_branch(self, graph, make, mode):
        w = self.w(make(mode))
        assert not any(op.type in ("If", "StatelessIf", "Switch") for op in graph.get_operations())
        np.testing.assert_allclose(run(w), self.EXPECTED[mode])

    @pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
    def test_variable_is_read_each_time(self, eager, wrap):
        mode = tf.Variable("mean")
        getter = dirac_getter(sampling_mode_tensor=mode)
        with tf1.variable_scope(
            "outer", custom_getter=custom_getters.override_args(initializer=tf1.zeros_initializer())
        ):
            module = Scale(getter)
        connect = wrap(module)
        for value, expected in (("mean", 0.0), ("sample", 1.0), ("last", 2.0), ("mean", 0.0)):
            mode.assign(value)
            np.testing.assert_allclose(connect(tf.ones([3])), np.full(3, expected))

    @pytest.mark.parametrize("constant", [True, False])
    def test_other_modes_are_an_error_at_run_time(self, graph, constant):
        placeholder = tf1.placeholder_with_default("median", [])
        w = self.w(tf.constant("median") if constant else placeholder)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid posterior estimate mode"):
            run(w)

    @pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
    def test_other_modes_are_an_error_elsewhere(self, eager, wrap):
        module = Scale(dirac_getter(sampling_mode_tensor=tf.Variable("median")))
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid posterior estimate mode"):
            wrap(module)(tf.ones([3]))

    def test_last_is_an_error_without_a_last_sample(self, graph):
        w = get_w(bbb.bayes_by_backprop_getter(sampling_mode_tensor=tf.constant("last")))
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid posterior estimate mode"):
            run(w)

    def test_mean_of_the_default_posterior(self, graph):
        w = get_w(bbb.bayes_by_backprop_getter(sampling_mode_tensor=tf.constant("mean")))
        value, loc = run(w, tf1.trainable_variables()[0])
        np.testing.assert_array_equal(value, loc)

    def test_default_works_in_any_graph(self):
        getter = dirac_getter()
        for _ in range(2):
            with tf.Graph().as_default():
                assert run(get_w(getter)).shape == LOC.shape


class TestRequests:
    def test_non_trainable_variables_are_left_alone(self, graph):
        w = get_w(bbb.bayes_by_backprop_getter(), trainable=False)
        assert isinstance(w, tf.Variable)
        assert w.op.name == "net/w"
        assert bbb.get_variable_metadata() == []
        step = get_w(bbb.bayes_by_backprop_getter(), "steps", dtype=tf.int64, trainable=False)
        assert step.dtype == tf.int64

    @pytest.mark.parametrize("dtype", [tf.int32, tf.bool, tf.complex64])
    def test_other_dtypes_are_an_error(self, graph, dtype):
        with pytest.raises(ValueError, match=f"Disallowed data type {dtype.name} .*'net/w'"):
            get_w(bbb.bayes_by_backprop_getter(), dtype=dtype)

    def test_posteriors_must_be_reparameterised(self, graph):
        class Discrete(Dirac):
            reparameterization_type = "NOT_REPARAMETERIZED"

        for kind in (Discrete, object):
            with pytest.raises(ValueError, match="incompatible with Bayes by Backprop"):
                get_w(
                    dirac_getter(
                        posterior_builder=lambda *args, kind=kind, **kwargs: kind(
                            *([0.0] if kind is Discrete else [])
                        )
                    )
                )

    def test_reparameterised_by_the_type_of_tensorflow_probability(self, graph):
        tfp = pytest.importorskip("tensorflow_probability")

        def poisson_builder(getter, name, *args, **kwargs):
            return tfp.distributions.Poisson(getter(f"{name}/rate", *args, **kwargs))

        with pytest.raises(ValueError, match="incompatible with Bayes by Backprop"):
            get_w(bbb.bayes_by_backprop_getter(posterior_builder=poisson_builder))


class TestSharedNoise:
    """`fresh_noise_per_connection=False`."""

    def test_later_connections_have_the_first_estimate(self, graph):
        getter = bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False)
        first = get_w(getter)
        operations = len(graph.get_operations())
        assert get_w(getter, reuse=True) is first
        assert len(graph.get_operations()) == operations

    def test_each_run_draws_anew(self, graph):
        w = get_w(bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False))
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            assert np.all(session.run(w) != session.run(w))

    def test_reuse_of_other_variables_is_an_error(self, graph):
        get_w(None)
        getter = bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False)
        with pytest.raises(ValueError, match="No metadata for variable 'net/w'"):
            get_w(getter, reuse=True)

    def test_making_variables_twice_is_still_an_error(self, graph):
        getter = bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False)
        get_w(getter)
        with pytest.raises(ValueError, match="already exists, disallowed"):
            get_w(getter)

    def test_auto_reuse(self, graph):
        getter = bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False)
        assert get_w(getter, reuse=tf1.AUTO_REUSE) is get_w(getter, reuse=tf1.AUTO_REUSE)

    def test_module_in_a_graph(self, graph):
        module = Scale(bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False))
        first, second = run(module(tf.ones([3])), module(tf.ones([3])))
        np.testing.assert_array_equal(first, second)

    def test_eagerly_noise_stays_and_gradients_flow(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False))
        first = module(tf.ones([3]))
        with tf.GradientTape() as tape:
            second = module(tf.ones([3]))
        np.testing.assert_array_equal(first, second)
        loc, rho = module.trainable_variables
        to_loc, to_rho = tape.gradient(second, [loc, rho])
        noise = (first - loc) / tf.nn.softplus(rho)
        np.testing.assert_allclose(to_loc, [1.0, 1.0, 1.0])
        np.testing.assert_allclose(to_rho, noise * tf.sigmoid(rho), rtol=1e-4)
        loc.assign_add([1.0, 2.0, 3.0])
        np.testing.assert_allclose(module(tf.ones([3])) - first, [1.0, 2.0, 3.0], rtol=1e-5)

    def test_function_draws_once_a_call(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(fresh_noise_per_connection=False))

        @tf.function
        def twice():
            return module(tf.ones([3])), module(tf.ones([3]))

        calls = [twice() for _ in range(2)]
        for first, second in calls:
            np.testing.assert_array_equal(first, second)
        assert np.all(calls[0][0] != calls[1][0])

    def test_eagerly_other_posteriors_are_refused(self, eager):
        module = Scale(dirac_getter(fresh_noise_per_connection=False))
        with pytest.raises(NotSupportedError, match=r"inside a tf\.function"):
            module(tf.ones([3]))
        tf.function(Scale(dirac_getter(fresh_noise_per_connection=False)))(tf.ones([3]))


class TestEagerly:
    def test_connections_differ(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter())
        assert np.all(module(tf.ones([3])) != module(tf.ones([3])))
        assert len(bbb.get_variable_metadata()) == 1

    def test_cost_is_of_the_weights_that_were_used(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        for _ in range(2):
            w = module(tf.ones([3]))
            np.testing.assert_allclose(bbb.get_total_kl_cost(), stochastic_kl(w), rtol=1e-4)
            (metadata,) = bbb.get_variable_metadata()
            np.testing.assert_allclose(metadata.posterior_estimate, w)
            np.testing.assert_allclose(metadata.kl_cost, stochastic_kl(w), rtol=1e-4)
            assert metadata.scope_name == "scale"
            assert metadata.raw_variable_name == "scale/w"
            assert metadata.raw_variable_shape == [3]

    @pytest.mark.parametrize("connect_under_the_tape", [True, False])
    def test_gradients_of_the_cost(self, eager, connect_under_the_tape):
        module = Scale(
            bbb.bayes_by_backprop_getter(
                posterior_builder=known_posterior_builder, kl_builder=bbb.analytic_kl_builder
            )
        )
        module(tf.ones([3]))
        with tf.GradientTape() as tape:
            if connect_under_the_tape:
                module(tf.ones([3]))
            cost = bbb.get_total_kl_cost()
        np.testing.assert_allclose(cost, analytic_kl(), rtol=1e-5)
        to_loc, to_rho = tape.gradient(cost, module.trainable_variables)
        np.testing.assert_allclose(to_loc, LOC / PRIOR_SCALE**2, rtol=1e-5)
        to_scale = -1 / SCALE + SCALE / PRIOR_SCALE**2
        np.testing.assert_allclose(to_rho, to_scale * scipy.special.expit(RHO), rtol=1e-4)

    def test_cost_follows_the_variables(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(kl_builder=bbb.analytic_kl_builder))
        module(tf.ones([3]))
        loc, rho = module.trainable_variables
        loc.assign(LOC)
        rho.assign(RHO)
        np.testing.assert_allclose(bbb.get_total_kl_cost(), analytic_kl(), rtol=1e-5)

    def test_training_finds_the_prior(self, eager):
        def wide_prior_builder(getter, name, *args, **kwargs):
            tfp = pytest.importorskip("tensorflow_probability")
            return tfp.distributions.Normal(1.0, 0.5)

        module = Scale(
            bbb.bayes_by_backprop_getter(
                prior_builder=wide_prior_builder, kl_builder=bbb.analytic_kl_builder
            )
        )
        module(tf.ones([3]))
        for _ in range(60):
            with tf.GradientTape() as tape:
                module(tf.ones([3]))
                cost = bbb.get_total_kl_cost()
            for variable, gradient in zip(
                module.trainable_variables,
                tape.gradient(cost, module.trainable_variables),
                strict=True,
            ):
                variable.assign_sub(0.1 * gradient)
        loc, rho = module.trainable_variables
        np.testing.assert_allclose(loc, np.ones(3), atol=1e-2)
        np.testing.assert_allclose(tf.nn.softplus(rho), np.full(3, 0.5), atol=1e-2)

    def test_adaptive_prior(self, eager):
        getter = bbb.bayes_by_backprop_getter(prior_builder=bbb.adaptive_gaussian_prior_builder)
        module = Scale(getter)
        module(tf.ones([3]))
        module(tf.ones([3]))
        names = [variable.name for variable in module.trainable_variables]
        assert names == [
            f"scale/w{end}:0"
            for end in ("/posterior_loc", "/posterior_scale", "_prior_loc", "_prior_scale")
        ]
        with tf.GradientTape() as tape:
            cost = bbb.get_total_kl_cost()
        assert all(g is not None for g in tape.gradient(cost, module.trainable_variables))

    def test_modules_that_are_gone_do_not_count(self, eager):
        getter = bbb.bayes_by_backprop_getter()
        kept, gone = Scale(getter, name="kept"), Scale(getter, name="gone")
        for module in (kept, gone):
            module(tf.ones([3]))
        assert [m.scope_name for m in bbb.get_variable_metadata()] == ["kept", "gone"]
        del module, gone
        gc.collect()
        assert [m.scope_name for m in bbb.get_variable_metadata()] == ["kept"]

    def test_same_names_are_kept_apart(self, eager):
        getter = bbb.bayes_by_backprop_getter()
        modules = []

        def construct():
            modules.append(Scale(getter))

        for _ in range(2):  # names are unique within a thread only
            thread = threading.Thread(target=construct)
            thread.start()
            thread.join()
        assert [module.scope_name for module in modules] == ["scale", "scale"]
        for module in modules:
            module(tf.ones([3]))
        first, second = bbb.get_variable_metadata()
        assert first.raw_variable_name == second.raw_variable_name
        assert first.posterior.loc is not second.posterior.loc

    def test_gradients_stopped_by_another_getter(self, eager):
        with tf1.variable_scope("outer", custom_getter=custom_getters.stop_gradient):
            module = Scale(bbb.bayes_by_backprop_getter())
        w = module(tf.ones([3]))
        (metadata,) = bbb.get_variable_metadata()
        np.testing.assert_array_equal(metadata.posterior_estimate, w)
        with tf.GradientTape() as tape:
            cost = bbb.get_total_kl_cost()
        assert tape.gradient(cost, module.trainable_variables) == (None, None)


class TestInFunctions:
    def test_cost_and_gradients_in_a_training_step(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                w = module(tf.ones([3]))
                cost = bbb.get_total_kl_cost()
            return w, cost, tape.gradient(cost, module.trainable_variables)

        drawn = []
        for _ in range(2):
            w, cost, (to_loc, to_rho) = step()
            drawn.append(w)
            np.testing.assert_allclose(cost, stochastic_kl(w), rtol=1e-4)
            # By the path derivative w = loc + scale * noise, with log q(w) free of loc.
            to_w = w / PRIOR_SCALE**2
            noise = (w - LOC) / SCALE
            np.testing.assert_allclose(to_loc, to_w, rtol=1e-4)
            to_scale = noise * to_w - 1 / SCALE
            np.testing.assert_allclose(to_rho, to_scale * scipy.special.expit(RHO), rtol=1e-3)
        assert np.all(drawn[0] != drawn[1])

    def test_function_first_then_eagerly(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(kl_builder=bbb.analytic_kl_builder))
        connect = tf.function(module)
        connect(tf.ones([3]))
        loc, rho = module.trainable_variables
        loc.assign(LOC)
        rho.assign(RHO)
        with tf.GradientTape() as tape:
            cost = bbb.get_total_kl_cost()
        np.testing.assert_allclose(cost, analytic_kl(), rtol=1e-5)
        np.testing.assert_allclose(tape.gradient(cost, loc), LOC / PRIOR_SCALE**2, rtol=1e-5)
        assert len(bbb.get_variable_metadata()) == 1

    def test_eagerly_first_then_in_a_function(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(kl_builder=bbb.analytic_kl_builder))
        module(tf.ones([3]))
        cost = tf.function(bbb.get_total_kl_cost)
        cost()
        module.trainable_variables[0].assign(LOC)
        module.trainable_variables[1].assign(RHO)
        np.testing.assert_allclose(cost(), analytic_kl(), rtol=1e-5)

    def test_inner_function(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(kl_builder=bbb.analytic_kl_builder))
        inner = tf.function(module)

        @tf.function
        def outer():
            return inner(tf.ones([3])), bbb.get_total_kl_cost()

        outer()
        module.trainable_variables[0].assign(LOC)
        module.trainable_variables[1].assign(RHO)
        np.testing.assert_allclose(outer()[1], analytic_kl(), rtol=1e-5)
        assert np.all(inner(tf.ones([3])) != inner(tf.ones([3])))

    def test_compiled(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        module(tf.ones([3]))

        @tf.function(jit_compile=True)
        def step():
            return module(tf.ones([3])), bbb.get_total_kl_cost()

        w, cost = step()
        np.testing.assert_allclose(cost, stochastic_kl(w), rtol=1e-3)

    def test_symbolic_tensors_of_another_getter_do_not_leak(self, eager):
        with tf1.variable_scope("outer", custom_getter=custom_getters.stop_gradient):
            module = Scale(bbb.bayes_by_backprop_getter())
        tf.function(module)(tf.ones([3]))
        with pytest.raises(NotSupportedError, match="can't be built here"):
            bbb.get_total_kl_cost()
        module(tf.ones([3]))
        assert np.isfinite(bbb.get_total_kl_cost())

    def test_mirrored_variables(self, eager):
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        with strategy.scope():
            module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))

        @tf.function
        def step():
            return strategy.run(lambda: (module(tf.ones([3])), bbb.get_total_kl_cost()))

        w, cost = step()
        np.testing.assert_allclose(cost, stochastic_kl(w), rtol=1e-4)
        assert len(bbb.get_variable_metadata()) == 1


def three_steps(module):
    """The weights that a loop of three steps uses."""

    def body(step, outputs):
        return step + 1, outputs.write(step, module(tf.ones([3])))

    outputs = tf.TensorArray(tf.float32, 3, element_shape=[3])
    _, outputs = tf.while_loop(lambda step, _: step < 3, body, [0, outputs])
    return outputs.stack()


class TestLoops:
    def test_same_weights_at_all_steps_in_a_graph(self, graph):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        steps, cost = three_steps(module), bbb.get_total_kl_cost()
        gradients = tf1.gradients([tf.reduce_sum(steps), cost], module.trainable_variables)
        steps, cost, (to_loc, _) = run(steps, cost, gradients)
        np.testing.assert_array_equal(steps[0], steps[1])
        np.testing.assert_array_equal(steps[0], steps[2])
        np.testing.assert_allclose(cost, stochastic_kl(steps[0]), rtol=1e-4)
        np.testing.assert_allclose(to_loc, 3.0 + steps[0] / PRIOR_SCALE**2, rtol=1e-4)

    def test_variables_keep_their_names(self, graph):
        module = Scale(bbb.bayes_by_backprop_getter())
        with tf1.name_scope("ops"):
            three_steps(module)
        names = [variable.op.name for variable in tf1.trainable_variables()]
        assert names == ["scale/w/posterior_loc", "scale/w/posterior_scale"]

    def test_plain_scope_in_a_loop(self, graph):
        getter = bbb.bayes_by_backprop_getter()
        steps = three_steps(lambda inputs: inputs * get_w(getter))
        steps, cost = run(steps, bbb.get_total_kl_cost())
        np.testing.assert_array_equal(steps[0], steps[2])
        assert cost != 0.0
        names = [variable.op.name for variable in tf1.trainable_variables()]
        assert names == ["net/w/posterior_loc", "net/w/posterior_scale"]

    def test_gradient_tape_in_a_graph(self, graph):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        with tf.GradientTape() as tape:
            outputs = tf.reduce_sum(three_steps(module))
        gradients = tape.gradient(outputs, module.trainable_variables)
        np.testing.assert_allclose(run(gradients)[0], [3.0, 3.0, 3.0])

    def test_same_weights_at_all_steps_in_a_function(self, eager):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))

        @tf.function
        def step():
            with tf.GradientTape(persistent=True) as tape:
                steps = three_steps(module)
                cost = bbb.get_total_kl_cost()
            loc, _ = module.trainable_variables
            return steps, cost, tape.gradient(steps, loc), tape.gradient(cost, loc)

        calls = [step() for _ in range(2)]
        for steps, cost, steps_to_loc, cost_to_loc in calls:
            np.testing.assert_array_equal(steps[0], steps[1])
            np.testing.assert_array_equal(steps[0], steps[2])
            np.testing.assert_allclose(cost, stochastic_kl(steps[0]), rtol=1e-4)
            np.testing.assert_allclose(steps_to_loc, [3.0, 3.0, 3.0])
            np.testing.assert_allclose(cost_to_loc, steps[0] / PRIOR_SCALE**2, rtol=1e-4)
        assert np.all(calls[0][0] != calls[1][0])

    def test_function_in_a_graph(self, graph):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        steps = tf.function(lambda: three_steps(module), autograph=False)()
        steps, cost = run(steps, bbb.get_total_kl_cost())
        np.testing.assert_array_equal(steps[0], steps[2])
        np.testing.assert_allclose(cost, stochastic_kl(steps[0]), rtol=1e-4)

    def test_branch_of_a_conditional(self, graph):
        module = Scale(bbb.bayes_by_backprop_getter(posterior_builder=known_posterior_builder))
        chosen = tf1.placeholder(tf.bool, [])
        w = tf.cond(chosen, lambda: module(tf.ones([3])), lambda: tf.zeros([3]))
        w, cost = run(w, bbb.get_total_kl_cost(), feed={chosen: True})
        np.testing.assert_allclose(cost, stochastic_kl(w), rtol=1e-4)

    def test_sampling_mode_outside_the_loop(self, graph):
        mode = tf1.placeholder(tf.string, [])
        module = Scale(
            bbb.bayes_by_backprop_getter(
                posterior_builder=known_posterior_builder, sampling_mode_tensor=mode
            )
        )
        np.testing.assert_allclose(
            run(three_steps(module), feed={mode: "mean"}), np.stack([LOC] * 3)
        )

    def test_control_dependencies_do_not_hold_the_weights_back(self, graph):
        with tf.control_dependencies([tf.debugging.Assert(False, ["not to be run"])]):
            w = get_w(bbb.bayes_by_backprop_getter())
        assert np.all(np.isfinite(run(w)))

    @pytest.mark.parametrize("mode", ["graph", "function"])
    def test_kept_inside_weights_differ_from_step_to_step(self, eager, mode):
        with tf.Graph().as_default() if mode == "graph" else contextlib.nullcontext():
            module = Scale(
                bbb.bayes_by_backprop_getter(
                    posterior_builder=known_posterior_builder,
                    kl_builder=bbb.analytic_kl_builder,
                    keep_control_dependencies=True,
                )
            )
            if mode == "graph":
                steps, cost = run(three_steps(module), bbb.get_total_kl_cost())
            else:
                steps, cost = tf.function(lambda: (three_steps(module), bbb.get_total_kl_cost()))()
        assert np.all(steps[0] != steps[1])
        assert np.all(steps[1] != steps[2])
        np.testing.assert_allclose(cost, analytic_kl(), rtol=1e-5)

    def test_kept_inside_after_a_use_outside(self, graph):
        getter = bbb.bayes_by_backprop_getter(
            posterior_builder=known_posterior_builder, keep_control_dependencies=True
        )
        module = Scale(getter)
        w = module(tf.ones([3]))
        steps, cost, w = run(three_steps(module), bbb.get_total_kl_cost(), w)
        np.testing.assert_allclose(cost, stochastic_kl(w), rtol=1e-4)
        assert np.all(steps[0] != steps[1])


class TestWithoutTensorFlowProbability:
    @pytest.fixture(params=["missing", "unfit"])
    def without(self, request, monkeypatch):
        if request.param == "missing":
            monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
        else:
            unfit = types.ModuleType("tensorflow_probability")
            monkeypatch.setitem(sys.modules, "tensorflow_probability", unfit)

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"posterior_builder": dirac_builder},
            {
                "posterior_builder": dirac_builder,
                "prior_builder": bbb.adaptive_gaussian_prior_builder,
            },
        ],
        ids=["posterior", "fixed prior", "adaptive prior"],
    )
    def test_built_in_distributions_say_what_to_do(self, graph, without, arguments):
        getter = bbb.bayes_by_backprop_getter(**arguments)
        with pytest.raises(ImportError, match=r"pip install 'snt-core\[bayes\]'.*of your own"):
            get_w(getter)

    @pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
    def test_distributions_of_the_user_work(self, eager, without, wrap):
        def cost(posterior, prior, sample):
            return tf.reduce_sum(prior.log_prob(sample))

        module = Scale(dirac_getter(kl_builder=cost))

        @wrap
        def step():
            with tf.GradientTape() as tape:
                w = module(tf.ones([3]))
                total = bbb.get_total_kl_cost()
            return w, total, tape.gradient(total, module.trainable_variables)

        w, total, (gradient,) = step()
        np.testing.assert_allclose(total, -np.sum(np.square(w)), rtol=1e-6)
        np.testing.assert_allclose(gradient, -2 * w, rtol=1e-6)
