/** A real process that may have few files open, and somebody who opens connections and keeps them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Agent, setGlobalDispatcher } from "undici";
import { temporaryFolder } from "../helpers/http.ts";
import { BIN, deadline, runProgram, Server } from "../helpers/server.ts";

const FEW = 128;
const IDLE = 160;
const CONFIG = "{ gpu: { devices: simulated:2 }, engine: { kind: simulated, simulated: { tokens_per_second: 0 } } }";

// A connection that is kept for the next request is one of those that the server may close, at worst just when that request goes out.
setGlobalDispatcher(new Agent({ pipelining: 0 }));

/** Resolves when the server has taken the connection, or closed it. */
async function idle(t: TestContext, port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  t.after(() => socket.destroy());
  socket.on("error", () => {}).resume();
  await once(socket, "connect");
  return socket;
}

/** Resolves when a request with credentials is answered; the connection stays open. */
async function asked(socket: Socket, key: string): Promise<void> {
  const answer = once(socket, "data");
  socket.write(`GET /api/v1/gpus HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n\r\n`);
  assert.match(String((await answer)[0]), /^HTTP\/1\.1 200 /);
}

/**
 * Resolves when a request without credentials is answered. The system hands the server connections in their order, so a crowd that came
 * before has been taken or dropped by then; who comes while it is being dropped may be dropped with it, and tries again.
 */
async function isAlive({ url }: Server): Promise<void> {
  const signal = deadline();
  const ask = () => fetch(`${url}/livez`, { signal }).catch(() => (signal.throwIfAborted(), null));
  let answer = await ask();
  while (answer === null) answer = await ask();
  assert.equal(answer.status, 200);
}

test("idle connections take no descriptor from those who have work here, and the log says what is refused", async (t) => {
  if (process.platform !== "linux") return t.skip("only Linux has further addresses of its own, and tells the limit");
  const command = ["/bin/sh", "-c", `ulimit -n ${FEW}; exec "$0" "$@"`, process.execPath, BIN, "serve"];
  const server = await (await Server.start(t, { config: CONFIG, command })).loaded();
  const port = Number(new URL(server.url).port);
  const sockets = await Promise.all(Array.from({ length: IDLE }, () => idle(t, port, "127.0.0.2")));
  await server.logged(({ msg }) => msg.includes("limits.unauthenticated_connections"));
  assert.ok(sockets.length === IDLE);
  await isAlive(server);
  assert.equal((await server.run({ text: "goes on", max_length: 3 })).status, "completed");
  // Every worker is begun anew, with its pipes and its channel.
  server.signalWorker(0, "SIGKILL");
  await server.became(0, "ready", 2);
  assert.equal(
    (await server.run({ text: "still", max_length: 3, gpu_options: { specific_gpu_id: 0 } })).status,
    "completed",
  );
  // From many addresses they can take all connections, and still nothing else.
  await Promise.all(Array.from({ length: IDLE }, (_, i) => idle(t, port, `127.0.1.${i + 1}`)));
  await server.logged(({ msg }) => msg.includes("file descriptors run short"));
  await isAlive(server);
  // Nor can one key take them: its idle connections are closed for those that are new.
  for (let i = 0; i < IDLE; i++) await asked(await idle(t, port, "127.0.0.1"), server.key);
  await isAlive(server);
  assert.equal((await server.run({ text: "as before", max_length: 3 })).status, "completed");
  server.signal("SIGTERM");
  assert.deepEqual(await server.exit, { code: 0, signal: null });
});

/** Threads that Node itself begins with, but for some, without which it goes on. */
const NO_MORE = 6;

test("a start that may start no thread ends with a sentence that says what to raise", async (t) => {
  // The system bounds the threads of all but root, and Node has to be let in elsewhere.
  if (process.getuid?.() !== 0) return t.skip("only root can start a program as a user that has no other process");
  const folder = temporaryFolder(t);
  chmodSync(folder, 0o777);
  const nobody = ["--reuid=65533", "--clear-groups"];
  const version = await runProgram("setpriv", [...nobody, process.execPath, BIN, "version"], { cwd: folder });
  assert.equal(version.code, 0, `User 65533 has to be able to read Node and the program: ${version.stderr}`);
  const start = [...nobody, "prlimit", `--nproc=${NO_MORE}`, process.execPath, BIN];
  const args = ["serve", "--port", "0", "--devices", "simulated:1", "--data-dir", join(folder, "data")];
  const { code, stderr } = await runProgram("setpriv", [...start, ...args], { cwd: folder });
  assert.equal(code, 1, stderr);
  assert.match(
    stderr,
    /^The system lets this server start no more threads \(.*\): raise .* \(ulimit -u, TasksMax\)\.$/m,
  );
  assert.doesNotMatch(stderr, /^ +at /m);
});
