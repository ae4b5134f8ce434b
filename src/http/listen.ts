/** Listening, and why it cannot be done. */
import { type FastifyInstance } from "fastify";
import { AltLasError, messageOf } from "../errors.ts";

/** Advice for the system's codes. */
const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there; choose another port with --port",
  EACCES: "this user may not; choose a port from 1024 on with --port",
  EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
  ENOTFOUND: "no address is known for that name; choose another with --host",
};

/** @throws {AltLasError} `bad_config`, saying why not and what to do */
export async function listen(
  app: Pick<FastifyInstance, "listen">,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const why = WHY[(error as NodeJS.ErrnoException).code ?? ""] ?? messageOf(error);
    const address = host.includes(":") ? `[${host}]` : host;
    throw new AltLasError("bad_config", `Cannot listen on ${address}:${port}: ${why}.`, { cause: error });
  }
}
