/* Uploaded files whose bytes are on PostgreSQL. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Client } from "pg";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS, storeIn } from "../helpers/postgres.ts";
import { call, formOf, startFileServer, upload } from "../helpers/files.ts";
import { exerciseFileBytes } from "../kits/file-bytes.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const server = skip === false ? await PostgresServer.start([], "trust") : null!;
after(() => server?.remove());

if (skip === false)
  exerciseFileBytes("PostgresBytes", (t) => {
    const make = storeIn(t, server.url());
    let open = make();
    t.after(() => open.close());
    return Promise.resolve(async () => {
      await open.close();
      open = make();
      await open.open();
      return open.bytes;
    });
  });

async function pieces(client: Client, schema: string): Promise<number[]> {
  const { rows } = await client.query<{ n: number }>(
    `SELECT octet_length(bytes) AS n FROM ${schema}.file_pieces ORDER BY name, number`,
  );
  return rows.map(({ n }) => n);
}

const MIB = 2 ** 20;

test(
  "an uploaded file is rows of a mebibyte, read back from any byte on, and gone when it is deleted",
  { skip },
  async (t) => {
    const config = `store: { url: "${server.url()}", schema: uploads }\n`;
    const first = await startFileServer(t, config);
    const client = await connected(t, server.url());
    const content = new Uint8Array(randomBytes(3 * MIB + 5));
    const { id } = await upload(first, "ada", { content });
    assert.deepEqual(await pieces(client, "uploads"), [MIB, MIB, MIB, 5]);
    assert.ok(!existsSync(join(first.dataDir, "files")));
    await first.stop();
    const next = await first.restart();
    const read = async (): Promise<Buffer> =>
      Buffer.from(await (await call(next, "ada", `/${id}/content`)).arrayBuffer());
    assert.ok((await read()).equals(content));
    const [again, other] = [await upload(next, "ada", { content }), await upload(next, "bob", { content: "x" })];
    assert.equal(again.id, id);
    assert.deepEqual((await pieces(client, "uploads")).length, 5);
    await client.query("DELETE FROM uploads.file_pieces WHERE number = 2");
    const lost = await call(next, "ada", `/${id}/content`);
    assert.match(JSON.stringify(await lost.json()), /is lost\. Upload it again\./);
    assert.equal((await upload(next, "ada", { content })).id, id);
    assert.ok((await read()).equals(content));
    for (const [user, one] of [
      ["ada", id],
      ["bob", other.id],
    ] as const)
      assert.equal((await call(next, user, `/${one}`, { method: "DELETE" })).status, 200);
    assert.deepEqual(await pieces(client, "uploads"), []);
  },
);

test("an upload that is cut off, by its client or with its server, leaves nothing", { skip }, async (t) => {
  const config = `store: { url: "${server.url()}", schema: cuts }\n`;
  const first = await startFileServer(t, config);
  const client = await connected(t, server.url());
  const half = (): ReturnType<typeof request> => {
    const headers = { authorization: "Bearer altlas_ada", "content-type": "multipart/form-data; boundary=b" };
    const sent = request(`${first.url}/v1/files`, { method: "POST", headers });
    sent.on("error", () => {});
    sent.write('--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n');
    sent.write(Buffer.alloc(2 * MIB + 7));
    return sent;
  };
  const until = async (count: number): Promise<void> => {
    while ((await pieces(client, "cuts")).length !== count);
  };
  const cut = half();
  await until(2);
  cut.destroy();
  await until(0);
  half();
  await until(2);
  await first.stop();
  await until(0);
  // As a server leaves them that is killed.
  await client.query("INSERT INTO cuts.file_pieces VALUES (gen_random_uuid()::text, 0, 'x')");
  const next = await first.restart();
  await upload(next, "ada", { content: "whole" });
  assert.deepEqual(await pieces(client, "cuts"), [5]);
});

test("an upload that PostgreSQL breaks off is a 503, and leaves nothing", { skip }, async (t) => {
  const config = `store: { url: "${server.url()}", schema: broken }\n`;
  const world = await startFileServer(t, config);
  const client = await connected(t, server.url());
  await client.query("ALTER TABLE broken.file_pieces ADD CONSTRAINT no_third CHECK (number < 2)");
  const refused = await call(world, "ada", "", {
    method: "POST",
    body: formOf({ content: new Uint8Array(4 * MIB) }),
  });
  assert.equal(refused.status, 503);
  assert.deepEqual(await pieces(client, "broken"), []);
  await upload(world, "ada", { content: new Uint8Array(2 * MIB) });
  assert.deepEqual(await pieces(client, "broken"), [MIB, MIB]);
});
