/** Wheels are looked up and fetched as pip is set to, from a stand-in for an index on loopback. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { pipSettings } from "../src/common/pip-settings.ts";
import { PATIENCE } from "../src/common/web.ts";
import { WheelIndex } from "../src/common/wheels.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { wheelIndex, type WheelIndexOptions } from "./helpers/wheel-index.ts";

const CONTENT = Buffer.alloc(200_000, "PK\u0003\u0004 bytes of a wheel, ");
const LINUX = { platform: /^(any|manylinux\w*_x86_64)$/ };
const NONE = { PIP_CONFIG_FILE: "/dev/null" };

function file(filename: string, changes: object = {}) {
  return { project: "nvidia-x", filename, content: CONTENT, ...changes };
}

const FILES = [
  file("nvidia_x-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"),
  file("nvidia_x-13.1.9-py3-none-manylinux_2_27_x86_64.whl"),
  file("nvidia_x-13.1.80-1-py3-none-manylinux_2_27_x86_64.whl"),
  file("nvidia_x-13.1.81-py3-none-win_amd64.whl"),
  file("nvidia_x-13.1.99-py3-none-manylinux_2_27_x86_64.whl", { yanked: true }),
  file("nvidia_x-13.1.99rc1-py3-none-manylinux_2_27_x86_64.whl"),
  file("nvidia_x-13.10.1-py3-none-manylinux_2_27_x86_64.whl"),
  file("nvidia_x-13.1.100.tar.gz"),
];

function opened(t: TestContext, environment: NodeJS.ProcessEnv): WheelIndex {
  const index = new WheelIndex({ ...NONE, ...environment }, { ...PATIENCE, pause: 1 });
  t.after(() => index.close());
  return index;
}

for (const html of [false, true])
  test(`the highest fitting version is taken of an index in ${html ? "HTML" : "JSON"}, and no yanked one`, async (t) => {
    const { url } = await wheelIndex(t, FILES, { html });
    const index = opened(t, { PIP_INDEX_URL: url });
    const found = async (version: string): Promise<string> =>
      (await index.find({ project: "nvidia-x", version, ...LINUX })).version;
    assert.deepEqual(await Promise.all([found("13.1"), found("13.0"), found("13")]), ["13.1.80", "13.0.96", "13.10.1"]);
    await assert.rejects(
      index.find({ project: "nvidia-x", version: "12", ...LINUX }),
      /^Error: No index has a wheel of nvidia-x 12: http:\/\/127\.0\.0\.1:\d+\/simple\/nvidia-x\/ has none that fits\.$/,
    );
    await assert.rejects(
      index.find({ project: "other", version: "1", ...LINUX }),
      /simple\/other\/ is answered with 404\.$/,
    );
  });

test("a further index has what the first one lacks, and one that cannot be reached is told only where none has it", async (t) => {
  const [first, second] = await Promise.all([wheelIndex(t, []), wheelIndex(t, FILES)]);
  const nobody = "http://127.0.0.1:9/simple";
  const index = opened(t, { PIP_INDEX_URL: first.url, PIP_EXTRA_INDEX_URL: `${nobody}/ ${second.url}/` });
  assert.equal((await index.find({ project: "nvidia-x", version: "13.0", ...LINUX })).version, "13.0.96");
  const alone = opened(t, { PIP_INDEX_URL: nobody });
  await assert.rejects(
    alone.find({ project: "nvidia-x", version: "13.0", ...LINUX }),
    /^Error: No index has .*: 127\.0\.0\.1:9 could not be asked: .*\.$/,
  );
});

/** One wheel, from an index of its own kind. */
async function wheelFrom(t: TestContext, options: WheelIndexOptions & { readonly sha256?: string } = {}) {
  const { sha256, ...kind } = options;
  const server = await wheelIndex(
    t,
    [file("nvidia_x-1.0-py3-none-any.whl", sha256 === undefined ? {} : { sha256 })],
    kind,
  );
  const index = opened(t, { PIP_INDEX_URL: server.url });
  const wheel = await index.find({ project: "nvidia-x", version: "1", ...LINUX });
  const path = join(temporaryFolder(t), "x.whl");
  server.asked.length = 0;
  return { server, index, wheel, path };
}

test("a wheel is fetched whole, with its progress, and has its name only then", async (t) => {
  const { index, wheel, path } = await wheelFrom(t);
  const seen: [number, number | null][] = [];
  const at = (bytes: number, total: number | null): void => {
    assert.ok(!existsSync(path));
    seen.push([bytes, total]);
  };
  await index.fetch(wheel, path, { progress: { at } });
  assert.deepEqual(readFileSync(path), CONTENT);
  assert.deepEqual(seen.at(-1), [CONTENT.length, CONTENT.length]);
  assert.ok(!existsSync(`${path}.part`));
});

