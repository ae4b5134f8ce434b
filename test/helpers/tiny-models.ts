/**
 * Writes tiny GGUF files of architectures whose state cannot be cut short at will. Their weights are random, so their text is noise; their
 * tokenizer is the demo model's.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { LLAMA } from "./engines.ts";
import { float32, headOf, keyOf, padded, stringsIn, text, tokenizerOf, uint32, uint64, VALUE } from "./gguf.ts";
import { seeded } from "./seeded.ts";
import { sentencePieceTokenizer } from "./sentence-piece.ts";

const WIDTH = 64;
const LAYERS = 4;
const HIDDEN = 128;
const HEADS = 2;
const VOCABULARY = 2048;
/** Tokens. */
export const TRAINED_CONTEXT = 1024;
export const WINDOW = 32;
/** Tokens of the model for embeddings. */
export const EMBEDDING_CONTEXT = 64;
/** Of the state space model. */
const STATE = { inner: 2 * WIDTH, size: 8, convolution: 4, timeStepRank: 4 };

/** A plain number is a uint32. */
type Metadata = Readonly<
  Record<
    string,
    string | number | boolean | { readonly float: number } | { readonly int32: number } | { readonly uint16: number }
  >
>;

interface Tensor {
  readonly name: string;
  /** The length of a row first. */
  readonly dimensions: readonly number[];
  readonly value: (random: () => number, row: number, column: number) => number;
}

/** Three layers of four see the last `WINDOW` tokens only. */
export function writeSlidingWindowModel(path: string): void {
  writeFileSync(path, whole(slidingWindowModel()));
}

/** As that one, but for tokens that stand for zeros, and so does a text of nothing else. */
export function writeModelOfZeros(path: string, ...tokens: number[]): void {
  const { metadata, tensors } = slidingWindowModel();
  const withZeros = tensors.map((tensor): Tensor => {
    const { name, value } = tensor;
    if (name !== "token_embd.weight") return tensor;
    return { ...tensor, value: (random, row, column) => value(random, row, column) * Number(!tokens.includes(row)) };
  });
  writeFileSync(path, whole({ metadata, tensors: withZeros }));
}

/** As the first one, with another kind of vocabulary, and a chat template. */
export function writeSentencePieceModel(path: string): void {
  const { metadata, tensors } = slidingWindowModel();
  const others = metadata.filter((entry) => !keyOf(entry).startsWith("tokenizer."));
  writeFileSync(path, whole({ metadata: [...others, ...sentencePieceTokenizer(VOCABULARY)], tensors }));
}

/** It computes nothing but NaN, whatever it is asked. */
export function writeBrokenModel(path: string): void {
  const { tensors, ...rest } = slidingWindowModel();
  const broken = tensors.map((tensor) =>
    tensor.name === "output_norm.weight" ? { ...tensor, value: () => NaN } : tensor,
  );
  writeFileSync(path, whole({ ...rest, tensors: broken }));
}

/** In two parts: what is said of the model, then its weights. @returns their paths */
export function writeSplitModel(stem: string): [string, string] {
  const { metadata, tensors } = slidingWindowModel();
  const partOf = (number: number) => [
    pairOf("split.no", { uint16: number }),
    pairOf("split.count", { uint16: 2 }),
    pairOf("split.tensors.count", { int32: tensors.length }),
  ];
  const paths: [string, string] = [`${stem}-00001-of-00002.gguf`, `${stem}-00002-of-00002.gguf`];
  writeFileSync(paths[0], whole({ metadata: [...metadata, ...partOf(0)], tensors: [] }));
  writeFileSync(paths[1], whole({ metadata: partOf(1), tensors }));
  return paths;
}

