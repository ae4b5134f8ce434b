/** A response in the background, whose server is killed in the middle of its stream. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveClient } from "../helpers/events.ts";
import { ResponseClient, responseEventOf } from "../helpers/response-client.ts";
import { Server } from "../helpers/server.ts";

async function open(server: Server, path: string, body?: object): Promise<LiveClient> {
  return LiveClient.open(Number(new URL(server.url).port), path, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

/** Reads until the client has words, or to the end. */
async function read(live: LiveClient, client: ResponseClient, isEnough: () => boolean): Promise<void> {
  while (!isEnough()) {
    const block = await live.until("\n\n");
    if (block === null) return;
    const event = responseEventOf(block);
    if (event !== null) client.take(event);
  }
}

test("kill -9 in the middle of a stream: whoever comes back behind its last event gets the whole answer, once", async (t) => {
  const config = "engine: { simulated: { tokens_per_second: 100 } }";
  const server = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
  await server.loaded();
  const body = { input: "Tell me", temperature: 0, max_output_tokens: 60, background: true, stream: true };
  const client = new ResponseClient();
  const stayed = new ResponseClient();
  const live = await open(server, "/v1/responses", body);
  const first = responseEventOf((await live.until("\n\n"))!)!;
  const { id } = first.response!;
  client.take(first);
  const whole = await open(server, `/v1/responses/${id}?stream=true`);
  await Promise.all([
    read(live, client, () => client.said().join("").length > 20),
    read(whole, stayed, () => stayed.said().join("").length > 20),
  ]);
  await server.kill9();

  const next = await server.restart();
  const path = `/v1/responses/${id}?stream=true`;
  await read(await open(next, `${path}&starting_after=${client.last}`), client, () => false);
  const [voided, told] = client.items.values();
  assert.deepEqual([voided!.said, voided!.status, voided!.isOpen], ["", "incomplete", false]);
  const answer = client.ended!.output[0]!.content![0]!.text;
  assert.equal(answer.split(" ").length, 61);
  assert.deepEqual([told!.said, client.items.size], [answer, 2]);

  // The numbers of what is there now are the same, whoever reads: the one who came back, and one who comes new.
  const fresh = new ResponseClient();
  await read(await open(next, path), fresh, () => false);
  assert.deepEqual([fresh.said(), fresh.last], [[answer], client.last]);
  await read(await open(next, `${path}&starting_after=${stayed.last}`), stayed, () => false);
  assert.deepEqual(stayed.ended, client.ended);
  assert.deepEqual(
    [...stayed.items.values()].map(({ said }) => said),
    ["", answer],
  );
});
