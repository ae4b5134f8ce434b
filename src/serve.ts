/** `alt-las serve`: starts the server, says how to use it, and stops it on a signal. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { type Config } from "./config.ts";
import { type Device } from "./gpu/devices.ts";
import { createLogger } from "./log.ts";
import { type RunningServer, startServer } from "./main.ts";
import { table } from "./table.ts";
import { VERSION } from "./version.ts";

/**
 * npm and a terminal each deliver the same signal, so one that follows sooner than this many milliseconds is the same one again;
 * a later one means "at once".
 */
const SAME_SIGNAL = 1000;

/** Runs a server until a signal stops it; the process ends with exit code 0 then. */
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
    void server.stop().then(
      () => {
        log.info("stopped");
        process.exit(0);
      },
      (error: unknown) => {
        log.fatal({ err: error }, "the stop failed");
        process.exit(1);
      },
    );
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, onSignal);
}

/** What a person needs to know first: the address, the key, the GPUs, and one command that works. */
export function greeting(config: Config, dataDir: string, { url, devices, firstKey }: RunningServer): string {
  const everywhere = ["0.0.0.0", "::"].includes(config.server.host)
    ? ", and on every other address of this machine"
    : "";
  const parts = [`ALT_LAS ${VERSION} listens on ${url}${everywhere}`];
  if (firstKey !== null) parts.push(`API key of the user admin, shown only this once:\n  ${firstKey}`);
  parts.push(deviceTable(config, devices));
  parts.push(...troubles(config, devices));
  if (config.engine.model === undefined && usesModel(devices))
    parts.push("The demo model is served: tiny, for trying things out. For another: npm start -- --model FILE.gguf");
  parts.push(`Try it:\n  ${curlLine(config, url, firstKey)}`);
  if (config.auth.enabled && firstKey === null && !process.env.ALT_LAS_API_KEY)
    parts.push(
      `$ALT_LAS_API_KEY stands for your key. For a new one: npx alt-las keys add --user NAME --data-dir ${dataDir}`,
    );
  return `${parts.join("\n\n")}\n`;
}

function usesModel(devices: readonly Device[]): boolean {
  return devices.some(({ kind }) => kind !== "simulated");
}

function deviceTable(config: Config, devices: readonly Device[]): string {
  const slots = config.gpu.multi_gpu.max_concurrent_tasks_per_gpu;
  const model = config.engine.model === undefined ? "demo" : basename(config.engine.model);
  const rows = devices.map(({ id, name, memoryTotal, kind, unusable }) => [
    String(id),
    name,
    memoryTotal === null ? "-" : `${(memoryTotal / 2 ** 30).toFixed(1)} GiB`,
    String(slots),
    unusable === null ? (kind === "simulated" ? "simulated" : model) : "cannot be used",
  ]);
  return table(["GPU", "NAME", "MEMORY", "SLOTS", "MODEL"], rows);
}

/** What is known to be wrong before a single model is loaded, so that nobody has to find it in the log. */
function troubles({ engine }: Config, devices: readonly Device[]): string[] {
  const reasons = new Set(devices.map(({ unusable }) => unusable).filter((reason) => reason !== null));
  const missing = engine.model !== undefined && usesModel(devices) && !existsSync(engine.model);
  return [...reasons, ...(missing ? [`The model file ${engine.model} does not exist, so no task can run.`] : [])];
}

/** A request that waits for its text, so that one paste shows the whole thing. */
function curlLine(config: Config, url: string, firstKey: string | null): string {
  const key = config.auth.enabled ? ` -H "Authorization: Bearer ${firstKey ?? "$ALT_LAS_API_KEY"}"` : "";
  const trust = config.server.tls.cert === undefined ? "" : ` --cacert ${config.server.tls.cert}`;
  return `curl -s${trust} ${url}/api/v1/predict${key} -H "Content-Type: application/json" -H "Prefer: wait=30" -d '{"text": "Once upon a time"}'`;
}
