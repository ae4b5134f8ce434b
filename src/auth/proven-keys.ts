/**
 * The key that a connection has proven already. A client sends the same key with each request, and hashing it again costs more than
 * checking the body.
 */
import type { Caller, Tables } from "./tables.ts";

interface Proof {
  /** The header as it was sent; it lives no longer than the connection. */
  readonly header: string;
  /** Where the key was found: with the next ones it has to be looked for again. */
  readonly tables: Tables;
  readonly caller: Caller;
}

export class ProvenKeys {
  readonly #proofs = new WeakMap<object, Proof>();

  /** The caller whose key the header has, if it is the one that this connection has shown last. */
  find(connection: object, header: string, tables: Tables): Caller | undefined {
    const proof = this.#proofs.get(connection);
    return proof?.tables === tables && isSame(proof.header, header) ? proof.caller : undefined;
  }

  note(connection: object, proof: Proof): void {
    this.#proofs.set(connection, proof);
  }
}

/** How long it takes tells nothing of where the texts differ: behind a proxy, a connection carries the requests of many clients. */
function isSame(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  return difference === 0;
}
