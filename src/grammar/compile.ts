/** Compiles JSON Schemas to grammars. */
import { choice, type Expression, type Grammar, NOTHING, type Rule, rule } from "./expression.ts";
import { excessOf } from "./elements.ts";
import { Expansion, type Inexact } from "./expansion.ts";
import { formatPattern, shortPattern } from "./formats.ts";
import { gbnfOf } from "./gbnf.ts";
import { must } from "./group.ts";
import { ANY_ARRAY, ANY_OBJECT, ANY_VALUE, BOOLEAN, INTEGER, NULL, NUMBER, STRING } from "./json.ts";
import { Languages, textsOf } from "./language.ts";
import { type GrammarLimits, SchemaError, Work } from "./limits.ts";
import { asksNothing } from "./meet.ts";
import { rangeLanguage } from "./numbers.ts";
import { patternLanguage } from "./pattern-language.ts";
import { productive } from "./productive.ts";
import { SchemaNodes } from "./schema-node.ts";
import { type Demands, demandsKey, joinDemands, type NumberShape, type Shape, type StringShape } from "./shape.ts";
import { plainText, type StringLanguage, stringText } from "./texts.ts";
import { arrayText, type ArrayWriting } from "./write-array.ts";
import { objectText, type ObjectWriting } from "./write-object.ts";

export interface CompiledSchema {
  readonly grammar: Grammar;
  /** Steps of work that it took. */
  readonly steps: number;
  /** The points in which the grammar is looser than the schema: a value of the grammar is to be checked for these. */
  readonly inexact: readonly Inexact[];
}

/**
 * The grammar of the JSON texts that match a schema: the keys of an object in the order of `properties`, additional ones last, with no white
 * space, or little of it.
 * @throws SchemaError for what is no schema, what nothing can match, and what is too large
 */
export function compileSchema(schema: unknown, limits: GrammarLimits): CompiledSchema {
  try {
    return new Compiler(schema, limits).compile();
  } catch (error) {
    // V8 has no other word for a recursion that is too deep.
    if (error instanceof RangeError)
      throw new SchemaError("", "the schema is nested too deep, or has too many properties.");
    throw error;
  }
}

class Compiler {
  readonly #expansion: Expansion;
  readonly #languages: Languages;
  readonly #limits: GrammarLimits;
  readonly #work: Work;
  readonly #rules = new Map<string, Rule>();
  readonly #strings = new Map<string, Expression | null>();
  readonly #waiting: (() => void)[] = [];
  readonly #writing: ArrayWriting & ObjectWriting;

