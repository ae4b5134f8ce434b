/**
 * The bytes each token stands for, as llama.cpp's `llama_token_to_piece` gives them.
 *
 * node-llama-cpp offers `detokenize` only, and that one can't be used for a stream: it cleans spaces up ("it 's ." becomes
 * "it's."), and a token that holds half a character comes back as U+FFFD.
 */
import type { LlamaModel, Token } from "node-llama-cpp";
import type { LikelyToken, TokenLogprob } from "../../output.ts";
import { marksOf } from "../answer-text.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Likelihood, Likelihoods } from "./logits.ts";

/** A bound that bounds nothing: how many bytes one token may swallow is not known for this vocabulary. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** `tokenizer.ggml.token_type` of a GGUF file. */
const NORMAL = 1;
const USER_DEFINED = 4;

/** Byte-pair vocabularies that mark a space with U+2581 instead of writing every byte as a character. */
const SPACE_MARKED_BPE = new Set(["gemma4", "granite-embed-multi-311m", "sarvam-moe"]);
const SPACE_MARK = /\u2581/g;
const NO_BYTES = new Uint8Array(0);

const utf8 = new TextEncoder();
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

export class Vocabulary {
  /** Bytes of text the longest token takes: a text of n bytes has at least n / this many tokens. */
  readonly maxTokenBytes: number;
  readonly #model: LlamaModel;
  readonly #texts: readonly string[];
  readonly #spelling: "bytes" | "spaces" | "unknown";
  readonly #bytes: Uint8Array[] = [];
  readonly #marks: readonly string[];
  /** By their tokens. */
  readonly #callMarks: ReadonlyMap<Token, Uint8Array>;

  /** @param template whose marks are told even where they are special tokens */
  constructor(model: LlamaModel, template: Pick<ChatTemplate, "marks" | "tools"> | null = null) {
    this.#marks = marksOf(template?.marks ?? null);
    const { ggml } = model.fileInfo.metadata.tokenizer;
    this.#model = model;
    this.#texts = ggml.tokens;
    this.#callMarks = tokensOf(ggml.tokens, template?.tools?.family.marks ?? []);
    this.#spelling = spellingOf(model.vocabularyType, ggml.pre ?? ggml.model);
    this.maxTokenBytes = this.#longest(ggml.token_type ?? []);
  }

  /**
   * The bytes of one generated token; none for the special ones, except marks of reasoning. A character may span several tokens.
   * @param tellsCalls whether marks of calls of tools are told, too
   */
  bytesOf(token: Token, tellsCalls = false): Uint8Array {
    const mark = tellsCalls ? this.#callMarks.get(token) : undefined;
    return mark ?? (this.#bytes[token] ??= this.#decode(token));
  }

  /** As it is told; a special token by its name. */
  told({ token, logprob, top }: Likelihoods): Omit<TokenLogprob, "length"> {
    return { ...this.#shown({ token, logprob }), top: top.map((other) => this.#shown(other)) };
  }

  #shown({ token, logprob }: Likelihood): LikelyToken {
    const bytes = this.bytesOf(token);
    const shown = bytes.length > 0 ? bytes : utf8.encode(this.#texts[token] ?? "");
    return { token: lenient.decode(shown), bytes: [...shown], logprob };
  }

  #decode(token: Token): Uint8Array {
    const text = this.#texts[token] ?? "";
    const kind = this.#model.getTokenAttributes(token);
    if (kind.control || kind.unknown) return this.#marks.includes(text) ? utf8.encode(text) : NO_BYTES;
    if (kind.userDefined) return utf8.encode(text);
    if (this.#spelling === "unknown") return utf8.encode(this.#model.detokenize([token]));
    if (kind.byte) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16));
    return kind.normal ? this.#spell(text) : NO_BYTES;
  }

  #spell(text: string): Uint8Array {
    if (this.#spelling === "spaces") return utf8.encode(text.replace(SPACE_MARK, " "));
    return Buffer.concat([...text].map((char) => BYTE_OF.get(char) ?? utf8.encode(char)));
  }

  #longest(types: readonly number[]): number {
    // Without a token for each byte a text may lose bytes, and then it can have fewer tokens than the bound says.
    if (this.#spelling === "unknown" || (this.#spelling === "bytes" && !hasEveryByte(this.#texts))) return UNBOUNDED;
    let longest = 1;
    for (const [token, text] of this.#texts.entries()) {
      if (types[token] === USER_DEFINED) {
        const { lstrip, rstrip } = this.#model.getTokenAttributes(token as Token);
        // Such a token swallows all the white space beside it.
        if (lstrip || rstrip) return UNBOUNDED;
        longest = Math.max(longest, Buffer.byteLength(text));
      } else if (types[token] === NORMAL) {
        longest = Math.max(longest, this.#bytesIn(text));
      }
    }
    return longest;
  }

  /** How many bytes `#spell` would make. An upper bound where characters outside the byte alphabet occur. */
  #bytesIn(text: string): number {
    if (this.#spelling === "spaces") return Buffer.byteLength(text.replace(SPACE_MARK, " "));
    // One character is one byte, unless it is not of the alphabet.
    return FOREIGN.test(text) ? Buffer.byteLength(text) : text.length;
  }
}

function tokensOf(texts: readonly string[], marks: readonly string[]): ReadonlyMap<Token, Uint8Array> {
  const tokens = new Map<Token, Uint8Array>();
  for (const mark of marks) {
    const token = texts.indexOf(mark);
    if (token !== -1) tokens.set(token as Token, utf8.encode(mark));
  }
  return tokens;
}

function spellingOf(type: string, pre: string): "bytes" | "spaces" | "unknown" {
  if (type === "bpe") return SPACE_MARKED_BPE.has(pre) ? "spaces" : "bytes";
  return type === "spm" ? "spaces" : "unknown";
}

/**
 * GPT-2 writes each byte as one printable character: the printable ones of Latin-1 as themselves, the others from U+0100 on
 * (https://github.com/openai/gpt-2/blob/master/src/encoder.py, `bytes_to_unicode`).
 */
const BYTE_OF = byteAlphabet();
const FOREIGN = /[^!-~\u00a1-\u00ac\u00ae-\u0143]/;

function byteAlphabet(): ReadonlyMap<string, Uint8Array> {
  const alphabet = new Map<string, Uint8Array>();
  let moved = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    alphabet.set(String.fromCharCode(printable ? byte : moved++), Uint8Array.of(byte));
  }
  return alphabet;
}

function hasEveryByte(texts: readonly string[]): boolean {
  const single = new Set(texts.filter((text) => text.length === 1));
  // UTF-8 never has the bytes C0, C1 and F5 to FF, and many vocabularies leave them out.
  const used = [...BYTE_OF].filter(([, [byte = 0]]) => byte < 0xc0 || (byte > 0xc1 && byte < 0xf5));
  return used.every(([char]) => single.has(char));
}
