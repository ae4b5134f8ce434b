/*
 * npm run chaos -- --cluster [--store sqlite] [--short] [--seed N] [--faults N]: three servers, three agents, PostgreSQL and NATS are killed,
 * stopped, frozen, cut off from each other and set to other times under load; with `--store sqlite` there is one server, and no PostgreSQL. When
 * all are whole again, everything that was promised has to be true. The last line says what was done.
 * Exit status 1: a promise was broken; 3: there is no nats-server here, or no PostgreSQL.
 */
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { NO_NATS } from "../../test/helpers/nats.ts";
import { NO_POSTGRES, PROGRAMS } from "../../test/helpers/postgres.ts";
import { Dice } from "../dice.ts";
import { broken } from "./check.ts";
import { Faults } from "./faults.ts";
import { Load } from "./load.ts";
import { reviveServers } from "./process-faults.ts";
import { ClusterWorld } from "./world.ts";

const SHORT = 20;
const LONG = 100;
/** Milliseconds in which all serve again that were hurt. */
const RECOVERY = 120_000;
/** Milliseconds between two lines that say how far it is. */
const PROGRESS = 10_000;

const { values } = parseArgs({
  options: {
    cluster: { type: "boolean" },
    store: { type: "string", default: "postgres" },
    short: { type: "boolean", default: false },
    seed: { type: "string" },
    faults: { type: "string" },
  },
});
const isSeveral = values.store === "postgres";
const missing = NO_NATS !== false ? NO_NATS : isSeveral && PROGRAMS === null ? NO_POSTGRES : null;
if (missing !== null) {
  console.error(missing);
  process.exit(3);
}
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const wanted = Number(values.faults ?? (values.short ? SHORT : LONG));
const how = `--cluster${isSeveral ? "" : " --store sqlite"} --faults ${wanted} --seed ${seed}`;
console.log(`chaos: seed ${seed}; the same again: npm run chaos -- ${how}`);
const dice = new Dice(seed);
const world = await ClusterWorld.start(isSeveral);
if (!world.seats[0]!.clock.canStep) console.log("skipped: the clocks cannot be set here, libfaketime is not installed");
const faults = new Faults(world, dice.fork());
const load = new Load(world, dice.fork());
const found: string[] = [];
try {
  await run();
} catch (error) {
  found.push("the suite itself has failed");
  console.error(error);
}
if (found.length > 0) console.error(await world.view());
for (const fault of found) console.error(`VIOLATION: ${fault}`);
await world.end();
console.log(`${faults.words}; a server lost a machine ${world.losses.count} times`);
console.log(`${faults.sum} faults, ${load.accepted.length} accepted, ${found.length} violations`);
process.exit(found.length === 0 ? 0 : 1);

async function run(): Promise<void> {
  await ready();
  load.start();
  const said = (): void => console.log(`${faults.sum} faults, ${load.accepted.length} accepted; ${faults.underWay}`);
  const progress = setInterval(said, PROGRESS);
  await faults.strike(wanted);
  clearInterval(progress);
  await load.stop();
  await ready();
  await load.endReaders(RECOVERY);
  found.push(...(await broken(world, load.accepted, faults.happened)), ...load.violations);
}

/** Waits until all servers answer, and all GPUs serve. @throws {Error} when they do not, with how they look then */
async function ready(): Promise<void> {
  const end = performance.now() + RECOVERY;
  for (;;) {
    await reviveServers(world);
    const looks = await Promise.all(world.posts.map(({ server }) => lookAt(server)));
    if (looks.every((look) => look.filter((status) => status === "ready").length === world.seats.length * 2)) return;
    if (performance.now() > end) throw new Error(`not all GPUs serve: ${JSON.stringify(looks)}`);
    await sleep(100);
  }
}

/** The states of all GPUs, as a server tells them. */
async function lookAt(server: ClusterWorld["server"]): Promise<string[]> {
  const asked = server.request<{ gpus?: { status: string }[] }>("GET", "/api/v1/gpus");
  return asked.then(({ body }) => (body.gpus ?? []).map(({ status }) => status)).catch(() => []);
}
