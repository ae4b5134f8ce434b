/** Forgets a user: removes what is stored of it, in small steps. When it was cut off, it goes on when it is done again. */
import { said } from "../words/terminal.ts";
import { nameOf } from "../auth/anonymous.ts";
import type { FilePlace, FileStore } from "../store/files.ts";
import type { ForgetStep } from "../store/forget.ts";
import type { Store } from "../store/store.ts";

/** Counts of the removed data. */
export interface Forgotten extends Omit<ForgetStep, "next"> {
  readonly user: string;
  /** Tasks and lines of files that had not ended. */
  readonly canceled: number;
  readonly files: number;
  /** Files that stay, as a batch of somebody else still needs them. */
  readonly filesHeld: number;
}

export interface ForgetParts {
  readonly store: Pick<Store, "forget"> & { readonly files: Pick<FileStore, "list"> };
  /** Ends what has not ended; absent: no server runs, and nothing goes on. @returns how many were canceled */
  readonly cancel?: (user: string) => Promise<number>;
  /** Removes the row and the bytes of an uploaded file. @returns false: it stays, as something needs it */
  readonly removeFile: (file: {
    readonly id: string;
    readonly user: string;
    readonly bytes: number;
  }) => Promise<boolean>;
}

/** Files that are read at once. */
const FILES = 100;

/** @param given its name @param tell hears how far it is @throws {AltLasError} `store_unavailable` */
export async function forgetUser(
  given: string,
  { store, cancel, removeFile }: ForgetParts,
  tell: (so: Forgotten) => void = () => {},
): Promise<Forgotten> {
  const user = nameOf(given);
  let so: Forgotten = { user, canceled: 0, tasks: 0, batches: 0, answers: 0, usageRows: 0, files: 0, filesHeld: 0 };
  if (cancel !== undefined) so = { ...so, canceled: await cancel(user) };
  const isAlone = cancel === undefined;
  for (let from: number | null = 0; from !== null;) {
    const { next, ...step }: ForgetStep = await store.forget({ user, from, isAlone });
    so = added(so, step);
    tell(so);
    from = next;
  }
  // Behind those that were seen: one that stays would else be found again for ever.
  for (let after: FilePlace | undefined; ;) {
    const found = await store.files.list({ user, purpose: undefined, order: "asc", after, limit: FILES });
    let removed = 0;
    for (const file of found) if (await removeFile(file)) removed++;
    so = { ...so, files: so.files + removed, filesHeld: so.filesHeld + found.length - removed };
    tell(so);
    if (found.length < FILES) break;
    after = found.at(-1);
  }
  // Files leave rows in the log, too.
  await store.forget({ user, from: Number.MAX_SAFE_INTEGER, isAlone });
  return so;
}

function added(so: Forgotten, { tasks, batches, answers, usageRows }: Omit<ForgetStep, "next">): Forgotten {
  return {
    ...so,
    tasks: so.tasks + tasks,
    batches: so.batches + batches,
    answers: so.answers + answers,
    usageRows: so.usageRows + usageRows,
  };
}

/** Like "removed: 12 tasks, 3 uploaded files". */
export function forgottenWords({ canceled, tasks, answers, usageRows, files, filesHeld }: Forgotten): string {
  const counts = [
    [tasks, "task"],
    [files, "uploaded file"],
    [answers, "remembered answer"],
  ] as const;
  const words = counts.map(([count, one]) => said(`${count} ${one}${count === 1 ? "" : "s"}`));
  const first = canceled > 0 ? `${canceled} that had not ended were canceled; ` : "";
  const last =
    filesHeld > 0
      ? `; ${filesHeld} uploaded ${filesHeld === 1 ? "file stays" : "files stay"}, needed by batches of others`
      : "";
  return `${first}removed: ${words.join(", ")}, with batches and webhooks; ${usageRows} ${usageRows === 1 ? "sum" : "sums"} of usage made nameless${last}`;
}
