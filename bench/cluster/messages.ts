/** The messages over NATS of a machine at rest, and of tasks that nobody reads, or somebody does. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Extent, rounded, type Section } from "../report.ts";
import { ClusterWorld } from "./world.ts";

/** Of each GPU, of which there are two with 8 slots each: so all tasks run at once. */
const SPEED = "engine: { simulated: { tokens_per_second: 100 } }";
const TASKS = 16;
const BODY = { text: "Sample input text", max_length: 128 };

/** What clients have sent to the NATS server so far. https://docs.nats.io/running-a-nats-service/nats_admin/monitoring */
interface Traffic {
  readonly in_msgs: number;
  readonly in_bytes: number;
}

interface Sent {
  readonly messages: number;
  readonly bytes: number;
}

export async function messages({ quick }: Extent): Promise<Section> {
  await using world = await ClusterWorld.start({}, { name: "one", config: SPEED });
  await world.until("one", "ready", 2);
  await run(world, false);
  const atRest = async (): Promise<Sent> => over(await during(world, () => sleep(quick ? 5000 : 30_000)));
  const rest = await atRest();
  const ofTasks = async (isRead: boolean): Promise<Sent> => {
    const { seconds, messages: count, bytes } = await during(world, () => run(world, isRead));
    return { messages: (count - rest.messages * seconds) / TASKS, bytes: (bytes - rest.bytes * seconds) / TASKS };
  };
  const [unread, read] = [await ofTasks(false), await ofTasks(true)];
  await world.agent("two", SPEED);
  await world.until("two", "ready", 2);
  const both = await atRest();
  const more = { messages: both.messages - rest.messages, bytes: both.bytes - rest.bytes };
  return {
    name: "cluster: messages",
    about: `A server and an agent with 2 simulated GPUs, as its NATS server counts what it is sent: a second in which nothing runs; each of ${TASKS} tasks of ${BODY.max_length} tokens that run at once, beyond that; and a second of another agent at rest.`,
    rows: [
      rowOf("a second at rest", rest),
      rowOf("a task that nobody reads", unread),
      rowOf("a task whose stream is read", read),
      rowOf("a second of another agent", more),
    ],
    bars: [],
  };
}

function rowOf(what: string, { messages: count, bytes }: Sent) {
  return { what, messages: rounded(count, 1), kB: rounded(bytes / 1000, 1) };
}

/** For each second. */
function over({ seconds, messages: count, bytes }: Sent & { readonly seconds: number }): Sent {
  return { messages: count / seconds, bytes: bytes / seconds };
}

async function during(
  { nats }: ClusterWorld,
  work: () => Promise<unknown>,
): Promise<Sent & { readonly seconds: number }> {
  const look = async () => (await (await fetch(nats.monitorUrl)).json()) as Traffic;
  const [start, before] = [performance.now(), await look()];
  await work();
  const after = await look();
  return {
    seconds: (performance.now() - start) / 1000,
    messages: after.in_msgs - before.in_msgs,
    bytes: after.in_bytes - before.in_bytes,
  };
}

/** Has the tasks run, and waits for their ends. */
async function run({ server }: ClusterWorld, isRead: boolean): Promise<void> {
  const one = async (): Promise<void> => {
    if (!isRead) return void (await server.ask("/api/v1/predict", BODY, { prefer: "wait=60" }));
    const answer = await fetch(`http://${server.host}:${server.port}/api/v1/predict`, {
      method: "POST",
      headers: { authorization: server.authorization, "content-type": "application/json" },
      body: JSON.stringify({ ...BODY, stream: true }),
    });
    await answer.text();
  };
  await Promise.all(Array.from({ length: TASKS }, one));
}
