/** A server whose slots are all taken for long, and a queue of any depth before it. */
import { hashApiKey, newApiKey } from "../src/auth/secrets.ts";
import { type BenchServer, startServer } from "./server.ts";

const DEVICES = 4;
const CALLERS = 20;
const BATCH = 1000;
/** The document's own example. */
export const TEXT = "Sample input text";

export interface BusyServer extends BenchServer {
  /** Values of the `Authorization` header, one for each user that fills the queue. */
  readonly callers: readonly string[];
  /** Lets so many tasks wait: as many of each caller, in batches of 1,000, all callers at once. A multiple of 20,000. */
  fill(tasks: number): Promise<void>;
  /** Cancels all that waits, or what was submitted since a time and waits. */
  empty(since?: string): Promise<void>;
}

/** Starts one whose running tasks go on for hours, so whatever is submitted waits. */
export async function startBusyServer(options: { profile: boolean }): Promise<BusyServer> {
  const callers = Array.from({ length: CALLERS }, (_, index) => ({ name: `caller${index}`, key: newApiKey() }));
  const server = await startServer({
    devices: `simulated:${DEVICES}`,
    config: configWith(callers),
    probe: true,
    ...options,
  });
  const authorizations = callers.map(({ key }) => `Bearer ${key}`);
  await occupySlots(server);
  return {
    ...server,
    callers: authorizations,
    async fill(tasks) {
      const batches = tasks / CALLERS / BATCH;
      const body = { batch: Array.from({ length: BATCH }, () => ({ text: TEXT, max_length: 128, temperature: 0.7 })) };
      await Promise.all(
        authorizations.map(async (authorization) => {
          for (let i = 0; i < batches; i++) await server.ask("/api/v1/batch_predict", body, { authorization });
        }),
      );
    },
    async empty(since) {
      await server.ask("/api/v1/tasks/cancel", { status: "queued", ...(since !== undefined && { since }) });
    },
  };
}

function configWith(callers: readonly { readonly name: string; readonly key: string }[]): object {
  return {
    auth: {
      users: callers.map(({ name }) => ({ name, role: "user" })),
      keys: callers.map(({ name, key }) => ({ name, user: name, sha256: hashApiKey(key) })),
    },
    engine: { simulated: { tokens_per_second: 1 } },
    gpu: { multi_gpu: { max_queue_size: 1_000_000 } },
    server: { drain_timeout: 0 },
  };
}

async function occupySlots(server: BenchServer): Promise<void> {
  const { gpus } = await server.ask<{ gpus: { slots: number }[] }>("/api/v1/gpus");
  const slots = gpus.reduce((sum, gpu) => sum + gpu.slots, 0);
  const batch = Array.from({ length: slots }, () => ({ text: TEXT, max_length: 30_000 }));
  const { status } = await server.ask<{ status: string }>("/api/v1/batch_predict", { batch });
  if (status !== "running") throw new Error(`not all of ${slots} tasks run: ${status}`);
}
