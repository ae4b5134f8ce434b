/*
 * npm run soak [-- --short] [--minutes N] [--seed N]: steady mixed load on two servers, one with simulated GPUs, one that generates with llama.cpp.
 * Each minute the load pauses, everything ends, and it is looked at what the servers hold. Exit status 1: something has grown, or a
 * promise was broken. --short has two rounds of a few seconds, too few to tell growth.
 */
import { once } from "node:events";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Agent, setGlobalDispatcher } from "undici";
import { type Memory } from "../bench/memory-probe.ts";
import { type BenchServer, PROBE, startServer } from "../bench/server.ts";
import { Api } from "../chaos/api.ts";
import { Dice } from "../chaos/dice.ts";
import { Ledger } from "../chaos/ledger.ts";
import { type Life, Lives } from "../chaos/lives.ts";
import { Load, type LoadParts, takeSecrets } from "../chaos/load.ts";
import { Receiver } from "../chaos/receiver.ts";
import { Report } from "../chaos/report.ts";
import { settle } from "../chaos/settle.ts";
import { makeWorld, removeWorld } from "../chaos/world.ts";
import { useOf } from "../src/gpu/worker/process-use.ts";
import { childrenOf } from "../test/helpers/processes.ts";
import { DemoLoad } from "./demo-load.ts";
import { Growth } from "./growth.ts";

/** How long a run is, and the milliseconds of load between two looks. */
const SHORT = { minutes: 0.3, round: 8000 };
const LONG = { minutes: 30, round: 55_000 };
/** Seconds that ended tasks are kept: less than two rounds would take tasks from clients that still ask for them. */
const RETENTION = 180;
/** Bytes of the database that are kept in memory: with the usual ones that would be all of it, which grows. */
const SMALL_CACHE = 2 * 2 ** 20;
/** Milliseconds in which a server has noticed that its clients have hung up. */
const NOTICE = 500;

const { values } = parseArgs({
  options: { short: { type: "boolean", default: false }, minutes: { type: "string" }, seed: { type: "string" } },
});
const extent = values.short ? SHORT : LONG;
const minutes = Number(values.minutes ?? extent.minutes);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error("--minutes must be a number above 0, --seed a whole number.");
  process.exit(1);
}

const report = new Report();
const growth = new Growth();
const world = makeWorld(false, { retention: RETENTION }, { cache_bytes: SMALL_CACHE });
const lives = new Lives(world.serveOptions, world.logFile, report, PROBE);
let demo: BenchServer | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void finish(130));
try {
  await run();
  const hasGrown = !values.short && !growth.verdict();
  await finish(report.violations === 0 && !hasGrown ? 0 : 1);
} catch (error) {
  console.error("the suite itself has failed:", error);
  await finish(1);
}

async function run(): Promise<void> {
  console.log(`soak: seed ${seed}, ${minutes} minutes`);
  const dice = new Dice(seed);
  const receiver = await Receiver.start([...world.users, world.admin], report);
  const life = await lives.start();
  demo = await startServer({ devices: "cpu:1", config: { tasks: { retention: RETENTION } }, probe: true });
  const parts = { world, api: new Api(lives, report), ledger: new Ledger(report), report, receiver, deadly: false };
  await takeSecrets(parts);
  let tags = 0;
  const over = performance.now() + minutes * 60_000;
  while (performance.now() < over) {
    const connections = new Agent();
    setGlobalDispatcher(connections);
    await round(parts, demo, dice, () => `s${++tags}`);
    // How many of them the clients keep is their own affair.
    await connections.close();
    await sleep(NOTICE);
    await look(life, demo);
    growth.say();
  }
  await lives.stop(life, false);
  report.check("lives", lives.badLines().length === 0, "the log tells of bugs", lives.badLines());
}

/** Load for a while, until all that came of it has ended. */
async function round(parts: LoadParts, server: BenchServer, dice: Dice, newTag: () => string): Promise<void> {
  const load = new Load(parts, dice.fork(), newTag);
  const generating = new DemoLoad(server, report, dice.fork());
  load.start();
  generating.start();
  await sleep(extent.round);
  await Promise.all([load.stop(), generating.stop()]);
  await settle(parts, dice.fork(), newTag);
  parts.ledger.settle();
}

/** What both servers and their workers hold while nothing runs. */
async function look(life: Life, server: BenchServer): Promise<void> {
  life.process.send("how are you");
  const [main] = (await once(life.process, "message")) as [Memory];
  const second = await server.memory();
  growth.add({
    ...ofServer("server", main),
    // It grows for a day, which is how long idempotency keys are kept.
    "server's database": { unit: "stored", value: statSync(world.databaseFile).size },
    "server's workers": { unit: "bytes", value: residentOf(life.pid) },
    ...ofServer("llama server", second),
    "llama worker": { unit: "bytes", value: residentOf(server.pid) },
  });
}

function ofServer(name: string, memory: Memory) {
  return {
    [`${name} heap`]: { unit: "bytes", value: memory.heap },
    [`${name} threads' heaps`]: { unit: "bytes", value: memory.threads },
    [`${name} resident`]: { unit: "bytes", value: memory.resident },
    [`${name} handles`]: { unit: "count", value: memory.handles },
    [`${name} files`]: { unit: "count", value: memory.files ?? 0 },
    [`${name} delay p99`]: { unit: "ms", value: memory.delayP99 },
  } as const;
}

/** Bytes of a process's children together; 0 where the system does not tell. */
function residentOf(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + (useOf(child.pid)?.residentBytes ?? 0), 0);
}

async function finish(code: number): Promise<never> {
  await demo?.stop();
  lives.destroy();
  removeWorld(world);
  const { accepted, completed, failed, canceled } = report.counts;
  const done = `${accepted} tasks accepted, ${completed} completed, ${failed} failed, ${canceled} canceled`;
  console.log(`soak: seed ${seed}, ${done}, ${report.violations} violations, exit status ${code}`);
  return process.exit(code);
}
