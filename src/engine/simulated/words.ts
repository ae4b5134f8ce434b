/** The words that a simulated model says when it may say anything. */

export const WORDS = (
  "the quiet river carried seven small boats past an old mill while bright lanterns swung above every door and somebody " +
  "played slow music until morning found them all asleep under warm blankets near one open window"
).split(" ");

/** All words twice, each with a space before it, and where each starts: any piece is then one slice. */
const CYCLE = [...WORDS, ...WORDS].map((word) => ` ${word}`).join("");
const STARTS = [...CYCLE.matchAll(/ |$/g)].map((match) => match.index);

/** The words `from` to `to` (not included) of the endless text that begins with word `first`. */
export function words(first: number, from: number, to: number): string {
  let text = "";
  for (let at = from; at < to; at += WORDS.length) {
    const start = (first + at) % WORDS.length;
    text += CYCLE.slice(STARTS[start], STARTS[start + Math.min(to - at, WORDS.length)]);
  }
  return text;
}
