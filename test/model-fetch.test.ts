import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { lockFile } from "../src/store/file-lock.ts";
import { type FetchProgress } from "../src/models/fetch.ts";
import { COMMIT, cutAfter, etagOf, gguf, refuse, sendHead, sha256Of, startHub } from "./helpers/stand-in-hub.ts";

const FILE = gguf("a model", 3_000_000);
const SHA = sha256Of(FILE);
const NAME = "model-Q4_K_M.gguf";

/** A program that takes a lock, and is killed while it has it. */
const HOLDS = `
  const [, module, path] = process.argv;
  const { mkdirSync } = require("node:fs");
  mkdirSync(require("node:path").dirname(path), { recursive: true });
  import(module).then(({ lockFile }) => (lockFile(path, 0), process.kill(process.pid, "SIGKILL")));
`;

/** @returns the signal that ended it */
async function ended(child: ChildProcess): Promise<unknown> {
  const [, signal] = (await once(child, "exit")) as unknown[];
  return signal;
}

const failed = (words: RegExp) => (error: AltLasError) => {
  assert.ok(error instanceof AltLasError, String(error));
  assert.equal(error.code, "model_fetch_failed");
  assert.match(error.message, words);
  return true;
};

test("a model of the hub is fetched into the hub's cache, as other programs look for it", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE, "README.md": Buffer.from("#") });
  const seen: FetchProgress[] = [];
  const model = await hub.fetch("hf:owner/repo", { onProgress: (progress) => seen.push(progress) });
  const path = hub.cached("snapshots", COMMIT, NAME);
  assert.deepEqual(model, {
    path,
    files: [{ path, bytes: FILE.length, sha256: SHA }],
    bytes: FILE.length,
    commit: COMMIT,
    licence: "apache-2.0",
  });
  assert.deepEqual(readFileSync(path), FILE);
  assert.equal(readlinkSync(path), join("..", "..", "blobs", SHA));
  assert.equal(readFileSync(hub.cached("refs", "main"), "utf8"), COMMIT);
  assert.deepEqual(readdirSync(hub.cached("blobs")), [SHA]);
  assert.equal(seen[0]?.bytes, 0);
  const { bytes, total } = seen.at(-1)!;
  assert.deepEqual({ bytes, total }, { bytes: FILE.length, total: FILE.length });
  assert.ok(seen.at(-1)!.rate > 0);
  // And it is found without a request.
  hub.asked.length = 0;
  assert.equal((await hub.find("hf:owner/repo"))?.path, path);
  assert.equal((await hub.find(`hf:owner/repo/${NAME}@${COMMIT}`))?.commit, COMMIT);
  assert.equal(await hub.find("hf:owner/repo:Q8_0"), null);
  assert.deepEqual(hub.asked, []);
});

test("a connection that is cut goes on where it stood", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.faults.push(cutAfter(1_000_000), cutAfter(1_000_000));
  const { path } = await hub.fetch("hf:owner/repo");
  assert.deepEqual(readFileSync(path), FILE);
  const [, second, third] = hub.downloads.map(({ headers }) => headers);
  assert.match(second!.range ?? "", /^bytes=[1-9]\d*-$/);
  assert.equal(third!["if-range"], etagOf(FILE));
});

test("a connection may be cut any number of times, as long as something comes between", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.faults.push(...Array.from({ length: 9 }, () => cutAfter(300_000)));
  assert.deepEqual(readFileSync((await hub.fetch("hf:owner/repo")).path), FILE);
});

test("an aborted fetch leaves nothing under the final name, and the next one goes on from it", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const controller = new AbortController();
  hub.faults.push((response, file) => {
    sendHead(response, file, 0);
    response.write(file.subarray(0, 2_000_000));
  });
  const aborted = hub.fetch("hf:owner/repo", {
    signal: controller.signal,
    onProgress: ({ bytes }) => bytes >= 2_000_000 && controller.abort(new Error("enough")),
  });
  await assert.rejects(aborted, /enough/);
  assert.ok(!existsSync(hub.cached("blobs", SHA)));
  assert.ok(!existsSync(hub.cached("snapshots")));
  assert.equal(lstatSync(hub.cached("blobs", `${SHA}.incomplete`)).size, 2_000_000);
  assert.equal(await hub.find("hf:owner/repo"), null);
  const first = Promise.withResolvers<FetchProgress>();
  const { path } = await hub.fetch("hf:owner/repo", { onProgress: first.resolve });
  assert.deepEqual(readFileSync(path), FILE);
  assert.equal(hub.downloads.at(-1)!.headers.range, "bytes=2000000-");
  assert.deepEqual(readdirSync(hub.cached("blobs")), [SHA]);
});

