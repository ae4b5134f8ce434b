/** That an accepted task is on the disk: counted where the system is asked to write it there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { BIN, lacks, newFolder, runProgram, Server } from "../helpers/server.ts";
import { postgresServer } from "../helpers/store-section.ts";

/** One call that ended well, on the database or its log, or on the log of PostgreSQL. */
const SYNC = /\b(fsync|fdatasync)(\(\d+<[^>]*(alt-las\.db|pg_wal)|.* resumed).* = 0$/;
const STRACE = ["-f", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none"];

const CONNECTIONS = 50;

/**
 * Sends tasks that the server finds all at the same moment, however slowly this process gets to run, and returns how many were
 * answered with 200. The server is stopped meanwhile; the system takes connections and requests in its name. A few requests follow each
 * other on each connection, which are carried out one after another.
 */
async function allAtOnce(server: Server, count: number): Promise<number> {
  const { hostname, port } = new URL(server.url);
  const body = JSON.stringify({ text: "one of many" });
  const head = `POST /api/v1/predict HTTP/1.1\r\nHost: ${hostname}\r\nAuthorization: Bearer ${server.key}`;
  const kind = `Content-Type: application/json\r\nContent-Length: ${body.length}`;
  const request = (connection: string) => `${head}\r\nConnection: ${connection}\r\n${kind}\r\n\r\n${body}`;
  const requests = request("keep-alive").repeat(count / CONNECTIONS - 1) + request("close");
  server.signal("SIGSTOP");
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(Number(port), hostname).setTimeout(60_000));
  const answers = sockets.map((socket) => text(socket));
  await Promise.all(sockets.map((socket) => new Promise((sent) => socket.write(requests, sent))));
  server.signal("SIGCONT");
  return (await Promise.all(answers)).join("").split("HTTP/1.1 200 OK\r\n").length - 1;
}

/** How a server is started whose calls are written down; those of PostgreSQL are, where that has its tasks. */
async function traced(
  t: TestContext,
  trace: string,
): Promise<{ command?: string[]; isCounted: (line: string) => boolean }> {
  const postgres = postgresServer();
  if (postgres === null)
    return { command: ["strace", ...STRACE, "-o", trace, process.execPath, BIN, "serve"], isCounted: () => true };
  const { processes } = postgres;
  const pids = processes.flatMap((pid) => ["-p", String(pid)]);
  const strace = spawn("strace", [...STRACE, "-o", trace, ...pids], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => void strace.kill());
  const attached = Promise.withResolvers<void>();
  let said = "";
  strace.stderr.setEncoding("utf8").on("data", (piece: string) => {
    said += piece;
    if (said.split(" attached").length > processes.length) attached.resolve();
  });
  await attached.promise;
  // What PostgreSQL writes by itself says nothing of what was waited for.
  return { isCounted: (line) => !processes.includes(Number.parseInt(line, 10)) };
}

test("each answer waits for the disk, and answers at the same time share the wait", async (t) => {
  const none = await lacks(runProgram("strace", ["-f", "-o", "/dev/null", "true"]), "strace");
  if (none) return t.skip(none);
  const trace = join(newFolder(t), "trace");
  const { command, isCounted } = await traced(t, trace);
  const syncs = () =>
    readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => SYNC.test(line) && isCounted(line)).length;
  const config = `
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
    engine: { simulated: { tokens_per_second: 0.01 } }`;
  const args = ["--devices", "simulated:1"];
  const server = await Server.start(t, { config, args, ...(command !== undefined && { command }) });
  await server.loaded();
  // From now on all tasks only wait, so that what is written is their acceptance and nothing else.
  await server.predict({ text: "takes the only slot" });

  for (let i = 0; i < 5; i++) {
    const before = syncs();
    await server.predict({ text: "one alone" });
    assert.ok(syncs() > before, "an answer came before its task was on disk");
  }
  const before = syncs();
  const many = 200;
  assert.equal(await allAtOnce(server, many), many);
  const used = syncs() - before;
  t.diagnostic(`${used} syncs for ${many} tasks`);
  assert.ok(used >= 1 && used < many / 2, `${used} syncs for ${many} tasks`);
  assert.equal((await server.tasks("?limit=1")).total, many + 6);
});