  constructor(schema: unknown, limits: GrammarLimits) {
    this.#limits = limits;
    this.#work = new Work(limits);
    this.#languages = new Languages(this.#work);
    this.#expansion = new Expansion(new SchemaNodes(schema, limits), this.#languages, this.#work);
    this.#writing = {
      languages: this.#languages,
      work: this.#work,
      valueOf: (demands) => this.#valueOf(demands),
      textsOf: (demands) => this.#textsOf(demands),
      stringOf: (language) => this.#string({ language, min: 0, max: Infinity }),
      note: (pointer, why) => this.#expansion.note(pointer, why),
    };
  }

  compile(): CompiledSchema {
    const root = this.#valueOf([must(this.#expansion.nodes.root)]);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
    const grammar = productive(root);
    if (grammar === null) throw this.#impossible();
    const excess = excessOf(grammar, gbnfOf(grammar), this.#limits);
    if (excess !== null) throw new SchemaError("", `its grammar ${excess}.`);
    return { grammar, steps: this.#work.steps, inexact: this.#expansion.inexact };
  }

  #impossible(): SchemaError {
    const place = this.#expansion.conflictIn(this.#expansion.nodes.root);
    if (place === null) return new SchemaError("", "no value can match the schema.");
    return new SchemaError(place, "with this, no value can match the schema.");
  }

  /** The values that meet all demands. */
  #valueOf(demands: Demands): Expression {
    const all = joinDemands(demands);
    if (all.length === 0) return ANY_VALUE;
    const key = demandsKey(all);
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    const { pointer } = all[0]!.node;
    const made = rule(pointer.split("/").findLast((part) => /[a-zA-Z]/.test(part)) ?? "document", NOTHING);
    this.#rules.set(key, made);
    this.#work.rule();
    this.#waiting.push(() => {
      const shapes = this.#expansion.shapesOf(all);
      const free = shapes.filter((shape) => asksNothing(shape, this.#languages.everything));
      made.body = free.length === 6 ? ANY_VALUE : choice(...shapes.map((shape) => this.#textOf(shape, pointer)));
    });
    return made;
  }

  #textOf(shape: Shape, pointer: string): Expression {
    const free = asksNothing(shape, this.#languages.everything);
    switch (shape.kind) {
      case "null":
        return NULL;
      case "boolean":
        return free ? BOOLEAN : choice(...shape.values.map(String));
      case "number":
        return free ? NUMBER : this.#numberText(shape, pointer);
      case "string":
        return free ? STRING : this.#stringText(shape, pointer);
      case "array":
        return free ? ANY_ARRAY : arrayText(shape, this.#writing, pointer);
      case "object":
        return free && shape.named.size === 0 ? ANY_OBJECT : objectText(shape, this.#writing, pointer);
    }
  }

  #numberText({ integer, min, max, texts }: NumberShape, pointer: string): Expression {
    const { everything } = this.#languages;
    if (integer && min === -Infinity && max === Infinity && texts === everything) return INTEGER;
    // Numbers that are listed have been looked through already.
    const range = textsOf(texts) === null ? rangeLanguage(this.#languages, { integer, min, max }) : everything;
    const language = this.#languages.both(range, texts);
    const text = plainText(this.#languages, this.#work, language);
    if (text !== null) return text;
    this.#expansion.note(pointer, "the numbers cannot be said by a grammar.");
    return integer ? INTEGER : NUMBER;
  }

  #stringText(shape: StringShape, pointer: string): Expression {
    const text = this.#string(shape) ?? this.#shortFormat(shape);
    if (text !== null) return text;
    const loose = this.#string({ ...shape, min: 0, max: Infinity });
    const why =
      loose === null
        ? "the texts are too many for a grammar."
        : "the length cannot be counted beside what else is asked of the text.";
    this.#expansion.note(pointer, why);
    return loose ?? STRING;
  }

  /** A string with its quotes, written once; null where it would be too large. */
  #string(shape: StringLanguage): Expression | null {
    const key = `${shape.language.id}:${shape.min}:${shape.max}`;
    const known = this.#strings.get(key);
    if (known !== undefined) return known;
    const format = this.#languages.formats.get(shape.language);
    const free = format !== undefined && shape.min === 0 && shape.max === Infinity;
    const text = free ? formatText(format) : stringText(this.#languages, this.#work, shape);
    const made = text === null || text.kind === "rule" || text === NOTHING ? text : rule("string", text);
    this.#strings.set(key, made);
    return made;
  }

  #shortFormat(shape: StringShape): Expression | null {
    const format = this.#languages.formats.get(shape.language);
    const pattern = format === undefined ? undefined : shortPattern(format, shape.max);
    return pattern === undefined
      ? null
      : this.#string({ ...shape, language: patternLanguage(this.#languages, pattern) });
  }

  #textsOf(demands: Demands): readonly string[] | null {
    const texts = this.#expansion.shapesOf(demands).map((shape): readonly string[] | null => {
      if (shape.kind === "null") return ["null"];
      if (shape.kind === "boolean") return shape.values.map(String);
      if (shape.kind === "number") return textsOf(shape.texts);
      return shape.kind === "string" ? (textsOf(shape.language)?.map((text) => JSON.stringify(text)) ?? null) : null;
    });
    return texts.every((one) => one !== null) ? texts.flat() : null;
  }
}

/** The formats are few, and some of them large: each is written once. */
const formats = new Map<string, Expression | null>();

function formatText(name: string): Expression | null {
  const known = formats.get(name);
  if (known !== undefined) return known;
  const work = new Work({
    schemaLength: Infinity,
    depth: Infinity,
    steps: Infinity,
    rules: Infinity,
    grammarLength: Infinity,
    elements: Infinity,
  });
  const languages = new Languages(work);
  const language = patternLanguage(languages, formatPattern(name)!);
  const text = stringText(languages, work, { language, min: 0, max: Infinity });
  formats.set(name, text);
  return text;
}
