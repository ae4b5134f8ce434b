/** A cluster of real processes, as docs/cluster.md has it: a server, agents, and the NATS server between them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { openNats } from "../../src/cluster/nats-bus.ts";
import { createLogger } from "../../src/log/log.ts";
import { AgentProcess } from "../helpers/agent-process.ts";
import { newCertificate } from "../helpers/certificate.ts";
import { runCommand } from "../helpers/command.ts";
import { gpus, ready, running } from "../helpers/cluster-server.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { newFolder, type Owner, ROOT, Server } from "../helpers/server.ts";

const skip = NO_NATS;
const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";

let nats: NatsServer;
if (skip === false) before(async (t) => (nats = await NatsServer.start(t as unknown as Owner)));

function serve(t: Owner, folder?: string): Promise<Server> {
  return Server.start(t, { config: `cluster: { nats: '${nats.url}' }` }, folder);
}

test("a server without GPUs serves with those of its machines, each with its machine's name", { skip }, async (t) => {
  const server = await serve(t);
  await AgentProcess.start(t, { join: nats.url, name: "one", devices: "simulated:2" });
  await AgentProcess.start(t, { join: nats.url, name: "two" });
  await ready(server, 3);
  const all = (await gpus(server)).map(({ id, machine }) => [id, machine]);
  assert.deepEqual(
    all.map(([id]) => id),
    [0, 1, 2],
  );
  assert.deepEqual(all.map(([, machine]) => machine).toSorted(), ["one", "one", "two"]);
  const items = Array.from({ length: 30 }, (_, index) => ({ text: `task ${index}`, max_length: 10 }));
  const { tasks } = await server.batch({ batch: items });
  const ended = await Promise.all(tasks.map(({ task_id }) => server.ended(task_id)));
  assert(ended.every(({ status }) => status === "completed"));
  assert(new Set(ended.map(({ gpu_id }) => gpu_id)).size > 1);
  const env = { ALT_LAS_API_KEY: server.key };
  const { stdout } = await runCommand(["cluster", "--url", server.url], { env });
  assert.match(stdout, /^Cluster [0-9a-f-]{36}, epoch \d+, over nats:\/\/127\.0\.0\.1:\d+$/m);
  assert.match(stdout, /^\S+ +\d+\.\d+\.\d+ +yes$/m);
  for (const machine of [/^one +present +2 /m, /^two +present +1 /m]) assert.match(stdout, machine);
});

test("a clock that is set back keeps nobody from NATS", { skip }, async (t) => {
  const own = await NatsServer.start(t);
  const bus = await openNats({ urls: [own.url], name: "clock", log: createLogger("silent") });
  t.after(() => bus.close());
  const [down, up] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  bus.watch({ down: down.resolve, up: up.resolve });
  const { now } = Date;
  t.mock.method(Date, "now", () => now() - 3_600_000);
  await own.kill();
  await down.promise;
  await own.restart();
  await up.promise;
});

test(
  "a request as large as the API takes them arrives on its machine, also where NATS takes little at once, and what it asks comes back",
  { skip },
  async (t) => {
    const config = join(newFolder(t), "nats.conf");
    writeFileSync(config, "max_payload: 64KB\n");
    const small = await NatsServer.start(t, ["-c", config]);
    const server = await Server.start(t, { config: `cluster: { nats: '${small.url}' }` });
    const context = "engine: { context: 400000, simulated: { tokens_per_second: 1000000 } }";
    await AgentProcess.start(t, { join: small.url, name: "large", config: context });
    await ready(server, 1);
    // Each of its characters takes several bytes in JSON.
    const text = '"\n'.repeat(2 ** 19);
    const task = await server.run({ text, max_length: 5 });
    assert.deepEqual([task.status, task.result!.usage.completion_tokens], ["completed", 5]);
  },
);

test(
  "every strategy, a GPU that is asked for and a mapping place tasks on the GPUs of all machines",
  { skip },
  async (t) => {
    const mapping = "gpu: { multi_gpu: { task_specific_mappings: { summary: [2] } } }";
    const server = await Server.start(t, { config: `cluster: { nats: '${nats.url}' }\n${mapping}` });
    const names = ["a", "b", "c"];
    for (const [index, name] of names.entries()) {
      await AgentProcess.start(t, { join: nats.url, name: `place-${name}`, config: SLOW });
      await ready(server, index + 1);
    }
    const placed = async (more: object): Promise<Set<number>> => {
      const batch = Array.from({ length: 9 }, (_, index) => ({ text: `task ${index}`, max_length: 2 }));
      const { tasks } = await server.batch({ batch, ...more });
      const ended = await Promise.all(tasks.map(({ task_id }) => server.ended(task_id)));
      assert(ended.every(({ status }) => status === "completed"));
      return new Set(ended.map(({ gpu_id }) => gpu_id!));
    };
    for (const strategy of ["round_robin", "least_loaded", "memory_optimized", "random"])
      assert((await placed({ gpu_options: { strategy } })).size > 1, strategy);
    assert.equal((await placed({ gpu_options: { strategy: "round_robin" } })).size, 3);
    for (const gpu of [0, 1, 2]) {
      const task = await server.run({ text: "hello", max_length: 2, gpu_options: { specific_gpu_id: gpu } });
      assert.equal(task.gpu_id, gpu);
    }
    for (let count = 0; count < 3; count++)
      assert.equal(
        (
          await server.run({
            text: `${count}`,
            max_length: 2,
            task_type: "summary",
            gpu_options: { strategy: "task_specific" },
          })
        ).gpu_id,
        2,
      );
  },
);

test(
  "a model by name runs on the machines that have it, a prompt goes where its beginning is, and metrics name machines",
  { skip },
  async (t) => {
    const server = await serve(t);
    const machines = { "has-one": ["both"], "has-two": ["both", "rare"] };
    for (const [index, [name, models]] of Object.entries(machines).entries()) {
      const listed = models.map((model) => `{ name: ${model}, engine: { kind: simulated } }`).join(", ");
      await AgentProcess.start(t, { join: nats.url, name, config: `models: [${listed}]` });
      await ready(server, index + 1);
    }
    const placed = async (more: object): Promise<Set<number>> => {
      const tasks = await Promise.all(
        Array.from({ length: 8 }, () => server.run({ text: "a", max_length: 2, ...more })),
      );
      assert(tasks.every(({ status }) => status === "completed"));
      return new Set(tasks.map(({ gpu_id }) => gpu_id!));
    };
    assert.deepEqual(await placed({ model: "both", gpu_options: { strategy: "round_robin" } }), new Set([0, 1]));
    assert.deepEqual(await placed({ model: "rare" }), new Set([1]));
    const unknown = await server.request("POST", "/api/v1/predict", { body: { text: "a", model: "nowhere" } });
    assert.equal(unknown.status, 400);
    for (const gpu of [0, 1, 0, 1]) {
      // Of a length at which it counts where it is, and begun by no other.
      const text = `${Math.random()} `.repeat(400);
      const ask = async (gpu_options: object) =>
        server.run({ text, max_length: 2, model: "both", gpu_options: { strategy: "least_loaded", ...gpu_options } });
      assert.equal((await ask({ specific_gpu_id: gpu })).gpu_id, gpu);
      for (let count = 0; count < 3; count++) assert.equal((await ask({})).gpu_id, gpu);
    }
    const headers = { authorization: `Bearer ${server.key}` };
    const metrics = await (await fetch(`${server.url}/metrics`, { headers })).text();
    for (const [gpu, machine] of Object.keys(machines).entries())
      assert.match(metrics, new RegExp(`^altlas_gpu_slots\\{gpu="${gpu}",[^}]*machine="${machine}"\\} `, "m"));
  },
);

test("bytes that are no message make neither the server nor an agent deaf", { skip }, async (t) => {
  const server = await serve(t);
  await AgentProcess.start(t, { join: nats.url, name: "one" });
  await ready(server, 1);
  const stranger = await connect({ servers: nats.url });
  for (const subject of ["alt-las.news.one", "alt-las.news.other", "alt-las.beat"])
    for (const text of ["", "\0", "\0null", "\0[1]", "\0{}", "\0{", "\u0001"]) stranger.publish(subject, text);
  await stranger.flush();
  const task = await server.run({ text: "hello", max_length: 5 });
  assert.equal(task.status, "completed");
  await stranger.close();
});

test("tasks of an agent that is killed run again elsewhere, which counts against none", { skip }, async (t) => {
  const server = await serve(t);
  const [one] = await Promise.all([
    AgentProcess.start(t, { join: nats.url, name: "one", config: SLOW }),
    AgentProcess.start(t, { join: nats.url, name: "two", config: SLOW }),
  ]);
  await ready(server, 2);
  const { tasks } = await server.batch({
    batch: Array.from({ length: 4 }, (_, index) => ({ text: `task ${index}`, max_length: 30 })),
  });
  for (const { task_id } of tasks) await running(server, task_id);
  one.signal("SIGKILL");
  const ended = await Promise.all(tasks.map(({ task_id }) => server.ended(task_id)));
  assert(ended.every(({ status }) => status === "completed"));
  const cutOff = ended.filter(({ attempts }) => attempts.length > 1);
  assert(cutOff.length > 0);
  for (const { attempts } of cutOff) assert.equal(attempts[0]!.reason, "machine_lost");
  await server.logged(({ msg }) => msg === "The agent of machine one has closed its connection.");
  // Started anew, it has its GPU again.
  const known = await gpus(server);
  await AgentProcess.start(t, { join: nats.url, name: "one", config: SLOW });
  await ready(server, 2);
  assert.deepEqual(
    (await gpus(server)).map(({ id, machine }) => [id, machine]),
    known.map(({ id, machine }) => [id, machine]),
  );
});

test("a frozen machine is lost after 3 s, and what it brings back is thrown away", { skip }, async (t) => {
  const server = await serve(t);
  const one = await AgentProcess.start(t, { join: nats.url, name: "frozen", config: SLOW });
  await ready(server, 1);
  const { task_id } = await server.predict({ text: "hello", max_length: 40 });
  await running(server, task_id);
  one.signal("SIGSTOP");
  const start = performance.now();
  await server.logged(({ msg }) => msg === "Machine frozen has given no sign of life for 3 s.");
  assert(performance.now() - start > 2000);
  one.signal("SIGCONT");
  const task = await server.ended(task_id);
  assert.deepEqual(
    task.attempts.map(({ reason }) => reason),
    ["machine_lost", "completed"],
  );
  assert.equal(task.result!.usage.completion_tokens, 40);
});

test("tasks run on while the NATS server is killed and restarted", { skip }, async (t) => {
  const server = await serve(t);
  await AgentProcess.start(t, { join: nats.url, name: "one", config: SLOW });
  await ready(server, 1);
  const { task_id } = await server.predict({ text: "hello", max_length: 60 });
  await running(server, task_id);
  await nats.kill();
  await server.logged(({ msg }) => msg === "the connection to NATS is lost");
  const { status, body } = await server.request<{ reason: string }>("GET", "/readyz");
  assert.deepEqual([status, body.reason], [503, "There is no connection to NATS (cluster.nats)."]);
  await nats.restart();
  const task = await server.ended(task_id);
  assert.deepEqual([task.status, task.attempts.length, task.result!.usage.completion_tokens], ["completed", 1, 60]);
});

test(
  "of several NATS servers another one is used when one dies, and at the start when one is away",
  { skip },
  async (t) => {
    // Without routes between them, as all are at one of them; nats-server 2.15.1 may die of a route that is made as it starts.
    const [first, second] = await Promise.all([NatsServer.start(t), NatsServer.start(t)]);
    await second.kill();
    const server = await Server.start(t, { config: `cluster: { nats: ['${second.url}', '${first.url}'] }` });
    await AgentProcess.start(t, { join: `${second.url},${first.url}`, name: "one", config: SLOW });
    await ready(server, 1);
    const env = { ALT_LAS_API_KEY: server.key };
    const { stdout } = await runCommand(["cluster", "--url", server.url], { env });
    assert(stdout.includes(` over ${second.url},${first.url}\n`), stdout);
    const { task_id } = await server.predict({ text: "hello", max_length: 60 });
    await running(server, task_id);
    await second.restart();
    await first.kill();
    const task = await server.ended(task_id);
    assert.deepEqual([task.status, task.attempts.length, task.result!.usage.completion_tokens], ["completed", 1, 60]);
    assert.equal((await server.run({ text: "hello", max_length: 3 })).status, "completed");
  },
);

test("an agent that is stopped finishes what runs", { skip }, async (t) => {
  const server = await serve(t);
  const one = await AgentProcess.start(t, { join: nats.url, name: "one", config: SLOW });
  await ready(server, 1);
  const { task_id } = await server.predict({ text: "hello", max_length: 20 });
  await running(server, task_id);
  assert.equal(await one.stop(), 0);
  const task = await server.ended(task_id);
  assert.deepEqual([task.status, task.attempts.length], ["completed", 1]);
  await server.logged(({ msg }) => msg === "The agent of machine one was stopped.");
  const waits = await server.request<{ code: string }>("POST", "/api/v1/predict", { body: { text: "hello" } });
  assert.equal(waits.status, 200);
});

test("over TLS each machine has credentials that let it do no more than it has to", { skip }, async (t) => {
  const folder = newFolder(t);
  const authority = newCertificate("authority");
  const certified = newCertificate("localhost", authority);
  for (const [name, text] of Object.entries({
    "ca.pem": authority.cert,
    "cert.pem": certified.cert,
    "key.pem": certified.key,
  }))
    writeFileSync(join(folder, name), text);
  // As it stands in deploy/, but for its paths and for the port.
  const text = readFileSync(join(ROOT, "deploy/nats.conf"), "utf8").replaceAll("/etc/nats", folder);
  writeFileSync(join(folder, "nats.conf"), text.replace(/^listen:.*$/m, ""));
  const passwords = { NATS_SERVER_PASSWORD: "of-the-server", NATS_ONE_PASSWORD: "of-one" };
  const broker = await NatsServer.start(t, ["-c", join(folder, "nats.conf")], passwords);
  const url = (user: string, password: string) => `tls://${user}:${password}@localhost:${broker.port}`;
  const ca = `tls: { ca: '${join(folder, "ca.pem")}' }`;
  const server = await Server.start(t, { config: `cluster: { nats: '${url("server", "of-the-server")}' }\n${ca}` });
  const join1 = url("one", "of-one");
  await AgentProcess.start(t, { join: join1, name: "one", config: ca });
  await ready(server, 1);
  assert.equal((await server.run({ text: "hello", max_length: 3 })).status, "completed");
  // It may neither speak for another machine, nor hear what that is asked.
  const other = await AgentProcess.start(t, { join: join1, name: "two", config: ca });
  while (!other.said.includes("may lack a permission")) await once(other.process.stderr!, "data");
  assert.deepEqual(
    (await gpus(server)).map(({ machine }) => machine),
    ["one"],
  );
  const wrong = await AgentProcess.start(t, { join: url("one", "guessed"), name: "one", config: ca });
  assert.match(wrong.said, /cluster\.nats: tls:\/\/localhost:\d+ cannot be used: .*uthori/);
  assert(!wrong.said.includes("guessed"));
  const blind = await AgentProcess.start(t, { join: join1, name: "one" });
  assert.match(blind.said, /cluster\.nats: tls:\/\/localhost:\d+ cannot be used: .*certificate/);
});

test("what is wrong is said at the start", { skip }, async (t) => {
  const config = `cluster: { nats: '${nats.url}' }`;
  await assert.rejects(
    Server.start(t, { config: `${config}\nmodels: [{ name: a, source: /a.gguf }]` }),
    /models must stand in the configuration of each machine/,
  );
  await assert.rejects(
    Server.start(t, { config: "cluster: { nats: 'nats://127.0.0.1:1' }" }),
    /cluster\.nats: nats:\/\/127\.0\.0\.1:1 cannot be used/,
  );
  await assert.rejects(
    Server.start(t, { config: "cluster: { nats: 'nats://10.1.2.3:4222' }" }),
    /beyond this machine: write tls:\/\//,
  );
  const bad = await AgentProcess.start(t, { join: nats.url, name: "a.b" });
  assert.match(bad.said, /--name must be 1 to 63 letters, digits, _ and -, a letter or digit first; got "a\.b"/);
  const none = await AgentProcess.start(t, { join: "http://127.0.0.1", name: "one" });
  assert.match(none.said, /--join must be an address like tls:\/\//);
});
