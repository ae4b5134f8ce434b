/** A receiver of webhooks, which believes only what is signed. */
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type User } from "./api.ts";
import { type Report } from "./report.ts";

/** One first try in so many is answered with a failure, and so has to come again. */
const FAILS_FIRST = 40;

export class Receiver {
  readonly #server: Server;
  readonly #users: ReadonlyMap<string, User>;
  readonly #report: Report;
  /** What has arrived, as `<event> <id of the task or batch>`. */
  readonly #arrived = new Set<string>();
  readonly #refusedOnce = new Set<string>();
  #messages = 0;
  #onArrival: () => void = () => {};

  private constructor(users: readonly User[], report: Report) {
    this.#users = new Map(users.map((user) => [user.name, user]));
    this.#report = report;
    this.#server = createServer((request, response) => void this.#onRequest(request, response));
  }

  static async start(users: readonly User[], report: Report): Promise<Receiver> {
    const receiver = new Receiver(users, report);
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  urlFor(user: User): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${user.name}`;
  }

  /** Waits until all of these have arrived, for so many milliseconds at most. @returns those that have not */
  async missing(wanted: readonly string[], patience: number): Promise<readonly string[]> {
    const left = new Set(wanted);
    const tooLate = AbortSignal.timeout(patience);
    for (;;) {
      for (const one of left) if (this.#arrived.has(one)) left.delete(one);
      if (left.size === 0 || tooLate.aborted) return [...left];
      await new Promise<void>((resolve) => {
        this.#onArrival = resolve;
        tooLate.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body: string;
    try {
      body = await text(request);
    } catch {
      return; // The server was killed while it sent this.
    }
    const id = String(request.headers["webhook-id"]);
    this.#report.check("signature", this.#isSigned(request, body), `the webhook ${id} is not signed`, {
      headers: request.headers,
      body,
    });
    if (++this.#messages % FAILS_FIRST === 0 && !this.#refusedOnce.has(id)) {
      this.#refusedOnce.add(id);
      return void response.writeHead(503).end();
    }
    const { type, data } = JSON.parse(body) as { type: string; data: { task_id?: string; batch_id?: string } };
    this.#arrived.add(`${type} ${type.startsWith("batch.") ? data.batch_id : data.task_id}`);
    response.writeHead(204).end();
    this.#onArrival();
  }

  /** https://www.standardwebhooks.com: HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`. */
  #isSigned({ headers, url }: IncomingMessage, body: string): boolean {
    const user = this.#users.get(url!.slice(1));
    if (user === undefined) return false;
    const key = Buffer.from(user.secret.replace(/^whsec_/, ""), "base64");
    const signed = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
    const signature = `v1,${createHmac("sha256", key).update(signed).digest("base64")}`;
    return String(headers["webhook-signature"]).split(" ").includes(signature);
  }
}