function slidingWindowModel(): Model {
  const metadata: Metadata = {
    "general.architecture": "cohere2",
    "cohere2.context_length": TRAINED_CONTEXT,
    "cohere2.embedding_length": WIDTH,
    "cohere2.block_count": LAYERS,
    "cohere2.feed_forward_length": HIDDEN,
    "cohere2.attention.head_count": HEADS,
    "cohere2.attention.head_count_kv": HEADS,
    "cohere2.attention.sliding_window": WINDOW,
    "cohere2.attention.layer_norm_epsilon": { float: 1e-5 },
    "cohere2.rope.dimension_count": WIDTH / HEADS,
    "cohere2.logit_scale": { float: 1 },
  };
  const layer = (block: string) => [
    ones(`${block}.attn_norm.weight`, WIDTH),
    ...["q", "k", "v", "output"].map((part) => noise(`${block}.attn_${part}.weight`, WIDTH, WIDTH)),
    noise(`${block}.ffn_gate.weight`, WIDTH, HIDDEN),
    noise(`${block}.ffn_up.weight`, WIDTH, HIDDEN),
    noise(`${block}.ffn_down.weight`, HIDDEN, WIDTH),
  ];
  return modelOf(metadata, layer);
}

/**
 * A model for embeddings alone: each token sees all the others, and a vector is the mean over all tokens.
 * @param isBroken whether its vectors are of NaN
 */
export function writeEmbeddingModel(path: string, isBroken = false): void {
  const metadata: Metadata = {
    "general.architecture": "bert",
    "bert.context_length": EMBEDDING_CONTEXT,
    "bert.embedding_length": WIDTH,
    "bert.block_count": LAYERS,
    "bert.feed_forward_length": HIDDEN,
    "bert.attention.head_count": HEADS,
    "bert.attention.layer_norm_epsilon": { float: 1e-12 },
    "bert.attention.causal": false,
    "bert.pooling_type": 1,
    "tokenizer.ggml.token_type_count": 1,
  };
  const layer = (block: string) => [
    ...["q", "k", "v", "output"].flatMap((part) => linear(`${block}.attn_${part}`, WIDTH, WIDTH)),
    ...norm(`${block}.attn_output_norm`),
    ...linear(`${block}.ffn_up`, WIDTH, HIDDEN),
    ...linear(`${block}.ffn_down`, HIDDEN, WIDTH),
    ...norm(`${block}.layer_output_norm`),
  ];
  const { metadata: pairs, tensors } = modelOf(metadata, layer);
  const own = [
    noise("position_embd.weight", WIDTH, EMBEDDING_CONTEXT),
    noise("token_types.weight", WIDTH, 1),
    ...norm("token_embd_norm"),
  ];
  const all = [...tensors.filter(({ name }) => name !== "output_norm.weight"), ...own];
  const last = `blk.${LAYERS - 1}.layer_output_norm.bias`;
  const broken = all.map((tensor) => (isBroken && tensor.name === last ? { ...tensor, value: () => NaN } : tensor));
  writeFileSync(path, whole({ metadata: pairs, tensors: broken }));
}

function linear(name: string, from: number, to: number): Tensor[] {
  return [noise(`${name}.weight`, from, to), noise(`${name}.bias`, to)];
}

function norm(name: string): Tensor[] {
  return [ones(`${name}.weight`, WIDTH), noise(`${name}.bias`, WIDTH)];
}

/** Its state is the sum of all tokens so far. */
export function writeRecurrentModel(path: string): void {
  writeFileSync(path, whole(recurrentModel()));
}

/**
 * Generates this token for ever, until it has seen one whose text has `poison` in it: from then on it computes nothing but NaN.
 * @param token as the vocabulary spells it
 */
export function writeOneTokenModel(path: string, token: string, poison: string): void {
  const { metadata, tensors } = recurrentModel();
  const texts = stringsIn(metadata.find((entry) => keyOf(entry) === "tokenizer.ggml.tokens")!);
  const wanted = texts.indexOf(token);
  // The first number of each token's state is by far the largest, and says which token is next.
  const embedding: Tensor = {
    name: "token_embd.weight",
    dimensions: [WIDTH, VOCABULARY],
    value: (random, row, column) => (texts[row]!.includes(poison) ? NaN : column === 0 ? 100 : random() - 0.5),
  };
  const output: Tensor = {
    name: "output.weight",
    dimensions: [WIDTH, VOCABULARY],
    value: (_, row, column) => (column === 0 ? (row === wanted ? 1 : -1) : 0),
  };
  const others = tensors.filter(({ name }) => name !== embedding.name);
  writeFileSync(path, whole({ metadata, tensors: [embedding, output, ...others] }));
}

