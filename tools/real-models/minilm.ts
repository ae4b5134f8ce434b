/** Writes all-MiniLM-L6-v2, a small embedding model of the BERT architecture, as a GGUF file that llama.cpp reads. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { float32, headOf, padded, text, uint32, uint64, VALUE } from "../../test/helpers/gguf.ts";

/** Of `enum ggml_type`. */
const TENSOR = { f32: 0, f16: 1 };
/** Of `enum llama_token_type`. */
const TOKEN = { normal: 1, control: 3, unused: 5 };
/** Of `enum llama_pooling_type`: the mean of all tokens. */
const MEAN = 1;
/** Of `enum llama_ftype`: mostly 16-bit floats. */
const MOSTLY_F16 = 1;
const SPECIAL = new Set(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
/** What llama.cpp's WordPiece has in front of a word's first piece, where BERT marks the others by "##". */
const WORD_START = "\u2581";

interface BertConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly layer_norm_eps: number;
  readonly max_position_embeddings: number;
  readonly type_vocab_size: number;
}

interface Tensor {
  /** Rows first; a vector has one number. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** By llama.cpp's names; the weights of the others are named alike in both. */
const OF_A_LAYER = {
  attn_q: "attention.self.query",
  attn_k: "attention.self.key",
  attn_v: "attention.self.value",
  attn_output: "attention.output.dense",
  attn_output_norm: "attention.output.LayerNorm",
  ffn_up: "intermediate.dense",
  ffn_down: "output.dense",
  layer_output_norm: "output.LayerNorm",
};

/** @param folder with config.json, vocab.txt and model.safetensors, as sentence-transformers has them */
export function miniLm(folder: string): Buffer {
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as BertConfig;
  const tokens = readFileSync(join(folder, "vocab.txt"), "utf8").trimEnd().split("\n");
  const tensors = safetensors(readFileSync(join(folder, "model.safetensors")));
  const infos: Buffer[] = [];
  const data: Buffer[] = [];
  let offset = 0;
  for (const [name, theirs] of namesOf(config.num_hidden_layers)) {
    const { shape, values } = tensors(theirs);
    // Rows of these are added to others, which llama.cpp does in 32 bits.
    const isHalf = shape.length === 2 && !/^(position_embd|token_types)/.test(name);
    const numbers = isHalf ? Float16Array.from(values) : values;
    const dimensions = shape.toReversed().map(uint64);
    const type = uint32(isHalf ? TENSOR.f16 : TENSOR.f32);
    infos.push(Buffer.concat([text(name), uint32(shape.length), ...dimensions, type, uint64(offset)]));
    data.push(padded(Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)));
    offset += data.at(-1)!.length;
  }
  return Buffer.concat([headOf([...metadataOf(config), ...tokenizer(tokens, config)], infos), ...data]);
}

/** Pairs of llama.cpp's name of a tensor and the one in the safetensors file. */
function namesOf(layers: number): [string, string][] {
  const names: [string, string][] = [
    ["token_embd.weight", "embeddings.word_embeddings.weight"],
    ["position_embd.weight", "embeddings.position_embeddings.weight"],
    ["token_types.weight", "embeddings.token_type_embeddings.weight"],
  ];
  const both = (ours: string, theirs: string): void => {
    for (const part of ["weight", "bias"]) names.push([`${ours}.${part}`, `${theirs}.${part}`]);
  };
  both("token_embd_norm", "embeddings.LayerNorm");
  for (let layer = 0; layer < layers; layer++)
    for (const [ours, theirs] of Object.entries(OF_A_LAYER))
      both(`blk.${layer}.${ours}`, `encoder.layer.${layer}.${theirs}`);
  return names;
}

/** Format: https://github.com/huggingface/safetensors#format. @returns a tensor by its name */
function safetensors(file: Buffer): (name: string) => Tensor {
  const headEnd = 8 + Number(file.readBigUInt64LE(0));
  const head = JSON.parse(file.toString("utf8", 8, headEnd)) as Readonly<
    Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
  >;
  return (name) => {
    const { dtype, shape, data_offsets } = head[name]!;
    if (dtype !== "F32") throw new Error(`${name} is of the type ${dtype}.`);
    const [from, to] = data_offsets.map((at) => headEnd + at);
    // A copy begins at a place where numbers of four bytes may begin.
    return { shape, values: new Float32Array(Uint8Array.from(file.subarray(from, to)).buffer) };
  };
}

function metadataOf(config: BertConfig): Buffer[] {
  return [
    pair("general.architecture", VALUE.string, text("bert")),
    pair("general.name", VALUE.string, text("all-MiniLM-L6-v2")),
    pair("general.license", VALUE.string, text("apache-2.0")),
    number("general.file_type", MOSTLY_F16),
    number("bert.context_length", config.max_position_embeddings),
    number("bert.embedding_length", config.hidden_size),
    number("bert.feed_forward_length", config.intermediate_size),
    number("bert.block_count", config.num_hidden_layers),
    number("bert.attention.head_count", config.num_attention_heads),
    pair("bert.attention.layer_norm_epsilon", VALUE.float32, float32(config.layer_norm_eps)),
    pair("bert.attention.causal", VALUE.bool, Buffer.of(0)),
    number("bert.pooling_type", MEAN),
  ];
}

function tokenizer(tokens: readonly string[], { type_vocab_size }: BertConfig): Buffer[] {
  const pieces = tokens.map((token) =>
    isPlain(token) ? token : token.startsWith("##") ? token.slice(2) : WORD_START + token,
  );
  const types = tokens.map((token) =>
    SPECIAL.has(token) ? TOKEN.control : isPlain(token) ? TOKEN.unused : TOKEN.normal,
  );
  const id = (key: string, token: string): Buffer => number(`tokenizer.ggml.${key}_token_id`, tokens.indexOf(token));
  return [
    pair("tokenizer.ggml.model", VALUE.string, text("bert")),
    pair("tokenizer.ggml.pre", VALUE.string, text("default")),
    list("tokenizer.ggml.tokens", VALUE.string, pieces.map(text)),
    list("tokenizer.ggml.token_type", VALUE.int32, types.map(uint32)),
    number("tokenizer.ggml.token_type_count", type_vocab_size),
    id("bos", "[CLS]"),
    id("eos", "[SEP]"),
    // As llama.cpp spells it.
    id("seperator", "[SEP]"),
    id("padding", "[PAD]"),
    id("unknown", "[UNK]"),
    id("mask", "[MASK]"),
  ];
}

/** Whether it stands for no text. */
function isPlain(token: string): boolean {
  return SPECIAL.has(token) || token.startsWith("[unused");
}

function pair(key: string, type: number, value: Buffer): Buffer {
  return Buffer.concat([text(key), uint32(type), value]);
}

function number(key: string, value: number): Buffer {
  return pair(key, VALUE.uint32, uint32(value));
}

function list(key: string, type: number, items: readonly Buffer[]): Buffer {
  return pair(key, VALUE.array, Buffer.concat([uint32(type), uint64(items.length), ...items]));
}
