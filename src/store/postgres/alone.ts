/* A look at a database that takes a connection of its own, and a limited time. */
import { Session, type SessionPlace } from "./session.ts";

/** Milliseconds that such a look may take, with the connection. */
const PATIENCE = 10_000;

/**
 * @throws what the client, PostgreSQL and `work` throw; {Error} it took too long: a database that is frozen or cut off says nothing by itself
 */
export async function alone<T>(
  place: SessionPlace,
  work: (session: Session, ending: AbortSignal) => Promise<T>,
  patience = PATIENCE,
): Promise<T> {
  const over = new AbortController();
  const { signal } = over;
  const late = setTimeout(() => over.abort(new Error(`it has not answered for ${patience / 1000} seconds`)), patience);
  let session: Session | undefined;
  try {
    const opened = await Session.open(place, signal);
    session = opened;
    signal.addEventListener("abort", () => opened.destroy());
    return await work(opened, signal);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(late);
    session?.close();
  }
}
