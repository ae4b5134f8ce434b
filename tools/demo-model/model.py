"""A small llama-architecture language model in plain JAX.

Parameters live in one flat dict whose keys are the GGUF tensor names and whose
shapes are the GGUF shapes (rows = outputs).  The exporter is then a plain loop,
and there is no second naming scheme to keep in step.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Config:
    vocab: int = 2048
    dim: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    hidden: int = 512
    # What the file declares.  Training rows are shorter, so text that far
    # from its start loses quality, but long prompts stay legal.
    context: int = 4096
    rope_base: float = 10000.0
    norm_eps: float = 1e-5


def init(cfg: Config, seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    # Each layer adds two branches to the residual stream; shrinking what they
    # write keeps the stream's variance independent of depth.
    residual = 0.02 / np.sqrt(2 * cfg.layers)

    def matrix(rows: int, cols: int, std: float = 0.02) -> np.ndarray:
        return rng.normal(0.0, std, (rows, cols)).astype(np.float32)

    def gain() -> np.ndarray:
        return np.ones(cfg.dim, np.float32)

    q, kv = cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
    # No "output.weight": the embedding doubles as the output matrix, which
    # llama.cpp does by itself when that tensor is missing.
    params = {"token_embd.weight": matrix(cfg.vocab, cfg.dim), "output_norm.weight": gain()}
    for i in range(cfg.layers):
        b = f"blk.{i}."
        params[b + "attn_norm.weight"] = gain()
        params[b + "attn_q.weight"] = matrix(q, cfg.dim)
        params[b + "attn_k.weight"] = matrix(kv, cfg.dim)
        params[b + "attn_v.weight"] = matrix(kv, cfg.dim)
        params[b + "attn_output.weight"] = matrix(cfg.dim, q, residual)
        params[b + "ffn_norm.weight"] = gain()
        params[b + "ffn_gate.weight"] = matrix(cfg.hidden, cfg.dim)
        params[b + "ffn_up.weight"] = matrix(cfg.hidden, cfg.dim)
        params[b + "ffn_down.weight"] = matrix(cfg.dim, cfg.hidden, residual)
    return {name: jnp.asarray(value) for name, value in params.items()}


def rms_norm(x: jax.Array, gain: jax.Array, eps: float) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps) * gain


def rope(x: jax.Array, base: float) -> jax.Array:
    """Rotate the pairs (0,1), (2,3), ... of each head; x is [batch, time, heads, head_dim].

    llama.cpp pairs neighbours for this architecture, whereas Hugging Face pairs
    element i with i + head_dim/2.  Training with llama.cpp's convention spares
    the row permutation that converters otherwise apply to Q and K.
    """
    time, width = x.shape[1], x.shape[-1]
    freq = base ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angle = jnp.arange(time, dtype=jnp.float32)[:, None] * freq
    cos, sin = jnp.cos(angle)[:, None, :], jnp.sin(angle)[:, None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def forward(params: dict[str, jax.Array], tokens: jax.Array, cfg: Config, texts: jax.Array | None = None) -> jax.Array:
    """Logits [batch, time, vocab] for token ids [batch, time].

    "texts" numbers the text that each token belongs to; tokens see their own text only.
    """
    batch, time = tokens.shape
    visible = jnp.tril(jnp.ones((time, time), bool))[None]
    if texts is not None:
        visible &= texts[:, :, None] == texts[:, None, :]
    visible = visible[:, None, None]
    group = cfg.heads // cfg.kv_heads
    x = params["token_embd.weight"][tokens]

    for i in range(cfg.layers):
        def w(name: str) -> jax.Array:
            return params[f"blk.{i}.{name}.weight"]

        h = rms_norm(x, w("attn_norm"), cfg.norm_eps)
        q = rope((h @ w("attn_q").T).reshape(batch, time, cfg.heads, cfg.head_dim), cfg.rope_base)
        k = rope((h @ w("attn_k").T).reshape(batch, time, cfg.kv_heads, cfg.head_dim), cfg.rope_base)
        v = (h @ w("attn_v").T).reshape(batch, time, cfg.kv_heads, cfg.head_dim)
        # Grouped-query attention: query head n reads key/value head n // group.
        q = q.reshape(batch, time, cfg.kv_heads, group, cfg.head_dim)
        scores = jnp.einsum("btkgd,bskd->bkgts", q, k) / np.sqrt(cfg.head_dim)
        weights = jax.nn.softmax(jnp.where(visible, scores, -1e9), axis=-1)
        mixed = jnp.einsum("bkgts,bskd->btkgd", weights, v).reshape(batch, time, -1)
        x = x + mixed @ w("attn_output").T

        h = rms_norm(x, w("ffn_norm"), cfg.norm_eps)
        x = x + (jax.nn.silu(h @ w("ffn_gate").T) * (h @ w("ffn_up").T)) @ w("ffn_down").T

    return rms_norm(x, params["output_norm.weight"], cfg.norm_eps) @ params["token_embd.weight"].T


def loss(params: dict[str, jax.Array], tokens: jax.Array, learn: jax.Array, texts: jax.Array, cfg: Config) -> jax.Array:
    """Mean next-token cross-entropy, in nats, over the tokens that "learn" marks."""
    logits = forward(params, tokens[:, :-1], cfg, texts[:, :-1])
    target = jnp.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    weight = learn[:, 1:]
    return jnp.sum((jax.nn.logsumexp(logits, axis=-1) - target) * weight) / jnp.sum(weight)
