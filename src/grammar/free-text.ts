/** Texts that are no JSON. */
import { chars, choice, EMPTY, type Expression, NOTHING, rule, type Rule, sequence } from "./expression.ts";
import { charSet, TEXT_CHARS, without } from "./charset.ts";

/** Any text in which a mark does not stand, so that the mark can come behind it. */
export function textWithout(mark: string): Expression {
  const units = [...mark].map((char) => char.codePointAt(0)!);
  // By how much of the mark the text ends with.
  const states = units.map((): Rule => rule("free", NOTHING));
  for (const [matched, state] of states.entries()) {
    const begun = units.slice(0, matched);
    const next = new Map([...new Set(units)].map((unit) => [unit, overlap([...begun, unit], units)]));
    const steps = [...next].filter(([, to]) => to < units.length);
    const others = without(TEXT_CHARS, charSet([...next.keys()].map((unit) => [unit, unit])));
    state.body = choice(
      sequence(chars(others), states[0]!),
      ...steps.map(([unit, to]) => sequence(chars([unit, unit]), states[to]!)),
      EMPTY,
    );
  }
  return states[0]!;
}

/** How many of the mark's first characters a text ends with. */
function overlap(text: readonly number[], mark: readonly number[]): number {
  for (let length = Math.min(text.length, mark.length); length > 0; length--)
    if (mark.slice(0, length).every((unit, at) => unit === text[text.length - length + at])) return length;
  return 0;
}
