/**
 * Writes a GGUF file of the llama architecture with some 100 million random weights: its speed is a real model's, its text is noise.
 * The tokenizer is the demo model's. The same file comes out every time.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DEMO_MODEL } from "../src/gpu/devices.ts";
import { aligned, float32, headOf, text, tokenizerOf, uint32, uint64, VALUE } from "../test/helpers/gguf.ts";
import { CACHE } from "./server.ts";

const SHAPE = { width: 768, layers: 12, heads: 12, kvHeads: 4, hidden: 2816, context: 4096 };
const HEAD_SIZE = SHAPE.width / SHAPE.heads;

/** Of `enum ggml_type`. */
const TENSOR = { f32: 0, q8_0: 8 };
/** Q8_0: blocks of one 16-bit scale and 32 signed bytes. */
const BLOCK = { weights: 32, bytes: 34 };
/** 2^-11 as a 16-bit float: with bytes spread evenly over -127 to 127, weights as large as those of a freshly initialised model. */
const SCALE = 0x1000;
const SEED = 0x9e3779b9;

interface Tensor {
  readonly name: string;
  /** The length of a row first. */
  readonly dimensions: readonly number[];
  /** Matrices are Q8_0, vectors are F32 and all ones. */
  readonly type: number;
  readonly bytes: number;
}

/** The file's path; makes it when it is not there. */
export function randomModel(): string {
  const path = join(CACHE, "random-100m-q8_0.gguf");
  const { metadata, vocabulary } = tokenizerOf(readFileSync(DEMO_MODEL));
  const tensors = tensorsOf(vocabulary);
  const head = headOf([...shapeMetadata(vocabulary), ...metadata], infosOf(tensors));
  const size = tensors.reduce((sum, { bytes }) => sum + aligned(bytes), head.length);
  if (existsSync(path) && statSync(path).size === size) return path;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  const file = openSync(unfinished, "w");
  writeSync(file, head);
  const random = xorshift(SEED);
  for (const tensor of tensors) writeSync(file, dataOf(tensor, random));
  closeSync(file);
  renameSync(unfinished, path);
  return path;
}

/** Parameters, without those of the norms. */
export function parameters(): number {
  const { vocabulary } = tokenizerOf(readFileSync(DEMO_MODEL));
  const matrices = tensorsOf(vocabulary).filter(({ dimensions }) => dimensions.length > 1);
  return matrices.reduce((sum, { dimensions: [columns = 0, rows = 0] }) => sum + columns * rows, 0);
}

function tensorsOf(vocabulary: number): Tensor[] {
  const { width, layers, kvHeads, hidden } = SHAPE;
  const kvWidth = kvHeads * HEAD_SIZE;
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
    matrix("output.weight", width, vocabulary),
  ];
}

function matrix(name: string, columns: number, rows: number): Tensor {
  const bytes = (columns * rows * BLOCK.bytes) / BLOCK.weights;
  return { name, dimensions: [columns, rows], type: TENSOR.q8_0, bytes };
}

function vector(name: string, length: number): Tensor {
  return { name, dimensions: [length], type: TENSOR.f32, bytes: length * Float32Array.BYTES_PER_ELEMENT };
}

/** A tensor's bytes with their padding. */
function dataOf({ name, type, bytes, dimensions }: Tensor, random: () => number): Buffer {
  const data = Buffer.alloc(aligned(bytes));
  if (type === TENSOR.f32) {
    for (let at = 0; at < bytes; at += 4) data.writeFloatLE(1, at);
    return data;
  }
  // The end of text is token 0: with a row of zeros it is never among the likely ones, so every text gets all its tokens.
  const silent = name === "output.weight" ? (dimensions[0]! / BLOCK.weights) * BLOCK.bytes : 0;
  for (let block = silent; block < bytes; block += BLOCK.bytes) {
    data.writeUInt16LE(SCALE, block);
    for (let at = block + 2; at < block + BLOCK.bytes; at += 4) data.writeInt32LE(random(), at);
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

/** What the head of the file says of the tensors. */
function infosOf(tensors: readonly Tensor[]): Buffer[] {
  let offset = 0;
  return tensors.map(({ name, dimensions, type, bytes }) => {
    const info = [text(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(type), uint64(offset)];
    offset += aligned(bytes);
    return Buffer.concat(info);
  });
}

function shapeMetadata(vocabulary: number): Buffer[] {
  const { width, layers, heads, kvHeads, hidden, context } = SHAPE;
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
    ["llama.rope.dimension_count", HEAD_SIZE],
  ];
  return [
    Buffer.concat([text("general.architecture"), uint32(VALUE.string), text("llama")]),
    Buffer.concat([text("general.name"), uint32(VALUE.string), text("Random weights")]),
    ...integers.map(([key, value]) => Buffer.concat([text(key), uint32(VALUE.uint32), uint32(value)])),
    Buffer.concat([text("llama.attention.layer_norm_rms_epsilon"), uint32(VALUE.float32), float32(1e-5)]),
  ];
}
