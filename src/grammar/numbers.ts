/** Numbers as texts: ranges and divisors are read digit by digit. */
import { charSet } from "./charset.ts";
import { DIGITS, FRACTION_DIGITS } from "./json.ts";
import type { Language, Languages, Machine } from "./language.ts";

const ZERO = 0x30;
const POINT = 0x2e;
/** The point, each digit, and what is behind them. */
const CUTS = [0, POINT, POINT + 1, ...Array.from({ length: 11 }, (_, digit) => ZERO + digit)];

/** Digits of a multiple: more, and a division of doubles could not tell. */
const MULTIPLE_DIGITS = 15;
/** Digits before the point of a multiple of a fraction. */
const SMALL_MULTIPLE_DIGITS = 7;
/** Remainders of a divisor are states. */
const LARGEST_DIVISOR = 500;

export interface NumberRange {
  readonly integer: boolean;
  /** Both belong to the range. */
  readonly min: number;
  readonly max: number;
}

/** The texts of the numbers in a range, without exponents where there are ends. */
export function rangeLanguage(languages: Languages, { integer, min, max }: NumberRange): Language {
  const syntax = magnitudes(languages, integer ? 0 : FRACTION_DIGITS, DIGITS);
  const minus = languages.text("-");
  const parts: Language[] = [];
  if (max >= 0) parts.push(between(languages, syntax, Math.max(min, 0), max));
  if (min < 0) parts.push(languages.sequence(minus, between(languages, syntax, Math.max(-max, 0), -min)));
  if (!integer) parts.push(...exponents(languages, min, max));
  return languages.union(...parts);
}

function between(languages: Languages, syntax: Language, min: number, max: number): Language {
  return languages.both(
    syntax,
    min > 0 ? languages.machine(comparison(decimalOf(min), false)) : languages.everything,
    Number.isFinite(max) ? languages.machine(comparison(decimalOf(max), true)) : languages.everything,
  );
}

/** Digits without a sign: at most `whole` before the point, at most `fraction` behind it. */
function magnitudes(languages: Languages, fraction: number, whole: number): Language {
  const digit = languages.chars(charSet([[ZERO, ZERO + 9]]));
  const first = languages.chars(charSet([[ZERO + 1, ZERO + 9]]));
  const integer = languages.union(
    languages.text("0"),
    languages.sequence(first, languages.repeat(digit, 0, whole - 1)),
  );
  if (fraction === 0) return integer;
  const point = languages.sequence(languages.text("."), languages.repeat(digit, 1, fraction));
  return languages.sequence(integer, languages.repeat(point, 0, 1));
}

/** The way JavaScript writes very small and very large numbers, where all of them are within the range. */
function exponents(languages: Languages, min: number, max: number): Language[] {
  const digit = languages.chars(charSet([[ZERO, ZERO + 9]]));
  const first = languages.chars(charSet([[ZERO + 1, ZERO + 9]]));
  const point = languages.sequence(languages.text("."), languages.repeat(digit, 1, FRACTION_DIGITS));
  const mantissa = languages.sequence(first, languages.repeat(point, 0, 1), languages.text("e"));
  const upTo299 = languages.sequence(languages.chars(charSet([[ZERO + 1, ZERO + 2]])), digit, digit);
  const large = languages.sequence(languages.text("+"), languages.union(languages.sequence(first, digit), upTo299));
  const small = languages.sequence(
    languages.text("-"),
    languages.union(languages.chars(charSet([[ZERO + 7, ZERO + 9]])), languages.sequence(first, digit), upTo299),
  );
  const minus = languages.text("-");
  return [
    min <= 0 || min === SMALLEST ? (max >= 1e-5 ? languages.sequence(mantissa, small) : null) : null,
    max >= 0 || max === -SMALLEST ? (min <= -1e-5 ? languages.sequence(minus, mantissa, small) : null) : null,
    max === Infinity && min <= 1e10 ? languages.sequence(mantissa, large) : null,
    min === -Infinity && max >= -1e10 ? languages.sequence(minus, mantissa, large) : null,
  ].filter((found) => found !== null);
}

/** The number that stands for "more than zero": the smallest number that the digits can say. */
export const SMALLEST = 1e-24;

/** The largest double below `value`, or the smallest one above it; beside zero the smallest number that digits can say. */
export function besides(value: number, direction: 1 | -1): number {
  if (value === 0) return direction * SMALLEST;
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0]! += BigInt(value > 0 ? direction : -direction);
  return new Float64Array(bits.buffer)[0]!;
}

interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

/** A number that is not negative, without an exponent. */
export function decimalOf(value: number): Decimal {
  const [, first = "0", rest = "", exponent = "0"] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  const shift = Number(exponent);
  const digits = first + rest;
  const point = first.length + shift;
  const whole = point <= 0 ? "0" : digits.slice(0, point).padEnd(point, "0");
  const fraction = point < 0 ? "0".repeat(-point) + digits : digits.slice(point);
  return { whole, fraction: fraction.replace(/0+$/, "") };
}

