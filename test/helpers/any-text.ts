/** Texts of any characters. fast-check's own `unit: "binary"` lists all of Unicode first, which takes a process most of a second. */
import fc from "fast-check";

/** UTF-8 cannot say the halves of a surrogate pair, so there are none. */
const [FIRST_HALF, HALVES] = [0xd800, 0x800];

const character = fc.nat(0x10ffff - HALVES).map(
  (place) => String.fromCodePoint(place < FIRST_HALF ? place : place + HALVES),
  // With the way back, the texts that fast-check knows to break programs are among them.
  (text) => {
    if (typeof text !== "string" || [...text].length !== 1 || !text.isWellFormed()) throw new Error("no character");
    const code = text.codePointAt(0)!;
    return code < FIRST_HALF ? code : code - HALVES;
  },
);

export function anyText(limits: Pick<fc.StringConstraints, "minLength" | "maxLength"> = {}): fc.Arbitrary<string> {
  return fc.string({ ...limits, unit: character });
}
