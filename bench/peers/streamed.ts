/** Routers of one server, asked for short streamed answers: what each costs, adds, takes and needs to start. */
import { setTimeout as sleep } from "node:timers/promises";
import { startChild } from "../child.ts";
import { type Bar, type Extent, median, type Row, type Section } from "../report.ts";
import { ADDED, CONNECTIONS, SLOTS } from "../streamed.ts";
import { load } from "../submit.ts";
import { TOKEN } from "../upstream-words.ts";
import {
  type Candidate,
  chatRequest,
  HOST,
  OURS,
  oneOfEach,
  type Provided,
  type Shelf,
  spread,
  type Target,
} from "./shelf.ts";
import { reasonOf } from "./cupboard.ts";
import { AT_REST, treeCpu, treeMemory } from "./running.ts";

/** MiB of this server and its engine's process. */
const MOST_MEMORY = 190;
/** Of llama-swap's processor time. */
const MOST_OF_LLAMA_SWAP = 0.8;
const DIRECT = "direct";

/** Seconds of a turn and of warming up, and rounds of turns. */
const PLANS = {
  quick: { seconds: 0.4, warmUp: 1, rounds: 2, starts: 1 },
  whole: { seconds: 1, warmUp: 6, rounds: 5, starts: 4 },
};
type Plan = (typeof PLANS)["whole"];

interface Found {
  readonly name: string;
  /** Milliseconds of processor time a task, and tasks a second, one figure a round. */
  readonly cpu: number[];
  readonly rates: number[];
  /** Milliseconds to the first token of half of the tasks, by connections; one figure a round. */
  readonly firsts: ReadonlyMap<number, number[]>;
  /** Seconds, one figure a start; and of processor time. */
  readonly starts: number[];
  readonly startCpu: number[];
  /** MiB at rest behind the start, and when all is over. */
  atRest: number;
  atEnd: number;
}

/** @param missing is told of who does not start */
export async function streamedSection(
  { quick }: Pick<Extent, "quick">,
  shelf: Shelf,
  missing: (one: Provided) => void,
): Promise<Section> {
  const plan = quick ? PLANS.quick : PLANS.whole;
  await using started = new AsyncDisposableStack();
  const upstream = started.adopt(startChild("upstream.ts", process.env), (child) => child.stop());
  const port = await upstream.ask<number>({});
  const direct = { name: DIRECT, host: HOST, port, authorization: "none", path: "/v1/chat/completions" };
  const found = new Map([[DIRECT, nothing(DIRECT)]]);
  const targets = await startAll(oneOfEach(shelf), port, plan, { found, started, missing });
  await sleep(AT_REST);
  for (const { name, pid } of targets) found.get(name)!.atRest = mebibytes(treeMemory(pid));
  let sides: readonly Side[] = [{ ...direct, pid: upstream.pid }, ...targets];
  // One that fails is left out from then on; without ours, or the server behind them, there is nothing to say.
  const each = async (round: number, of: (side: Side) => Promise<void>): Promise<void> => {
    // None is always the first one.
    const first = round % sides.length;
    for (const side of [...sides.slice(first), ...sides.slice(0, first)]) {
      try {
        await of(side);
      } catch (error) {
        if ([OURS, DIRECT].includes(side.name)) throw error;
        missing({ name: side.name, version: "–", missing: reasonOf(error) });
        sides = sides.filter((other) => other !== side);
        found.delete(side.name);
      }
    }
  };
  await each(0, async (side) => void (await ask(side, CONNECTIONS, plan.warmUp)));
  for (let round = 0; round < plan.rounds; round++)
    for (const connections of ADDED.keys())
      await each(round, (side) => turn(side, connections, plan.seconds, found.get(side.name)!));
  for (const { name, pid } of sides) found.get(name)!.atEnd = mebibytes(treeMemory(pid));
  return sectionOf([...found.values()], plan);
}

function nothing(name: string): Found {
  const firsts = new Map(ADDED.keys().map((connections) => [connections, []]));
  return { name, cpu: [], rates: [], firsts, starts: [], startCpu: [], atRest: Number.NaN, atEnd: Number.NaN };
}

interface Starting {
  readonly found: Map<string, Found>;
  readonly started: AsyncDisposableStack;
  readonly missing: (one: Provided) => void;
}