test("a whole file that an earlier run left is only checked, and a longer one is fetched anew", async (t) => {
  for (const left of [FILE, Buffer.concat([FILE, Buffer.from("x")])]) {
    const hub = await startHub(t, { [NAME]: FILE });
    mkdirSync(hub.cached("blobs"), { recursive: true });
    writeFileSync(hub.cached("blobs", `${SHA}.incomplete`), left);
    const { path } = await hub.fetch("hf:owner/repo");
    assert.deepEqual(readFileSync(path), FILE);
    assert.equal(hub.downloads.length, left === FILE ? 0 : 1);
  }
});

test("wrong bytes of an earlier run are fetched anew", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  mkdirSync(hub.cached("blobs"), { recursive: true });
  writeFileSync(hub.cached("blobs", `${SHA}.incomplete`), gguf("another", 1_000_000));
  const { path } = await hub.fetch("hf:owner/repo");
  assert.deepEqual(readFileSync(path), FILE);
  assert.deepEqual(
    hub.downloads.map(({ headers }) => headers.range),
    ["bytes=1000000-", undefined],
  );
});

test("a server that does not continue a file is followed from the beginning", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.faults.push(cutAfter(1_000_000), (response, file) => {
    sendHead(response, file, 0);
    response.end(file);
  });
  assert.deepEqual(readFileSync((await hub.fetch("hf:owner/repo")).path), FILE);
});

test("a file that changed while it was fetched is no mix of both versions", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const other = gguf("newer", FILE.length);
  hub.faults.push((response, file) => {
    cutAfter(1_000_000)(response, file, 0);
    hub.files[NAME] = other;
  });
  // The hub has said which SHA-256 it should be.
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/SHA-256 .* It was not kept/));
  const { path } = await hub.fetch("hf:owner/repo");
  assert.deepEqual(readFileSync(path), other);
});

test("a corrupted file is refused and not kept", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.faults.push((response, file) => {
    sendHead(response, file, 0);
    const wrong = Buffer.from(file);
    wrong[5000]! ^= 1;
    response.end(wrong);
  });
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(new RegExp(`SHA-256 [0-9a-f]{64}; it should be ${SHA}`)));
  assert.deepEqual(readdirSync(hub.cached("blobs")), []);
  assert.deepEqual(readFileSync((await hub.fetch("hf:owner/repo")).path), FILE);
});

test("what is no GGUF file is refused before all of it has come", async (t) => {
  const page = Buffer.from(`<!doctype html>${"x".repeat(5_000_000)}`);
  const hub = await startHub(t, { [NAME]: page });
  await assert.rejects(hub.fetch(`hf:owner/repo/${NAME}`), failed(/is not a GGUF file: it starts with "<!do"/));
  assert.deepEqual(readdirSync(hub.cached("blobs")), []);
  assert.equal(await hub.find("hf:owner/repo"), null);
});

test("a repository that moved is followed, and a branch that moved is fetched again", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.oldRepo = "before/repo";
  assert.equal((await hub.fetch("hf:before/repo")).bytes, FILE.length);
  await hub.fetch("hf:owner/repo");
  const newer = gguf("newer", 1000);
  hub.files[NAME] = newer;
  hub.commit = COMMIT.replace("0", "f");
  assert.equal((await hub.find("hf:owner/repo"))?.commit, COMMIT);
  const model = await hub.fetch("hf:owner/repo");
  assert.equal(model.commit, hub.commit);
  assert.deepEqual(readFileSync(model.path), newer);
  assert.deepEqual(readFileSync((await hub.find(`hf:owner/repo@${COMMIT}`))!.path), FILE);
});

test("a new commit with the same file fetches nothing but its name", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  await hub.fetch("hf:owner/repo");
  hub.commit = COMMIT.replace("0", "f");
  const { commit } = await hub.fetch("hf:owner/repo");
  assert.equal(commit, hub.commit);
  assert.equal(hub.downloads.length, 1);
});

