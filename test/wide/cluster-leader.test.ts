/** The server of a cluster dies, and another one goes on: real processes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { before, test } from "node:test";
import { AgentProcess } from "../helpers/agent-process.ts";
import { type FromAgent, newsOf } from "../../src/cluster/messages.ts";
import { openNats } from "../../src/cluster/nats-bus.ts";
import { type ClusterAnswer } from "../../src/http/schemas/cluster.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { createLogger } from "../../src/log/log.ts";
import { Changes } from "../helpers/changes.ts";
import { LiveClient, type ServerEvent } from "../helpers/events.ts";
import { follow, gpus, outcome, ready, running, wholeText } from "../helpers/cluster-server.ts";
import { startIssuer } from "../helpers/issuer.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { NO_POSTGRES, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { CommitCutter } from "../helpers/postgres-proxy.ts";
import { type Answer, type Failure, type Owner, Server } from "../helpers/server.ts";

const skip = NO_NATS;
const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";

test(
  "a server that is killed, and one that is stopped, costs no attempt: the next one adopts what runs",
  { skip },
  async (t) => {
    const nats = await NatsServer.start(t);
    const first = await Server.start(t, { config: `cluster: { nats: '${nats.url}' }` });
    await AgentProcess.start(t, { join: nats.url, name: "one", devices: "simulated:2", config: SLOW });
    await ready(first, 2);
    const { tasks } = await first.batch({
      batch: Array.from({ length: 4 }, (_, index) => ({ text: `task ${index}`, max_length: index === 0 ? 5 : 240 })),
    });
    for (const { task_id } of tasks) await running(first, task_id);
    await first.kill9();
    const second = await first.restart();
    await ready(second, 2);
    for (const { task_id } of tasks.slice(1)) await running(second, task_id);
    await second.stop();
    const third = await second.restart();
    for (const [index, { task_id }] of tasks.entries()) {
      const task = await third.ended(task_id);
      assert.deepEqual([task.status, task.attempts.length], ["completed", 1]);
      const { text, usage } = task.result!;
      assert.equal(usage.completion_tokens, index === 0 ? 5 : 240);
      assert.equal(text.trim().split(" ").length, usage.completion_tokens);
    }
  },
);

const skipPostgres = skip !== false ? skip : PROGRAMS === null ? NO_POSTGRES : false;
// The key that all of them are asked with.
const env = { ALT_LAS_API_KEY: "altlas_0123456789012345678901234567890123456789abc" };

let postgres: PostgresServer;
if (skipPostgres === false)
  before(async (t) => {
    postgres = await PostgresServer.start([], "trust");
    (t as unknown as Owner).after(() => postgres.remove());
  });

/** One that leads, one that stands by, and a machine. @param folder of the socket by which the first reaches PostgreSQL */
async function several(t: Owner, schema: string, more = "", folder?: string) {
  const nats = await NatsServer.start(t);
  const configBy = (url: string) =>
    `cluster: { nats: '${nats.url}' }\nstore: { url: '${url}', schema: ${schema} }${more}`;
  const config = configBy(postgres.url());
  const first = await Server.start(t, { config: configBy(postgres.url("postgres", folder)), env });
  const second = await Server.start(t, { config, env });
  assert.match(second.stdout, /Another server leads the cluster/);
  await AgentProcess.start(t, { join: nats.url, name: "one", config: SLOW });
  await ready(first, 1);
  return { first, second, nats, config };
}

