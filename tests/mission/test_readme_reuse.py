"""The README's programs with `snt.experimental.reuse_vars`."""
# ruff: noqa: UP008 - the constructors are as they stand in the README

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from sonnet import experimental
from tests.support.modes import Mode


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class Reusable:
    def __init__(self, name):
        with tf.variable_scope(name) as vs:
            self.variable_scope = vs

    @snt.experimental.reuse_vars
    def reusable_var(self):
        return tf.get_variable("a", shape=[1])


def test_reusable() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        obj = Reusable("reusable")
        a1 = obj.reusable_var()
        a2 = obj.reusable_var()
        assert a1 is a2
        assert [v.op.name for v in tf.global_variables()] == ["reusable/a"]
        session.run(tf.global_variables_initializer())
        assert session.run(a1) == session.run(a2)


def test_reusable_is_for_graphs_only() -> None:
    obj = Reusable("reusable")
    with pytest.raises(ValueError, match="not supported in eager mode except in Sonnet modules"):
        obj.reusable_var()


class NaiveAutoEncoder(snt.AbstractModule):
    def __init__(self, n_latent, n_out, name="naive_auto_encoder"):
        super(NaiveAutoEncoder, self).__init__(name=name)
        self._n_latent = n_latent
        self._n_out = n_out

    @experimental.reuse_vars
    def encode(self, input):
        """Builds the front half of AutoEncoder, inputs -> latents."""
        w_enc = tf.get_variable("w_enc", shape=[self._n_out, self._n_latent])
        b_enc = tf.get_variable("b_enc", shape=[self._n_latent])
        return tf.sigmoid(tf.matmul(input, w_enc) + b_enc)

    @experimental.reuse_vars
    def decode(self, latents):
        """Builds the back half of AutoEncoder, latents -> reconstruction."""
        w_rec = tf.get_variable("w_rec", shape=[self._n_latent, self._n_out])
        b_rec = tf.get_variable("b_rec", shape=[self._n_out])
        return tf.sigmoid(tf.matmul(latents, w_rec) + b_rec)

    def _build(self, input):
        """Builds the 'full' AutoEncoder, ie input -> latents -> reconstruction."""
        latents = self.encode(input)
        return self.decode(latents)


class NaiveAutoEncoderAsWritten(NaiveAutoEncoder):
    def __init__(self, n_latent, n_out, name="naive_auto_encoder"):
        super(NaiveAutoEncoder, self).__init__(name)


def test_a_positional_name_is_refused() -> None:
    with pytest.raises(ValueError, match="without named arguments"):
        NaiveAutoEncoderAsWritten(n_latent=2, n_out=10)


def test_naive_auto_encoder() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        batch_size = 5
        n_in = 10
        n_out = n_in
        n_latent = 2
        nae = NaiveAutoEncoder(n_latent=n_latent, n_out=n_out)
        inputs = tf.placeholder(tf.float32, shape=[batch_size, n_in])
        latents = tf.placeholder(tf.float32, shape=[batch_size, n_latent])

        # Connecting the default way calls build(), producing 'full' AutoEncoder.
        reconstructed_from_input = nae(inputs)
        # Connecting with one of the other methods might only require some subset of the
        # variables, but sharing will still work.
        reconstructed_from_latent = nae.decode(latents)

        session.run(tf.global_variables_initializer())
        check_auto_encoder(
            nae,
            session.run(nae.get_variables()),
            lambda x: session.run(reconstructed_from_input, {inputs: x}),
            lambda z: session.run(reconstructed_from_latent, {latents: z}),
        )


def check_auto_encoder(nae: Any, values: Any, reconstruct: Any, decode: Any) -> None:
    named = {v.name: value for v, value in zip(nae.get_variables(), values, strict=True)}
    assert sorted(named) == [
        "naive_auto_encoder/b_enc:0",
        "naive_auto_encoder/b_rec:0",
        "naive_auto_encoder/w_enc:0",
        "naive_auto_encoder/w_rec:0",
    ]
    b_enc, b_rec, w_enc, w_rec = (named[name] for name in sorted(named))
    random = np.random.default_rng(0)
    x = random.normal(size=(5, 10)).astype(np.float32)
    z = random.normal(size=(5, 2)).astype(np.float32)
    full = sigmoid(sigmoid(x @ w_enc + b_enc) @ w_rec + b_rec)
    np.testing.assert_allclose(reconstruct(x), full, 1e-5)
    np.testing.assert_allclose(decode(z), sigmoid(z @ w_rec + b_rec), 1e-5)


@pytest.mark.parametrize("order", ["build first", "decode first", "encode first"])
def test_naive_auto_encoder_in_any_order(order: str, mode: Mode) -> None:
    nae = NaiveAutoEncoder(n_latent=2, n_out=10)
    x, z = np.zeros([5, 10], np.float32), np.zeros([5, 2], np.float32)
    if order == "decode first":
        mode.run(nae.decode, z)
        assert [v.name for v in nae.variables] == [
            "naive_auto_encoder/b_rec:0",
            "naive_auto_encoder/w_rec:0",
        ]
    elif order == "encode first":
        mode.run(nae.encode, x)
        assert len(nae.variables) == 2
    mode.run(nae, x)
    check_auto_encoder(
        nae,
        mode.values(nae.get_variables()),
        lambda x: mode.run(nae, x),
        lambda z: mode.run(nae.decode, z),
    )


class BadReusable:
    def __init__(self, name):
        with tf.variable_scope(name) as vs:
            self.variable_scope = vs

    @snt.experimental.reuse_vars
    def reusable_var(self):
        return tf.get_variable("a", shape=[1])

    @snt.experimental.reuse_vars
    def another_reusable_var(self):
        return tf.get_variable("a", shape=[1])


def test_bad_reusable() -> None:
    with tf.Graph().as_default():
        obj = BadReusable("bad_reusable")
        obj.reusable_var()
        with pytest.raises(ValueError, match=r"bad_reusable/a already exists, disallowed"):
            obj.another_reusable_var()  # Raises a ValueError because `reuse=False`


class BadModule(snt.AbstractModule):
    """The same with a module, whose `_build` asks for a variable of a method."""

    @snt.experimental.reuse_vars
    def a(self):
        return tf.get_variable("a", shape=[1]) + 0.0

    def _build(self):
        return tf.get_variable("a", shape=[1]) + 0.0


@pytest.mark.parametrize("method_first", [True, False])
def test_bad_reusable_module(method_first: bool, mode: Mode) -> None:
    module = BadModule(name="bad")
    calls = [module.a, module] if method_first else [module, module.a]
    mode.run(calls[0])
    with pytest.raises(ValueError, match=r"bad/a already exists, disallowed"):
        mode.run(calls[1])
