/*
 * Texts on their way to PostgreSQL, which keeps no U+0000. It is written as U+0001 and "0", and U+0001 as U+0001 and "1": so each text has a
 * form of its own, and is compared as itself.
 */

const ESCAPE = "\x01";
// oxlint-disable-next-line no-control-regex -- these two are what it is about
const ESCAPED = /[\0\x01]/g;
// oxlint-disable-next-line no-control-regex -- as above
const STORED = /\x01([01])/g;

export function storedText(text: string): string {
  // Most texts have neither, and `replace` copies none of them.
  return text.replace(ESCAPED, (character) => (character === ESCAPE ? "\x011" : "\x010"));
}

export function textOf(stored: string): string {
  return stored.includes(ESCAPE) ? stored.replace(STORED, (_, digit) => (digit === "1" ? ESCAPE : "\0")) : stored;
}
