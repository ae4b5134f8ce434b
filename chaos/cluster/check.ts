/** What a cluster has promised, looked at when everything is whole again. */
import type { TaskView } from "../../src/http/schemas/tasks.ts";
import type { Happened } from "./faults.ts";
import type { Accepted } from "./load.ts";
import type { ClusterWorld } from "./world.ts";

/** The causes that may cut off an attempt here, besides its end. */
const CAUSES = new Set(["machine_lost", "worker_crash", "worker_stopped", "gpu_drained", "server_restart"]);

/** Milliseconds after the end of a fault in which it may yet cost a machine its tasks. */
const AFTERMATH = 10_000;

/** @returns a sentence for each promise that is broken */
export async function broken(
  world: ClusterWorld,
  accepted: readonly Accepted[],
  happened: readonly Happened[],
): Promise<string[]> {
  const faults: string[] = [];
  const texts = new Map<string, string>();
  for (const one of accepted) {
    const { status, body } = await world.server.request<TaskView>("GET", `/api/v1/task/${one.id}?wait=55`);
    if (status !== 200) faults.push(`task ${one.id} is lost: ${status}`);
    else
      for (const fault of [...faultsOf(one, body, texts), ...lostForNothing(body, happened)])
        faults.push(`${fault}: ${JSON.stringify(body)}`);
  }
  const { body } = await world.server.request<{ gpus: { id: number; task_count: number; slots: number }[] }>(
    "GET",
    "/api/v1/gpus",
  );
  for (const gpu of body.gpus) if (gpu.task_count > 0) faults.push(`GPU ${gpu.id} still has ${gpu.task_count} tasks`);
  if (body.gpus.length !== world.seats.length * 2) faults.push(`there are ${body.gpus.length} GPUs`);
  return [...faults, ...(await slotsThatAreNotFree(world, body.gpus))];
}

function* faultsOf(one: Accepted, task: TaskView, texts: Map<string, string>): Iterable<string> {
  if (task.finished_at === null) return yield "it is stuck";
  if (task.status === "canceled") return one.isCanceled ? undefined : yield "nobody has canceled it";
  if (task.status !== "completed") return yield `it has ${task.status}`;
  const { text, usage } = task.result!;
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

/** A NATS server that dies makes no machine lost. */
function* lostForNothing({ attempts }: TaskView, happened: readonly Happened[]): Iterable<string> {
  for (const { reason, ended_at: end } of attempts) {
    if (reason !== "machine_lost" || end === null) continue;
    const at = Date.parse(end);
    const hasCause = happened.some(
      ({ fault, from, to }) => fault !== "natsKilled" && from <= at && to + AFTERMATH >= at,
    );
    if (!hasCause) yield "its machine counted as lost, and nothing but NATS had died";
  }
}

/** All slots of all machines are taken at once, so each of them has to be free, on its machine too. */
async function slotsThatAreNotFree(
  world: ClusterWorld,
  gpus: readonly { id: number; slots: number }[],
): Promise<string[]> {
  const { server } = world;
  const tasks = gpus.flatMap(({ id, slots }) =>
    Array.from({ length: slots }, () =>
      server.predict({ text: "free?", max_length: 2, gpu_options: { specific_gpu_id: id } }),
    ),
  );
  const ended = await Promise.all((await Promise.all(tasks)).map(({ task_id }) => server.ended(task_id)));
  return ended
    .filter(({ status }) => status !== "completed")
    .map(({ task_id }) => `task ${task_id} found no free slot`);
}
