/** Names that are nearly right. */

/** Whether a known name was probably meant. Of short names, two letters are half: temp is not text. */
export function isMistyped(known: string, name: string): boolean {
  const wrong = Math.min(known.length, name.length) > 4 ? 2 : 1;
  // A name that a stranger sends may be of any length, and comparing takes as long.
  return Math.abs(known.length - name.length) <= wrong && distance(known, name) <= wrong;
}

/** How many letters are wrong: missing, too many, others, or two neighbours that have changed places. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  let before: number[] = [];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? before[j - 2]! + 1 : Infinity;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, change, swap));
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
