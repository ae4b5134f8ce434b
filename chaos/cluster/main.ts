/*
 * npm run chaos -- --cluster [--store postgres] [--short] [--seed N] [--faults N]: a server, three agents and a NATS server are killed,
 * stopped, frozen and cut off under load; with `--store postgres` two servers and the database; when all are whole again, everything that was promised has to be true. The last line says what was done.
 * Exit status 1: a promise was broken; 3: there is no nats-server here.
 */
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { NO_NATS } from "../../test/helpers/nats.ts";
import { NO_POSTGRES, PROGRAMS } from "../../test/helpers/postgres.ts";
import { Dice } from "../dice.ts";
import { broken } from "./check.ts";
import { Faults, FAULTS } from "./faults.ts";
import { Load } from "./load.ts";
import { ClusterWorld } from "./world.ts";

const SHORT = 20;
const LONG = 100;

const { values } = parseArgs({
  options: {
    cluster: { type: "boolean" },
    store: { type: "string", default: "sqlite" },
    short: { type: "boolean", default: false },
    seed: { type: "string" },
    faults: { type: "string" },
  },
});
if (NO_NATS !== false) {
  console.error(NO_NATS);
  process.exit(3);
}
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const wanted = Number(values.faults ?? (values.short ? SHORT : LONG));
const isSeveral = values.store === "postgres";
if (isSeveral && PROGRAMS === null) {
  console.error(NO_POSTGRES);
  process.exit(3);
}
const how = `--cluster${isSeveral ? " --store postgres" : ""} --faults ${wanted} --seed ${seed}`;
console.log(`chaos: seed ${seed}; the same again: npm run chaos -- ${how}`);
const dice = new Dice(seed);
const world = await ClusterWorld.start(isSeveral);
const faults = new Faults(world, dice.fork());
const load = new Load(world, dice.fork());
await ready();
load.start();
const progress = setInterval(() => console.log(`${faults.sum} faults, ${load.accepted.length} accepted`), 10_000);
while (faults.sum < wanted) await faults.strike();
clearInterval(progress);
await load.stop();
await ready();
const found = [...(await broken(world, load.accepted, faults.happened)), ...load.doubled];
for (const fault of found) console.error(`VIOLATION: ${fault}`);
const each = Object.entries(FAULTS).map(([fault, words]) => `${faults.counts[fault as keyof typeof FAULTS]} ${words}`);
await world.end();
console.log(each.join(", "));
console.log(`${faults.sum} faults, ${load.accepted.length} accepted, ${found.length} violations`);
process.exit(found.length === 0 ? 0 : 1);

/** Waits until all GPUs serve. @throws {Error} when they do not in two minutes, with how they look then */
async function ready(): Promise<void> {
  const end = performance.now() + 120_000;
  for (;;) {
    const { body } = await world.server.request<{ gpus: { status: string }[] }>("GET", "/api/v1/gpus");
    if (body.gpus.filter(({ status }) => status === "ready").length === world.seats.length * 2) return;
    if (performance.now() > end) {
      const said = world.seats.map(({ name, agent }) => `${name}: ${agent.said.slice(-1500)}`).join("\n");
      await world.end();
      throw new Error(`not all GPUs serve: ${JSON.stringify(body.gpus)}\n${said}`);
    }
    await sleep(100);
  }
}
