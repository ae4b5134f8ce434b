/** `alt-las serve`: starts the server, says how to use it, and stops it on a signal. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { type Config } from "./config.ts";
import { DEMO_MODEL, type Device } from "./gpu/devices.ts";
import { createLogger, type Logger } from "./log.ts";
import { type RunningServer, startServer } from "./main.ts";
import { table } from "./table.ts";
import { VERSION } from "./version.ts";

/**
 * npm and a terminal each deliver the same signal, so one that follows sooner than this many milliseconds is the same one again;
 * a later one means "at once".
 */
const SAME_SIGNAL = 1000;

/** Runs a server until a signal stops it; the process ends with exit code 0 then, or 1 when the store was lost meanwhile. */
export async function serve(config: Config, dataDir: string): Promise<void> {
  const log = createLogger(config.log.level);
  const server = await startServer(config, dataDir, log);
  console.log(greeting(config, dataDir, server));
  let first = 0;
  const onSignal = (signal: string): void => {
    const now = performance.now();
    if (first !== 0 && now - first < SAME_SIGNAL) return;
    log.info(
      { signal },
      first === 0 ? "stopping: running tasks may finish, a second signal stops at once" : "stopping at once",
    );
    first = now;
    void end(server, log);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, onSignal);
}

async function end(server: RunningServer, log: Logger): Promise<never> {
  try {
    await server.stop();
    log.info("stopped");
    process.exit(server.lost.aborted ? 1 : 0);
  } catch (error) {
    log.fatal({ err: error }, "the stop failed");
    process.exit(1);
  }
}

/** What a person needs to know first: the address, the key, the GPUs, and one command that works. */
export function greeting(
  config: Config,
  dataDir: string,
  { url, devices, firstKey, movedAside }: Omit<RunningServer, "stop" | "lost">,
): string {
  const everywhere = ["0.0.0.0", "::"].includes(config.server.host)
    ? ", and on every other address of this machine"
    : "";
  const parts = [`ALT_LAS ${VERSION} listens on ${url}${everywhere}`];
  if (firstKey !== null) parts.push(`API key of the user admin, shown only this once:\n  ${firstKey}`);
  if (movedAside !== null)
    parts.push(
      `The task database was damaged. It was moved to ${movedAside}, with all tasks, webhook secrets and idempotency keys; a new one was begun.`,
    );
  parts.push(deviceTable(devices));
  parts.push(...troubles(devices));
  if (devices.some(({ engine }) => engine.kind === "llama" && engine.model === DEMO_MODEL))
    parts.push("The demo model is served: tiny, for trying things out. For another: npm start -- --model FILE.gguf");
  parts.push(`Try it:\n  ${curlLine(config, url, firstKey)}`);
  if (config.auth.enabled && firstKey === null && !process.env.ALT_LAS_API_KEY)
    parts.push(
      `$ALT_LAS_API_KEY stands for your key. For a new one: npx alt-las keys add --user NAME --data-dir ${dataDir}`,
    );
  return `${parts.join("\n\n")}\n`;
}

function deviceTable(devices: readonly Device[]): string {
  const rows = devices.map((device) => [
    String(device.id),
    device.name,
    device.memoryTotal === null ? "-" : `${(device.memoryTotal / 2 ** 30).toFixed(1)} GiB`,
    String(device.slots),
    modelOf(device),
  ]);
  return table(["GPU", "NAME", "MEMORY", "SLOTS", "MODEL"], rows);
}

function modelOf({ unfit, lost, engine: { kind, model } }: Device): string {
  if (lost !== null) return "not there";
  if (unfit !== null) return "cannot be used";
  if (kind === "openai") return model === "" ? "what it serves" : model;
  return kind === "simulated" ? "simulated" : model === DEMO_MODEL ? "demo" : basename(model);
}

/** What is known to be wrong before a single model is loaded, so that nobody has to find it in the log. */
function troubles(devices: readonly Device[]): string[] {
  const broken = devices.flatMap((device) => {
    const why = device.lost ?? device.unfit ?? missingModel(device);
    return why === null ? [] : [{ id: device.id, why }];
  });
  const byReason = Map.groupBy(broken, ({ why }) => why);
  return [...byReason].map(([why, of]) => `GPU ${of.map(({ id }) => id).join(", ")}: ${why}`);
}

function missingModel({ engine: { kind, model } }: Device): string | null {
  return kind === "llama" && !existsSync(model) ? `The model file ${model} does not exist.` : null;
}

/** A request that waits for its text, so that one paste shows the whole thing. */
function curlLine(config: Config, url: string, firstKey: string | null): string {
  const key = config.auth.enabled ? ` -H "Authorization: Bearer ${firstKey ?? "$ALT_LAS_API_KEY"}"` : "";
  const trust = config.server.tls.cert === undefined ? "" : ` --cacert ${config.server.tls.cert}`;
  return `curl -s${trust} ${url}/api/v1/predict${key} -H "Content-Type: application/json" -H "Prefer: wait=30" -d '{"text": "Once upon a time"}'`;
}
