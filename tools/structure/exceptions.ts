/** What may be larger than the rest of src, and why. The check fails as soon as one of these is no longer needed. */

/** Where it is, and its name where it is a function or a class. */
export interface Exception {
  readonly file: string;
  /** Absent: the file as a whole. */
  readonly name?: string;
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    file: "src/task.ts",
    name: "newTask",
    reason: "one line for each field: made in any other way, a task costs several times as much",
  },
];
