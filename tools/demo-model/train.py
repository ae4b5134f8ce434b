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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import optax
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
import model
from export import END_OF_TEXT, export

# Almost every story fits into SHORT tokens.  Every sixteenth batch is a LONG one,
# in which texts see those before them, so that a long prompt is not strange.
SHORT, SHORT_ROWS = 320, 8
LONG, LONG_ROWS, LONG_EVERY = 1024, 2, 16
HELD_OUT = 100
PEAK_LR, FINAL_LR, WARMUP = 3e-3, 1e-4, 0.03

# Token ids, whether to predict them (0 or 1), and the number of their text.
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Data:
    """The texts as rows: alone, in a row of many, and those kept from training."""

    short: Rows
    long: Rows
    held_out: Rows


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


def pack(tokenizer: Tokenizer, texts: list[corpus.Text], length: int, apart: bool) -> Rows:
    """Fit whole texts into rows of length + 1 tokens; see Rows.

    A text that is cut in two teaches the model to name people who were never
    introduced, so each goes where there is room for all of it.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    prompts = tokenizer.encode_batch([text.prompt for text in texts])
    bodies = tokenizer.encode_batch([text.body for text in texts])
    rows: list[list[tuple[int, int, int]]] = []
    open_rows: list[list[tuple[int, int, int]]] = []
    for number, (prompt, body) in enumerate(zip(prompts, bodies)):
        mark = number if apart else 0
        text = [(end, 0, mark)] + [(i, 0, mark) for i in prompt.ids] + [(i, 1, mark) for i in body.ids + [end]]
        text = text[: length + 1]
        row = next((row for row in open_rows if len(row) + len(text) <= length + 1), None)
        if row is None:
            row = []
            rows.append(row)
            # Few texts are short enough for the rows that have been open longest.
            open_rows = open_rows[-50:] + [row]
        row += text
    for row in rows:
        row += [(end, 0, -1)] * (length + 1 - len(row))
    return tuple(np.ascontiguousarray(part) for part in np.moveaxis(np.asarray(rows, np.int32), -1, 0))


def batches(rows: Rows, size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Endless batches, each pass over the rows in another order."""
    while True:
        order = rng.permutation(len(rows[0]))
        for i in range(0, len(order) - size + 1, size):
            yield tuple(part[order[i : i + size]] for part in rows)


def learning_rate(progress: float) -> float:
    if progress < WARMUP:
        return PEAK_LR * (progress + 0.002) / WARMUP
    done = (progress - WARMUP) / (1 - WARMUP)
    return FINAL_LR + (PEAK_LR - FINAL_LR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(cfg: model.Config, data: Data, args: argparse.Namespace) -> dict[str, np.ndarray]:
    params = model.init(cfg, args.seed)
    # Only matrices decay: pulling a norm gain towards zero would fight its purpose.
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(b1=0.9, b2=0.95),
        optax.add_decayed_weights(0.1, mask=lambda tree: jax.tree.map(lambda p: p.ndim == 2, tree)),
    )
    state = optimizer.init(params)

    def step_fn(params, state, batch, lr):
        value, grads = jax.value_and_grad(model.loss)(params, *batch, cfg)
        updates, state = optimizer.update(grads, state, params)
        return jax.tree.map(lambda p, u: p - lr * u, params, updates), state, value

    step_fn = jax.jit(step_fn, donate_argnums=(0, 1))
    evaluate = jax.jit(lambda params, batch: model.loss(params, *batch, cfg))
    rng = np.random.default_rng(args.seed)
    short, long = batches(data.short, SHORT_ROWS, rng), batches(data.long, LONG_ROWS, rng)

    started, step, progress, mean = time.monotonic(), 0, 0.0, None
    while progress < 1.0:
        batch = next(long if step % LONG_EVERY == LONG_EVERY - 1 else short)
        params, state, value = step_fn(params, state, batch, learning_rate(progress))
        step += 1
        mean = float(value) if mean is None else 0.99 * mean + 0.01 * float(value)
        elapsed = time.monotonic() - started
        progress = elapsed / (60 * args.minutes) if args.minutes else step / args.steps
        if step % 100 == 0 or progress >= 1.0:
            print(
                f"step {step}  loss {mean:.3f}  held out {float(evaluate(params, data.held_out)):.3f}  {elapsed:.0f}s",
                flush=True,
            )
    return {name: np.asarray(value) for name, value in params.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo.gguf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=int, default=60000, help="how many texts to generate")
    parser.add_argument("--steps", type=int, default=2500, help="training steps")
    parser.add_argument("--minutes", type=float, help="train for this long instead of --steps")
    parser.add_argument("--checkpoint", type=Path, help="also save tokenizer.json and weights.npz in this folder")
    args = parser.parse_args()

    cfg = model.Config()
    texts = corpus.generate(args.texts, random.Random(args.seed))
    # Prompts stay out of this: their stray words are not worth an entry.
    tokenizer = train_tokenizer([text.body for text in texts[:20000]], cfg.vocab)
    if tokenizer.get_vocab_size() != cfg.vocab:
        raise SystemExit(f"only {tokenizer.get_vocab_size()} of {cfg.vocab} token entries: generate more --texts")
    kept, fresh = texts[:-HELD_OUT], texts[-HELD_OUT:]
    data = Data(
        short=pack(tokenizer, kept, SHORT, apart=True),
        long=pack(tokenizer, kept[-5000:], LONG, apart=False),
        held_out=pack(tokenizer, fresh, SHORT, apart=True),
    )
    print(f"{len(texts)} texts, {data.short[1].sum() / 1e6:.1f}M tokens", flush=True)

    params = train(cfg, data, args)
    if args.checkpoint:
        args.checkpoint.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(args.checkpoint / "tokenizer.json"))
        np.savez(args.checkpoint / "weights.npz", **params)
    export(args.out, params, tokenizer, cfg)
    count = sum(p.size for p in params.values())
    print(f"{args.out}: {count / 1e6:.2f}M parameters, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