test(
  "a server that stands by passes all on, and goes on where the one that leads is killed",
  { skip: skipPostgres },
  async (t) => {
    const issuer = await startIssuer(t);
    const client = `client_id: ${issuer.client.id}, client_secret: '${issuer.client.secret}'`;
    const oidc = `\nauth: { oidc: { issuer: '${issuer.url}', ${client}, default_role: user } }`;
    const { first, second, nats } = await several(t, "killed", oidc);
    const session = await arrived(second, await departed(second));
    const out = await arrived(second, await departed(second));
    await asBrowser(second, "/auth/sign_out", out, "POST");
    const underWay = await departed(second);
    const { body } = await second.request<ClusterAnswer>("GET", "/api/v1/cluster");
    assert.deepEqual(
      body.servers.map(({ address, leads }) => [address, leads]),
      [
        [first.url, true],
        [second.url, false],
      ],
    );
    const { task_id } = await second.predict({ text: "hello", max_length: 160 });
    await running(second, task_id);
    const spy = await spyOn(t, nats);
    const whole = follow(second, task_id);
    const streamed = submitStream(second, { text: "hello again", max_length: 160, stream: true });
    const begun = await follow(second, task_id, { tokens: 5 });
    const path = `/api/v1/task/${task_id}/events`;
    const [unused, used] = [await ticketFor(second, path), await ticketFor(second, path)];
    const reader = await fetch(`${second.url}${path}?ticket=${used}`);
    assert.equal(reader.status, 200);
    // Its own connection has brought all of it: nothing of a token has gone by the one that leads.
    await spy.until(({ texts }) => texts > 10);
    assert.equal(spy.deltas, 0);
    await first.kill9();
    const answered = async (): Promise<boolean> =>
      (await second.request("GET", `/api/v1/task/${task_id}`)).status === 200;
    while (!(await answered()));
    // A browser that is signed in is so at the next server, and a sign-in that was under way ends there.
    const who = (cookie: string) => asBrowser(second, "/auth/session", cookie).then((answer) => answer.json());
    assert.deepEqual(await who(session), { user: "alice" });
    assert.deepEqual(await who(out), { user: null });
    assert.deepEqual(await who(await arrived(second, underWay)), { user: "alice" });
    // So are tickets: one that was not used yet, and one whose reader comes back.
    assert.equal((await fetch(`${second.url}${path}?ticket=${unused}`)).status, 200);
    assert.equal((await fetch(`${second.url}/api/v1/events?ticket=${unused}`)).status, 401);
    assert.equal((await fetch(`${second.url}${path}?ticket=${used}&last_event_id=${begun.at(-1)!.id}`)).status, 200);
    const rest = await follow(second, task_id, { after: begun.at(-1)!.id });
    const task = await second.task(task_id);
    assert.deepEqual([task.status, task.attempts.length], ["completed", 1]);
    const texts = [...begun, ...rest].filter(({ event }) => event === "token").map(({ data }) => data["text"]);
    assert.equal(texts.join(""), task.result!.text);
    assert.equal(rest.at(-1)!.event, "completed");
    // Readers who have stayed have noticed nothing of it.
    assert.deepEqual(wholeText(await whole), task.result!.text);
    const events = await streamed;
    const { task_id: other, result } = events.at(-1)!.data as unknown as TaskView;
    assert.equal(wholeText(events), result!.text);
    assert.equal((await second.task(other)).attempts.length, 1);
  },
);

async function submitStream(server: Server, body: object): Promise<ServerEvent[]> {
  const headers = { authorization: `Bearer ${server.key}`, "content-type": "application/json" };
  const options = { method: "POST", headers, body: JSON.stringify(body) };
  const client = await LiveClient.open(Number(new URL(server.url).port), "/api/v1/predict", options);
  return client.rest();
}

/** Counts what agents tell of the output of runs: to the server that leads, and to readers. */
async function spyOn(t: Owner, nats: NatsServer) {
  const bus = await openNats({ urls: [nats.url], name: "spy", log: createLogger("fatal", { write: () => {} }) });
  t.after(() => bus.close());
  const changes = new Changes();
  const seen = { deltas: 0, texts: 0 };
  bus.listen(newsOf("*"), (message) => {
    const { news } = message as FromAgent;
    seen.deltas += news.filter(({ type }) => type === "delta" || type === "watched").length;
  });
  const stop = bus.listen("alt-las.text.one.*", () => {
    seen.texts++;
    changes.tell();
  });
  const until = async (holds: (now: typeof seen) => boolean): Promise<void> => {
    await changes.until(() => holds(seen));
    stop();
  };
  return {
    until,
    get deltas() {
      return seen.deltas;
    },
  };
}

