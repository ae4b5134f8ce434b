/** How long a server takes to be ready when many tasks are stored. */
import { execFileSync } from "node:child_process";
import { ownCpuOf } from "./cpu-time.ts";
import { type Extent, median, rounded, type Section } from "./report.ts";
import { startServer } from "./server.ts";
import { databaseWith, type Stored } from "./stored-tasks.ts";

/** Seconds: nothing of what is stored may become too old between two runs. */
const FOR_EVER = 315_360_000;

interface Case extends Stored {
  /** Whether the system has to read the file from the disk. */
  readonly cold: boolean;
}

export async function startUp({ quick, profile }: Extent): Promise<Section> {
  const many = quick ? 100_000 : 1_000_000;
  const rounds = quick ? 3 : 7;
  const cases: Case[] = [
    { ended: 0, queued: 0, cold: false },
    { ended: many, queued: 0, cold: false },
    // GNU's dd can ask Linux to forget a file.
    ...(process.platform === "linux" ? [{ ended: many, queued: 0, cold: true }] : []),
    { ended: 0, queued: many / 10, cold: false },
  ];
  const found: (Case & { readonly path: string; readonly starts: Start[] })[] = [];
  for (const one of cases) found.push({ ...one, path: await databaseWith(one), starts: [] });
  // The first round warms up the system's caches and this process.
  for (let round = 0; round <= rounds; round++) {
    for (const { path, cold, starts } of found) {
      const start = await startWith(path, cold, profile);
      if (round > 0) starts.push(start);
    }
  }
  const rows = found.map(({ ended, queued, cold, starts }) => ({
    ended,
    queued,
    file: cold ? "on disk" : "in memory",
    "ready after s": rounded(median(starts.map(({ seconds }) => seconds)), 3),
    "longest s": rounded(Math.max(...starts.map(({ seconds }) => seconds)), 3),
    "CPU s": rounded(median(starts.map(({ cpu }) => cpu)), 2),
  }));
  return {
    name: "life: start-up",
    about:
      `From the start of the process to the first 200 of /readyz, with one simulated device that loads at once, by what the database ` +
      `has. In memory: the system has the file in its cache, as after a restart of the server; on disk: it has not, as after one of ` +
      `the machine (not every file system lets itself be asked for that). CPU: processor time of the server until then, without its worker's. ` +
      `Medians of ${rounds} starts, in turns.`,
    rows,
    bars: rows
      .filter(({ ended, queued }) => ended > 0 && queued === 0)
      .map(({ file, "ready after s": measured }) => ({
        what: `seconds to ready with ${many} tasks stored, ${file}`,
        measured,
        atMost: 2,
      })),
  };
}

interface Start {
  readonly seconds: number;
  /** Seconds of processor time; NaN: this system does not tell. */
  readonly cpu: number;
}

async function startWith(path: string, cold: boolean, profile: boolean): Promise<Start> {
  if (cold) execFileSync("dd", [`if=${path}`, "iflag=nocache", "count=0", "status=none"]);
  const config = {
    store: { path },
    // What starts must not end, or the next start would find fewer.
    engine: { simulated: { tokens_per_second: 0.001 } },
    tasks: { retention: FOR_EVER },
    gpu: { multi_gpu: { max_queue_size: 1_000_000 } },
    server: { drain_timeout: 0 },
  };
  const server = await startServer({ devices: "simulated:1", config, profile });
  const cpu = ownCpuOf(server.pid);
  await server.stop();
  return { seconds: server.readyAfter / 1000, cpu };
}
