/**
 * The texts of callers while a chat template is rendered: where one could be taken for special tokens, a name stands for it, so that it comes
 * out as a piece of its own. No text has such a name in it, so none can be taken for another.
 */
import { randomBytes } from "node:crypto";
import { EngineFailure } from "../failures.ts";
import type { SpecialTexts } from "./special-texts.ts";

/** A part of a prompt. */
export interface PromptPiece {
  readonly text: string;
  /** Whether what looks like a special token is one; else it is only text, because a caller has sent it. */
  readonly special: boolean;
}

/** How deep what a caller sends may be nested. */
const DEPTH = 200;

/** Greater numbers are none for llama.cpp's Jinja. */
const LARGEST = 9e18;

const CHANGED =
  "The model's chat template changes the texts of messages, and one of them has a special token's name in it.";

export class CallerTexts {
  readonly #specials: Pick<SpecialTexts, "areIn">;
  readonly #source: string;
  readonly #kept: string[] = [];
  #nonce = "";

  /** @param source of the template */
  constructor(specials: Pick<SpecialTexts, "areIn">, source: string) {
    this.#specials = specials;
    this.#source = source;
  }

  /**
   * The same with names in the place of such texts, wherever they are in it.
   * @throws {EngineFailure} `invalid_input`: it is nested too deep
   */
  instead<Value extends object>(value: Value): Value {
    if (!this.#areIn(value)) return value;
    const all = this.#source + JSON.stringify(value);
    do this.#nonce = `x${randomBytes(8).toString("hex")}`;
    while (all.includes(this.#nonce));
    return this.#safe(value) as Value;
  }

  /**
   * The rendered text, cut at these names.
   * @throws {EngineFailure} `unsupported`: the template has changed a name, so that a caller's text is lost
   */
  pieces(rendered: string): readonly PromptPiece[] {
    if (this.#kept.length === 0) return [{ text: rendered, special: true }];
    const parts = rendered.split(new RegExp(`${this.#nonce}n(\\d+)(\\\\*)"e`));
    const pieces: PromptPiece[] = [{ text: parts[0]!, special: true }];
    for (let at = 1; at < parts.length; at += 3) {
      pieces.push({ text: written(this.#kept[Number(parts[at])]!, parts[at + 1]!.length), special: false });
      pieces.push({ text: parts[at + 2]!, special: true });
    }
    if (pieces.some(({ text, special }) => special && text.toLowerCase().includes(this.#nonce)))
      throw new EngineFailure("unsupported", CHANGED);
    return pieces.filter(({ text }) => text !== "");
  }

  /** Whether there is anything that the template must not see as it is. */
  #areIn(value: unknown, depth = 0): boolean {
    if (typeof value === "string") return this.#specials.areIn(value);
    if (typeof value === "number") return Math.abs(value) > LARGEST;
    if (typeof value !== "object" || value === null) return false;
    if (depth > DEPTH)
      throw new EngineFailure("invalid_input", `tools must not be nested deeper than ${DEPTH} levels.`);
    return Object.entries(value).some(([key, part]) => this.#specials.areIn(key) || this.#areIn(part, depth + 1));
  }

  #safe(value: unknown): unknown {
    if (typeof value === "string") return this.#specials.areIn(value) ? this.#name(value) : value;
    if (typeof value === "number") return Math.abs(value) > LARGEST ? String(value) : value;
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((part) => this.#safe(part));
    // Also `__proto__` is only a key.
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [this.#safe(key), this.#safe(part)] as [string, unknown]),
    );
  }

  /**
   * The white space around a text stays outside, as templates remove it. The quote shows how often a template has made JSON of it: the text
   * has to become that, too.
   */
  #name(text: string): string {
    const kept = text.trim();
    const at = text.indexOf(kept);
    return `${text.slice(0, at)}${this.#nonce}n${this.#kept.push(kept) - 1}"e${text.slice(at + kept.length)}`;
  }
}

/**
 * @param backslashes before its quote: each time it is written as JSON, they are doubled, and one more comes
 * @throws {EngineFailure} `unsupported`: no JSON has so many
 */
function written(text: string, backslashes: number): string {
  const times = Math.log2(backslashes + 1);
  if (!Number.isInteger(times)) throw new EngineFailure("unsupported", CHANGED);
  let json = text;
  for (let time = 0; time < times; time++) json = JSON.stringify(json).slice(1, -1);
  return json;
}
