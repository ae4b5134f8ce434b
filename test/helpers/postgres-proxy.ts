/** Stands between a server and PostgreSQL, and cuts connections in the middle of a commit. */
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { removeFolder } from "./remove-folder.ts";

const SOCKET = ".s.PGSQL.5432";
const COMMIT = Buffer.from("COMMIT\0");

/**
 * Where a connection is cut: `before` the commit has reached PostgreSQL, which then rolls back; `after` it has, and before its answer
 * is back.
 */
export type Cut = "before" | "after" | null;

export class CommitCutter {
  /** Of its socket, for `PostgresServer.url`. */
  readonly folder = mkdtempSync(join(tmpdir(), "alt-las-cut-"));
  readonly cuts = { before: 0, after: 0 };
  readonly #decide: () => Cut;
  readonly #to: string;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  private constructor(to: string, decide: () => Cut) {
    this.#to = join(to, SOCKET);
    this.#decide = decide;
    this.#server = createServer((client) => this.#serve(client));
  }

  /** @param to the folder of PostgreSQL's socket @param decide is asked at each commit */
  static async start(t: TestContext, to: string, decide: () => Cut): Promise<CommitCutter> {
    const proxy = new CommitCutter(to, decide);
    proxy.#server.listen(join(proxy.folder, SOCKET));
    await once(proxy.#server, "listening");
    t.after(() => proxy.stop());
    return proxy;
  }

  /** Cuts all connections, and takes no more. */
  stop(): void {
    this.#server.close();
    this.cutAll();
    removeFolder(this.folder);
  }

  cutAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #serve(client: Socket): void {
    const server = connect(this.#to);
    let deaf = false;
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        this.#open.delete(one);
        other.destroy();
      });
    }
    server.on("data", (bytes) => {
      // PostgreSQL has answered, so it has committed.
      if (deaf) return void client.destroy();
      client.write(bytes);
    });
    client.on("data", (bytes) => {
      const cut = bytes.includes(COMMIT) ? this.#decide() : null;
      if (cut === null) return void server.write(bytes);
      this.cuts[cut]++;
      if (cut === "before") return void client.destroy();
      deaf = true;
      server.write(bytes);
    });
  }
}
