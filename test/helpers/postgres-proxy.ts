/** Stands between a server and PostgreSQL, and cuts connections in the middle of a commit. */
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeFolder } from "./remove-folder.ts";
import type { Owner } from "./server-handle.ts";

const SOCKET = ".s.PGSQL.5432";
const COMMIT = Buffer.from("COMMIT\0");
/** A change of those that are sent at once, and the end of them all, behind which PostgreSQL commits. */
const CHANGE = Buffer.from("\0change_");
const SYNC = Buffer.from([0x53, 0, 0, 0, 4]);

/**
 * Where a connection is cut: `before` the commit has reached PostgreSQL, which then rolls back; `after` it has, and before its answer
 * is back; `during`: the commit is sent, and nobody knows whether it gets there. `hold`: nothing is cut, and nothing goes on either way;
 * `short`: the same, but what stands before the commit gets there; `late`: the server's side is cut, and the commit gets there with `deliver`.
 */
export type Cut = "before" | "during" | "after" | "hold" | "short" | "late" | null;

export class CommitCutter {
  /** Of its socket, for `PostgresServer.url`. */
  readonly folder = mkdtempSync(join(tmpdir(), "alt-las-cut-"));
  readonly cuts = { before: 0, during: 0, after: 0, hold: 0, short: 0, late: 0 };
  readonly #decide: (bytes: Buffer) => Cut;
  #to: string;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #late: (() => Promise<void>)[] = [];
  #isSilent = false;
  /** That were made so far. */
  connections = 0;

  private constructor(to: string, decide: (bytes: Buffer) => Cut) {
    this.#to = to;
    this.#decide = decide;
    this.#server = createServer((client) => this.#serve(client));
  }

  /** @param to the folder of PostgreSQL's socket @param decide is asked at each commit, or part of one */
  static async start(owner: Owner, to: string, decide: (bytes: Buffer) => Cut): Promise<CommitCutter> {
    const proxy = new CommitCutter(to, decide);
    proxy.#server.listen(join(proxy.folder, SOCKET));
    await once(proxy.#server, "listening");
    owner.after(() => proxy.stop());
    return proxy;
  }

  /** Cuts all connections, and takes no more. */
  stop(): void {
    this.#server.close();
    this.cutAll();
    removeFolder(this.folder);
  }

  /** Leads to another server from now on, as after a failover. */
  turnTo(to: string): void {
    this.#to = to;
    this.cutAll();
  }

  /** Nothing goes on either way from now on, and nobody is told: as where packets are dropped. */
  silence(): void {
    this.#isSilent = true;
  }

  cutAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** Resolves when PostgreSQL has answered what was late, or has closed its side. */
  async deliver(): Promise<void> {
    await Promise.all(this.#late.splice(0).map((send) => send()));
  }

  #serve(client: Socket): void {
    const server = connect(join(this.#to, SOCKET));
    let cut: Cut = null;
    this.connections++;
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        this.#open.delete(one);
        if (cut !== "late") other.destroy();
      });
    }
    server.on("data", (bytes) => {
      if (this.#isSilent) return;
      if (cut === null) client.write(bytes);
      // PostgreSQL has answered, so it has committed.
      else if (cut === "after") client.destroy();
    });
    client.on("data", (bytes) => {
      if (cut !== null || this.#isSilent) return;
      cut = bytes.includes(COMMIT) || bytes.includes(CHANGE) ? this.#decide(bytes) : null;
      if (cut !== null) this.cuts[cut]++;
      if (cut === "short" && bytes.subarray(-SYNC.length).equals(SYNC)) server.write(bytes.subarray(0, -SYNC.length));
      if (cut === null || cut === "during" || cut === "after") server.write(bytes);
      if (cut === "late")
        this.#late.push(async () => {
          if (server.destroyed) return;
          const answered = Promise.race([once(server, "data"), once(server, "close")]);
          server.write(bytes);
          await answered.catch(() => undefined);
        });
      if (cut === "before" || cut === "during" || cut === "late") client.destroy();
    });
  }
}
