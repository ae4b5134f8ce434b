/** Compiles JSON Schemas to grammars. */
import { choice, type Expression, type Grammar, NOTHING, type Rule, rule } from "./expression.ts";
import { Expansion, type Inexact } from "./expansion.ts";
import { must } from "./group.ts";
import { ANY_ARRAY, ANY_OBJECT, ANY_VALUE, BOOLEAN, INTEGER, NULL, NUMBER, STRING } from "./json.ts";
import { Languages } from "./language.ts";
import { type GrammarLimits, SchemaError, Work } from "./limits.ts";
import { asksNothing } from "./meet.ts";
import { rangeLanguage } from "./numbers.ts";
import { productive } from "./productive.ts";
import { SchemaNodes } from "./schema-node.ts";
import { type Demands, demandsKey, joinDemands, type NumberShape, type Shape, type StringShape } from "./shape.ts";
import { plainText, stringText } from "./texts.ts";
import { arrayText } from "./write-array.ts";
import { objectText } from "./write-object.ts";

export interface CompiledSchema {
  readonly grammar: Grammar;
  /** What the grammar leaves looser than the schema: a value of the grammar is to be checked for these. */
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
    if (error instanceof RangeError) throw new SchemaError("", "The schema is nested too deep.");
    throw error;
  }
}

class Compiler {
  readonly #expansion: Expansion;
  readonly #languages: Languages;
  readonly #work: Work;
  readonly #rules = new Map<string, Rule>();
  readonly #waiting: (() => void)[] = [];

  constructor(schema: unknown, limits: GrammarLimits) {
    this.#work = new Work(limits.steps);
    this.#languages = new Languages(this.#work);
    this.#expansion = new Expansion(new SchemaNodes(schema, limits), this.#languages, this.#work);
  }

  compile(): CompiledSchema {
    const root = this.#valueOf([must(this.#expansion.nodes.root)]);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
    const grammar = productive(root);
    if (grammar === null) throw new SchemaError("", "No value can match the schema.");
    return { grammar, inexact: this.#expansion.inexact };
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
    this.#waiting.push(() => {
      this.#work.step(4);
      const shapes = this.#expansion.shapesOf(all);
      const free = shapes.filter((shape) => asksNothing(shape, this.#languages.everything));
      made.body = free.length === 6 ? ANY_VALUE : choice(...shapes.map((shape) => this.#textOf(shape, pointer)));
    });
    return made;
  }

  #textOf(shape: Shape, pointer: string): Expression {
    const writing = {
      languages: this.#languages,
      valueOf: (demands: Demands) => this.#valueOf(demands),
      note: (at: string, why: string) => this.#expansion.note(at, why),
    };
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
        return free ? ANY_ARRAY : arrayText(shape, writing, pointer);
      case "object":
        return free && shape.named.size === 0 ? ANY_OBJECT : objectText(shape, writing, pointer);
    }
  }

  #numberText({ integer, min, max, texts }: NumberShape, pointer: string): Expression {
    if (min === max && texts === this.#languages.everything) return choice(JSON.stringify(min));
    const { everything } = this.#languages;
    if (integer && min === -Infinity && max === Infinity && texts === everything) return INTEGER;
    const language = this.#languages.both(rangeLanguage(this.#languages, { integer, min, max }), texts);
    const text = plainText(this.#languages, language);
    if (text !== null) return text;
    this.#expansion.note(pointer, "The numbers cannot be said by a grammar.");
    return integer ? INTEGER : NUMBER;
  }

  #stringText(shape: StringShape, pointer: string): Expression {
    const text = stringText(this.#languages, shape);
    if (text !== null) return text;
    const loose = stringText(this.#languages, { ...shape, min: 0, max: Infinity });
    this.#expansion.note(
      pointer,
      loose === null
        ? "The texts are too many for a grammar."
        : "The length cannot be counted beside what else is asked of the text.",
    );
    return loose ?? STRING;
  }
}
