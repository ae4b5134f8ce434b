/** The log has who did something to what belongs to another user: its owner will ask. */
import { type Caller } from "../auth/credentials.ts";
import { type Logger } from "../log/log.ts";

/** @param about names what was changed, as in `{ task }` @param what has happened to it */
export function tellForeignChange(
  log: Logger,
  { name }: Caller,
  { user }: { readonly user: string },
  about: object,
  what: string,
): void {
  if (name !== user) log.info({ ...about, user, by: name }, what);
}
