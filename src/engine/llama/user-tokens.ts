/**
 * Tokens that a file calls user-defined, and that control the model all the same. llama.cpp finds such tokens in any text, also where special
 * tokens are to be only text. So a caller's text is cut within each of their names, and its parts are turned into tokens one by one.
 */
import type { ModelHeader } from "./header.ts";

/** Of `enum llama_token_type`. */
const USER_DEFINED = 4;

/** A token with nothing but white space, as vocabularies have for indents. It may be in a chat template, too. */
const BLANK = /^[\s\u2581]*$/u;

/**
 * Names as model families give them to tokens of control: `<|im_start|>`, `<｜User｜>` with wide bars, `<start_of_turn>`, `</s>`, `[INST]`. Tags
 * of HTML, which vocabularies have too, are not like that.
 */
const CONTROL =
  /^<[|\uff5c].+[|\uff5c]>$|^<\/?[a-z0-9]+(?:_[a-z0-9]+)+>$|^<\/?(?:s|bos|eos|pad|unk|mask)>$|^\[\/?\w*[A-Z]{3}\w*\]$/su;

export class UserTokens {
  readonly #names: ReadonlySet<string>;
  readonly #lengths: readonly number[];
  readonly #firsts: ReadonlySet<number>;

  constructor({ insights }: Pick<ModelHeader, "insights">) {
    const { ggml, chat_template: template } = insights.ggufFileInfo.metadata.tokenizer ?? {};
    const { tokens = [], token_type: types = [] } = ggml ?? {};
    const said = typeof template === "string" ? template : "";
    const names = tokens.filter((name, id) => types[id] === USER_DEFINED && controls(name, said));
    this.#names = new Set(names);
    this.#lengths = [...new Set(names.map(({ length }) => length))];
    this.#firsts = new Set(names.map((name) => name.charCodeAt(0)));
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** The text in parts without any of these names; one part: it has none. */
  parts(text: string): readonly string[] {
    if (this.#names.size === 0) return [text];
    const parts: string[] = [];
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      if (!this.#firsts.has(text.charCodeAt(at)) || !this.#beginsAt(text, at)) continue;
      const cut = at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
      parts.push(text.slice(from, cut));
      from = cut;
    }
    parts.push(text.slice(from));
    return parts;
  }

  #beginsAt(text: string, at: number): boolean {
    return this.#lengths.some((length) => this.#names.has(text.slice(at, at + length)));
  }
}

/** @param template "": there is none */
function controls(name: string, template: string): boolean {
  if ([...name].length < 2 || BLANK.test(name)) return false;
  return CONTROL.test(name) || template.includes(name);
}
