/** Many agents in one process, each with simulated GPUs that generate at no cost: what a leader has to do with them is what a real cluster asks of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { openNats } from "../../src/cluster/nats-bus.ts";
import { startAgent } from "../../src/cluster/start-agent.ts";
import { parseConfig } from "../../src/config/config.ts";
import { LocalWorkers } from "../../test/helpers/local-workers.ts";

export interface Herd {
  readonly url: string;
  readonly agents: number;
  readonly gpus: number;
}

const folder = mkdtempSync(join(tmpdir(), "alt-las-herd-"));
const log = pino({ level: "silent" });

process.on("message", ({ url, agents, gpus }: Herd) => void start({ url, agents, gpus }));
process.on("disconnect", () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});

async function start({ url, agents, gpus }: Herd): Promise<void> {
  const yaml = "engine: { simulated: { tokens_per_second: 0 } }";
  const config = parseConfig(yaml, "herd", { devices: `simulated:${gpus}` });
  for (let index = 0; index < agents; index++) {
    const machine = `m${index}`;
    const bus = await openNats({ urls: [url], name: machine, log });
    const openChannel = new LocalWorkers().open;
    await startAgent({ config, dataDir: join(folder, machine), machine, bus, log, openChannel });
  }
  process.send!({});
}
