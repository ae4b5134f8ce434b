/**
 * Writes GGUF files of the llama architecture with random weights: their speed is a real model's, their text is noise.
 * The tokenizer is the demo model's. The same file comes out every time.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DEMO_MODEL } from "../src/gpu/inventory/devices.ts";
import {
  aligned,
  float32,
  headOf,
  keyOf,
  stringsIn,
  text,
  tokenizerOf,
  uint32,
  uint64,
  VALUE,
  withMore,
} from "../test/helpers/gguf.ts";
import { CACHE } from "./server.ts";

interface Shape {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly hidden: number;
  readonly context: number;
  /** Tokens: the demo model's, and as many more as are wanted. */
  readonly vocabulary: number;
}

/** By the number of parameters. */
const SHAPES = {
  "100m": { width: 768, layers: 12, heads: 12, kvHeads: 4, hidden: 2816, context: 4096, vocabulary: 2048 },
  /** TinyLlama's (https://github.com/jzhang38/TinyLlama): 1.1 billion. */
  "1b": { width: 2048, layers: 22, heads: 32, kvHeads: 4, hidden: 5632, context: 2048, vocabulary: 32_000 },
} as const satisfies Record<string, Shape>;

/** Of `enum ggml_type`. */
const TENSOR = { f32: 0, q8_0: 8 };
/** Q8_0: blocks of one 16-bit scale and 32 signed bytes. */
const BLOCK = { weights: 32, bytes: 34 };
/** 2^-11 as a 16-bit float: with bytes spread evenly over -127 to 127, weights as large as those of a freshly initialised model. */
const SCALE = 0x1000;
const SEED = 0x9e3779b9;

const TOKENS = "tokenizer.ggml.tokens";
const OUTPUT = "output.weight";
/** Of the demo model. */
const END_OF_TEXT = 0;
/** In what a byte-level BPE calls a token, bytes above 127: https://github.com/openai/gpt-2/blob/master/src/encoder.py, bytes_to_unicode. */
const NOT_ASCII = /[\u00a1-\u00ff\u0122-\u0143]/;

interface Tensor {
  readonly name: string;
  /** The length of a row first. */
  readonly dimensions: readonly number[];
  /** Matrices are Q8_0, vectors are F32 and all ones. */
  readonly type: number;
  readonly bytes: number;
}

/** The file's path; makes it when it is not there. */
export function randomModel(size: keyof typeof SHAPES = "100m"): string {
  const path = join(CACHE, `random-${size}-q8_0-ascii.gguf`);
  const shape = SHAPES[size];
  const tensors = tensorsOf(shape);
  const head = headOf([...shapeMetadata(shape), ...tokenizerWith(shape.vocabulary)], infosOf(tensors));
  const length = tensors.reduce((sum, { bytes }) => sum + aligned(bytes), head.length);
  if (existsSync(path) && statSync(path).size === length) return path;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  const file = openSync(unfinished, "w");
  writeSync(file, head);
  const random = xorshift(SEED);
  const silent = silentTokens();
  for (const tensor of tensors) writeSync(file, dataOf(tensor, random, silent));
  closeSync(file);
  renameSync(unfinished, path);
  return path;
}

function tensorsOf({ width, layers, heads, kvHeads, hidden, vocabulary }: Shape): Tensor[] {
  const kvWidth = (width / heads) * kvHeads;
  const layer = (index: number): Tensor[] => [
    vector(`blk.${index}.attn_norm.weight`, width),
    matrix(`blk.${index}.attn_q.weight`, width, width),
    matrix(`blk.${index}.attn_k.weight`, width, kvWidth),
    matrix(`blk.${index}.attn_v.weight`, width, kvWidth),
    matrix(`blk.${index}.attn_output.weight`, width, width),
    vector(`blk.${index}.ffn_norm.weight`, width),
    matrix(`blk.${index}.ffn_gate.weight`, width, hidden),
    matrix(`blk.${index}.ffn_up.weight`, width, hidden),
    matrix(`blk.${index}.ffn_down.weight`, hidden, width),
  ];
  return [
    matrix("token_embd.weight", width, vocabulary),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    vector("output_norm.weight", width),
    matrix(OUTPUT, width, vocabulary),
  ];
}

