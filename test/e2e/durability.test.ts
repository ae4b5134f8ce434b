/** That an accepted task is on the disk: counted where the system is asked to write it there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { BIN, lacks, newFolder, runProgram, Server } from "../helpers/server.ts";

/** One call that ended well, on the database or its log. */
const SYNC = /\b(fsync|fdatasync)(\(\d+<[^>]*alt-las\.db|.* resumed).* = 0$/;

/**
 * Sends tasks that the server finds all at the same moment, however slowly this process gets to run, and returns the answers.
 * The server is stopped meanwhile; the system takes connections and requests in its name.
 */
async function allAtOnce(server: Server, count: number): Promise<string[]> {
  const { hostname, port } = new URL(server.url);
  const body = JSON.stringify({ text: "one of many" });
  const head = `POST /api/v1/predict HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\nAuthorization: Bearer ${server.key}`;
  const request = `${head}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  server.signal("SIGSTOP");
  const sockets = Array.from({ length: count }, () => connect(Number(port), hostname).setTimeout(60_000));
  const answers = sockets.map((socket) => text(socket));
  await Promise.all(sockets.map((socket) => new Promise((sent) => socket.write(request, sent))));
  server.signal("SIGCONT");
  return Promise.all(answers);
}

test("each answer waits for the disk, and answers at the same time share the wait", async (t) => {
  const none = await lacks(runProgram("strace", ["-f", "-o", "/dev/null", "true"]), "strace");
  if (none) return t.skip(none);
  const trace = join(newFolder(t), "trace");
  const syncs = () =>
    readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => SYNC.test(line)).length;
  const strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", trace];
  const config = `
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
    engine: { simulated: { tokens_per_second: 0.01 } }`;
  const command = [...strace, process.execPath, BIN, "serve"];
  const server = await Server.start(t, { config, command, args: ["--devices", "simulated:1"] });
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
  const answers = await allAtOnce(server, many);
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  const used = syncs() - before;
  t.diagnostic(`${used} syncs for ${many} tasks`);
  assert.ok(used >= 1 && used < many / 2, `${used} syncs for ${many} tasks`);
  assert.equal((await server.tasks("?limit=1")).total, many + 6);
});
