/** How the parts of an answer are told. */

/** What is no JSON is shown as the model wrote it. @param {string} json */
export function indented(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

/** How likely it was, from 0 to 4. @param {{ logprob: number }} token */
export function step({ logprob }) {
  return Math.min(4, Math.floor(Math.exp(logprob) * 5));
}
