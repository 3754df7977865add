"""Transformers in NumPy, written down step by step and head by head."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]


def softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def encoding(position: float, size: int) -> Array:
    """Returns the encoding of one position."""
    waves = [10000 ** (-j / size) for j in range(0, size, 2)]
    return np.array([np.sin(position * w) for w in waves] + [np.cos(position * w) for w in waves])


def layer_norm(x: Array, weights: Weights, scope: str) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    normed = (x - mean) / np.sqrt(variance + 1e-5)
    return normed * weights[f"{scope}/gamma"] + weights[f"{scope}/beta"]


def mlp(x: Array, weights: Weights, scope: str, activate_final: bool = False) -> Array:
    num_layers = sum(name.startswith(f"{scope}/linear_") for name in weights) // 2
    for i in range(num_layers):
        x = x @ weights[f"{scope}/linear_{i}/w"] + weights[f"{scope}/linear_{i}/b"]
        if i < num_layers - 1 or activate_final:
            x = np.maximum(x, 0)
    return x


def heads(x: Array, w: Array, num_heads: int) -> Array:
    """Returns `[batch, heads, time, size]`."""
    size = w.shape[1] // num_heads
    return np.stack([x @ w[:, h * size : (h + 1) * size] for h in range(num_heads)], axis=1)


def attention(
    x: Array,
    memories: list[Array],
    weights: Weights,
    num_heads: int,
    relative: bool,
    causal: bool = True,
    clamp: float = 0,
    equal_window: bool = False,
) -> tuple[Array, Array]:
    """Attends from `x` to memories, oldest first, and to `x` itself.

    Returns:
        Outputs, and the weights of attention.
    """
    batch, num_steps, features = x.shape
    sizes = [memory.shape[1] for memory in memories] or [0]
    attended = np.concatenate([*memories, x], axis=1)
    total = sum(sizes)

    def clamped(distance: int) -> float:
        return min(distance, clamp) if clamp > 0 else distance

    keyed, queried = attended, x
    if not relative:
        newest_first = [encoding(clamped(d), features) for d in range(total + num_steps)]
        keyed = attended + np.array(newest_first[::-1])
        queried = x + np.array(newest_first[:num_steps][::-1])
    queries = heads(queried, weights["query/linear/w"], num_heads)
    keys = heads(keyed, weights["key/linear/w"], num_heads)
    values = heads(attended, weights["value/linear/w"], num_heads)
    key_size = queries.shape[-1]
    queries = queries / np.sqrt(key_size)

    logits = np.full([batch, num_heads, num_steps, total + num_steps], -np.inf)
    for i in range(num_steps):
        for j in range(total + num_steps):
            if causal and j > total + i:
                continue
            if equal_window and j < min(i, num_steps):
                continue
            for h in range(num_heads):
                if not relative:
                    logits[:, h, i, j] = np.sum(queries[:, h, i] * keys[:, h, j], -1)
                    continue
                content = queries[:, h, i] + weights["r_w_bias"][0, h, 0]
                logits[:, h, i, j] = np.sum(content * keys[:, h, j], -1)
                # Each kind of memory counts distances as if nothing stood between it and `x`.
                is_old = len(sizes) == 2 and j < sizes[0]
                kind, distance = ("_0", sizes[0] + i - j) if is_old else ("", total + i - j)
                if not causal and distance < 0:
                    raise NotImplementedError("relative positions of the future have no meaning")
                key = encoding(clamped(distance), features)
                key = key @ weights[f"relative_keys{kind}/linear/w"]
                key = key[h * key_size : (h + 1) * key_size]
                positioned = queries[:, h, i] + weights[f"r_r_bias{kind}"][0, h, 0]
                logits[:, h, i, j] += positioned @ key
    attention_weights = softmax(logits)
    read = np.concatenate([attention_weights[:, h] @ values[:, h] for h in range(num_heads)], -1)
    return read @ weights["linear/w"] + weights["linear/b"], attention_weights


def below(weights: Weights, scope: str) -> Weights:
    """Returns the weights in a scope, by their names in there."""
    prefix = f"{scope}/"
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def tower(
    x: Array, states: list[list[Array]], weights: Weights, num_heads: int, **options: Any
) -> tuple[Array, list[Array]]:
    """Applies a tower with layer normalisation of inputs.

    Args:
        x: `[batch, time, features]`.
        states: The memories of each layer, oldest first.
        weights: Weights by name.
        num_heads: Number of heads.
        **options: As for `attention`.

    Returns:
        Outputs, and what entered the attention of each layer.
    """
    embeddings = []
    for i, memories in enumerate(states):
        layer = below(weights, f"layer_{i}")
        normed = layer_norm(x, layer, "residual_dropout_wrapper/layer_norm")
        embeddings.append(normed)
        x = (
            x
            + attention(
                normed, memories, below(layer, "multihead_attention"), num_heads, **options
            )[0]
        )
        normed = layer_norm(x, layer, "residual_dropout_wrapper_1/layer_norm")
        x = x + mlp(normed, layer, "mlp")
    if "linear/w" in weights:
        x = x @ weights["linear/w"]
    return x, embeddings


def weights_of(module: Any, mode: Any, seed: int = 1, scale: float = 0.4) -> Weights:
    """Gives the variables of a module random values, and returns them by name."""
    random = np.random.default_rng(seed)
    prefix = f"{module.scope_name}/"
    weights = {}
    for variable in module.variables:
        value = scale * random.normal(size=variable.shape)
        mode.assign(variable, value.astype(variable.dtype.as_numpy_dtype))
        weights[variable.name.removesuffix(":0").removeprefix(prefix)] = value
    return weights
