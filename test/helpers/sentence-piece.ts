/** A small SentencePiece vocabulary, as those of Llama 2, Mistral and Gemma are: it puts a space before whatever it is given. */
import { float32, text, uint32, uint64, VALUE } from "./gguf.ts";

/** Of `enum llama_token_type`. */
const TOKEN = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

/** The special token that ends a turn. */
export const TURN_END = "</s>";
/** A user-defined token that looks like one of control, and one that is content. */
export const USER_MARK = "<|user|>";
export const USER_TAG = "<b>";

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?:;[]<>/|_'";
/** What has become one token, the likeliest first. */
const JOINED = [
  "▁t",
  "he",
  "▁the",
  "in",
  "▁[",
  "IN",
  "ST",
  "[/",
  "INST",
  "▁[INST",
  "▁c",
  "at",
  "▁cat",
  "▁say",
  "ay",
  "s>",
];

/** Texts of users are put into square brackets. The template begins with the token that begins texts itself. */
const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]" +
  "{% else %}{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}";

/** The key-values of a file that describe its tokenizer of so many tokens. */
export function sentencePieceTokenizer(count: number): Buffer[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const known: [token: string, type: number][] = [
    ["<unk>", TOKEN.unknown],
    ["<s>", TOKEN.control],
    [TURN_END, TOKEN.control],
    ...bytes.map((token): [string, number] => [token, TOKEN.byte]),
    ...["▁", ...LETTERS, ...JOINED].map((token): [string, number] => [token, TOKEN.normal]),
    [USER_MARK, TOKEN.userDefined],
    [USER_TAG, TOKEN.userDefined],
  ];
  const all = Array.from({ length: count }, (_, id) => known[id] ?? [`<unused${id}>`, TOKEN.unused]);
  const tokens = all.map(([token]) => text(token as string));
  const types = all.map(([, type]) => uint32(type as number));
  // The pieces that are joined first have the highest scores.
  const scores = all.map(([token], id) => float32(JOINED.includes(token as string) ? -id : -10_000));
  return [
    pair("tokenizer.ggml.model", VALUE.string, text("llama")),
    list("tokenizer.ggml.tokens", VALUE.string, tokens),
    list("tokenizer.ggml.scores", VALUE.float32, scores),
    list("tokenizer.ggml.token_type", VALUE.int32, types),
    pair("tokenizer.ggml.unknown_token_id", VALUE.uint32, uint32(0)),
    pair("tokenizer.ggml.bos_token_id", VALUE.uint32, uint32(1)),
    pair("tokenizer.ggml.eos_token_id", VALUE.uint32, uint32(2)),
    pair("tokenizer.ggml.add_bos_token", VALUE.bool, Buffer.of(1)),
    pair("tokenizer.chat_template", VALUE.string, text(TEMPLATE)),
  ];
}

function list(key: string, type: number, items: readonly Buffer[]): Buffer {
  return pair(key, VALUE.array, Buffer.concat([uint32(type), uint64(items.length), ...items]));
}

function pair(key: string, type: number, value: Buffer): Buffer {
  return Buffer.concat([text(key), uint32(type), value]);
}
