/** `/v1/files` over a real server: what clients send, get and see. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type FileView } from "../src/http/schemas/files.ts";
import {
  call,
  type Form,
  formOf,
  refusalOf,
  startFileServer,
  storedNames,
  upload,
  type User,
} from "./helpers/files.ts";

const server = await startFileServer({ after }, "limits: { max_file_bytes: 5000000 }");

async function json<T>(user: User, path: string, init?: RequestInit): Promise<T> {
  const response = await call(server, user, path, init);
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as T;
}

interface List {
  readonly data: FileView[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
}

test("a file is shown as OpenAI's API does it, and its bytes come back as they were", async () => {
  const content = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251);
  const file = await upload(server, "ada", { content, filename: "bytes.bin", after: { purpose: "user_data" } });
  const { id, created_at, expires_at, ...rest } = file;
  assert.match(id, /^file-[0-9a-f]{32}$/);
  assert.deepEqual(rest, {
    object: "file",
    bytes: 3_000_000,
    filename: "bytes.bin",
    purpose: "user_data",
    status: "processed",
  });
  assert.ok(Math.abs(created_at - Date.now() / 1000) < 60);
  assert.ok(Math.abs(expires_at! - created_at - 604_800) <= 1);
  assert.deepEqual(await json("ada", `/${id}`), file);
  assert.deepEqual(await json("ada", `/${id.toUpperCase().replace("FILE", "file")}`), file);
  const accept = { accept: "application/binary" };
  const response = await call(server, "ada", `/${id}/content`, { headers: accept });
  assert.equal(response.headers.get("content-type"), "application/octet-stream");
  assert.equal(response.headers.get("content-length"), "3000000");
  assert.match(response.headers.get("content-disposition")!, /^attachment; filename="bytes.bin"; /);
  assert.ok(Buffer.from(content).equals(Buffer.from(await response.arrayBuffer())));
  const head = await call(server, "ada", `/${id}/content`, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("content-length")], [200, "3000000"]);
});

test("the bytes are for the server's own user alone, and go with the file", async () => {
  const { id } = await upload(server, "ada", { content: "to be removed" });
  const name = id.replace(/^file-(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  const path = join(server.dataDir, "files", name);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(server.dataDir, "files")).mode & 0o777, 0o700);
  assert.deepEqual(await json("ada", `/${id}`, { method: "DELETE" }), { id, object: "file", deleted: true });
  assert.ok(!storedNames(server).includes(name));
  for (const [method, end] of [
    ["GET", ""],
    ["GET", "/content"],
    ["DELETE", ""],
  ] as const) {
    const { status, code, message } = await refusalOf(await call(server, "ada", `/${id}${end}`, { method }));
    assert.deepEqual([status, code], [404, "not_found"]);
    assert.match(message, new RegExp(`no file ${id}, or it belongs to somebody else`));
  }
});

test("the same bytes, purpose and name of one user are one file, kept from then on", async () => {
  const content = "the same";
  const first = await upload(server, "ada", { content });
  const stored = storedNames(server);
  const again = await upload(server, "ada", { content, before: { purpose: "batch" }, after: {} });
  assert.equal(again.id, first.id);
  assert.deepEqual(storedNames(server), stored);
  const both = await Promise.all([1, 2, 3].map(() => upload(server, "bob", { content })));
  assert.equal(new Set(both.map(({ id }) => id)).size, 1);
  assert.notEqual(both[0]!.id, first.id);
  const others = [{ filename: "other" }, { after: { purpose: "evals" } }, { content: "other" }];
  const ids = await Promise.all(others.map(async (other) => (await upload(server, "ada", { content, ...other })).id));
  assert.equal(new Set([first.id, ...ids]).size, 4);
});

function expiry(seconds: string): Readonly<Record<string, string>> {
  return { "expires_after[anchor]": "created_at", "expires_after[seconds]": seconds };
}

async function lifetimeOf(fields: Readonly<Record<string, string>>): Promise<number> {
  const form = { content: "for a while", after: { purpose: "batch", ...fields } };
  const { created_at, expires_at } = await upload(server, "ada", form);
  return expires_at! - created_at;
}

function about(given: number, wanted: number): void {
  assert.ok(given >= wanted - 1 && given < wanted + 60, `${given}`);
}

test("a file may have a lifetime of its own, and an upload of the same makes it no shorter", async () => {
  about(await lifetimeOf(expiry("3600")), 3600);
  about(await lifetimeOf(expiry("60")), 3600);
  about(await lifetimeOf({}), 604_800);
  about(await lifetimeOf(expiry("3600")), 604_800);
  about(await lifetimeOf(expiry("2592000")), 2_592_000);
});

test("users see their own files, admins and viewers all, and viewers not what is in them", async () => {
  const { id } = await upload(server, "bob", { content: "bob's own" });
  assert.equal((await refusalOf(await call(server, "ada", `/${id}`))).status, 404);
  assert.equal((await refusalOf(await call(server, "ada", `/${id}/content`))).status, 404);
  assert.equal((await refusalOf(await call(server, "ada", `/${id}`, { method: "DELETE" }))).status, 404);
  for (const user of ["root", "eve"] as const) {
    assert.equal((await json<FileView>(user, `/${id}`)).id, id);
    assert.ok((await json<List>(user, "")).data.some((one) => one.id === id));
  }
  assert.ok(!(await json<List>("ada", "")).data.some((one) => one.id === id));
  const { status, code } = await refusalOf(await call(server, "eve", `/${id}/content`));
  assert.deepEqual([status, code], [403, "forbidden"]);
  assert.equal((await refusalOf(await call(server, "eve", `/${id}`, { method: "DELETE" }))).status, 403);
  assert.equal((await refusalOf(await call(server, "eve", "", { method: "POST", body: formOf({}) }))).status, 403);
  assert.equal(await (await call(server, "root", `/${id}/content`)).text(), "bob's own");
  await json("root", `/${id}`, { method: "DELETE" });
  const [line] = await server.logged(({ msg }) => msg === "file removed by another user");
  assert.deepEqual([line!["file"], line!["user"], line!["by"]], [id, "bob", "root"]);
});

test("a list goes page by page in the order of uploads, also past files that were removed meanwhile", async (t) => {
  const own = await startFileServer(t);
  const ids: string[] = [];
  for (let index = 0; index < 5; index++) {
    const fields = { purpose: index === 2 ? "vision" : "batch" };
    ids.push((await upload(own, "ada", { content: `${index}`, after: fields })).id);
  }
  await upload(own, "bob", { content: "not ada's" });
  const list = async (query: string): Promise<string> => {
    const body = (await (await call(own, "ada", query)).json()) as List;
    const places = body.data.map(({ id }) => ids.indexOf(id));
    assert.equal(body.first_id, body.data[0]?.id ?? null);
    assert.equal(body.last_id, body.data.at(-1)?.id ?? null);
    return places.join("") + (body.has_more ? "…" : "");
  };
  assert.equal(await list(""), "43210");
  assert.equal(await list("?order=asc"), "01234");
  assert.equal(await list("?limit=2"), "43…");
  assert.equal(await list(`?limit=2&after=${ids[3]}`), "21…");
  assert.equal(await list("?purpose=vision"), "2");
  assert.equal(await list("?purpose=evals"), "");
  assert.equal((await call(own, "ada", `/${ids[3]}`, { method: "DELETE" })).status, 200);
  assert.equal(await list(`?limit=10000&after=${ids[3]}`), "210");
  const wrong = [
    [`?after=file-${"0".repeat(32)}`, "after must be the id of a file"],
    ["?after=nonsense", "after must be the id of a file"],
    ["?limit=0", "limit must be an integer from 1 to 10000"],
    ["?order=up", 'order must be one of "asc", "desc"'],
  ];
  for (const [query, sentence] of wrong) {
    const { status, message } = await refusalOf(await call(own, "ada", query!));
    assert.deepEqual([status, message.startsWith(sentence!)], [400, true], message);
  }
});

const NAMES: readonly [given: string, shown: string][] = [
  ["../../etc/passwd", "passwd"],
  ["C:\\temp\\a b.txt", "a b.txt"],
  ["ödev ışık 文件.jsonl", "ödev ışık 文件.jsonl"],
  ["a\u0000b\u001b[31m\u202ec.txt", "ab[31mc.txt"],
  ["..", "file"],
  ["   ", "file"],
  [`${"ğ".repeat(300)}.txt`, "ğ".repeat(255)],
];

test("a name has no folders, nothing that moves a cursor, and all other letters", async () => {
  for (const [index, [given, shown]] of NAMES.entries()) {
    const { id, filename } = await upload(server, "ada", { content: `name ${index}`, filename: given });
    assert.equal(filename, shown);
    const { headers } = await call(server, "ada", `/${id}/content`, { method: "HEAD" });
    const [, encoded] = /filename\*=UTF-8''(.*)$/.exec(headers.get("content-disposition")!)!;
    assert.equal(decodeURIComponent(encoded!), shown);
  }
});

test("fields may stand before the file and after it, and unknown ones are named", async () => {
  const form: Form = { content: "fields", before: { purpose: "batch", "über x": "1" }, after: { more: "2" } };
  const response = await call(server, "ada", "", { method: "POST", body: formOf(form) });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-ignored-fields"), "%C3%BCber%20x, more");
});

const WRONG_FORMS: readonly [what: string, form: () => FormData, sentence: RegExp, param: string | null][] = [
  ["no purpose", () => formOf({ after: {} }), /^purpose is missing; it must be one of "batch", /, "purpose"],
  ["no known purpose", () => formOf({ after: { purpose: "x" } }), /^purpose must be one of .*; got "x"\.$/, "purpose"],
  ["a wrong purpose before", () => formOf({ before: { purpose: "x" }, after: {} }), /^purpose must be/, "purpose"],
  ["a purpose twice", () => formOf({ before: { purpose: "batch" } }), /^"purpose" is in the form twice\.$/, "purpose"],
  [
    "no seconds",
    () => formOf({ after: { purpose: "batch", "expires_after[anchor]": "created_at" } }),
    /^expires_after\.seconds is missing/,
    "expires_after.seconds",
  ],
  [
    "seconds that are none",
    () =>
      formOf({ after: { purpose: "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "1e3" } }),
    /^expires_after\.seconds must be an integer from 1 to 315360000; got "1e3"\.$/,
    "expires_after.seconds",
  ],
  [
    "two files",
    () => {
      const form = formOf({});
      form.append("file", new Blob(["x"]), "x");
      return form;
    },
    /^The form has two files; an upload has one\.$/,
    null,
  ],
  [
    "a file in another field",
    () => {
      const form = formOf({});
      form.append("image", new Blob(["x"]), "x");
      return form;
    },
    /^The form has a file in "image"; it belongs into file\.$/,
    null,
  ],
  [
    "no file",
    () => {
      const form = new FormData();
      form.append("purpose", "batch");
      return form;
    },
    /^file is missing; the form must have a part with that name\.$/,
    "file",
  ],
  [
    "a long field",
    () => formOf({ after: { purpose: "x".repeat(5000) } }),
    /^"purpose" must be at most 4096/,
    "purpose",
  ],
  [
    "too many fields",
    () => formOf({ after: Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`f${index}`, ""])) }),
    /^The form has too many parts/,
    null,
  ],
  [
    "too many bytes",
    () => formOf({ content: new Uint8Array(5_000_001) }),
    /^A file may have 5000000 bytes \(limits\.max_file_bytes\); this one has more\.$/,
    null,
  ],
];

for (const [what, form, sentence, param] of WRONG_FORMS) {
  test(`a form with ${what} is refused in a sentence, and nothing of it is left`, async () => {
    const stored = storedNames(server);
    const refusal = await refusalOf(await call(server, "ada", "", { method: "POST", body: form() }));
    assert.equal(refusal.status, what === "too many bytes" ? 413 : 400);
    assert.match(refusal.message, sentence);
    assert.equal(refusal.param, param);
    assert.deepEqual(storedNames(server), stored);
  });
}

const FORM_TYPE = "multipart/form-data; boundary=b";
const START = '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n';
const WRONG_BODIES: readonly [what: string, type: string, body: string, status: number, sentence: RegExp][] = [
  ["is JSON", "application/json", "{}", 415, /must be multipart\/form-data, with a boundary/],
  ["has no boundary", "multipart/form-data", "x", 400, /no whole form .*Boundary not found/],
  ["is empty", FORM_TYPE, "", 400, /no whole form/],
  ["is nonsense", FORM_TYPE, "nonsense\0".repeat(1000), 400, /no whole form/],
  ["ends in its file", FORM_TYPE, `${START}abc`, 400, /no whole form/],
  ["ends in a header", FORM_TYPE, "--b\r\nContent-Dispo", 400, /no whole form/],
  ["has only headers", FORM_TYPE, `--b\r\n${"X: y\r\n".repeat(5000)}`, 400, /no whole form/],
  ["has parts without names", FORM_TYPE, "--b\r\n\r\nx\r\n--b--\r\n", 400, /^file is missing/],
  [
    "has a file without a name",
    FORM_TYPE,
    `--b\r\nContent-Disposition: form-data; filename="x"\r\n\r\nx\r\n--b--\r\n`,
    400,
    /belongs into file/,
  ],
];

for (const [what, type, body, status, sentence] of WRONG_BODIES) {
  test(`a body that ${what} is refused in a sentence, and nothing of it is left`, async () => {
    const stored = storedNames(server);
    const headers = { "content-type": type };
    const refusal = await refusalOf(await call(server, "ada", "", { method: "POST", body, headers }));
    assert.equal(refusal.status, status, refusal.message);
    assert.match(refusal.message, sentence);
    assert.deepEqual(storedNames(server), stored);
  });
}

test("downloads that nobody reads have a bound for each user, and are a 429 beyond it", async (t) => {
  const limits =
    "limits: { max_text_bytes: 1000, max_batch_size: 10, max_body_bytes: 1024, max_open_bytes: 4194304, max_file_bytes: 20000000 }";
  const small = await startFileServer(t, limits);
  const { id } = await upload(small, "ada", { content: Buffer.alloc(16_000_000) });
  const path = `/${id}/content`;
  const unread = [await call(small, "ada", path), await call(small, "ada", path)];
  assert.deepEqual(
    unread.map(({ status }) => status),
    [200, 200],
  );
  const refused = await call(small, "ada", path);
  assert.equal(refused.status, 429);
  assert.match(await refused.text(), /limits\.max_open_bytes/);
  for (const { body } of unread) await body!.cancel();
  for (;;) {
    const again = await call(small, "ada", path);
    if (again.status === 429) {
      await again.body!.cancel();
      continue;
    }
    assert.equal((await again.arrayBuffer()).byteLength, 16_000_000);
    break;
  }
});