/** Starts each several times, by turns; the last of each stays. */
async function startAll(
  candidates: readonly Candidate[],
  port: number,
  { starts }: Plan,
  { found, started, missing }: Starting,
): Promise<Target[]> {
  const targets: Target[] = [];
  const absent = new Set<string>();
  for (let start = 0; start < starts; start++) {
    for (const candidate of candidates.filter(({ name }) => !absent.has(name))) {
      try {
        const target = await candidate.start([port], SLOTS);
        const figures = found.get(target.name) ?? nothing(target.name);
        found.set(target.name, figures);
        figures.starts.push(target.readyAfter / 1000);
        figures.startCpu.push(target.startCpu);
        if (start < starts - 1) await target.stop();
        else targets.push(started.adopt(target, (running) => running.stop()));
      } catch (error) {
        absent.add(candidate.name);
        missing({ name: candidate.name, version: "–", missing: reasonOf(error) });
      }
    }
  }
  return targets;
}

type Side = Pick<Target, "name" | "pid" | "host" | "port" | "authorization" | "path">;

async function turn(side: Side, connections: number, seconds: number, found: Found): Promise<void> {
  const before = treeCpu(side.pid);
  const { accepted, first, ...took } = await ask(side, connections, seconds);
  found.firsts.get(connections)!.push(first);
  if (connections !== CONNECTIONS) return;
  found.cpu.push(((treeCpu(side.pid) - before) / accepted) * 1000);
  found.rates.push(accepted / took.seconds);
}

async function ask(side: Side, connections: number, seconds: number) {
  const asked = await load({ ...side, connections, seconds, request: chatRequest(side, 1), token: TOKEN });
  if (asked.firstError !== "") throw new Error(`${side.name}: a task failed: ${asked.firstError}`);
  return asked;
}

function sectionOf(all: readonly Found[], { rounds, seconds, starts }: Plan): Section {
  const [direct] = all as [Found];
  const ours = all.find(({ name }) => name === OURS);
  return {
    name: "peers: streamed",
    about:
      `POST /v1/chat/completions, streamed, one token, through a router of one server; that server generates at no cost, in a process of its own, and is asked directly, too. ${rounds} ` +
      `rounds of turns of ${seconds} s, medians with least and most. CPU: milliseconds of processor time a task of the router's processes, at ${CONNECTIONS} connections, as many as ` +
      "come; a second: how many those are. Added: milliseconds until half of the tasks have their first token, beyond those of the server asked directly in the same round, by " +
      `the number of connections. Ready: seconds from the start of the process until it answers with 200 (${OURS}: until /readyz says that all is ready), ${starts} starts. MiB: ` +
      `resident, ${AT_REST / 1000} s after the start and after all of it; what two processes share counts twice. ${OURS} has each task on disk before its first token and its result before its last ` +
      "event; the others store nothing.",
    rows: all.map((one) => rowOf(one, direct)),
    bars: ours === undefined ? [] : barsOf(ours, direct, all),
  };
}

function rowOf(one: Found, direct: Found): Row {
  const added = [...ADDED.keys()].map((connections) => {
    const more = addedBy(one, direct, connections);
    return [`added at ${connections}`, one === direct ? "–" : spread(more, median(more), 1)];
  });
  const isRouter = one !== direct;
  return {
    router: one.name,
    "CPU ms": isRouter ? spread(one.cpu, median(one.cpu), 2) : "–",
    "a second": spread(one.rates, median(one.rates), 0),
    ...Object.fromEntries(added),
    "ready s": isRouter ? spread(one.starts, median(one.starts), 2) : "–",
    "CPU s until then": isRouter ? spread(one.startCpu, median(one.startCpu), 2) : "–",
    "MiB at rest": isRouter ? Math.round(one.atRest) : "–",
    "MiB after": isRouter ? Math.round(one.atEnd) : "–",
  };
}

/** Milliseconds, of each round. */
function addedBy({ firsts }: Found, direct: Found, connections: number): number[] {
  return firsts.get(connections)!.map((first, round) => first - direct.firsts.get(connections)![round]!);
}

function barsOf(ours: Found, direct: Found, all: readonly Found[]): Bar[] {
  const llamaSwap = all.find(({ name }) => name === "llama-swap");
  return [
    ...[...ADDED].map(([connections, atMost]) => ({
      what: `added ms to the first token at ${connections} connections`,
      measured: median(addedBy(ours, direct, connections)),
      atMost,
    })),
    { what: "MiB of a router of one server, at rest", measured: ours.atRest, atMost: MOST_MEMORY },
    ...(llamaSwap === undefined
      ? []
      : [
          {
            what: "processor time of a task, of llama-swap's",
            measured: median(ours.cpu) / median(llamaSwap.cpu),
            atMost: MOST_OF_LLAMA_SWAP,
          },
        ]),
  ];
}

function mebibytes(bytes: number): number {
  return bytes / 2 ** 20;
}
