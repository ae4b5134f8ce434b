/** How fast an answer comes, as its reader sees it: by this browser's clock, in milliseconds. */

/**
 * @typedef {object} Pace
 * @property {number} sentAt
 * @property {number | null} firstAt when the first piece came; null: none did yet
 * @property {number} lastAt
 * @property {number} pieces a piece is a token, or several where they come faster than they are sent
 */

/**
 * @param {number} now
 * @returns {Pace}
 */
export function sentAt(now) {
  return { sentAt: now, firstAt: null, lastAt: now, pieces: 0 };
}

/**
 * @param {Pace} pace
 * @param {number} now when another piece came
 * @returns {Pace}
 */
export function paceAfter(pace, now) {
  return { ...pace, firstAt: pace.firstAt ?? now, lastAt: now, pieces: pace.pieces + 1 };
}

/**
 * Seconds from sending to the first piece; null: none came yet.
 * @param {Pace} pace
 */
export function firstTokenOf({ firstAt, sentAt: sent }) {
  return firstAt === null ? null : (firstAt - sent) / 1000;
}

/**
 * Tokens a second since the first one.
 * @param {Pace} pace
 * @param {number} [tokens] that came in all, when the server has told; before that, each piece counts as one
 * @returns {number | null} null: too few came to tell
 */
export function speedOf({ firstAt, lastAt, pieces }, tokens = pieces) {
  // The first token took the time of the prompt, not that of a token.
  return firstAt === null || tokens < 2 || lastAt <= firstAt ? null : ((tokens - 1) * 1000) / (lastAt - firstAt);
}
