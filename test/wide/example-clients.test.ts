/** The clients of examples/ without a server to talk to: one sentence, and no stack. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { lacks, ROOT, runProgram } from "../helpers/server.ts";

const withoutPython = await lacks(
  runProgram("python3", ["-c", "import requests"]),
  "python3 with the package requests",
);

const CLIENTS = [
  { name: "client.py", program: "python3", skip: withoutPython },
  { name: "client.ts", program: process.execPath, skip: false },
];

/** A server that is not ALT_LAS. @returns its address */
async function stranger(t: { after(undo: () => void): void }, status: number, body: string): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(status, { connection: "close" }).end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

for (const { name, program, skip } of CLIENTS) {
  test(`examples/${name} says in one sentence that there is no server, or another one`, { skip }, async (t) => {
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const nobody = `http://127.0.0.1:${(free.address() as AddressInfo).port}`;
    await new Promise((closed) => free.close(closed));
    const page = await stranger(t, 200, "<html>hello</html>");
    const list = await stranger(t, 404, "[]");
    const key = await stranger(t, 401, '{"error":"The API key is unknown or was revoked.","code":"unauthorized"}');
    const cases: readonly (readonly [string, string])[] = [
      [nobody, `No server answers at ${nobody}; start one with npm start.`],
      [page, `What answers at ${page} is not ALT_LAS.`],
      [list, `What answers at ${list} is not ALT_LAS.`],
      [key, "401: The API key is unknown or was revoked."],
      ["127.0.0.1:8642", "ALT_LAS_URL must begin with http:// or https://, like http://127.0.0.1:8642; it is"],
    ];
    const ran = await Promise.all(
      cases.map(([url]) =>
        runProgram(program, [join(ROOT, "examples", name)], { env: { ALT_LAS_URL: url, ALT_LAS_API_KEY: "k" } }),
      ),
    );
    for (const [index, [url, sentence]] of cases.entries()) {
      const { code, stdout, stderr } = ran[index]!;
      assert.deepEqual([code, stdout], [1, ""], url);
      assert.ok(stderr.startsWith(sentence), stderr);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    }
  });
}
