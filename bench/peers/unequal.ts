/** Routers before two servers of which one is twice as fast: how well each shares a crowd of requests of very unequal length. */
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { seeded } from "../../test/helpers/seeded.ts";
import { startChild } from "../child.ts";
import { type Extent, median, percentile, type Row, rounded, type Section } from "../report.ts";
import { TOKEN } from "../upstream-words.ts";
import { reasonOf } from "./cupboard.ts";
import { type Pace } from "./paced-upstream.ts";
import { type Candidate, chatBody, OURS, type Provided, type Shelf, spread, type Target } from "./shelf.ts";

const SLOTS = 4;
/** Tokens of an answer: log-normal, as what people ask for is. */
const LENGTH = { median: 60, sigma: 0.8 };
const PLANS = {
  quick: { requests: 60, rounds: 1, speeds: [800, 1600] },
  whole: { requests: 200, rounds: 3, speeds: [400, 800] },
};
/** Milliseconds for what an earlier round has left to end. */
const SETTLE = 200;
/** Chats before the first round: code that has not been compiled is slow. */
const WARM_UP = 40;

interface Round {
  /** The time until all were answered, of the least that is possible. */
  readonly makespan: number;
  /** Seconds of that least. */
  readonly least: number;
  /** Milliseconds to the end of each answer, and to its first token. */
  readonly totals: readonly number[];
  readonly firsts: readonly number[];
}

/** @param missing is told of who does not start */
export async function unequalSection(
  { quick }: Pick<Extent, "quick">,
  { candidates }: Shelf,
  missing: (one: Provided) => void,
): Promise<Section> {
  const plan = quick ? PLANS.quick : PLANS.whole;
  await using started = new AsyncDisposableStack();
  const ports: number[] = [];
  for (const speed of plan.speeds) {
    const upstream = started.adopt(startChild<Pace>("peers/paced-upstream.ts", process.env), (child) => child.stop());
    ports.push(await upstream.ask<number>({ slots: SLOTS, speed }));
  }
  const sides = new Map<string, { readonly target: Target; readonly rounds: Round[] }>();
  const attempt = async (label: string, what: () => Promise<void>): Promise<void> => {
    try {
      await what();
    } catch (error) {
      if (label === OURS) throw error;
      missing({ name: label, version: "–", missing: reasonOf(error) });
      sides.delete(label);
    }
  };
  for (const candidate of candidates.filter(({ policy }) => policy !== null)) {
    const label = labelOf(candidate);
    await attempt(label, async () => {
      const target = started.adopt(await candidate.start(ports, SLOTS), (running) => running.stop());
      sides.set(label, { target, rounds: [] });
      await crowd(
        target,
        Array.from({ length: WARM_UP }, () => 1),
      );
    });
  }
  for (let round = 0; round < plan.rounds; round++) {
    // The same lengths for all.
    const lengths = lengthsOf(plan.requests, round);
    const least = leastOf(lengths, plan.speeds);
    const all = [...sides];
    const first = round % all.length;
    for (const [label, { target, rounds }] of [...all.slice(first), ...all.slice(0, first)]) {
      await attempt(label, async () => {
        const { seconds, ...times } = await crowd(target, lengths);
        rounds.push({ makespan: seconds / least, least, ...times });
        await sleep(SETTLE);
      });
    }
  }
  return {
    name: "peers: unequal servers",
    about:
      `${plan.requests} chats at once through a router of two servers with ${SLOTS} slots each, of ${plan.speeds.join(" and ")} tokens a second a slot; what comes while all slots of one are taken ` +
      `waits in it. Lengths are log-normal (median ${LENGTH.median}, sigma ${LENGTH.sigma}), the same for all; ${plan.rounds} rounds, by turns, medians with least and most. Makespan: the time until all ` +
      "are answered, of the least that is possible: all tokens by all speed, or the longest answer on the fast server.",
    rows: [...sides].map(([label, { rounds }]) => rowOf(label, rounds)),
    bars: [],
  };
}

/** Tokens of so many answers. */
export function lengthsOf(count: number, seed: number): number[] {
  const random = seeded(seed + 1);
  return Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(1, Math.round(LENGTH.median * Math.exp(LENGTH.sigma * normal)));
  });
}

/** Seconds that servers with these speeds need at least, however the answers are shared. */
export function leastOf(lengths: readonly number[], speeds: readonly number[]): number {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const speed = speeds.reduce((sum, one) => sum + one * SLOTS, 0);
  return Math.max(tokens / speed, Math.max(...lengths) / Math.max(...speeds));
}

function labelOf({ name, policy }: Candidate): string {
  return name === OURS ? name : `${name}, ${policy}`;
}

function rowOf(label: string, rounds: readonly Round[]): Row {
  const makespans = rounds.map(({ makespan }) => makespan);
  const slowest = rounds.map(({ totals }) => percentile(totals, 0.99));
  const firsts = rounds.map(({ firsts: times }) => percentile(times, 0.99));
  return {
    router: label,
    "makespan, of the least": spread(makespans, median(makespans), 2),
    "p99, of the least": rounded(median(rounds.map(({ totals, least }) => percentile(totals, 0.99) / 1000 / least)), 2),
    "p50 ms": Math.round(median(rounds.map(({ totals }) => median(totals)))),
    "p99 ms": spread(slowest, median(slowest), 0),
    "first token p99 ms": spread(firsts, median(firsts), 0),
  };
}

/** Asks for all at once, each on a connection of its own. */
async function crowd(
  target: Target,
  lengths: readonly number[],
): Promise<{ seconds: number; totals: number[]; firsts: number[] }> {
  const agent = new Agent({ keepAlive: true });
  const started = performance.now();
  const answers = await Promise.all(lengths.map((length, index) => chat(target, agent, length, index)));
  const seconds = (performance.now() - started) / 1000;
  agent.destroy();
  return { seconds, totals: answers.map(({ total }) => total), firsts: answers.map(({ first }) => first) };
}

/** @throws {Error} the answer is no stream with text and an end */
function chat(
  { name, host, port, path, authorization }: Target,
  agent: Agent,
  tokens: number,
  index: number,
): Promise<{ first: number; total: number }> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", authorization };
    const asked = request({ host, port, path, method: "POST", agent, headers }, (response) => {
      let first = Number.NaN;
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        if (Number.isNaN(first) && piece.includes(TOKEN)) first = performance.now() - started;
      });
      response.once("error", reject);
      response.once("end", () => {
        if (response.statusCode === 200 && text.includes("[DONE]") && !Number.isNaN(first))
          resolve({ first, total: performance.now() - started });
        else reject(new Error(`${name}: a chat failed: ${response.statusCode} ${text.slice(0, 300)}`));
      });
    });
    asked.once("error", reject);
    asked.end(JSON.stringify(chatBody(tokens, `Question ${index}`)));
  });
}
