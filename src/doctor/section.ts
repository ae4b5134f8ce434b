/** The parts of the page that `alt-las doctor` prints. */

/** A value as JSON has it; bytes where its name ends in `_bytes`, null: not known, or there is none. */
export type Fact = string | number | boolean | null | readonly Fact[] | { readonly [name: string]: Fact };

/** Something that is wrong, and what mends it. */
export interface Problem {
  /** One sentence or more. */
  readonly problem: string;
  /** A command that can be pasted; null: no command mends it, and the sentence says what to do. */
  readonly mend: string | null;
}

export interface Section {
  readonly facts: Readonly<Record<string, Fact>>;
  readonly problems: readonly Problem[];
}

/** All of it, as `--json` prints it. */
export interface DoctorReport {
  /** ISO 8601. */
  readonly at: string;
  /** Whether there is no problem. */
  readonly ok: boolean;
  readonly facts: Readonly<Record<string, Section["facts"]>>;
  readonly problems: readonly Problem[];
}
