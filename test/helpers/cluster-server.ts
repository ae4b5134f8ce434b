/** What tests ask a server of a cluster. */
import assert from "node:assert/strict";
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { LiveClient, type ServerEvent } from "./events.ts";
import { type Server } from "./server.ts";

export async function gpus(server: Server): Promise<GpusAnswer["gpus"]> {
  return (await ask<GpusAnswer>(server, "GET", "/api/v1/gpus")).gpus;
}

/** Waits until so many GPUs are ready. */
export async function ready(server: Server, count: number): Promise<void> {
  while ((await gpus(server)).filter(({ status }) => status === "ready").length < count) await pause();
}

/** Waits until a task runs, or has ended since. */
export async function running(server: Server, id: string): Promise<void> {
  for (;;) {
    const { status, body } = await server.request<TaskView>("GET", `/api/v1/task/${id}`);
    if (status === 200 && body.status !== "queued") return;
    await pause();
  }
}

/** Asks again while no server leads, or the one that does is not sure of it. */
export async function ask<Body = unknown>(server: Server, method: string, path: string, body?: object): Promise<Body> {
  for (;;) {
    const answer = await server.request<Body>(method, path, { body });
    if (answer.status === 200) return answer.body;
    assert.equal(answer.status, 503, JSON.stringify(answer.body));
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 50));
}

/** What a task has come to, as soon as somebody knows. */
export async function outcome(server: Server, id: string): Promise<TaskView> {
  for (;;) {
    const { status, headers, body } = await server.request<TaskView>("GET", `/api/v1/task/${id}?wait=20`);
    if (status === 200 && body.finished_at !== null) return body;
    if (status !== 200) assert.deepEqual([status, headers.get("retry-after")], [503, "1"], JSON.stringify(body));
    if (status !== 200) await pause();
  }
}

/** Reads a stream of events until so many tokens have come, or to its end. @param events gets them; those in it are not asked for again */
export async function follow(
  server: Server,
  id: string,
  {
    events = [],
    after = events.at(-1)?.id,
    tokens = Infinity,
  }: { events?: ServerEvent[]; after?: string | undefined; tokens?: number } = {},
): Promise<ServerEvent[]> {
  const headers = { authorization: `Bearer ${server.key}`, ...(after !== undefined && { "last-event-id": after }) };
  const port = Number(new URL(server.url).port);
  const client = await LiveClient.open(port, `/api/v1/task/${id}/events`, { headers });
  while (events.filter(({ event }) => event === "token").length < tokens) {
    const event = await client.next();
    if (event === null) break;
    events.push(event);
  }
  client.leave();
  return events;
}

/** The text of all events of a task, which follow each other. @param end the last one */
export function wholeText(events: readonly ServerEvent[], end = "completed"): string {
  assert.deepEqual([events[0]!.event, events.at(-1)!.event], ["placed", end]);
  let offset = 0;
  const texts = events.slice(1, -1).map(({ event, id, data }) => {
    offset += String(data["text"]).length;
    assert.deepEqual([event, id.split(":").slice(1)], ["token", ["1", String(offset)]]);
    return data["text"];
  });
  return texts.join("");
}
