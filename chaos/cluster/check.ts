/** What a cluster has promised, looked at when everything is whole again. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { TaskView } from "../../src/http/schemas/tasks.ts";
import { type Answer, type Server } from "../../test/helpers/server.ts";
import { epochsWithTwoWriters } from "./epochs.ts";
import type { Happened } from "./losses.ts";
import type { Accepted } from "./load.ts";
import type { ClusterWorld } from "./world.ts";

/** The causes that may cut off an attempt here, besides its end. */
const CAUSES = new Set(["machine_lost", "worker_crash", "worker_stopped", "gpu_drained", "server_restart"]);

/** Milliseconds: clocks may be set while a task runs, by hours. */
const LATE = 86_400_000;
/** Tasks that are looked at at once. */
const AT_ONCE = 8;

interface Slots {
  readonly id: number;
  readonly task_count: number;
  readonly slots: number;
}

/** @returns a sentence for each promise that is broken */
export async function broken(
  world: ClusterWorld,
  accepted: readonly Accepted[],
  happened: readonly Happened[],
): Promise<string[]> {
  const faults: string[] = [];
  const texts = new Map<string, string>();
  const left = accepted.values();
  const check = async (): Promise<void> => {
    for (const one of left) {
      const { status, body } = await asked<TaskView>(world.server, "GET", `/api/v1/task/${one.id}?wait=55`);
      if (status !== 200) faults.push(`task ${one.id} is lost: ${status}`);
      else
        for (const fault of [...faultsOf(one, body, texts), ...(await toldOtherwise(world, body))])
          faults.push(`${fault}: ${JSON.stringify(body)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, check));
  const { body } = await asked<{ gpus: Slots[] }>(world.server, "GET", "/api/v1/gpus");
  for (const gpu of body.gpus) if (gpu.task_count > 0) faults.push(`GPU ${gpu.id} still has ${gpu.task_count} tasks`);
  if (body.gpus.length !== world.seats.length * 2) faults.push(`there are ${body.gpus.length} GPUs`);
  const epochs = world.postgres === null ? [] : await epochsWithTwoWriters(world.postgres);
  const machines = new Map(world.seats.map((seat) => [seat.name, seat]));
  const lost = world.losses.forNothing(happened, machines);
  return [...faults, ...lost, ...epochs, ...(await slotsThatAreNotFree(world, body.gpus))];
}

function* faultsOf(one: Accepted, task: TaskView, texts: Map<string, string>): Iterable<string> {
  if (task.finished_at === null) return yield "it is stuck";
  if (one.told !== null && !isDeepStrictEqual(endOf(one.told), endOf(task)))
    yield `its readers were told otherwise, ${JSON.stringify(one.told)}`;
  if (task.status === "canceled") return one.isCanceled ? undefined : yield "nobody has canceled it";
  if (task.status !== "completed") return yield `it has ${task.status}`;
  const { text, usage, timestamp } = task.result!;
  if (Math.abs(Date.parse(timestamp) - Date.parse(task.finished_at)) > LATE) yield "its result has another time";
  if (usage.completion_tokens !== one.tokens) yield `it has ${usage.completion_tokens} tokens of ${one.tokens}`;
  if (text.trim().split(" ").length !== one.tokens) yield "its text has another length";
  const known = texts.get(one.text) ?? "";
  const [longer, shorter] = text.length > known.length ? [text, known] : [known, text];
  if (!longer.startsWith(shorter)) yield "its text is another one than that of the same prompt";
  texts.set(one.text, longer);
  const reasons = task.attempts.map(({ reason }) => reason);
  if (reasons.pop() !== "completed") yield "its last attempt has not completed";
  for (const reason of reasons) if (!CAUSES.has(reason!)) yield `an attempt ended as ${reason}`;
}

/** What never changes again. */
function endOf({ status, result, attempts, finished_at }: TaskView) {
  // A stream tells outsiders no names of machines.
  return { status, result, finished_at, attempts: attempts.map(({ error: _sentence, ...attempt }) => attempt) };
}

/** An ended task is the same at every server. */
async function toldOtherwise({ posts }: ClusterWorld, task: TaskView): Promise<string[]> {
  const answers = posts.map(({ server }) => asked(server, "GET", `/api/v1/task/${task.task_id}`));
  const others = (await Promise.all(answers)).filter(({ body }) => !isDeepStrictEqual(body, task));
  return others.map(({ body }) => `a server says otherwise, ${JSON.stringify(body)}`);
}

/** All slots of all machines are taken at once, so each of them has to be free, on its machine too. */
async function slotsThatAreNotFree({ server }: ClusterWorld, gpus: readonly Slots[]): Promise<string[]> {
  const wanted = gpus.flatMap(({ id, slots }) => Array<number>(slots).fill(id));
  const ended = wanted.map(async (id) => {
    const body = { text: "free?", max_length: 2, gpu_options: { specific_gpu_id: id } };
    const headers = { "idempotency-key": randomUUID() };
    const { task_id } = (await asked<TaskView>(server, "POST", "/api/v1/predict", { body, headers })).body;
    return (await asked<TaskView>(server, "GET", `/api/v1/task/${task_id}?wait=55`)).body;
  });
  return (await Promise.all(ended))
    .filter(({ status }) => status !== "completed")
    .map(({ task_id }) => `task ${task_id} found no free slot`);
}

/** Asks again while nobody leads: a machine that does too much at once may lose its lease. */
async function asked<Body>(server: Server, ...what: Parameters<Server["request"]>): Promise<Answer<Body>> {
  for (;;) {
    const answer = await server.request<Body>(...what);
    if (answer.status !== 503) return answer;
    await sleep(300);
  }
}
