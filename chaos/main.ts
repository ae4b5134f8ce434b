/*
 * npm run chaos [-- --short] [--seed N] [--kills N] [--minutes N] [--keep]: a server under load is killed, stalled, drained and robbed of
 * its disk again and again; whenever it is left in peace, everything it has promised has to be true. The last line says what was done.
 * Exit status 1: a promise was broken.
 */
import { parseArgs } from "node:util";
import { Api } from "./api.ts";
import { Dice } from "./dice.ts";
import { Ledger } from "./ledger.ts";
import { Lives } from "./lives.ts";
import { Load, takeSecrets } from "./load.ts";
import { Receiver } from "./receiver.ts";
import { PROMISES, type Promised, Report } from "./report.ts";
import { settle } from "./settle.ts";
import { verify } from "./verify.ts";
import { Violence } from "./violence.ts";
import { makeWorld, removeWorld } from "./world.ts";

/** Kills of servers and workers, and the minutes of violence that there are for them. */
const SHORT = { kills: 40, minutes: 0.4 };
const LONG = { kills: 1000, minutes: 120 };
/** Kills between two moments of peace. */
const ROUND = 100;
/** Milliseconds between two lines that say how far it is. */
const PROGRESS = 20_000;

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    seed: { type: "string" },
    kills: { type: "string" },
    minutes: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const extent = values.short ? SHORT : LONG;
const seed = numberOf("seed", values.seed, Math.floor(Math.random() * 2 ** 31));
const kills = numberOf("kills", values.kills, extent.kills);
const minutes = numberOf("minutes", values.minutes, extent.minutes);

console.log(`chaos: seed ${seed}; the same again: npm run chaos --${values.short ? " --short" : ""} --seed ${seed}`);
const report = new Report();
const world = makeWorld(values.keep);
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
  const { disk, users, admin } = world;
  if (!disk.canFill) report.say("skipped: the disk cannot be made full here, neither by mount nor by prlimit");
  const dice = new Dice(seed);
  const receiver = await Receiver.start([...users, admin], report);
  const parts = { world, api: new Api(lives, report), ledger: new Ledger(report), report, receiver, deadly: true };
  const violence = new Violence({ lives, disk, dice: dice.fork(), report }, await lives.start());
  await takeSecrets(parts);

  let tags = 0;
  const newTag = () => `s${++tags}`;
  const earlier = new Map<string, string>();
  const tooLate = performance.now() + minutes * 60_000;
  while (report.kills < kills && performance.now() < tooLate) {
    const load = new Load(parts, dice.fork(), newTag);
    load.start();
    const enough = Math.min(kills, report.kills + ROUND);
    while (report.kills < enough && performance.now() < tooLate) await violence.strike(() => load.burst());
    await load.stop();
    await settle(parts, dice.fork(), newTag);
    await verify({ ...parts, lives, earlier });
    for (const [id, essence] of parts.ledger.settle()) earlier.set(id, essence);
  }
  await lives.stop(await violence.ensureLife(), false);
  report.check("lives", lives.badLines().length === 0, "the log tells of bugs", lives.badLines());
  report.check("sound", disk.damaged().length === 0, "a database was moved aside", disk.damaged());
  if (!values.short) expectAllChecked();
}

/** A check that never ran proves nothing. */
function expectAllChecked(): void {
  for (const [promise, meaning] of Object.entries(PROMISES)) {
    if (report.timesChecked(promise as Promised) > 0) continue;
    report.violations++;
    report.say(`VIOLATION: it was never looked at whether ${meaning}`);
  }
}

/** Also when connections and servers are still there. */
function end(lastLine: string, code: number): never {
  lives.destroy();
  if (values.keep)
    console.log(`kept: ${world.folder}; what is mounted there has to be unmounted before it can be removed`);
  else removeWorld(world);
  console.log(lastLine);
  return process.exit(code);
}

function numberOf(name: string, given: string | undefined, otherwise: number): number {
  const number = given === undefined ? otherwise : Number(given);
  if (Number.isFinite(number) && number >= 0) return number;
  console.error(`--${name} must be a number, 0 or more; got ${JSON.stringify(given)}.`);
  return process.exit(1);
}