test("a connection that breaks is taken up where it broke", async (t) => {
  const { server, index, wheel, path } = await wheelFrom(t);
  const half = Promise.withResolvers<void>();
  server.cuts.push({ bytes: 70_000, after: half.promise });
  const at = (bytes: number): void => void (bytes === 70_000 && half.resolve());
  await index.fetch(wheel, path, { progress: { at } });
  assert.deepEqual(readFileSync(path), CONTENT);
  assert.deepEqual(server.asked, [`/files/${wheel.filename}`, `/files/${wheel.filename} bytes=70000-`]);
});

test("what an earlier run left is gone on from; where it is not of this file, all comes anew", async (t) => {
  const { server, index, wheel, path } = await wheelFrom(t);
  writeFileSync(`${path}.part`, CONTENT.subarray(0, 150_000));
  await index.fetch(wheel, path);
  assert.deepEqual(server.asked, [`/files/${wheel.filename} bytes=150000-`]);
  for (const wrong of [Buffer.alloc(1000, "x"), Buffer.alloc(CONTENT.length + 5, "x"), CONTENT]) {
    writeFileSync(`${path}.part`, wrong);
    await index.fetch(wheel, path);
    assert.deepEqual(readFileSync(path), CONTENT);
  }
});

test("a server without ranges is read from the start again", async (t) => {
  const { server, index, wheel, path } = await wheelFrom(t, { noRanges: true });
  server.cuts.push({ bytes: 50_000 });
  await index.fetch(wheel, path);
  assert.deepEqual(readFileSync(path), CONTENT);
});

test("a server that goes on breaking without a byte is given up, and what has come stays for the next time", async (t) => {
  const { server, index, wheel, path } = await wheelFrom(t);
  server.cuts.push({ bytes: 60_000 }, ...Array.from({ length: 6 }, () => ({ bytes: 0 })));
  await assert.rejects(index.fetch(wheel, path), /127\.0\.0\.1/);
  assert.ok(!existsSync(path));
  assert.ok(readFileSync(`${path}.part`).equals(CONTENT.subarray(0, readFileSync(`${path}.part`).length)));
});

test("bytes of another SHA-256 never get the name", async (t) => {
  const { index, wheel, path } = await wheelFrom(t, { sha256: "0".repeat(64) });
  await assert.rejects(index.fetch(wheel, path), /it should be 0{64}\. It was not kept\.$/);
  assert.ok(!existsSync(path));
});

test("a key in the address of an index is sent to it, and shown to nobody", async (t) => {
  const { index, wheel, path, server } = await wheelFrom(t, { login: "me:secret" });
  await index.fetch(wheel, path);
  assert.deepEqual(readFileSync(path), CONTENT);
  const stranger = opened(t, { PIP_INDEX_URL: server.url.replace("me:secret", "me:wrong") });
  const wanted = { project: "nvidia-x", version: "1", ...LINUX };
  await assert.rejects(stranger.find(wanted), /^Error: (?!.*wrong).* is answered with 401\.$/);
});

test("pip's files say where packages come from, later ones over earlier ones, and the environment over all", (t) => {
  const home = temporaryFolder(t);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), text);
  };
  write("etc/pip/pip.conf", "[global]\nindex-url = https://of.the.machine/simple\n");
  write(".pip/pip.conf", "[global]\nindex-url: https://old/simple\n[install]\nindex-url = https://not.this/simple\n");
  write(
    ".config/pip/pip.conf",
    "# mine\n[global]\ncert = /etc/ca.pem\nindex_url=https://mine/simple\nextra-index-url =\n    https://a/simple\n    https://b/simple\n",
  );
  const environment = { HOME: home, XDG_CONFIG_DIRS: join(home, "etc") };
  assert.deepEqual(pipSettings(environment), {
    indexes: ["https://mine/simple", "https://a/simple", "https://b/simple"],
    certificates: "/etc/ca.pem",
  });
  assert.deepEqual(
    pipSettings({ ...environment, PIP_INDEX_URL: "https://e/simple", PIP_EXTRA_INDEX_URL: "" }).indexes,
    ["https://e/simple", "https://a/simple", "https://b/simple"],
  );
  assert.deepEqual(pipSettings(NONE), { indexes: ["https://pypi.org/simple"], certificates: null });
});
