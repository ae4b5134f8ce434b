/** What a plain server has loaded at its end, which nobody has asked for anything. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listing, loadedBy } from "../helpers/loaded-modules.ts";
import { ROOT } from "../helpers/server.ts";

test("a plain server loads nothing that its configuration does not use", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "modules");
  const { nodeArgs, env } = listing(file);
  const args = [join(ROOT, "bin/alt-las.js"), "--devices", "simulated:1", "--port", "0", "--data-dir", folder];
  const server = spawn(process.execPath, [...nodeArgs, ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(server.stdout, "data");
  server.kill("SIGTERM");
  await once(server, "exit");
  const { own, packages, heavy } = loadedBy(file);
  assert.deepEqual(heavy, []);
  // Of fast-json-stringify Fastify itself takes a part.
  const needless =
    "@fastify/cors @nats-io/jwt @nats-io/transport-node node-llama-cpp pg pino-pretty string-width tar-stream typebox undici".split(
      " ",
    );
  const loaded = new Set(packages);
  assert.deepEqual(
    needless.filter((name) => loaded.has(name)),
    [],
  );
  const engines = /^engine\/(?:upstream|(\w[\w-]*)\/\1\.ts$)|^add-gpu|^backup\/(?:archive|restore)/;
  const unused = own.filter((path) => engines.test(path));
  assert.deepEqual(unused, []);
  const ofSeveral = /^(?:cluster|http\/standby|store\/postgres)\/|^member\.ts$/;
  assert.deepEqual(
    own.filter((path) => ofSeveral.test(path)),
    [],
  );
});
