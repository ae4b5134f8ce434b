/** Tasks and batches that have ended, at a server that does not lead: it answers from the store, whether or not another one leads. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { Credentials } from "../src/auth/credentials.ts";
import { TextReader } from "../src/cluster/text-reader.ts";
import { close, listen } from "../src/http/listen.ts";
import type { LeadingServer } from "../src/http/standby/pass-on.ts";
import { createStandby } from "../src/http/standby/server.ts";
import { createLogger } from "../src/log/log.ts";
import { endedIn } from "./helpers/ended.ts";
import { API, AS, testConfig } from "./helpers/http.ts";
import { Hub } from "./helpers/memory-bus.ts";
import { cancel, complete, newBatch, newTask, opened, run, STORES, testFolder } from "./helpers/store.ts";

const OTHERS = "the leader's";
const [BATCH, UNREAD, STRANGE, GOING] = [1, 2, 3, 4].map((n) => `01890000-0000-7000-8000-00000000000${n}`) as [
  ...[string, string, string, string],
];

/** A server that stands by, with tasks of the users `user` and `ada`. */
async function world(t: TestContext) {
  const { store } = await opened(t, STORES["SqliteStore"]!);
  const own = { user: "user" };
  const done = complete(run(newTask(1, own)));
  const strange = complete(run(newTask(2)));
  const unread = complete(run(newTask(3, { ...own, texts: "until_read" })));
  const going = run(newTask(4, own));
  const batches = [
    [BATCH, complete(run(newTask(5, { ...own, batchId: BATCH }))), cancel(newTask(6, { ...own, batchId: BATCH }))],
    [UNREAD, complete(run(newTask(7, { ...own, batchId: UNREAD, texts: "until_read" })))],
    [STRANGE, complete(run(newTask(8, { batchId: STRANGE })))],
    [GOING, run(newTask(9, { ...own, batchId: GOING }))],
  ] as const;
  const records = batches.map(([id, ...tasks]) => ({
    kind: "batch" as const,
    batch: newBatch(tasks, { id, user: tasks[0].user, finishedAt: id === GOING ? null : 1_700_000_001_000 }),
  }));
  await store.save([done, strange, unread, going, ...batches.flatMap(([_id, ...tasks]) => tasks)], records);
  const leader = http.createServer((_request, response) => response.end(OTHERS)).listen(0, "127.0.0.1");
  await once(leader, "listening");
  t.after(() => {
    leader.close();
    leader.closeAllConnections();
  });
  const { port } = leader.address() as AddressInfo;
  const state = { leader: null as LeadingServer | null, seesDatabase: true };
  const config = testConfig("server: { port: 0 }");
  const log = createLogger("fatal", { write: () => {} });
  const server = createStandby({
    config,
    live: { config, values: [], sourceOf: () => "default", patch: () => [] },
    log,
    credentials: new Credentials({ config: config.auth, dataDir: testFolder(t), log }),
    version: "1.2.3",
    leader: () => state.leader,
    seesDatabase: () => state.seesDatabase,
    texts: new TextReader({ bus: new Hub().connect(), cluster: "a" }),
    ended: endedIn(store),
    metrics: () => Promise.resolve({ contentType: "text/plain", text: "" }),
  });
  t.after(() => close(server.app));
  const { url } = await listen(server.app, config.server, log, true);
  const ask = async (path: string, headers: Record<string, string> = AS.user, method = "GET") => {
    const sent = http.request(`${url}${API}${path}`, { method, headers, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
    return { status: response.statusCode!, type: response.headers["content-type"], text, headers: response.headers };
  };
  const lead = (): void => void (state.leader = { id: "a", url: `http://127.0.0.1:${port}`, secret: "s" });
  return { ask, lead, state, done, strange, unread, going };
}

test("the events of a task that has ended come from the store while nobody leads", async (t) => {
  const { ask, done } = await world(t);
  const path = `/task/${done.id}/events`;
  const whole = await ask(path);
  assert.deepEqual([whole.status, whole.type], [200, "text/event-stream; charset=utf-8"]);
  assert.match(whole.text, /^event: token\nid: \S+:1:8\ndata: .*"answer 1"/m);
  assert.match(whole.text, new RegExp(`^event: completed\nid: ${done.id}:end\n`, "m"));
  const rest = await ask(path, { ...AS.user, "last-event-id": `${done.id}:1:7` });
  assert.match(rest.text, /^data: .*"text":"1"/m);
  assert.equal((await ask(`${path}?last_event_id=${done.id}:end`)).status, 204);
  const foreign = await ask(path, { ...AS.user, "last-event-id": "7:1:7" });
  assert.deepEqual([foreign.status, (JSON.parse(foreign.text) as { code: string }).code], [400, "invalid_input"]);
  const head = await ask(path, AS.user, "HEAD");
  assert.deepEqual([head.status, head.type, head.text], [200, "text/event-stream; charset=utf-8", ""]);
  assert.equal((await ask(`/task/${done.id}?wait=30`)).headers["preference-applied"], "wait=30");
});

test("a batch whose tasks have all ended, and its results, come from the store while nobody leads", async (t) => {
  const { ask } = await world(t);
  const batch = JSON.parse((await ask(`/batch/${BATCH}`)).text) as { status: string; counts: object };
  assert.equal(batch.status, "completed");
  for (const query of ["", "?follow=true", "?follow=false"]) {
    const results = await ask(`/batch/${BATCH}/results${query}`);
    assert.equal(results.type, "application/x-ndjson; charset=utf-8");
    const lines = results.text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { index: number; status: string });
    assert.deepEqual(
      lines.map(({ index, status }) => `${index} ${status}`),
      ["1 canceled", "0 completed"],
    );
  }
  // An admin sees it, and as the audit log has a row of who reads the results of others, these come from the leader.
  assert.equal((await ask(`/batch/${BATCH}`, AS.admin)).status, 200);
  assert.equal((await ask(`/batch/${BATCH}/results`, AS.admin)).status, 503);
});

test("all else is passed on, and looks alike while nobody leads: what is not there, goes on, or is a stranger's", async (t) => {
  const { ask, lead, done, strange, unread, going } = await world(t);
  const none = "01890000-0000-7000-8000-0000000000ff";
  const paths = [
    ...[none, strange.id, unread.id, going.id].flatMap((id) => [`/task/${id}`, `/task/${id}/events`]),
    ...[none, STRANGE, GOING].flatMap((id) => [`/batch/${id}`, `/batch/${id}/results`]),
    `/batch/${UNREAD}/results`,
    ...["include=text", "wait=soon", "wait=1&wait=2", "constructor=1", "ticket=x"].map((q) => `/task/${done.id}?${q}`),
    `/task/${done.id}/events?ticket=x`,
    `/batch/${BATCH}/results?follow=perhaps`,
    `/task/${done.id}/webhooks`,
    "/tasks",
  ];
  const answers = new Set<string>();
  for (const path of paths) {
    const { status, text } = await ask(path);
    assert.equal(status, 503, path);
    answers.add(text);
  }
  assert.equal(answers.size, 1);
  // Whoever has proven nothing learns nothing here.
  assert.equal((await ask(`/task/${done.id}/events`, {})).status, 503);
  lead();
  for (const path of paths) assert.equal((await ask(path)).text, OTHERS, path);
  assert.equal((await ask(`/task/${done.id}/events`, {})).text, OTHERS);
});

test("while the database is away a server says so, and not that nobody leads", async (t) => {
  const { ask, state } = await world(t);
  const sentence = async (): Promise<string> => (JSON.parse((await ask("/tasks")).text) as { error: string }).error;
  assert.match(await sentence(), /^No server leads the cluster at the moment\. One will in a few seconds/);
  state.seesDatabase = false;
  assert.match(await sentence(), /^This server cannot reach the task database on PostgreSQL, so .* Try again/);
  const turkish = await ask("/cluster", { ...AS.admin, "accept-language": "tr" });
  assert.match(turkish.text, /PostgreSQL'deki görev veritabanına erişemiyor.*yeniden deneyin/);
  assert.equal(turkish.headers["retry-after"], "1");
});
