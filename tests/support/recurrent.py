"""Recurrent cores in NumPy, step by step, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_step(
    weights: Weights,
    x: Array,
    state: tuple[Array, Array],
    forget_bias: float = 1.0,
    hidden_clip_value: float = np.inf,
    cell_clip_value: float = np.inf,
) -> tuple[Array, tuple[Array, Array]]:
    """Takes a step of an LSTM; it has peepholes and so on if there are such weights."""
    h = np.clip(state[0], -hidden_clip_value, hidden_clip_value)
    c = np.clip(state[1], -cell_clip_value, cell_clip_value)
    g = np.concatenate([x, h], axis=1) @ weights["w_gates"]
    if "layer_norm/gamma" in weights:
        g = g - g.mean(axis=1, keepdims=True)
        g = g / np.sqrt((g**2).mean(axis=1, keepdims=True) + 1e-5)
        g = g * weights["layer_norm/gamma"] + weights["layer_norm/beta"]
    g = g + weights["b_gates"]
    size = c.shape[1]
    i, j, f, o = (g[:, k * size : (k + 1) * size] for k in range(4))
    peepholes = "w_f_diag" in weights
    if peepholes:
        f = f + weights["w_f_diag"] * c
        i = i + weights["w_i_diag"] * c
    new_c = sigmoid(f + forget_bias) * c + sigmoid(i) * np.tanh(j)
    seen = new_c + weights["w_o_diag"] * new_c if peepholes else new_c
    new_h = np.tanh(seen) * sigmoid(o)
    if "w_h_projection" in weights:
        new_h = new_h @ weights["w_h_projection"]
    return new_h, (new_h, new_c)


def gru_step(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    z = sigmoid(x @ w["wz"] + h @ w["uz"] + w["bz"])
    r = sigmoid(x @ w["wr"] + h @ w["ur"] + w["br"])
    candidate = np.tanh(x @ w["wh"] + (r * h) @ w["uh"] + w["bh"])
    h = (1 - z) * h + z * candidate
    return h, h


def highway_step(w: Weights, x: Array, s: Array) -> tuple[Array, Array]:
    for layer in range((len(w) - 2) // 4):
        from_x = (x @ w["wt"], x @ w["wh"]) if layer == 0 else (0, 0)
        t = sigmoid(s @ w[f"wt{layer}"] + w[f"bt{layer}"] + from_x[0])
        u = np.tanh(s @ w[f"wh{layer}"] + w[f"bh{layer}"] + from_x[1])
        s = s * (1 - t) + u * t
    return s, s


def vanilla_step(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    inputs = x @ w["in_to_hidden/w"] + w["in_to_hidden/b"]
    h = np.tanh(inputs + h @ w["hidden_to_hidden/w"] + w["hidden_to_hidden/b"])
    return h, h


def unroll(step: Any, weights: Weights, inputs: Array, state: Any) -> tuple[Array, Any]:
    """Applies a step to each of the inputs, `[time, batch, features]`."""
    outputs = []
    for x in inputs:
        output, state = step(weights, x, state)
        outputs.append(output)
    return np.stack(outputs), state


def differences(function: Any, arrays: list[Array], epsilon: float = 1e-5) -> list[Array]:
    """Returns the derivatives of a scalar function of arrays, by central differences."""
    results = []
    for k, array in enumerate(arrays):
        result = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                changed = array.copy()
                changed[at] += sign * epsilon
                sides.append(function(*arrays[:k], changed, *arrays[k + 1 :]))
            result[at] = (sides[0] - sides[1]) / (2 * epsilon)
        results.append(result)
    return results
