/** Uploads that do not go as they should: clients that leave, limits that change, memory that others need. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import { call, formOf, refusalOf, startFileServer, storedNames, upload } from "./helpers/files.ts";

const server = await startFileServer({ after }, "limits: { max_file_bytes: 100000 }");
const { port } = new URL(server.url);

/** Sends the beginning of an upload. */
function begin({ headers = "Content-Length: 5000", body = "" }: { headers?: string; body?: string } = {}): Socket {
  const socket = connect(Number(port), "127.0.0.1");
  socket.write(
    `POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer altlas_ada\r\nContent-Type: multipart/form-data; boundary=b\r\n${headers}\r\n\r\n${body}`,
  );
  return socket;
}

const FILE = '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n';

/** Resolves when it holds, which a turn of the event loop may make so. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

test("a client that leaves in the middle of its file leaves nothing behind", async () => {
  const before = storedNames(server);
  const socket = begin({ body: `${FILE}the beginning` });
  await until(() => storedNames(server).length === before.length + 1);
  socket.destroy();
  await until(() => storedNames(server).length === before.length);
  assert.deepEqual(storedNames(server), before);
});

test("a file that is announced as too large is refused before it is sent", async () => {
  const socket = begin({ headers: "Content-Length: 1000000\r\nExpect: 100-continue" });
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.match(String(answer), /^HTTP\/1\.1 413 /);
  socket.destroy();
});

test("a client that asks whether it may send is told so", async () => {
  const body = `${FILE}asked before\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n`;
  const socket = begin({ headers: `Content-Length: ${body.length}\r\nExpect: 100-continue` });
  const [invitation] = (await once(socket, "data")) as [Buffer];
  assert.equal(String(invitation), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.write(body);
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.match(String(answer), /^HTTP\/1\.1 200 [^]*"bytes":12,/);
  socket.destroy();
});

test("what follows the end of a form is passed over", async () => {
  const body = `preamble\r\n${FILE}x\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\nepilogue`;
  const headers = { "content-type": "multipart/form-data; boundary=b" };
  const response = await call(server, "ada", "", { method: "POST", body, headers });
  assert.equal(response.status, 200, await response.text());
});

test("a limit that changes while the server runs holds for the next file", async () => {
  const patch = (limits: object): Promise<Response> =>
    fetch(`${server.url}/api/v1/config`, {
      method: "PATCH",
      headers: { authorization: "Bearer altlas_root", "content-type": "application/json" },
      body: JSON.stringify({ limits }),
    });
  await upload(server, "bob", { content: "x".repeat(1000) });
  assert.equal((await patch({ max_file_bytes: 999 })).status, 200);
  const tooLarge = await refusalOf(
    await call(server, "bob", "", { method: "POST", body: formOf({ content: "y".repeat(1000) }) }),
  );
  assert.deepEqual([tooLarge.status, tooLarge.code], [413, "body_too_large"]);
  assert.equal((await patch({ max_file_bytes: null, max_stored_file_bytes: 3000 })).status, 200);
  const response = await call(server, "bob", "", { method: "POST", body: formOf({ content: "y".repeat(1000) }) });
  assert.ok(Number(response.headers.get("retry-after")) >= 60);
  const full = await refusalOf(response);
  assert.deepEqual([full.status, full.code], [429, "rate_limit_exceeded"]);
  assert.equal((await patch({ max_stored_file_bytes: null })).status, 200);
  await upload(server, "bob", { content: "y".repeat(1000) });
});
