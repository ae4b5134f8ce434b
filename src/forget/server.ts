/** How a running server forgets a user, for the control socket and for HTTP. */
import { Readable } from "node:stream";
import type { BatchFiles } from "../batch-files/batch-files.ts";
import type { Credentials } from "../auth/credentials.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import type { Files } from "../files/files.ts";
import type { TextsInMemory } from "../store/texts-in-memory.ts";
import type { TaskBook } from "../tasks/task-book.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import { type Forgotten, forgetUser } from "./forget.ts";

export interface ServerForgetParts {
  readonly texts: TextsInMemory;
  readonly tasks: Pick<TaskBook, "cancelMatching">;
  readonly batchFiles: Pick<BatchFiles, "endAllOf">;
  readonly uploads: Pick<Files, "forget">;
  readonly webhooks: Pick<Webhooks, "forget">;
  readonly credentials: Pick<Credentials, "forget">;
}

export function forgetOnServer(
  { texts, tasks, batchFiles, uploads, webhooks, credentials }: ServerForgetParts,
  given: string,
  tell?: (so: Forgotten) => void,
): Promise<Forgotten> {
  const cancel = async (user: string): Promise<number> => {
    const canceled = await tasks.cancelMatching({ user, ids: undefined, status: undefined });
    await batchFiles.endAllOf(user);
    webhooks.forget(user);
    credentials.forget(user);
    return canceled;
  };
  return forgetUser(given, { store: texts, cancel, removeFile: (file) => uploads.forget(file) }, tell);
}

/** Answers with lines of JSON: how far it is, and last what was removed. It goes on when nobody reads. */
export async function forgetRoute(parts: ServerForgetParts, body: unknown): Promise<Readable> {
  const { user } = Object(body) as { readonly user?: unknown };
  if (typeof user !== "string" || user === "")
    throw new AltLasError("invalid_input", `user must be the name of a user; got ${shown(user)}.`);
  const lines = new Readable({ read() {} });
  const tell = (so: Forgotten, isDone = false): void => void lines.push(`${JSON.stringify({ ...so, isDone })}\n`);
  void work(parts, user, tell, lines);
  return lines;
}

async function work(
  parts: ServerForgetParts,
  user: string,
  tell: (so: Forgotten, isDone?: boolean) => void,
  lines: Readable,
): Promise<void> {
  try {
    tell(await forgetOnServer(parts, user, tell), true);
    lines.push(null);
  } catch (error) {
    lines.destroy(error as Error);
  }
}
