"""Train the demo model from nothing and write it as a GGUF file.

    python train.py --out ../../models/demo.gguf

Everything comes from --seed: the stories, the tokenizer, the first weights and
the order of the batches.  With --steps a run repeats itself; with --minutes it
stops by the clock, which is handy for a quick look but depends on the machine.
"""

import argparse
import math
import random
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
import model
from export import END_OF_TEXT, export

BATCH_TOKENS = 2048
SHORT, LONG = 256, 1024
# Short windows teach the language at the lowest cost; the last part of the run
# uses long ones so that positions past the first few hundred are not strange.
LONG_PART = 0.1
HELD_OUT = 500
PEAK_LR, FINAL_LR, WARMUP = 3e-3, 1e-4, 0.03


def train_tokenizer(texts: list[str], vocab: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END_OF_TEXT],
        # All 256 bytes, seen or not: any UTF-8 text then has a tokenization.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[corpus.Text]) -> tuple[np.ndarray, np.ndarray]:
    """All texts in one stream, each opened by the end-of-text token.

    The second array says which tokens the model has to predict.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    prompts = tokenizer.encode_batch([text.prompt for text in texts])
    bodies = tokenizer.encode_batch([text.body for text in texts])
    ids: list[int] = []
    learn: list[bool] = []
    for prompt, body in zip(prompts, bodies):
        ids += [end, *prompt.ids, *body.ids]
        learn += [True] + [False] * len(prompt.ids) + [True] * len(body.ids)
    return np.asarray(ids, np.int32), np.asarray(learn, np.float32)


def batches(stream: tuple[np.ndarray, np.ndarray], length: int, rng: np.random.Generator):
    """Endless batches of windows; each pass cuts the stream elsewhere."""
    size = BATCH_TOKENS // length
    while True:
        shift = int(rng.integers(length))
        count = (len(stream[0]) - shift - 1) // length
        starts = shift + length * rng.permutation(count)
        for i in range(0, count - size + 1, size):
            yield tuple(np.stack([part[s : s + length + 1] for s in starts[i : i + size]]) for part in stream)


def learning_rate(progress: float) -> float:
    if progress < WARMUP:
        return PEAK_LR * (progress + 0.002) / WARMUP
    done = (progress - WARMUP) / (1 - WARMUP)
    return FINAL_LR + (PEAK_LR - FINAL_LR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(cfg: model.Config, stream, held_out, args: argparse.Namespace):
    params = model.init(cfg, args.seed)
    # Only matrices decay: pulling a norm gain towards zero would fight its purpose.
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(b1=0.9, b2=0.95),
        optax.add_decayed_weights(0.1, mask=lambda tree: jax.tree.map(lambda p: p.ndim == 2, tree)),
    )
    state = optimizer.init(params)

    def step_fn(params, state, window, lr):
        value, grads = jax.value_and_grad(model.loss)(params, *window, cfg)
        updates, state = optimizer.update(grads, state, params)
        return jax.tree.map(lambda p, u: p - lr * u, params, updates), state, value

    step_fn = jax.jit(step_fn, donate_argnums=(0, 1))
    evaluate = jax.jit(lambda params, window: model.loss(params, *window, cfg))
    rng = np.random.default_rng(args.seed)
    short, long = batches(stream, SHORT, rng), batches(stream, LONG, rng)
    test = next(batches(held_out, SHORT, np.random.default_rng(0)))

    started, step, progress, mean = time.monotonic(), 0, 0.0, None
    while progress < 1.0:
        window = next(long if progress > 1 - LONG_PART else short)
        params, state, value = step_fn(params, state, window, learning_rate(progress))
        step += 1
        mean = float(value) if mean is None else 0.99 * mean + 0.01 * float(value)
        elapsed = time.monotonic() - started
        progress = elapsed / (60 * args.minutes) if args.minutes else step / args.steps
        if step % 100 == 0 or progress >= 1.0:
            print(
                f"step {step}  {step * BATCH_TOKENS / 1e6:.2f}M tokens  loss {mean:.3f}  "
                f"held out {float(evaluate(params, test)):.3f}  {elapsed:.0f}s",
                flush=True,
            )
    return {name: np.asarray(value) for name, value in params.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo.gguf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=int, default=60000, help="how many texts to generate")
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--minutes", type=float, help="train for this long instead of --steps")
    parser.add_argument("--checkpoint", type=Path, help="also save tokenizer.json and weights.npz in this folder")
    args = parser.parse_args()

    cfg = model.Config()
    texts = corpus.generate(args.texts, random.Random(args.seed))
    # Prompts stay out of this: their stray words are not worth an entry.
    tokenizer = train_tokenizer([text.body for text in texts[:20000]], cfg.vocab)
    if tokenizer.get_vocab_size() != cfg.vocab:
        raise SystemExit(f"only {tokenizer.get_vocab_size()} of {cfg.vocab} token entries: generate more --texts")
    held_out = encode(tokenizer, texts[-HELD_OUT:])
    stream = encode(tokenizer, texts[:-HELD_OUT])
    print(f"{len(texts)} texts, {len(stream[0]) / 1e6:.1f}M tokens", flush=True)

    params = train(cfg, stream, held_out, args)
    if args.checkpoint:
        args.checkpoint.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(args.checkpoint / "tokenizer.json"))
        np.savez(args.checkpoint / "weights.npz", **params)
    export(args.out, params, tokenizer, cfg)
    count = sum(p.size for p in params.values())
    print(f"{args.out}: {count / 1e6:.2f}M parameters, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
