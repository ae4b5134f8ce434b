/** Everything that is wrong with a configuration, at once. */
import { fieldName } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";

/** The keys and indices from the root to a value. */
export type Path = readonly (string | number)[];

/** One thing that is wrong. */
export interface Finding {
  /** Of the value that has to be changed. */
  readonly path: Path;
  /** Names the key, what was given and what is allowed. */
  readonly sentence: string;
  /** Other values that it follows from: while one of them is wrong itself, this says nothing. */
  readonly from?: readonly Path[];
}

/** @param from what the finding follows from, beside the value at `path` */
export function finding(path: Path, sentence: string, ...from: Path[]): Finding {
  return { path, sentence: `${fieldName(path, "")} ${sentence}`, from };
}

/** Where a value was given. */
export interface Place {
  /** Such as "config.yaml:3: " or "Command line: ". */
  readonly name: string;
  /** The beginning of the sentence: the line in the file. */
  readonly order: number;
}

/** Lines of one refusal at most: a file of another program could fill the screen a hundred times. */
const MOST = 100;

/**
 * Does nothing when there are no findings.
 * @throws {AltLasError} `bad_config`, with one line for each finding, in the order of the file
 */
export function refuseAll(findings: readonly { readonly sentence: string; readonly place: Place }[]): void {
  if (findings.length === 0) return;
  const sorted = findings.toSorted((a, b) => a.place.order - b.place.order);
  throw new AltLasError("bad_config", listed(sorted.map(({ sentence, place }) => place.name + sentence)));
}

/** One line for each, without repeating one. */
export function listed(lines: readonly string[]): string {
  const distinct = [...new Set(lines)];
  const rest = distinct.length - MOST;
  return [...distinct.slice(0, MOST), ...(rest > 0 ? [`And ${rest} more.`] : [])].join("\n");
}

/** Whether one of the two values is inside the other, or they are the same. */
export function touches(a: Path, b: Path): boolean {
  const shorter = Math.min(a.length, b.length);
  return a.slice(0, shorter).every((part, index) => String(part) === String(b[index]));
}