test("the key goes to the hub alone, not to the storage that it redirects to", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.environment.HF_TOKEN = "hf_secret";
  await hub.fetch("hf:owner/repo");
  for (const { host, headers } of hub.asked) {
    assert.equal(headers.authorization, host === "hub" ? "Bearer hf_secret" : undefined);
  }
  assert.ok(hub.downloads.length > 0);
});

test("the key that the hub's own programs have stored is used", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  mkdirSync(join(hub.folder, ".cache", "huggingface"), { recursive: true });
  writeFileSync(join(hub.folder, ".cache", "huggingface", "token"), "hf_stored\n");
  await hub.fetch("hf:owner/repo");
  assert.equal(hub.asked[0]!.headers.authorization, "Bearer hf_stored");
});

test("a server that is busy is asked again when it says so, within reason", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.hubFaults.push((response) => void response.writeHead(503).end());
  hub.faults.push(refuse(429, { "retry-after": "0" }), refuse(502));
  assert.equal((await hub.fetch("hf:owner/repo")).bytes, FILE.length);
  assert.equal(hub.downloads.length, 3);

  hub.commit = COMMIT.replace("0", "e");
  hub.files[NAME] = gguf("newer", 10_000);
  hub.faults.push(refuse(429, { "retry-after": "3000" }));
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/answers 429\. It asks to be left alone for 3000 s/));
  hub.faults.push(...Array.from({ length: 4 }, () => refuse(500)));
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/answers 500/));
  assert.equal(hub.faults.length, 0);
});

test("a server that sends nothing is given up on and asked again; a slow one is waited for", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const patience = { answer: 20_000, stall: 50, document: 20_000, pause: 1, longestPause: 1000, tries: 3 };
  hub.faults.push((response, file) => {
    sendHead(response, file, 0);
    response.write(file.subarray(0, 1_000_000));
  });
  hub.faults.push((response, file, from) => {
    sendHead(response, file, from);
    let at = from;
    const timer = setInterval(() => {
      if (at >= file.length) return (clearInterval(timer), response.end());
      response.write(file.subarray(at, (at += 100_000)));
    }, 5);
  });
  assert.deepEqual(readFileSync((await hub.fetch("hf:owner/repo", { limits: { patience } })).path), FILE);
  assert.equal(hub.downloads.length, 2);
});

test("what a hub says of a repository has an end, in bytes and in time", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.hubFaults.push((response) => void response.end(Buffer.alloc(16 * 2 ** 20 + 1, " ")));
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/\/api\/models\/owner\/repo\S* sends more than 16 MiB/));
  hub.hubFaults.push((response) => {
    const timer = setInterval(() => response.write(" "), 5);
    response.on("close", () => clearInterval(timer));
  });
  const patience = { answer: 20_000, stall: 20_000, document: 100, pause: 1, longestPause: 1000, tries: 3 };
  const trickled = hub.fetch("hf:owner/repo", { limits: { patience } });
  await assert.rejects(trickled, failed(/has not sent its answer within 0\.1 s/));
  assert.equal(hub.asked.length, 2, "it is not asked again at once");
});

test("a gated repository is refused with the address where its licence is accepted", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const page = `${hub.environment.HF_ENDPOINT}/owner/repo`;
  hub.refusals.push(refuse(401, { "x-error-code": "GatedRepo" }));
  const noKey = (error: Error) => error.message.includes(`accept it at ${page} and set HF_TOKEN`);
  await assert.rejects(hub.fetch("hf:owner/repo"), noKey);
  hub.environment.HF_TOKEN = "hf_secret";
  hub.refusals.push(refuse(403, { "x-error-code": "GatedRepo" }));
  const hasKey = (error: Error) =>
    error.message.includes(`accept it at ${page} with the account of HF_TOKEN`) && !error.message.includes("hf_secret");
  await assert.rejects(hub.fetch("hf:owner/repo"), hasKey);
  // Of the storage, a 403 says nothing about a licence.
  hub.faults.push(refuse(403));
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/The storage of .* answers 403/));
});