test(
  "a leader that is frozen ends when it wakes, one that is stopped is followed at once, and what they were told stays",
  { skip: skipPostgres },
  async (t) => {
    const { first, second, config } = await several(t, "frozen");
    const { task_id } = await second.predict({ text: "hello", max_length: 200 });
    await running(second, task_id);
    await second.request("POST", "/api/v1/gpus/0/drain", { body: {} });
    const { task_id: waiting } = await second.predict({ text: "hello" });
    await second.request("PATCH", "/api/v1/config", { body: { gpu: { multi_gpu: { max_queue_size: 77 } } } });
    first.signal("SIGSTOP");
    await second.logged(({ msg }) => msg === "this server leads the cluster");
    await answers(second);
    // One that has not renewed its lease for 2 s, on a slow machine, answers 503 for a moment.
    let canceled = 503;
    while (canceled === 503) canceled = (await second.request("POST", `/api/v1/task/${waiting}/cancel`)).status;
    assert.equal(canceled, 200);
    // Asked while it is frozen, it has no time to find out that it leads no more.
    const late = Promise.allSettled([waiting, task_id].map((id) => first.request("GET", `/api/v1/task/${id}`)));
    first.signal("SIGCONT");
    for (const answer of await late)
      // Its connections to the database are ended: where it looks there first, that is what it says.
      if (answer.status === "fulfilled") assert.equal(answer.value.status, 503, JSON.stringify(answer.value.body));
    assert.deepEqual(await first.exit, { code: 1, signal: null });
    const third = await Server.start(t, { config, env });
    assert.equal((await third.request<{ role: string }>("GET", "/healthz")).body.role, "standby");
    const stopped = second.stop();
    assert.equal((await outcome(third, task_id)).attempts.length, 1);
    assert.deepEqual(await stopped, { code: 0, signal: null });
    await third.logged(({ msg }) => msg === "this server leads the cluster");
    assert.equal((await third.request<{ role: string }>("GET", "/healthz")).body.role, "leader");
    assert.match((await gpus(third))[0]!.status, /^drain(?:ing|ed)$/);
    const { body } = await third.request<{ config: { tasks: object } }>("GET", "/api/v1/config");
    assert.match(JSON.stringify(body), /"max_queue_size":77/);
  },
);

function refusalOf({ status, headers, body }: Answer<unknown>): unknown[] {
  return [status, (body as Partial<Failure>).code, headers.get("retry-after")];
}

test(
  "a leader that is cut off from the database answers nothing live once another one leads, and ends when it hears that one",
  { skip: skipPostgres },
  async (t) => {
    const link = await CommitCutter.start(t, postgres.folder, () => null);
    const { first, second } = await several(t, "cut_off", "", link.folder);
    const { task_id: over } = await first.run({ text: "hello", max_length: 3 });
    const { task_id: long } = await first.predict({ text: "hello", max_length: 200 });
    await running(first, long);
    await first.request("POST", "/api/v1/gpus/0/drain", { body: {} });
    const { task_id: waiting } = await first.predict({ text: "hello" });
    link.silence();
    const ended = first.exit.then(() => null);
    /** What a client of the first server sees, until that ends. */
    const asked = async (path: string, look: (answer: Answer<TaskView>, at: number) => void) => {
      for (;;) {
        const at = performance.now();
        const answer = await Promise.race([first.request<TaskView>("GET", path).catch(() => null), ended]);
        if (answer === null) return;
        look(answer, at);
        await new Promise((resolve) => void setTimeout(resolve, 20));
      }
    };
    let led = Infinity;
    const live = (answer: Answer<TaskView>, at: number): void => {
      if (answer.status === 200) assert(at < led, `asked ${at - led} ms after another one led, it answers`);
      else assert.deepEqual(refusalOf(answer), [503, "not_ready", "1"]);
    };
    const client = Promise.all([
      asked(`/api/v1/task/${waiting}`, live),
      asked("/api/v1/gpus", live),
      // It is in the database, which the first one does not reach: an answer may take longer than another one takes to lead.
      asked(`/api/v1/task/${over}`, ({ status, headers, body }) => {
        if (status === 200) assert.equal(body.status, "completed");
        else assert.notEqual(headers.get("retry-after"), null, JSON.stringify(body));
      }),
    ]);
    await second.logged(({ msg }) => msg === "this server leads the cluster");
    led = performance.now();
    await answers(second);
    assert.equal((await second.request("POST", `/api/v1/task/${waiting}/cancel`)).status, 200);
    assert.deepEqual(await first.exit, { code: 1, signal: null });
    await client;
    await first.logged(({ msg }) => msg.startsWith("Another server has led the cluster since"));
    assert.equal((await second.task(waiting)).status, "canceled");
    assert.equal((await second.task(over)).status, "completed");
    const task = await outcome(second, long);
    assert.deepEqual([task.status, task.attempts.length], ["completed", 1]);
  },
);