function matrix(name: string, columns: number, rows: number): Tensor {
  const bytes = (columns * rows * BLOCK.bytes) / BLOCK.weights;
  return { name, dimensions: [columns, rows], type: TENSOR.q8_0, bytes };
}

function vector(name: string, length: number): Tensor {
  return { name, dimensions: [length], type: TENSOR.f32, bytes: length * Float32Array.BYTES_PER_ELEMENT };
}

/** A tensor's bytes with their padding. @param silent tokens whose rows in the output are zeros, so that they are never among the likely ones */
function dataOf({ name, type, bytes, dimensions }: Tensor, random: () => number, silent: readonly number[]): Buffer {
  const data = Buffer.alloc(aligned(bytes));
  if (type === TENSOR.f32) {
    for (let at = 0; at < bytes; at += 4) data.writeFloatLE(1, at);
    return data;
  }
  for (let block = 0; block < bytes; block += BLOCK.bytes) {
    data.writeUInt16LE(SCALE, block);
    for (let at = block + 2; at < block + BLOCK.bytes; at += 4) data.writeInt32LE(random(), at);
  }
  if (name === OUTPUT) {
    const row = (dimensions[0]! / BLOCK.weights) * BLOCK.bytes;
    for (const token of silent) data.fill(0, token * row, (token + 1) * row);
  }
  return data;
}

/** Marsaglia's 32-bit generator (https://www.jstatsoft.org/article/view/v008i14). */
function xorshift(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

// --- GGUF ------------------------------------------------------------------------------------------------------

/** The demo model's tokenizer, filled up with tokens that no text has, so that as much is sampled from as in a real model. */
function tokenizerWith(vocabulary: number): Buffer[] {
  const { metadata, vocabulary: own } = tokenizerOf(readFileSync(DEMO_MODEL));
  const more = Array.from({ length: vocabulary - own }, (_, index) => index);
  const normal = 1;
  const itemsOf: Readonly<Record<string, (index: number) => Buffer>> = {
    [TOKENS]: (index) => text(`<${index}>`),
    "tokenizer.ggml.token_type": () => uint32(normal),
  };
  return metadata.map((entry) => {
    const itemOf = itemsOf[keyOf(entry)];
    return itemOf === undefined ? entry : withMore(entry, more.map(itemOf));
  });
}

/**
 * The end of text, so that every text gets all its tokens; and parts of characters, which at random never become whole ones:
 * llama-server (0.4.0) ends a text with an error that is no UTF-8.
 */
function silentTokens(): number[] {
  const { metadata } = tokenizerOf(readFileSync(DEMO_MODEL));
  const tokens = stringsIn(metadata.find((entry) => keyOf(entry) === TOKENS)!);
  return tokens.flatMap((token, number) => (number === END_OF_TEXT || NOT_ASCII.test(token) ? [number] : []));
}

/** What the head of the file says of the tensors. */
function infosOf(tensors: readonly Tensor[]): Buffer[] {
  let offset = 0;
  return tensors.map(({ name, dimensions, type, bytes }) => {
    const info = [text(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(type), uint64(offset)];
    offset += aligned(bytes);
    return Buffer.concat(info);
  });
}

function shapeMetadata({ width, layers, heads, kvHeads, hidden, context, vocabulary }: Shape): Buffer[] {
  const mostlyQ8 = 7;
  const integers: [string, number][] = [
    ["general.file_type", mostlyQ8],
    ["general.quantization_version", 2],
    ["llama.vocab_size", vocabulary],
    ["llama.context_length", context],
    ["llama.embedding_length", width],
    ["llama.block_count", layers],
    ["llama.feed_forward_length", hidden],
    ["llama.attention.head_count", heads],
    ["llama.attention.head_count_kv", kvHeads],
    ["llama.rope.dimension_count", width / heads],
  ];
  return [
    Buffer.concat([text("general.architecture"), uint32(VALUE.string), text("llama")]),
    Buffer.concat([text("general.name"), uint32(VALUE.string), text("Random weights")]),
    ...integers.map(([key, value]) => Buffer.concat([text(key), uint32(VALUE.uint32), uint32(value)])),
    Buffer.concat([text("llama.attention.layer_norm_rms_epsilon"), uint32(VALUE.float32), float32(1e-5)]),
  ];
}