test("what does not exist is named: repository, revision, file, quantization", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE, "model-Q8_0.gguf": FILE, "mmproj-F16.gguf": FILE });
  await assert.rejects(hub.fetch("hf:owner/other"), failed(/has no repository owner\/other/));
  await assert.rejects(hub.fetch("hf:owner/repo@v9"), failed(/has no revision v9/));
  await assert.rejects(hub.fetch("hf:owner/repo:Q2_K"), failed(/has no quantization Q2_K; it has Q4_K_M, Q8_0\.$/));
  await assert.rejects(hub.fetch("hf:owner/repo/a.gguf"), failed(/has no file a\.gguf; it has model-Q4_K_M\.gguf, /));
  hub.hubFaults.push((response) => void response.writeHead(401).end());
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/For a private one, set HF_TOKEN/));
  delete hub.files[NAME];
  delete hub.files["model-Q8_0.gguf"];
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/has no GGUF files/));
});

test("parts of a split model belong together", async (t) => {
  const parts = [1, 2, 3].map(
    (part) => [`Q4_K_M/big-0000${part}-of-00003.gguf`, gguf(`part ${part}`, 10_000)] as const,
  );
  const hub = await startHub(t, Object.fromEntries(parts));
  const model = await hub.fetch("hf:owner/repo:q4_k_m");
  assert.equal(model.path, hub.cached("snapshots", COMMIT, "Q4_K_M", "big-00001-of-00003.gguf"));
  assert.deepEqual(
    model.files.map(({ path }) => readFileSync(path)),
    parts.map(([, file]) => file),
  );
  assert.equal(model.bytes, 30_000);
  // Any of them means all.
  assert.equal((await hub.find("hf:owner/repo/Q4_K_M/big-00002-of-00003.gguf"))?.path, model.path);
});

test("a disk that is too small is told beforehand, with both numbers", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const limits = { roomIn: async () => 2 * 2 ** 20 };
  await assert.rejects(hub.fetch("hf:owner/repo", { limits }), failed(/needs 2\.9 MiB of disk; 2\.0 MiB are free/));
  assert.equal(hub.downloads.length, 0);
});

test(
  "a disk that fills up is told, and no file is left under its name",
  { skip: !existsSync("/dev/full") },
  async (t) => {
    const hub = await startHub(t, { [NAME]: FILE });
    mkdirSync(hub.cached("blobs"), { recursive: true });
    symlinkSync("/dev/full", hub.cached("blobs", `${SHA}.incomplete`));
    await assert.rejects(hub.fetch("hf:owner/repo"), failed(/is full\. What came so far is kept/));
    assert.equal(hub.downloads.length, 1);
    assert.ok(!existsSync(hub.cached("blobs", SHA)));
  },
);

test("two fetches at once fetch it once", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const held = Promise.withResolvers<void>();
  hub.faults.push((response, file) => {
    sendHead(response, file, 0);
    response.write(file.subarray(0, 1_000_000));
    void held.promise.then(() => response.end(file.subarray(1_000_000)));
  });
  const first = hub.fetch("hf:owner/repo");
  const second = hub.fetch("hf:owner/repo");
  // Both have asked about the repository, and one of them for the file.
  await hub.whenAsked((asked) => asked.filter(({ host }) => host === "hub").length >= 3 && hub.downloads.length === 1);
  held.resolve();
  const [one, two] = await Promise.all([first, second]);
  assert.deepEqual(one, two);
  assert.equal(hub.downloads.length, 1);
});

test("a lock that a dead process left holds nobody up, and one who waits may be aborted", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const path = join(hub.folder, "hub", ".locks", "models--owner--repo", `${SHA}.alt-las`);
  const dead = await ended(
    spawn(process.execPath, ["-e", HOLDS, join(import.meta.dirname, "../src/store/file-lock.ts"), path]),
  );
  assert.equal(dead, "SIGKILL");
  assert.ok(existsSync(path));
  await hub.fetch("hf:owner/repo");
  hub.files[NAME] = gguf("newer", 1000);
  hub.commit = COMMIT.replace("0", "f");
  const held = lockFile(path.replace(SHA, sha256Of(hub.files[NAME])), 0);
  const controller = new AbortController();
  const waits = hub.fetch("hf:owner/repo", { signal: controller.signal });
  await hub.whenAsked((asked) => asked.filter(({ path: url }) => url.startsWith("/api/")).length === 2);
  controller.abort(new Error("enough"));
  await assert.rejects(waits, /enough/);
  held.release();
  await hub.fetch("hf:owner/repo");
});

