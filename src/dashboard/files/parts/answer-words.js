/** How the parts of an answer are told. */

/** Text that is no JSON is shown as the model wrote it. @param {string} json */
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

/**
 * Whether an answer that had to be JSON was cut before its end. A number could always go on.
 * @param {{ text: string, finish_reason: string } | undefined} result
 * @param {object | undefined} request as the API shows it
 */
export function isCutJson(result, request) {
  if (result?.finish_reason !== "length" || request === undefined || !("response_format" in request)) return false;
  try {
    return typeof JSON.parse(result.text) === "number";
  } catch {
    return true;
  }
}