function recurrentModel(): Model {
  const { inner, size, convolution, timeStepRank } = STATE;
  const metadata: Metadata = {
    "general.architecture": "mamba",
    "mamba.context_length": TRAINED_CONTEXT,
    "mamba.embedding_length": WIDTH,
    "mamba.block_count": LAYERS,
    "mamba.feed_forward_length": 0,
    "mamba.attention.head_count": 0,
    "mamba.attention.layer_norm_rms_epsilon": { float: 1e-5 },
    "mamba.ssm.conv_kernel": convolution,
    "mamba.ssm.inner_size": inner,
    "mamba.ssm.state_size": size,
    "mamba.ssm.time_step_rank": timeStepRank,
  };
  const layer = (block: string) => [
    ones(`${block}.attn_norm.weight`, WIDTH),
    noise(`${block}.ssm_in.weight`, WIDTH, 2 * inner),
    noise(`${block}.ssm_conv1d.weight`, convolution, inner),
    noise(`${block}.ssm_conv1d.bias`, inner),
    noise(`${block}.ssm_x.weight`, inner, timeStepRank + 2 * size),
    noise(`${block}.ssm_dt.weight`, timeStepRank, inner),
    noise(`${block}.ssm_dt.bias`, inner),
    // Negative, so that the state fades.
    { name: `${block}.ssm_a`, dimensions: [size, inner], value: (random: () => number) => -0.1 * random() },
    ones(`${block}.ssm_d`, inner),
    noise(`${block}.ssm_out.weight`, inner, WIDTH),
  ];
  return modelOf(metadata, layer);
}

function noise(name: string, ...dimensions: number[]): Tensor {
  return { name, dimensions, value: (random) => (random() - 0.5) * 0.5 };
}

function ones(name: string, length: number): Tensor {
  return { name, dimensions: [length], value: () => 1 };
}

interface Model {
  readonly metadata: readonly Buffer[];
  readonly tensors: readonly Tensor[];
}

function modelOf(metadata: Metadata, layer: (block: string) => Tensor[]): Model {
  const tensors = [
    noise("token_embd.weight", WIDTH, VOCABULARY),
    ones("output_norm.weight", WIDTH),
    ...Array.from({ length: LAYERS }, (_, index) => layer(`blk.${index}`)).flat(),
  ];
  const pairs = Object.entries(metadata).map(([key, value]) => pairOf(key, value));
  return { metadata: [...pairs, ...tokenizerOf(readFileSync(LLAMA.model)).metadata], tensors };
}

function whole({ metadata, tensors }: Model): Buffer {
  const random = seeded(7);
  let offset = 0;
  const data: Buffer[] = [];
  const infos = tensors.map(({ name, dimensions, value }) => {
    const count = dimensions.reduce((product, length) => product * length, 1);
    const bytes = Buffer.from(
      Float32Array.from({ length: count }, (_, at) =>
        value(random, Math.floor(at / dimensions[0]!), at % dimensions[0]!),
      ).buffer,
    );
    const info = [text(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(0), uint64(offset)];
    data.push(padded(bytes));
    offset += data.at(-1)!.length;
    return Buffer.concat(info);
  });
  return Buffer.concat([headOf(metadata, infos), ...data]);
}

function pairOf(key: string, value: Metadata[string]): Buffer {
  const [type, bytes] = valueOf(value);
  return Buffer.concat([text(key), uint32(type), bytes]);
}

function valueOf(value: Metadata[string]): [type: number, bytes: Buffer] {
  if (typeof value === "string") return [VALUE.string, text(value)];
  if (typeof value === "boolean") return [VALUE.bool, Buffer.of(Number(value))];
  if (typeof value === "number") return [VALUE.uint32, uint32(value)];
  if ("float" in value) return [VALUE.float32, float32(value.float)];
  if ("int32" in value) return [VALUE.int32, uint32(value.int32)];
  return [VALUE.uint16, uint32(value.uint16).subarray(0, 2)];
}
