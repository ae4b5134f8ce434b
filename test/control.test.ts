/* The control socket: how commands ask the server that runs on a data directory. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { askServer, openAnswer } from "../src/control/client.ts";
import { type ControlRoutes, ControlServer } from "../src/control/server.ts";
import { AltLasError } from "../src/errors.ts";
import { temporaryFolder } from "./helpers/http.ts";

const ECHO: ControlRoutes = { "POST /echo": async (body) => ({ got: body ?? null }) };

async function listening(t: TestContext, dataDir: string, routes: ControlRoutes = ECHO): Promise<ControlServer> {
  const warnings: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => warnings.push(line) });
  const control = await ControlServer.listen(dataDir, routes, log);
  assert.ok(control !== null, warnings.join());
  t.after(() => control.close().catch(() => undefined));
  return control;
}

test("a command asks the server of its data directory, by a socket for the owner alone that goes at the stop", async (t) => {
  const dataDir = temporaryFolder(t);
  const path = join(dataDir, "alt-las.sock");
  assert.equal(await askServer(dataDir, "POST /echo"), undefined);
  const control = await listening(t, dataDir);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(await askServer(dataDir, "POST /echo", { a: "ş" }), { got: { a: "ş" } });
  assert.deepEqual(await askServer(dataDir, "POST /echo"), { got: null });
  await control.close();
  assert.equal(existsSync(path), false);
  assert.equal(await askServer(dataDir, "POST /echo"), undefined);
  assert.equal(await askServer(join(dataDir, "nowhere"), "POST /echo"), undefined);
});

test("a folder whose path is longer than a socket's address may be has its socket all the same", async (t) => {
  if (process.platform !== "linux") return t.skip("only Linux names a folder by a number");
  const dataDir = join(temporaryFolder(t), "a".repeat(120), "b".repeat(120));
  mkdirSync(dataDir, { recursive: true });
  const control = await listening(t, dataDir);
  assert.deepEqual(await askServer(dataDir, "POST /echo", {}), { got: {} });
  assert.equal(existsSync(join(dataDir, "alt-las.sock")), true);
  await control.close();
  assert.equal(existsSync(join(dataDir, "alt-las.sock")), false);
});

test("the socket of a killed server is replaced, that of a living one never", async (t) => {
  const dataDir = temporaryFolder(t);
  const path = join(dataDir, "alt-las.sock");
  const leave = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", leave]);
  assert.equal(existsSync(path), true);
  await listening(t, dataDir);
  const warnings: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => warnings.push(line) });
  assert.equal(await ControlServer.listen(dataDir, {}, log), null);
  assert.match(warnings.join(), /another server listens at alt-las\.sock/);
  assert.deepEqual(await askServer(dataDir, "POST /echo"), { got: null });
});

test("a stop leaves the socket of a server that began a new folder at the same place", async (t) => {
  if (process.platform !== "linux") return t.skip("only Linux names a folder by a number");
  const dataDir = join(temporaryFolder(t), "data");
  mkdirSync(dataDir);
  const first = await listening(t, dataDir);
  renameSync(dataDir, `${dataDir}.old`);
  mkdirSync(dataDir);
  await listening(t, dataDir);
  await first.close();
  assert.deepEqual(await askServer(dataDir, "POST /echo"), { got: null });
  assert.equal(existsSync(join(`${dataDir}.old`, "alt-las.sock")), false);
});

test("refusals come with their code and sentence, also for what the server does not know", async (t) => {
  const dataDir = temporaryFolder(t);
  await listening(t, dataDir, {
    "POST /refuse": () => Promise.reject(new AltLasError("conflict", "It is under way.")),
  });
  await assert.rejects(askServer(dataDir, "POST /refuse"), { code: "conflict", message: "It is under way." });
  await assert.rejects(askServer(dataDir, "POST /toString"), { code: "not_found", message: /no POST \/toString/ });
});

test("bytes come whole or end in an error, and a command that leaves ends what it asked for", async (t) => {
  const dataDir = temporaryFolder(t);
  const left = Promise.withResolvers<void>();
  await listening(t, dataDir, {
    "POST /bytes": async () => Readable.from([Buffer.from("one "), Buffer.from("two")]),
    "POST /cut": async () =>
      Readable.from(
        (async function* () {
          yield Buffer.from("one ");
          throw new Error("the disk is gone");
        })(),
      ),
    "POST /wait": async (_body, signal) => {
      await once(signal, "abort");
      left.resolve();
      return {};
    },
  });
  assert.equal((await buffer((await openAnswer(dataDir, "POST /bytes"))!)).toString(), "one two");
  await assert.rejects(
    openAnswer(dataDir, "POST /cut").then((answer) => buffer(answer!)),
    { code: "ECONNRESET" },
  );
  const socket = connect(join(dataDir, "alt-las.sock"));
  socket.end("POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  socket.resume();
  socket.destroySoon();
  await once(socket, "close");
  await left.promise;
});
