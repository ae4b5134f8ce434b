/** Clients of one user that stall: bodies that never end, answers that nobody reads, connections of which one half is closed. */
import { setTimeout as sleep } from "node:timers/promises";
import { type TasksAnswer, type TaskView } from "../src/http/schemas/tasks.ts";
import { Crowd } from "./crowd.ts";
import { type Dice } from "./dice.ts";
import { type Life } from "./lives.ts";
import { MemoryWatch } from "./memory-watch.ts";
import { type Report } from "./report.ts";
import { type World } from "./world.ts";

export interface StallParts {
  readonly world: World;
  readonly dice: Dice;
  readonly report: Report;
}

/** Connections of each kind. */
const BODIES = 32;
const READERS = 120;
const HALVES = 8;
/** Milliseconds in which somebody who does not stall is answered. */
const PATIENCE = 60_000;

/**
 * Bytes that the server may have resident: some 250 MiB to serve the suite's clients, its budget for bodies, and what V8 has not given
 * back yet. The unfinished bodies of one crowd alone are as much.
 */
const MOST_MEMORY = 480 * 2 ** 20;

/** Opens many connections that stall for a while, and looks what that costs the server and the others. */
export async function stallClients({ world, dice, report }: StallParts, life: Life): Promise<void> {
  report.counts.stalledClients++;
  const crowd = new Crowd(life.url, world.idler.key);
  const memory = new MemoryWatch(life.pid);
  try {
    const { body } = await get(life, world, "/tasks?limit=50");
    const recent = Object.values((body as TasksAnswer).tasks);
    for (const path of pathsToIgnore(recent)) crowd.ignoreAnswer(path);
    const halves = Promise.all(Array.from({ length: HALVES }, () => crowd.closeHalf(pathToWaitFor(recent))));
    await Promise.race([
      Promise.all(Array.from({ length: BODIES }, (_, n) => crowd.holdBody(n % 2 === 0))),
      sleep(PATIENCE),
    ]);
    const { status, body: answer } = await get(life, world, "/tasks?limit=1");
    report.check("bounded", status === 200, `beside clients that stall a list was answered with ${status}`, answer);
    await sleep(dice.between(300, 1200));
    const wrong = crowd.refusals.filter((refusal) => !isRight(refusal));
    report.check("bounded", wrong.length === 0, "clients that stall were refused in a wrong way", wrong);
    const answers = await halves;
    // Another client may have removed the task meanwhile.
    const holds = answers.every((said) => /^HTTP\/1\.1 (200|404) /.test(said));
    report.check("bounded", holds, "a client that had closed its sending half got no answer", answers);
  } catch (error) {
    report.check("bounded", false, "beside clients that stall nobody is served", String(error));
  } finally {
    crowd.leave();
  }
  const most = memory.stop();
  if (most !== null) report.check("bounded", most <= MOST_MEMORY, `the server took ${most} bytes of memory`);
}

/** As somebody else. */
async function get({ url }: Life, { admin }: World, path: string): Promise<{ status: number; body: unknown }> {
  const headers = { authorization: `Bearer ${admin.key}` };
  const answer = await fetch(`${url}/api/v1${path}`, { headers, signal: AbortSignal.timeout(PATIENCE) });
  return { status: answer.status, body: await answer.json() };
}

/** Long lists, the results of batches, and events of tasks. */
function pathsToIgnore(recent: readonly TaskView[]): string[] {
  const others = recent.flatMap(({ task_id, batch_id }) => [
    `/task/${task_id}/events`,
    ...(batch_id === undefined || batch_id === null ? [] : [`/batch/${batch_id}/results`]),
  ]);
  return Array.from({ length: READERS }, (_, n) => (n % 2 === 0 ? undefined : others[n]) ?? "/tasks?limit=1000");
}

function pathToWaitFor([newest]: readonly TaskView[]): string {
  return newest === undefined ? "/gpus" : `/task/${newest.task_id}?wait=1`;
}

/** The caller that stalls is over its share, or has to give way; it may also have been too slow. */
function isRight(head: string): boolean {
  const isTemporary = /^HTTP\/1\.1 (429|503) /.test(head) && /\r\nretry-after: [1-9]/i.test(head);
  return isTemporary || head.startsWith("HTTP/1.1 408 ");
}