/** Compares the digits read of a number with the bound: the first difference counts, once it is known how long the whole part is. */
function comparison(bound: Decimal, atMost: boolean, read = 0, order: -1 | 0 | 1 = 0, behind = false): Machine {
  const { whole, fraction } = bound;
  const digits = behind ? fraction : whole;
  const longer = !behind && read > whole.length;
  const shorter = !behind && read < whole.length;
  const now = longer ? 1 : shorter ? -1 : order;
  // An equal beginning is less than the bound where the bound goes on.
  const end = now === 0 && (behind ? fraction.length > read : fraction.length > 0) ? -1 : now;
  return {
    key: `compare:${whole}.${fraction}:${atMost}:${Math.min(read, digits.length + 1)}:${order}:${behind}`,
    accepts: read > 0 && (atMost ? end <= 0 : end >= 0),
    cuts: CUTS,
    after: (char) => {
      if (char === POINT && !behind) return comparison(bound, atMost, 0, now, true);
      if (char < ZERO || char > ZERO + 9) return null;
      const digit = char - ZERO;
      const other = Number(digits[read] ?? 0);
      const next =
        order !== 0 || (!behind && read >= whole.length) ? order : digit < other ? -1 : digit > other ? 1 : 0;
      return comparison(bound, atMost, Math.min(read + 1, digits.length + 1), next, behind);
    },
  };
}

/**
 * The multiples of a number, without exponents, as texts that a division of doubles agrees with.
 * @returns null where there are too many remainders
 */
export function multipleLanguage(languages: Languages, of: number): Language | null {
  const { whole, fraction } = decimalOf(of);
  const digits = (whole + fraction).replace(/^0+/, "");
  const zeros = fraction === "" ? /0*$/.exec(digits)![0].length : 0;
  const divisor = Number(digits.slice(0, digits.length - zeros));
  if (divisor > LARGEST_DIVISOR || divisor === 0 || digits.length > MULTIPLE_DIGITS) return null;
  const minus = languages.repeat(languages.text("-"), 0, 1);
  const most = fraction === "" ? MULTIPLE_DIGITS - zeros : SMALL_MULTIPLE_DIGITS;
  const syntax = magnitudes(languages, fraction.length, most);
  const texts = languages.both(syntax, languages.machine(remainder(divisor, fraction.length, 0, -1)));
  if (zeros === 0) return languages.sequence(minus, texts);
  // With zeros of its own a divisor has few remainders, and the texts end with these zeros.
  const some = languages.both(texts, languages.not(languages.text("0")));
  const all = languages.union(languages.text("0"), languages.sequence(some, languages.text("0".repeat(zeros))));
  return languages.sequence(minus, all);
}

/** The texts without exponents of numbers that are no multiples of `of`; null where there are too many remainders. */
export function noMultipleLanguage(languages: Languages, of: number): Language | null {
  const { whole, fraction } = decimalOf(of);
  const divisor = Number(whole + fraction);
  if (divisor > LARGEST_DIVISOR || divisor === 0) return null;
  const minus = languages.repeat(languages.text("-"), 0, 1);
  const syntax = magnitudes(languages, fraction.length + 2, fraction === "" ? MULTIPLE_DIGITS : SMALL_MULTIPLE_DIGITS);
  const multiple = languages.machine(remainder(divisor, fraction.length, 0, -1));
  return languages.sequence(minus, languages.both(syntax, languages.not(multiple)));
}

/** @param places read behind the point; -1 before it */
function remainder(divisor: number, scale: number, rest: number, places: number): Machine {
  const missing = scale - Math.max(places, 0);
  return {
    key: `multiple:${divisor}:${scale}:${rest}:${places}`,
    accepts: (rest * 10 ** missing) % divisor === 0,
    cuts: CUTS,
    after: (char) => {
      if (char === POINT) return places < 0 ? remainder(divisor, scale, rest, 0) : null;
      if (char < ZERO || char > ZERO + 9) return null;
      if (places === scale) return char === ZERO ? remainder(divisor, scale, rest, places) : null;
      const next = (rest * 10 + char - ZERO) % divisor;
      return remainder(divisor, scale, next, places < 0 ? -1 : places + 1);
    },
  };
}

/** Numbers that are no integers, without exponents. */
export function fractionLanguage(languages: Languages): Language {
  const digit = languages.chars(charSet([[ZERO, ZERO + 9]]));
  const digits = languages.repeat(digit, 0, Infinity);
  const first = languages.chars(charSet([[ZERO + 1, ZERO + 9]]));
  return languages.sequence(
    languages.repeat(languages.text("-"), 0, 1),
    digits,
    languages.text("."),
    digits,
    first,
    digits,
  );
}