test("what is in the cache is used when the hub does not answer, and that is said", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  const { path } = await hub.fetch("hf:owner/repo");
  hub.hubFaults.push(...Array.from({ length: 4 }, () => (response: { destroy(): void }) => response.destroy()));
  const notes: string[] = [];
  const model = await hub.fetch("hf:owner/repo", { onNote: (note) => notes.push(note) });
  assert.equal(model.path, path);
  assert.match(notes.join(), /closed the connection\. What is in the cache/);
  hub.environment.HF_HUB_OFFLINE = "1";
  hub.asked.length = 0;
  assert.equal((await hub.fetch("hf:owner/repo")).path, path);
  await assert.rejects(hub.fetch("hf:owner/repo:Q8_0"), failed(/HF_HUB_OFFLINE/));
  assert.deepEqual(hub.asked, []);
});

test("proxies of the environment are asked, but for hosts that they are not for", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  hub.environment.HTTP_PROXY = "http://127.0.0.1:9";
  await assert.rejects(hub.fetch("hf:owner/repo"), failed(/could not be asked: the connection was refused/));
  hub.environment.no_proxy = "127.0.0.1";
  await hub.fetch("hf:owner/repo");
  const { proxy, asked } = await startProxy(t);
  hub.environment.no_proxy = "";
  hub.environment.http_proxy = proxy;
  hub.commit = COMMIT.replace("0", "f");
  hub.files[NAME] = gguf("newer", 1000);
  assert.equal((await hub.fetch("hf:owner/repo")).bytes, 1000);
  assert.deepEqual(
    asked.toSorted(),
    [hub.environment.HF_ENDPOINT!, hub.storage].map((url) => new URL(url).host).toSorted(),
  );
  hub.environment.http_proxy = "me:secret@:::";
  await assert.rejects(hub.fetch("hf:owner/repo"), (error: AltLasError) => {
    assert.ok(error.code === "bad_config" && !error.message.includes("secret"), error.message);
    return true;
  });
});

test("a cache that cannot be written is named", async (t) => {
  const hub = await startHub(t, { [NAME]: FILE });
  writeFileSync(join(hub.folder, "hub"), "a file");
  for (const source of ["hf:owner/repo", `${hub.storage}/${NAME}`])
    await assert.rejects(hub.fetch(source), failed(new RegExp(`${hub.folder}/hub cannot be written: `)));
});

test("a path is what it names, and one that looks like a repository is told how to write that", async (t) => {
  const hub = await startHub(t, {});
  const path = join(hub.folder, "a.gguf");
  writeFileSync(path, FILE);
  assert.equal((await hub.fetch(path)).path, path);
  await assert.rejects(hub.fetch("owner/repo"), failed(/is written hf:owner\/repo/));
  writeFileSync(path, "no model");
  await assert.rejects(hub.fetch(path), failed(/There is no GGUF file/));
});

/** A proxy that tunnels. @returns its address, and the hosts that it was asked for */
async function startProxy(owner: TestContext): Promise<{ readonly proxy: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer().on("connect", ({ url }: { url?: string }, socket: Socket) => {
    asked.push(url!);
    const { hostname, port } = new URL(`http://${url}`);
    const target = connect(Number(port), hostname, () => {
      socket.write("HTTP/1.1 200 Connected\r\n\r\n");
      socket.pipe(target).pipe(socket);
    });
    for (const one of [socket, target]) one.on("error", () => target.destroy());
    owner.after(() => target.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  owner.after(() => server.close());
  return { proxy: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test("what a hub says as a licence is no text of any length, nor signs for a terminal", async (t) => {
  for (const [said, licence] of [
    ["Apache 2.0 (modified)", "Apache 2.0 (modified)"],
    ["\u001B]0;a title\u0007", null],
    ["long".repeat(100), null],
  ] as const) {
    const hub = await startHub(t, { "a.gguf": gguf("a", 1000) });
    hub.licence = said;
    assert.equal((await hub.fetch("hf:owner/repo/a.gguf")).licence, licence);
  }
});
