/**
 * A text that grows, in blocks. A page that holds one long text lays all of it out again for each token; of blocks, only the last one
 * changes, and those out of sight are not laid out at all.
 */

/** Characters from which on a block ends at the next line break. */
const BLOCK = 2000;
/** Characters after which it ends without one: such a text is shown with a line break that it does not have. */
const LONGEST = 20_000;

/**
 * Adds to the last block, and begins new ones. The blocks before the last one stay as they are.
 * @param {readonly string[]} blocks without the line breaks between them
 * @param {string} text
 * @returns {string[]}
 */
export function grown(blocks, text) {
  const next = blocks.slice(0, -1);
  let rest = (blocks.at(-1) ?? "") + text;
  for (let end = endIn(rest); end !== null; end = endIn(rest)) {
    next.push(rest.slice(0, end.at));
    rest = rest.slice(end.next);
  }
  next.push(rest);
  return next;
}

/**
 * Where a block ends, and the next begins; null: it goes on.
 * @param {string} text
 * @returns {{at: number, next: number} | null}
 */
function endIn(text) {
  if (text.length <= BLOCK) return null;
  const line = text.indexOf("\n", BLOCK);
  if (line !== -1 && line <= LONGEST) return { at: line, next: line + 1 };
  if (text.length <= LONGEST) return null;
  const space = text.lastIndexOf(" ", LONGEST - 1);
  if (space > BLOCK) return { at: space + 1, next: space + 1 };
  // Half of a character outside the basic plane would be shown as two question marks.
  const at = /[\uD800-\uDBFF]/.test(text.charAt(LONGEST - 1)) ? LONGEST - 1 : LONGEST;
  return { at, next: at };
}
