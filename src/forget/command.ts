/** `alt-las forget --user NAME`: by the running server, or here where none runs. */
import { createInterface } from "node:readline";
import { nameOf } from "../auth/anonymous.ts";
import type { Config } from "../config/config.ts";
import { openAnswer } from "../control/client.ts";
import { freeName } from "../auth/accounts.ts";
import { withAccounts } from "../auth/open-accounts.ts";
import { AltLasError } from "../errors.ts";
import { forgetInCopies } from "../store/sqlite/copies.ts";
import { FolderBytes } from "../store/folder-bytes.ts";
import { databaseOf, storeOf } from "../store/server-store.ts";
import { type Forgotten, forgottenWords, forgetUser } from "./forget.ts";

/** The remains of a user, which somebody who forgets one has to know. */
const STAYS =
  "The account, if there is one, its rows in the audit log and backups made before stay: see docs/privacy.md. Tasks sent from now on are stored again.";
const SILENT = { info: silent, warn: silent, error: silent };
/** Milliseconds between two lines of progress. */
const PACE = 1000;

export interface ForgetContext {
  readonly dataDir: string;
  readonly config: Config;
}

/** @param tell is told how far it is @returns what was removed, and what stays */
export async function forgetCommand(
  place: ForgetContext,
  given: string,
  tell: (text: string) => void,
): Promise<string> {
  const { dataDir, config } = place;
  const user = nameOf(given);
  const progress = paced(tell);
  const answer = await openAnswer(dataDir, "POST /forget", { user });
  const done = answer === undefined ? await forgetHere(place, user, progress) : await followed(answer, progress);
  const left = forgetInCopies(databaseOf(config.store, dataDir), user);
  // Last: what was cut off before has not freed the name.
  if (done.filesHeld === 0)
    await withAccounts(place, { begins: false, tell: () => undefined }, (accounts) => freeName(accounts, user));
  return [`${user}: ${forgottenWords(done)}.`, ...left, STAYS].join("\n");
}

async function forgetHere(
  { dataDir, config }: ForgetContext,
  user: string,
  tell: (so: Forgotten) => void,
): Promise<Forgotten> {
  const store = await storeOf(config.store, dataDir, SILENT);
  await store.open();
  try {
    const bytes = store.bytes ?? FolderBytes.of(dataDir);
    const removeFile = async ({ id }: { readonly id: string }): Promise<boolean> => {
      const done = await store.files.remove(id);
      // Another batch reads its bytes.
      if (done !== "held") await bytes.remove(id);
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

function silent(): void {}