test(
  "a server that uses other NATS servers than the leader, another cluster's, or none, does not start",
  { skip: skipPostgres },
  async (t) => {
    const { first, nats, config } = await several(t, "other_nats");
    const { body } = await first.request<ClusterAnswer>("GET", "/api/v1/cluster");
    const other = await NatsServer.start(t);
    const start = (url: string): Promise<Server> => Server.start(t, { config: config.replace(nats.url, url), env });
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    t.after(() => silent.close());
    await once(silent, "listening");
    const nothing = `nats://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const elsewhere = config.replace("schema: other_nats", "schema: other_cluster");
    await Promise.all([
      assert.rejects(start(nothing), new RegExp(`cluster\\.nats: ${nothing} cannot be used: timeout`)),
      assert.rejects(
        Server.start(t, { config: elsewhere, env }),
        /The server of another cluster .* uses this NATS server/,
      ),
      assert.rejects(start("nats://127.0.0.1:1"), /cluster\.nats: nats:\/\/127\.0\.0\.1:1 cannot be used/),
      assert.rejects(start(other.url), (error: Error) => {
        for (const url of [nats.url, other.url]) assert(error.message.includes(url), error.message);
        assert(error.message.includes(`the server that leads, ${first.url}`), error.message);
        return true;
      }),
    ]);
    const after = await first.request<ClusterAnswer>("GET", "/api/v1/cluster");
    assert.equal(after.body.epoch, body.epoch);
  },
);

async function ticketFor(server: Server, path: string): Promise<string> {
  const answer = await server.request<{ ticket: string }>("POST", "/api/v1/stream_ticket", { body: { path } });
  return answer.body.ticket;
}

function asBrowser(server: Server, path: string, cookie: string, method = "GET"): Promise<Response> {
  return fetch(server.url + path, { method, redirect: "manual", headers: { cookie } });
}

/** A browser goes to the issuer, which knows it. @returns where that sends it back to, and the cookie with which it comes */
async function departed(server: Server): Promise<{ readonly back: string; readonly cookie: string }> {
  const left = await asBrowser(server, "/auth/sign_in", "");
  const { headers } = await fetch(left.headers.get("location")!, { redirect: "manual" });
  const { pathname, search } = new URL(headers.get("location")!);
  return { back: pathname + search, cookie: left.headers.getSetCookie()[0]!.split(";")[0]! };
}

/** @returns the cookie of its session */
async function arrived(server: Server, { back, cookie }: Awaited<ReturnType<typeof departed>>): Promise<string> {
  const { headers } = await asBrowser(server, back, cookie);
  return headers.getSetCookie().at(-1)!.split(";")[0]!;
}

/** Waits until a server answers for the cluster. */
async function answers(server: Server): Promise<void> {
  while ((await server.request("GET", "/api/v1/gpus")).status !== 200)
    await new Promise((resolve) => void setTimeout(resolve, 50));
}
