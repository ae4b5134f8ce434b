/** `alt-las forget --user NAME`: by the running server, or here where none runs. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { nameOf } from "../auth/anonymous.ts";
import { openAnswer } from "../control/client.ts";
import type { CommandContext } from "../backup/commands.ts";
import { freeName } from "../auth/accounts.ts";
import { AltLasError } from "../errors.ts";
import { forgetInCopies } from "../store/sqlite/copies.ts";
import { SqliteStore } from "../store/sqlite/sqlite.ts";
import { type Forgotten, forgottenWords, forgetUser } from "./forget.ts";

/** What stays, which somebody who forgets a user has to know. */
const STAYS =
  "The account, if there is one, its rows in the audit log and backups made before stay: see docs/privacy.md. Tasks sent from now on are stored again.";
/** Milliseconds between two lines of progress. */
const PACE = 1000;

/** @param tell is told how far it is @returns what was removed, and what stays */
export async function forgetCommand(
  { dataDir, storePath }: CommandContext,
  given: string,
  tell: (text: string) => void,
): Promise<string> {
  const user = nameOf(given);
  const progress = paced(tell);
  const database = storePath ?? join(dataDir, "alt-las.db");
  const answer = await openAnswer(dataDir, "POST /forget", { user });
  const done =
    answer === undefined ? await forgetHere(dataDir, database, user, progress) : await followed(answer, progress);
  const left = forgetInCopies(database, user);
  // Last: what was cut off before has not freed the name.
  if (done.filesHeld === 0) freeName({ dataDir }, user);
  return [`${user}: ${forgottenWords(done)}.`, ...left, STAYS].join("\n");
}

async function forgetHere(
  dataDir: string,
  path: string,
  user: string,
  tell: (so: Forgotten) => void,
): Promise<Forgotten> {
  const store = new SqliteStore({ path });
  await store.open();
  try {
    const removeFile = async ({ id }: { readonly id: string }): Promise<boolean> => {
      const done = await store.files.remove(id);
      // Another batch reads its bytes.
      if (done !== "held") await rm(join(dataDir, "files", id), { force: true });
      return done !== "held";
    };
    return await forgetUser(user, { store, removeFile }, tell);
  } finally {
    await store.close();
  }
}

/** @throws {AltLasError} `store_unavailable`: the server has stopped before the end */
async function followed(answer: NodeJS.ReadableStream, tell: (so: Forgotten) => void): Promise<Forgotten> {
  for await (const line of createInterface({ input: answer })) {
    const { isDone, ...so } = JSON.parse(line) as Forgotten & { readonly isDone: boolean };
    if (isDone) return so;
    tell(so);
  }
  throw new AltLasError(
    "store_unavailable",
    "The server ended before all was removed. Do it again: it goes on where it was.",
  );
}

function paced(tell: (text: string) => void): (so: Forgotten) => void {
  let told = performance.now();
  return (so) => {
    if (performance.now() - told < PACE) return;
    told = performance.now();
    tell(`${so.user}: ${forgottenWords(so)} so far`);
  };
}
