/** The complaints of a llama.cpp server, as a person would say them. */

/**
 * The time since its start and the level (`0.00.008.190 E `), then the module and the function (`srv  llama_server: `); or the script that
 * has started it, where that could not be done.
 */
const PREFIX = /^(?:\S*guard\.sh: (?:line )?\d+: |(?:[\d.]+ [A-Z] )?(?:(?:[a-z]{3,4} +)?[\w.]+(?:\(\))?: +)*)/;

/** Says only that something else has failed, or what happens next. */
const ECHO =
  /^(failed to (load model|create.context)\b|failed to initialize the context$|exiting due to|cleaning up before exit|encountered an error while trying to fit params)/;

const COMPLAINT = /^[\d.]+ E |error|fail|abort|assert|exception|terminate|insufficient|invalid|unable|couldn't|denied/i;

const MAX_COMPLAINTS = 3;

/** Its reasons, the first one first; "" when it gave none. */
export function complaintsIn(words: string): string {
  const said = words
    .split("\n")
    .filter((line) => COMPLAINT.test(line))
    .map((line) => spoken(line))
    .filter((line) => line !== "" && !ECHO.test(line));
  return [...new Set(said)].slice(-MAX_COMPLAINTS).join("; ");
}

/** The last thing it complained about, else the last thing it said. */
export function lastWordsIn(words: string): string {
  return complaintsIn(words).split("; ").at(-1) || spoken(words.trim().split("\n").at(-1) ?? "");
}

function spoken(line: string): string {
  return line
    .replace(PREFIX, "")
    .replace(/^error loading model: /, "")
    .replace(/[.\s]+$/, "");
}
