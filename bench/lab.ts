/** Tasks that the lab replays in a second, and the memory that a long trace takes: in a process of its own, for a clean heap. */
import { spawnSync } from "node:child_process";
import { loadConfig } from "../src/config/config.ts";
import { REFERENCE_CONTEXT, REFERENCE_KV_BYTES } from "../src/lab/fleet.ts";
import { made } from "../src/lab/make.ts";
import { replay } from "../src/lab/replay.ts";
import { REFERENCE } from "../src/lab/speed.ts";
import { schedulerSettings } from "../src/tasks/scheduler-settings.ts";
import { type Extent, rounded, type Section } from "./report.ts";

const GPUS = 64;
const SLOTS = 8;
/** Requests a second for each GPU: three quarters of what it does. */
const RATE = 1.375;

interface Measured {
  readonly perSecond: number;
  readonly peakMiB: number;
}

export async function lab({ quick }: Extent): Promise<Section> {
  const sizes = quick ? [100_000, 400_000] : [1_000_000, 10_000_000];
  const rows = sizes.map((tasks) => ({ tasks, ...measured(tasks) }));
  const [few, many] = rows as [(typeof rows)[number], (typeof rows)[number]];
  return {
    name: "lab",
    about:
      `Requests of the kind steady, made as they are read, replayed by least_loaded on ${GPUS} GPUs of ${SLOTS} slots. ` +
      "Of the processor time of its process, and the most memory that it had, all in all.",
    rows: rows.map(({ tasks, perSecond, peakMiB }) => ({
      requests: tasks,
      "replayed/s of CPU": Math.round(perSecond),
      "peak MiB": rounded(peakMiB, 0),
    })),
    bars: [
      {
        what: `requests replayed in a second of processor time, ${GPUS} GPUs`,
        measured: many.perSecond,
        atLeast: 100_000,
      },
      {
        what: `peak memory, ${many.tasks} requests to ${few.tasks}`,
        measured: many.peakMiB / few.peakMiB,
        atMost: 1.3,
      },
    ],
  };
}

function measured(tasks: number): Measured {
  const { status, stdout, stderr } = spawnSync(process.execPath, [import.meta.filename, String(tasks)], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Measured;
}

async function run(tasks: number): Promise<Measured> {
  const speed = REFERENCE;
  const gpu = { slots: SLOTS, speed, context: REFERENCE_CONTEXT, kvBytesPerToken: REFERENCE_KV_BYTES };
  const before = process.cpuUsage();
  await replay(made({ kind: "steady", seed: 1, tasks, rate: RATE * GPUS }), {
    gpus: Array.from({ length: GPUS }, () => gpu),
    settings: schedulerSettings(loadConfig(undefined)),
    policy: { name: "least_loaded", strategy: "least_loaded" },
    seed: 1,
    firstTokenWithin: 2,
  });
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  // maxRSS is in KiB.
  return { perSecond: tasks / seconds, peakMiB: process.resourceUsage().maxRSS / 1024 };
}

if (process.argv[1] === import.meta.filename) console.log(JSON.stringify(await run(Number(process.argv[2]))));
