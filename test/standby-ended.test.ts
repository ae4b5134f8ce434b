/** Tasks and batches that have ended, at a server that does not lead: it answers from the store, whether or not another one leads. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { keysAdd, keysRevoke, usersAdd } from "../src/auth/commands.ts";
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

/**
 * A server that stands by, with tasks of the users `user` and `ada`.
 * @param yaml what its configuration has beside its users
 */
async function world(t: TestContext, yaml = "") {
  const { store } = await opened(t, STORES["SqliteStore"]!);
  const own = { user: "user" };
  const done = complete(run(newTask(1, own)));
  const strange = complete(run(newTask(2, { team: "research" })));
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
  const config = testConfig(`server: { port: 0 }\n${yaml}`);
  const log = createLogger("fatal", { write: () => {} });
  const dataDir = testFolder(t);
  const ended = endedIn(store);
  // Results come in pages of one, and with a slow database the second only when the test says so.
  const rest = Promise.withResolvers<void>();
  const pages = { areSlow: false, goOn: () => rest.resolve() };
  const endsOf: typeof ended.endsOf = async (id, offset) => {
    if (pages.areSlow && offset > 0) await rest.promise;
    return ended.endsOf(id, offset, 1);
  };
  const server = createStandby({
    config,
    live: { config, values: [], sourceOf: () => "default", patch: () => [] },
    log,
    credentials: new Credentials({ config: config.auth, dataDir, log }),
    version: "1.2.3",
    leader: () => state.leader,
    seesDatabase: () => state.seesDatabase,
    texts: new TextReader({ bus: new Hub().connect(), cluster: "a" }),
    ended: { ...ended, endsOf },
    metrics: () => Promise.resolve({ contentType: "text/plain", text: "" }),
  });
  t.after(() => {
    pages.goOn();
    return close(server.app);
  });
  const { url } = await listen(server.app, config.server, log, true);
  const begin = async (path: string, headers: Record<string, string> = AS.user, method = "GET") => {
    const sent = http.request(`${url}${API}${path}`, { method, headers, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response.setEncoding("utf8");
  };
  const ask = async (...asked: Parameters<typeof begin>) => {
    const response = await begin(...asked);
    let text = "";
    for await (const chunk of response) text += chunk as string;
    return { status: response.statusCode!, type: response.headers["content-type"], text, headers: response.headers };
  };
  const lead = (): void => void (state.leader = { id: "a", url: `http://127.0.0.1:${port}`, secret: "s" });
  const accounts = { config: config.auth, dataDir };
  return { ask, begin, pages, accounts, server, lead, state, done, strange, unread, going };
}

/** The headers of somebody with a key of its own. */
async function newCaller(
  accounts: Parameters<typeof keysAdd>[0],
  { team, scopes, role = "user" }: { team?: string; scopes?: string; role?: "user" | "viewer" },
): Promise<{ authorization: string }> {
  await usersAdd(accounts, { name: "eve", role, team });
  const key = (await keysAdd(accounts, { user: "eve", name: "eves", scopes })).split("\n").at(-1)!;
  return { authorization: `Bearer ${key}` };
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
  // A caller that has proven nothing learns nothing here.
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

test("results that are being read break off when the key is revoked, and those of other keys go on", async (t) => {
  const { ask, begin, pages, accounts, server } = await world(t);
  pages.areSlow = true;
  const key = (await keysAdd(accounts, { user: "user", name: "users" })).split("\n").at(-1)!;
  const path = `/batch/${BATCH}/results`;
  const [mine, others] = await Promise.all([begin(path, { authorization: `Bearer ${key}` }), begin(path)]);
  const lines = [mine, others].map((response) => response[Symbol.asyncIterator]());
  for (const line of lines) assert.match((await line.next()).value as string, /"status":"canceled"/);
  assert.equal(server.app.liveReaders?.size, 2);
  await keysRevoke(accounts, "users");
  // The next request of anybody finds the file changed.
  assert.equal((await ask(`/batch/${BATCH}`)).status, 200);
  await assert.rejects(lines[0]!.next(), { code: "ECONNRESET" });
  assert.equal(server.app.liveReaders?.size, 1);
  pages.goOn();
  assert.match((await lines[1]!.next()).value as string, /"status":"completed"/);
});

test("a caller has as many requests open as the limit says, also where no leader counts them", async (t) => {
  const { ask, begin, pages, done } = await world(t, "limits: { max_open_requests: 1 }");
  pages.areSlow = true;
  const reading = await begin(`/batch/${BATCH}/results`);
  for (const path of [`/task/${done.id}`, `/task/${done.id}/events`, `/batch/${BATCH}`, `/batch/${BATCH}/results`]) {
    const { status, text } = await ask(path);
    assert.equal(status, 429, path);
    assert.match(text, /user has 1 requests open, and limits\.max_open_requests allows no more/);
  }
  assert.equal((await ask(`/task/${done.id}`, AS.admin)).status, 200);
  pages.goOn();
  let text = "";
  for await (const chunk of reading) text += chunk as string;
  assert.equal(text.trim().split("\n").length, 2);
});

test("a viewer of a team sees what its members have, and nothing else", async (t) => {
  const { ask, accounts, done, strange } = await world(t);
  const viewer = await newCaller(accounts, { role: "viewer", team: "research" });
  const seen = JSON.parse((await ask(`/task/${strange.id}`, viewer)).text) as { task_id: string };
  assert.equal(seen.task_id, strange.id);
  assert.equal((await ask(`/task/${strange.id}/events`, viewer)).status, 200);
  for (const path of [`/task/${done.id}`, `/task/${done.id}/events`, `/batch/${BATCH}`, `/batch/${BATCH}/results`])
    assert.equal((await ask(path, viewer)).status, 503, path);
});

test("a key that may not read is refused, whether or not a server leads", async (t) => {
  const { ask, accounts, lead, done } = await world(t);
  const submitter = await newCaller(accounts, { scopes: "submit" });
  const refuse = async (): Promise<void> => {
    for (const path of [`/task/${done.id}`, `/task/${done.id}/events`, `/batch/${BATCH}`, `/batch/${BATCH}/results`]) {
      const { status, text } = await ask(path, submitter);
      assert.equal(status, 403, path);
      assert.match(text, /Reading this needs a key with the scope read; the key eves has submit/);
    }
  };
  await refuse();
  lead();
  await refuse();
});

test("the head of results is that of an answer that goes out as it comes", async (t) => {
  const { ask } = await world(t);
  const head = await ask(`/batch/${BATCH}/results`, AS.user, "HEAD");
  assert.deepEqual([head.status, head.type, head.text], [200, "application/x-ndjson; charset=utf-8", ""]);
});
