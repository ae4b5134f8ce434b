/**
 * A client of ALT_LAS: one task, a batch, following tasks to their end, and the GPUs.
 *
 *     ALT_LAS_API_KEY=altlas_... npx node examples/client.ts
 *
 * ALT_LAS_URL says where the server is (default: http://127.0.0.1:8642).
 */
const SERVER = (process.env.ALT_LAS_URL ?? "http://127.0.0.1:8642").replace(/\/+$/, "");
const API = `${SERVER}/api/v1`;
const KEY = process.env.ALT_LAS_API_KEY ?? "";

interface Task {
  task_id: string;
  /** null: no GPU is bound yet. */
  gpu_id: number | null;
  status: "queued" | "running" | "completed" | "failed" | "canceled";
  result?: { text: string; execution_time: number; timestamp: string };
  error?: string;
}

interface Gpu {
  id: number;
  name: string;
  status: string;
  task_count: number;
  slots: number;
}

/** There is no answer to work with; the message is a sentence that says why, the server's own where it said no. */
class Refused extends Error {}

/** Sends a request: POST with a body, else GET. @throws {Refused} */
async function call<Answer extends object>(path: string, body?: object): Promise<Answer> {
  if (!/^https?:\/\//.test(SERVER))
    throw new Refused(
      `ALT_LAS_URL must begin with http:// or https://, like http://127.0.0.1:8642; it is "${SERVER}".`,
    );
  const response = await fetch(API + path, {
    method: body ? "POST" : "GET",
    headers: { authorization: `Bearer ${KEY}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new Refused(`No server answers at ${SERVER}; start one with npm start.`);
  });
  const answer = (await response.json().catch(() => null)) as (Answer & { error?: string }) | null;
  if (answer === null || typeof answer !== "object" || !(response.ok || answer.error))
    throw new Refused(`What answers at ${SERVER} is not ALT_LAS.`);
  if (!response.ok) throw new Refused(`${response.status}: ${answer.error}`);
  return answer;
}

/** Follows a task to its end. Each request waits up to 30 s in the server, so this loop turns slowly. */
async function waitFor(taskId: string): Promise<Task> {
  for (;;) {
    const task = await call<Task>(`/task/${taskId}?wait=30`);
    if (task.status !== "queued" && task.status !== "running") return task;
  }
}

function show({ task_id, status, gpu_id, result, error }: Task): void {
  console.log(`${task_id} ${status} on GPU ${gpu_id}: ${JSON.stringify(result?.text ?? error)}`);
}

async function main(): Promise<void> {
  const single = await call<Task>("/predict", { text: "Once upon a time", max_length: 40 });
  show(await waitFor(single.task_id));

  const texts = ["The cat", "A little boy", "One day"];
  const batch = await call<{ status: string; tasks: Task[] }>("/batch_predict", {
    batch: texts,
    gpu_options: { strategy: "round_robin" },
  });
  console.log(`The batch is ${batch.status}.`);
  for (const { task_id } of batch.tasks) show(await waitFor(task_id));

  const { gpus } = await call<{ gpus: Gpu[] }>("/gpus");
  for (const { id, name, status, task_count, slots } of gpus) {
    console.log(`GPU ${id} (${name}): ${status}, ${task_count} of ${slots} slots taken`);
  }
}

try {
  await main();
} catch (problem) {
  if (!(problem instanceof Refused)) throw problem;
  console.error(problem.message);
  process.exitCode = 1;
}
