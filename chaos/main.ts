/*
 * npm run chaos [-- --short] [--store postgres] [--seed N] [--faults N] [--minutes N] [--keep]: a server under load is killed, stalled,
 * drained, robbed of its disk and its files, crowded by clients that stall, set to another time and lied to again and again. With
 * `--store postgres` its tasks are on PostgreSQL, which is killed, restarted, frozen, filled and cut off. Whenever all is left in peace,
 * everything that was promised has to be true. The last line says what was done.
 * Exit status 1: a promise was broken.
 */
import { parseArgs } from "node:util";
import { Api } from "./api.ts";
import { Database } from "./database.ts";
import { Dice } from "./dice.ts";
import { Ledger } from "./ledger.ts";
import { Lives } from "./lives.ts";
import { lieTo } from "./lied-to.ts";
import { Load, takeSecrets } from "./load.ts";
import { Receiver } from "./receiver.ts";
import { PROMISES, Report, type StoreName } from "./report.ts";
import { settle } from "./settle.ts";
import { verify } from "./verify.ts";
import { Violence } from "./violence.ts";
import { makeWorld, removeWorld } from "./world.ts";

/** Faults, the minutes of violence that there are for them, and the blows between two moments of peace. */
const SHORT = { faults: 50, minutes: 0.4, blows: 15, lies: 15 };
const LONG = { faults: 1000, minutes: 120, blows: 75, lies: 50 };
/** The same with PostgreSQL, where a fault takes longer. */
const OF_POSTGRES = {
  short: { faults: 20, minutes: 0.5, blows: 10, lies: 0 },
  long: { ...LONG, faults: 300, blows: 50 },
};
/** Kinds of rounds: in the last of so many the wall clock is set, and a server is lied to afterwards. */
const ROUNDS = 2;
/** Milliseconds between two lines that say how far it is. */
const PROGRESS = 20_000;

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    store: { type: "string", default: "sqlite" },
    seed: { type: "string" },
    faults: { type: "string" },
    // As it was called when there were no other faults.
    kills: { type: "string" },
    minutes: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const store = storeOf(values.store);
const extents = store === "postgres" ? OF_POSTGRES : { short: SHORT, long: LONG };
const extent = extents[values.short ? "short" : "long"];
const seed = numberOf("seed", values.seed, Math.floor(Math.random() * 2 ** 31));
const faults = numberOf("faults", values.faults ?? values.kills, extent.faults);
const minutes = numberOf("minutes", values.minutes, extent.minutes);

const how = `${values.short ? " --short" : ""}${store === "postgres" ? " --store postgres" : ""}`;
console.log(`chaos: seed ${seed}; the same again: npm run chaos --${how} --seed ${seed}`);
const report = new Report(store);
const dice = new Dice(seed);
const database = store === "postgres" ? await Database.start(dice.fork()) : null;
const world = makeWorld(values.keep, {}, database === null ? {} : { url: database.url });
const lives = new Lives(world.serveOptions, world.logFile, report);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => end("it was ended", 130));
const progress = setInterval(() => report.sayProgress(), PROGRESS);
try {
  await run();
} catch (error) {
  report.violations++;
  console.error("the suite itself has failed:", error);
}
clearInterval(progress);
report.sayChecks();
end(report.lastLine(seed), report.violations === 0 ? 0 : 1);

async function run(): Promise<void> {
  const { disk, clock, users, admin } = world;
  if (!disk.canFill) report.say("skipped: the disk cannot be made full here, neither by mount nor by prlimit");
  if (!clock.canStep) report.say("skipped: the clock cannot be set here, libfaketime is not installed");
  const receiver = await Receiver.start([...users, admin], report);
  const api = new Api(lives, report, database?.outage);
  const parts = { world, api, ledger: new Ledger(report), report, receiver, deadly: true };
  const violence = new Violence({ world, lives, dice: dice.fork(), report, database }, await lives.start());
  await takeSecrets(parts);

  let tags = 0;
  const newTag = () => `s${++tags}`;
  const earlier = new Map<string, string>();
  const tooLate = performance.now() + minutes * 60_000;
  const isEnough = (wanted: number) => report.faults >= Math.min(faults, wanted) || performance.now() > tooLate;
  for (let round = 1; round <= ROUNDS || !isEnough(faults); round++) {
    const stepped = round % ROUNDS === 0;
    const load = new Load(parts, dice.fork(), newTag);
    load.start();
    await violence.begin(stepped);
    const enough = report.faults + extent.blows;
    while (violence.isDue || !isEnough(enough)) await violence.strike(() => load.burst());
    await violence.end();
    await load.stop();
    await settle(parts, dice.fork(), newTag);
    await verify({ ...parts, lives, earlier, stepped });
    for (const [id, essence] of parts.ledger.settle()) earlier.set(id, essence);
    if (stepped && database === null) await lieTo({ world, dice: dice.fork(), report }, extent.lies);
  }
  await lives.stop(await violence.ensureLife(), false);
  report.check("lives", lives.badLines().length === 0, "the log tells of bugs", lives.badLines());
  report.check("sound", disk.damaged().length === 0, "a database was moved aside", disk.damaged());
  if (!values.short && faults >= extent.faults) expectAllChecked();
}

/** A check that never ran proves nothing. */
function expectAllChecked(): void {
  for (const promise of report.unchecked) {
    report.violations++;
    report.say(`VIOLATION: it was never looked at whether ${PROMISES[promise]}`);
  }
}

/** Also when connections and servers are still there. */
function end(lastLine: string, code: number): never {
  lives.destroy();
  database?.close();
  if (values.keep)
    console.log(`kept: ${world.folder}; what is mounted there has to be unmounted before it can be removed`);
  else removeWorld(world);
  console.log(lastLine);
  return process.exit(code);
}

function storeOf(given: string): StoreName {
  if (given === "sqlite" || given === "postgres") return given;
  console.error(`--store must be sqlite or postgres; got ${JSON.stringify(given)}.`);
  return process.exit(1);
}

function numberOf(name: string, given: string | undefined, otherwise: number): number {
  const number = given === undefined ? otherwise : Number(given);
  if (Number.isFinite(number) && number >= 0) return number;
  console.error(`--${name} must be a number, 0 or more; got ${JSON.stringify(given)}.`);
  return process.exit(1);
}
