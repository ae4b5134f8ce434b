/*
 * Changes that are sent in one message, and answered by one. Outside of a transaction they are one: PostgreSQL commits it behind the last of
 * them. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
 */
import type { Socket } from "node:net";
import type { Client, Query } from "pg";

/** One that is prepared on this connection, and its values. */
export interface Bound {
  readonly name: string;
  readonly values: readonly (string | Buffer | null)[];
}

/** The part of the client's connection that is missing from its types. */
export interface Wire {
  readonly stream: Socket;
  bind(what: { readonly statement: string; readonly values: readonly (string | Buffer | null)[] }): void;
  execute(all: null): void;
  sync(): void;
}

/** @param told makes of an error and the place of the change that failed what is thrown; none of those behind it was run */
export function runAtOnce(
  client: Client,
  type: typeof Query,
  changes: readonly Bound[],
  told: (error: Error, place: number) => Error,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let done = 0;
    const query = new type("", (error) => (error ? reject(told(error, done)) : resolve()));
    // The client takes nothing in its pipeline but its own kind of query, which would have an answer sent behind each change.
    Object.assign(query, {
      submit: (wire: Wire) => {
        for (const { name, values } of changes) {
          wire.bind({ statement: name, values });
          wire.execute(null);
        }
        wire.sync();
      },
      handleCommandComplete: () => void done++,
      handleDataRow: () => {},
    });
    client.query(query);
  });
}
