/** Lets everything come to its end, waiting through the API for what happens. */
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { type GpusAnswer } from "../src/http/schemas/gpus.ts";
import { settleFiles } from "./check-files.ts";
import { type Dice } from "./dice.ts";
import { type TaskRecord } from "./ledger.ts";
import { type LoadParts, submitterParts } from "./load.ts";
import { Submitter } from "./submitter.ts";
import { SHAPE } from "./world.ts";

/** Seconds that one request waits for the end of its task. */
const WAIT = 20;
/** Rounds of waiting in which no task ends, after which they are held to be stuck. */
const STILL_ROUNDS = 3;
/** Milliseconds in which a server that is left in peace has to take a task. */
const PATIENCE = 60_000;
/** Submissions of a task for a GPU; all may be refused if the disk was full just now. */
const PROBES = 100;
/** Requests that wait at once. */
const AT_ONCE = 100;

/** Resolves when all tasks have ended, and then one more on each GPU, which proves that it works. */
export async function settle(parts: LoadParts, dice: Dice, newTag: () => string): Promise<void> {
  await retryFaulted(parts);
  await waitForAll(parts);
  await settleFiles(parts);
  // Not before: the last task that kills its worker may take one that has just proved itself.
  await retryFaulted(parts);
  const submitter = new Submitter(
    submitterParts(parts, { user: parts.world.admin, dice, newTag, leave: AbortSignal.timeout(PATIENCE) }),
  );
  for (let gpuId = 0; gpuId < SHAPE.gpus; gpuId++) await submitProbe(submitter, gpuId);
  await waitForAll(parts);
  for (const { id } of open(parts))
    parts.report.check("ended", false, `task ${id} does not end`, await view(parts, id));
}

async function waitForAll(parts: LoadParts): Promise<void> {
  let still = 0;
  for (let left = open(parts); left.length > 0 && still < STILL_ROUNDS;) {
    for (let from = 0; from < left.length; from += AT_ONCE)
      await Promise.all(left.slice(from, from + AT_ONCE).map((task) => waitFor(parts, task)));
    const after = open(parts);
    still = after.length < left.length ? 0 : still + 1;
    left = after;
  }
}

/** An operator who has mended what was wrong does not wait for the next try. */
async function retryFaulted({ api, world }: LoadParts): Promise<void> {
  const answer = await api.ask(world.admin, "GET", "/gpus");
  for (const { id, status } of (answer!.body as GpusAnswer).gpus)
    if (status === "faulted") await api.ask(world.admin, "POST", `/gpus/${id}/resume`);
}

async function submitProbe(submitter: Submitter, gpuId: number): Promise<void> {
  for (let tries = 0; tries < PROBES; tries++)
    if ((await submitter.submit(submitter.newProbe(gpuId))).length > 0) return;
}

function open({ ledger }: LoadParts): TaskRecord[] {
  return [...ledger.tasks.values()].filter(({ final, removal }) => final === null && removal === "no");
}

async function waitFor({ api, ledger, report, world }: LoadParts, { id }: TaskRecord): Promise<void> {
  const answer = await api.ask(world.admin, "GET", `/task/${id}?wait=${WAIT}`);
  if (answer?.status === 200) ledger.observe(answer.body as TaskView, answer.askedAt, api.tick());
  else report.check("kept", false, `task ${id} is not there any more`, answer?.body);
}

async function view({ api, world }: LoadParts, id: string): Promise<unknown> {
  return (await api.ask(world.admin, "GET", `/task/${id}`))?.body;
}
