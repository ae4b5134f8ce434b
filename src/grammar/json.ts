/** The parts of JSON that are the same for every schema. */
import { charSet, charsOf, TEXT_CHARS, without } from "./charset.ts";
import { chars, choice, type Expression, literal, NOTHING, optional, repeat, rule, sequence } from "./expression.ts";

/** Spaces of the deepest indentation that fits. */
const INDENTATION = 40;

/** How deep values without a schema may be nested. */
const DEPTH = 16;

/** Digits before the point: whole numbers from 1e21 on have an exponent in JavaScript. */
export const DIGITS = 21;
/** Digits behind the point: smaller numbers than 0.000001234567890123456 have an exponent in JavaScript. */
export const FRACTION_DIGITS = 24;

const DIGIT = charSet([[0x30, 0x39]]);
const HEX = charsOf("0123456789abcdefABCDEF");
/** JSON wants these escaped, and UTF-8 cannot say halves of pairs. */
export const PLAIN_CHARS = without(
  TEXT_CHARS,
  charSet([
    [0, 0x1f],
    [0x22, 0x22],
    [0x5c, 0x5c],
  ]),
);

/** Nothing, one space, or a new line with its indentation: a model could write white space for ever if more were allowed. */
export const SPACE: Expression = rule("space", optional(choice(literal(" "), newline())));

function newline(): Expression {
  return sequence("\n", repeat(chars(charsOf(" \t")), 0, INDENTATION));
}

/** One character of a string, in any of the ways to write it; a pair of escaped halves is one character. */
export const CHARACTER: Expression = rule("char", choice(chars(PLAIN_CHARS), sequence("\\", escape())));

function escape(): Expression {
  const hex = chars(HEX);
  const low = sequence("\\u", chars(charsOf("dD")), chars(charsOf("cdefCDEF")), hex, hex);
  const high = sequence(chars(charsOf("dD")), chars(charsOf("89abAB")), hex, hex, low);
  const outside = choice(
    sequence(chars(without(HEX, charsOf("dD"))), hex, hex, hex),
    sequence(chars(charsOf("dD")), chars(charSet([[0x30, 0x37]])), hex, hex),
  );
  return choice(chars(charsOf('"\\/bfnrt')), sequence("u", choice(outside, high)));
}

/** A string of so many characters. */
export function stringOf(min: number, max: number): Expression {
  if (min === 0 && max === Infinity) return STRING;
  return sequence('"', repeat(CHARACTER, min, max), '"');
}

export const STRING: Expression = rule("string", sequence('"', repeat(CHARACTER, 0, Infinity), '"'));

const WHOLE = choice(literal("0"), sequence(chars(charSet([[0x31, 0x39]])), repeat(chars(DIGIT), 0, DIGITS - 1)));

export const INTEGER: Expression = rule("integer", sequence(optional(literal("-")), WHOLE));

/** No larger than 1e307, so that no number is read as infinite. */
const EXPONENT = sequence(
  chars(charsOf("eE")),
  optional(chars(charsOf("+-"))),
  choice(
    sequence(chars(DIGIT), repeat(chars(DIGIT), 0, 1)),
    sequence("1", chars(DIGIT), chars(DIGIT)),
    sequence("2", chars(charSet([[0x30, 0x37]])), chars(DIGIT)),
  ),
);

export const NUMBER: Expression = rule(
  "number",
  sequence(INTEGER, optional(sequence(".", repeat(chars(DIGIT), 1, FRACTION_DIGITS))), optional(EXPONENT)),
);

export const BOOLEAN: Expression = rule("boolean", choice("true", "false"));
export const NULL: Expression = literal("null");

/** Items with commas between them, at least one. */
export function commaSeparated(item: Expression): Expression {
  return sequence(item, repeat(sequence(",", SPACE, item), 0, Infinity));
}

/** `{}`, or members with white space around them. */
export function objectOf(members: Expression, mayBeEmpty: boolean): Expression {
  const full = sequence("{", SPACE, members, SPACE, "}");
  if (members === NOTHING) return mayBeEmpty ? literal("{}") : NOTHING;
  return mayBeEmpty ? choice("{}", full) : full;
}

/** `[]`, or items with white space around them. */
export function arrayOf(items: Expression, mayBeEmpty: boolean): Expression {
  const full = sequence("[", SPACE, items, SPACE, "]");
  if (items === NOTHING) return mayBeEmpty ? literal("[]") : NOTHING;
  return mayBeEmpty ? choice("[]", full) : full;
}

export function member(key: Expression, value: Expression): Expression {
  return sequence(key, ":", SPACE, value);
}

/** Objects of values that may be nested `depth` deep. */
function freeObject(depth: number): Expression {
  return depth === 0 ? literal("{}") : rule("object", objectOf(commaSeparated(member(STRING, freeValue(depth))), true));
}

function freeArray(depth: number): Expression {
  return depth === 0 ? literal("[]") : rule("array", arrayOf(commaSeparated(freeValue(depth)), true));
}

const free = new Map<number, { readonly object: Expression; readonly array: Expression; readonly value: Expression }>();

function freeAt(depth: number): {
  readonly object: Expression;
  readonly array: Expression;
  readonly value: Expression;
} {
  const known = free.get(depth);
  if (known !== undefined) return known;
  const object = freeObject(depth - 1);
  const array = freeArray(depth - 1);
  const value = rule("value", choice(object, array, STRING, NUMBER, BOOLEAN, NULL));
  free.set(depth, { object, array, value });
  return { object, array, value };
}

function freeValue(depth: number): Expression {
  return freeAt(depth).value;
}

/** Any value. */
export const ANY_VALUE: Expression = freeValue(DEPTH);
/** Any object: what `{"type": "json_object"}` asks for. */
export const ANY_OBJECT: Expression = freeAt(DEPTH).object;
export const ANY_ARRAY: Expression = freeAt(DEPTH).array;
