/** What the figures of the benchmarks depend on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { startChild } from "../../bench/child.ts";
import { firstTexts, type Generate, newcomers, throughput } from "../../bench/generation.ts";
import { covers, lastOf, type Lock } from "../../bench/guard/checkout.ts";
import { TracedBinary } from "../../bench/llama-server.ts";
import { reasonOf } from "../../bench/peers/cupboard.ts";
import { type Pace } from "../../bench/peers/paced-upstream.ts";
import { lengthsOf, leastOf } from "../../bench/peers/unequal.ts";
import { centreOf, markdownOf, median, passes, type Section } from "../../bench/report.ts";
import { through, throughLlamaServer } from "../../bench/streaming-client.ts";
import { load, requestTo } from "../../bench/submit.ts";
import { TOKEN } from "../../bench/upstream-words.ts";
import { seeded } from "../helpers/seeded.ts";

const REQUEST = { text: "Once upon a time", maxLength: 8, temperature: 0.7 };

async function listening(t: TestContext, server: Server): Promise<{ host: string; port: number }> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

test("newcomers come at moments that are spread evenly over a step", () => {
  for (const count of [5, 15, 45, 75]) {
    const phases = newcomers(count).map(({ phase }) => phase);
    const wanted = Array.from({ length: count }, (_, index) => (index + 0.5) / count);
    assert.deepEqual(
      phases.toSorted((a, b) => a - b),
      wanted,
    );
  }
});

test("a newcomer's first text is timed, and one that gets none has no time", async () => {
  let asked = 0;
  const generate: Generate = async (_, onText) => {
    if (++asked !== 2) onText?.();
    return 1;
  };
  const arrivals = { neighbours: 0, neighbourLength: 1, newcomers: newcomers(3) };
  const times = await firstTexts(generate, arrivals);
  assert.deepEqual(
    times.map((time) => typeof time),
    ["number", "object", "number"],
  );
  assert.equal(times[1], null);
});

test("throughput has so many tasks under way at any time, and counts the tokens of all", async () => {
  let running = 0;
  let most = 0;
  const generate: Generate = async () => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running--;
    return 5;
  };
  const { tokens } = await throughput(generate, { tasks: 10, concurrent: 3, maxLength: 5 });
  assert.equal(tokens, 50);
  assert.equal(most, 3);
});

test("the client of this server waits for the end of a task, or reads along when somebody listens", async (t) => {
  const bodies: { stream: boolean }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (piece: string) => (body += piece));
    request.once("end", () => {
      const asked = JSON.parse(body) as { stream: boolean };
      bodies.push(asked);
      const final = JSON.stringify({ status: "completed", result: { text: "a b", usage: { completion_tokens: 2 } } });
      if (!asked.stream) return response.writeHead(200, { "content-length": Buffer.byteLength(final) }).end(final);
      response.write("event: placed\nid: x:1:0\ndata: {}\n\n");
      response.write('event: token\nid: x:1:2\ndata: {"text":"a "}\n\n');
      response.end(`event: completed\nid: x:end\ndata: ${final}\n\n`);
    });
  });
  const generate = through({ ...(await listening(t, server)), authorization: "Bearer key" });
  let texts = 0;
  assert.equal(await generate(REQUEST), 2);
  assert.equal(await generate(REQUEST, () => texts++), 2);
  assert.ok(texts >= 1);
  assert.deepEqual(
    bodies.map(({ stream }) => stream),
    [false, true],
  );
});

test("the client of a llama-server has a connection for each text, and tells of no text where there is none", async (t) => {
  const server = createServer((request, response) => {
    assert.equal(request.headers.authorization, "Bearer key");
    response.write('data: {"content":"","tokens_predicted":1,"stop":false}\n\n');
    response.end('data: {"content":"","stop":true,"tokens_predicted":1}\n\n');
  });
  let connections = 0;
  server.on("connection", () => connections++);
  const generate = throughLlamaServer({ address: await listening(t, server), authorization: "Bearer key" });
  for (let i = 0; i < 2; i++) {
    const tokens = await generate(REQUEST, () => assert.fail("there was no text"));
    assert.equal(tokens, 1);
  }
  assert.equal(connections, 2);
});

test("a refusal and a connection that breaks off are failures", async (t) => {
  const server = createServer((request, response) => {
    if (request.url === "/completion") response.destroy();
    else response.writeHead(503).end();
  });
  const address = await listening(t, server);
  await assert.rejects(through({ ...address, authorization: "" })(REQUEST), /503/);
  await assert.rejects(throughLlamaServer({ address, authorization: "" })(REQUEST), /closed/);
});

test("a section that was left out says so without a table, and fails nothing", () => {
  const section = { name: "engine: llama-server", about: "Left out.", rows: [], bars: [] };
  assert.equal(markdownOf(section), "## engine: llama-server\n\nLeft out.");
  assert.ok(passes(section));
});

test("the middle is off by more than its margin in hardly one of twenty samples, and by much less than that in most", () => {
  const random = seeded(7);
  // Of noise with a peak and long tails, around 3.
  const noisy = () => 3 + Math.log((1 - random()) / (1 - random()));
  for (const count of [9, 40, 150]) {
    const samples = Array.from({ length: 2000 }, () => Array.from({ length: count }, noisy));
    const centres = samples.map(centreOf);
    const share = (factor: number) =>
      centres.filter(({ value, margin }) => Math.abs(value - 3) <= factor * margin).length / centres.length;
    assert.ok(share(1) >= 0.945, `${count} values: ${share(1)}`);
    assert.ok(share(0.25) <= 0.6, `${count} values: ${share(0.25)}`);
  }
});

test("an outlier does not move the middle, and of few values all are its margin", () => {
  assert.equal(centreOf([1, 2, 3, 4, 5, 6, 1000]).value, 4);
  assert.deepEqual(centreOf([1, 2, 4]), { value: 2.25, margin: 1.75 });
  assert.deepEqual(centreOf([3]), { value: 3, margin: 0 });
});

test("a traced llama-server gets its arguments as they are, and leaves behind how it is reached", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "it's a "));
  t.after(() => rmSync(folder, { recursive: true }));
  const binary = join(folder, "server");
  writeFileSync(binary, '#!/bin/sh\nprintf \'%s|\' "$$" "$@"', { mode: 0o755 });
  const traced = new TracedBinary(binary);
  t.after(() => traced.remove());
  const run = (...args: string[]) =>
    execFileSync(traced.path, args, { encoding: "utf8", env: { LLAMA_API_KEY: "secret" } });
  assert.match(run("--list-devices"), /--list-devices/);
  assert.throws(() => traced.started());
  const [pid, ...args] = run("--model", "a b", "--host", "/s.sock", "it's").split("|");
  assert.deepEqual(args, ["--model", "a b", "--host", "/s.sock", "it's", ""]);
  assert.deepEqual(traced.started(), {
    pid: Number(pid),
    address: { path: "/s.sock" },
    authorization: "Bearer secret",
  });
  run("--host", "127.0.0.1", "--port", "81");
  assert.deepEqual(traced.started().address, { host: "127.0.0.1", port: 81, noDelay: true });
});

test("a bar tells by how much its figure may be off, and is missed whatever that is", () => {
  const bar = { what: "z", measured: 0.975, margin: 0.0061, atLeast: 0.98 };
  const missed: Section = { name: "x", about: "y", rows: [], bars: [bar] };
  assert.ok(!passes(missed));
  assert.match(markdownOf(missed), /- \*\*MISSED\*\*: z: 0\.975 ± 0\.006 \(at least 0\.98\)$/);
  assert.ok(passes({ ...missed, bars: [{ ...bar, measured: 0.98 }] }));
});

test("the guard compares with the newest record of a commit as it was", () => {
  const records = [
    { commit: "bbb", date: "2026-11-28T06:23:00.000Z" },
    { commit: "aaa", date: "2026-11-27T23:47:00.000Z" },
    { commit: "ccc-changed", date: "2026-11-29T01:00:00.000Z" },
  ];
  assert.equal(lastOf(records).commit, "bbb");
  assert.throws(() => lastOf(records.slice(2)), /--checkout FOLDER/);
});

function lock(changes: object): Lock {
  return { packages: { "": { version: "0.2.0" }, "node_modules/a": { version: "1.0.0" }, ...changes } };
}

test("the packages of this checkout serve another one that runs the same versions of them, whatever else there is", () => {
  const ours = lock({ "": { version: "0.3.0" }, "node_modules/b": { version: "2.0.0" } });
  assert.ok(covers(ours, lock({})));
  assert.ok(covers(ours, lock({ "node_modules/dev": { version: "3.0.0", dev: true } })));
  assert.ok(!covers(ours, lock({ "node_modules/b": { version: "2.0.1" } })));
  assert.ok(!covers(ours, lock({ "node_modules/c": { version: "1.0.0" } })));
});

test("crowds of chats are the same for all routers, and no sharing of them is faster than the least time", () => {
  assert.deepEqual(lengthsOf(200, 3), lengthsOf(200, 3));
  assert.notDeepEqual(lengthsOf(200, 3), lengthsOf(200, 4));
  const middle = median(lengthsOf(4001, 1));
  assert.ok(middle > 55 && middle < 65, `${middle}`);
  // Four slots each: by all speed, and by the longest one alone.
  assert.equal(leastOf([400, 400, 400, 400, 400, 400], [100, 200]), 2);
  assert.equal(leastOf([1000, 1], [100, 200]), 5);
});

test("why a peer could not be had is told in one line without addresses", () => {
  const stderr =
    "first\n\ngo: reading https://registry.example/m/@v/list: 403 Forbidden\n\tserver response: not here\n";
  assert.equal(reasonOf({ stderr, message: "Command failed" }), "go: reading 403 Forbidden server response: not here");
  assert.equal(reasonOf(new Error("spawn pip ENOENT")), "spawn pip ENOENT");
});

test("the stand-in for a server answers a body in chunks once, as one with a length", async (t) => {
  const child = startChild("upstream.ts", process.env);
  t.after(() => child.stop());
  const port = await child.ask<number>({});
  const url = `http://127.0.0.1:${port}/v1/chat/completions`;
  const chunked = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"stream":'));
      controller.enqueue(new TextEncoder().encode("true}"));
      controller.close();
    },
  });
  const bodies: RequestInit[] = [{ body: "{}" }, { body: chunked, duplex: "half" }, { body: "{}" }];
  for (const body of bodies) {
    const answer = await fetch(url, { method: "POST", ...body });
    assert.equal(answer.status, 200);
    assert.equal((await answer.text()).split(TOKEN).length, 2);
  }
});

test("a paced server gives each chat its tokens, also those that have waited for a slot", async (t) => {
  const child = startChild<Pace>("peers/paced-upstream.ts", process.env);
  t.after(() => child.stop());
  const port = await child.ask<number>({ slots: 2, speed: 100_000 });
  const lengths = [3, 50, 1, 20, 7];
  const told = await Promise.all(
    lengths.map(async (length) => {
      const body = JSON.stringify({ max_tokens: length });
      const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, { method: "POST", body });
      const text = await answer.text();
      assert.match(text, /data: \[DONE\]\n\n$/);
      return text.split(`${TOKEN} `).length - 1;
    }),
  );
  assert.deepEqual(told, lengths);
});

test("the load generator finds the end of answers whose headers are in capitals, and counts a refusal", async (t) => {
  const server = createServer((request, response) => {
    request.resume();
    const body = "no";
    response.writeHead(request.url === "/good" ? 200 : 429, { "Content-Length": body.length }).end(body);
  });
  const target = { ...(await listening(t, server)), authorization: "none" };
  const ask = (path: string) => load({ ...target, connections: 2, seconds: 0, request: requestTo(target, path) });
  assert.deepEqual(
    [await ask("/good"), await ask("/bad")].map(({ accepted, errors }) => [accepted, errors]),
    [
      [2, 0],
      [0, 2],
    ],
  );
});
