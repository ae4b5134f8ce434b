/** The image of deploy/Dockerfile: built, started as a user without rights on a root that is read-only, asked, stopped. */
import assert from "node:assert/strict";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { buildImage, cannotBuild, Container, type Image } from "../helpers/image.ts";
import { ROOT } from "../helpers/server.ts";
import { succeed } from "../helpers/stranger.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "alt-las-image-"));
// Some gigabytes; Node's own takes minutes.
after(() => succeed(`rm -rf ${FOLDER}`, tmpdir()));

/** Of the image's user, and of somebody else. */
const [OWN, OTHER] = [10_001, 54_321];
const KEY = "altlas_key-of-the-image";

const lacking = await cannotBuild();
const built = lacking === false ? await buildImage(FOLDER) : null;
const skip = built !== null ? false : lacking || "what an image is built of cannot be fetched, so it was only linted";
const image = built as Image;

function volume(name: string, owner: number): string {
  const folder = join(FOLDER, name);
  mkdirSync(folder);
  chownSync(folder, owner, owner);
  return folder;
}

/** Asks for a text, in the container: its network is its own. */
async function ask(container: Container): Promise<unknown> {
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json", prefer: "wait=300" };
  const request = { method: "POST", headers, body: JSON.stringify({ text: "Once upon a time", max_length: 8 }) };
  const script = `
    const answer = await fetch("http://127.0.0.1:8642/api/v1/predict", ${JSON.stringify(request)});
    console.log(await answer.text());`;
  const { code, stdout, stderr } = await container.run("node", "--input-type=module", "-e", script);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** As Docker asks for its health. */
async function health(container: Container) {
  const [kind, ...command] = image.config.Healthcheck.Test;
  assert.equal(kind, "CMD");
  return container.run(...command);
}

test(
  "the image serves as a user without rights, on a root that it cannot write, and stops when it is told to",
  { skip },
  async (t) => {
    const data = volume("own", OWN);
    const env = { ALT_LAS_API_KEY: KEY };
    const container = new Container(t, image, { data, env });
    await container.printed(/^Try it:\n/m);
    assert.match(container.stdout, /^Data directory: \/data$/m);
    assert.match(container.stdout, /^Configuration: \/etc\/alt-las\/config\.yaml$/m);
    const answer = (await ask(container)) as { status: string; task_id: string; result: { text: string } };
    assert.equal(answer.status, "completed");
    assert.ok(answer.result.text.length > 0);
    const { code, stdout } = await health(container);
    assert.deepEqual([code, stdout], [0, "The server at http://127.0.0.1:8642 is ready.\n"]);

    const look = await container.run(
      "sh",
      "-c",
      "id -u; cat /proc/1/comm; for place in / /opt/alt-las /etc/alt-las; do test -w $place || echo closed; done",
    );
    assert.equal(look.stdout, `${OWN}\ntini\nclosed\nclosed\nclosed\n`);
    const rights = await container.run("grep", "-E", "^(CapEff|CapBnd|NoNewPrivs)", "/proc/1/status");
    assert.match(rights.stdout, /^CapEff:\t0+\nCapBnd:\t0+\nNoNewPrivs:\t1\n$/);

    const end = await container.stop();
    assert.equal(end.code, 0, end.stderr);
    assert.match(end.stderr, /"msg":"stopped"/);
    for (const file of readdirSync(data)) assert.equal(statSync(join(data, file)).uid, OWN, file);

    // Another container on the same volume goes on with it.
    const next = new Container(t, image, { data, env });
    await next.printed(/^Try it:\n/m);
    const { stdout: task } = await next.run("alt-las", "task", answer.task_id, "--json");
    assert.equal((JSON.parse(task) as typeof answer).result.text, answer.result.text);
    assert.equal((await next.stop()).code, 0);
  },
);

test("what processes leave behind is reaped by the first process of the image", { skip }, async (t) => {
  const container = new Container(t, image, { data: volume("orphans", OWN), env: { ALT_LAS_API_KEY: KEY } });
  await container.printed(/^Try it:\n/m);
  // The shell does not wait for its child, which is process 1's from then on.
  const { stdout } = await container.run("sh", "-c", "true >&- & echo $!");
  const { code } = await container.run("sh", "-c", `while test -e /proc/${stdout.trim()}; do :; done`);
  assert.equal(code, 0);
});

const SERVING = [
  [
    "root with somebody else's volume",
    { data: OTHER, user: "0:0" },
    "The data directory /data belongs to another user, number 54321, who could not use what root writes there: start the container with --user 54321:54321.",
  ],
  [
    "its own user with somebody else's volume",
    { data: OTHER },
    "The data directory /data belongs to another user, number 54321: start the container with --user 54321:54321, or give the folder that is mounted there to number 10001, on the host: sudo chown -R 10001 FOLDER",
  ],
  [
    "its own user with root's volume",
    { data: 0 },
    "The data directory /data belongs to another user, root: give the folder that is mounted there to number 10001, on the host: sudo chown -R 10001 FOLDER",
  ],
  [
    "a volume that cannot be written",
    { data: OWN, isDataReadOnly: true },
    "The data directory /data cannot be written: EROFS: read-only file system, access '/data'. Name another one with --data-dir.",
  ],
] as const;

for (const [name, { data: owner, ...options }, sentence] of SERVING)
  test(`started as ${name}, the image says in a sentence what to do, and writes nothing`, { skip }, async (t) => {
    const data = volume(name.replaceAll(/\W/g, "-"), owner);
    const { code, stdout, stderr } = await new Container(t, image, { ...options, data }).exit;
    const said = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
    assert.deepEqual([code, stdout, said], [1, "", [sentence]]);
    assert.deepEqual(readdirSync(data), []);
  });

test("the image serves as somebody else, with a volume of that user", { skip }, async (t) => {
  const options = { data: volume("others", OTHER), user: `${OTHER}:${OTHER}`, env: { ALT_LAS_API_KEY: KEY } };
  const container = new Container(t, image, options);
  await container.printed(/^Try it:\n/m);
  assert.equal((await container.stop()).code, 0);
});

test("the image has the list of what is in it, nothing that only builds it, and nothing for GPUs", { skip }, () => {
  const { root } = image;
  const list = JSON.parse(readFileSync(join(root, "opt/alt-las/sbom.cdx.json"), "utf8")) as {
    readonly bomFormat: string;
    readonly components: readonly { readonly name: string; readonly version: string }[];
  };
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  assert.equal(list.bomFormat, "CycloneDX");
  const versions = new Map(list.components.map((part) => [part.name, part.version]));
  assert.equal(versions.get("alt-las"), version);
  const names = [...versions.keys()];
  for (const name of ["fastify", "@node-llama-cpp/linux-x64", "node-llama-cpp"]) assert.ok(versions.has(name), name);
  assert.deepEqual(
    names.filter((name) => /cuda|vulkan|typescript|oxlint|^node$/.test(name)),
    [],
  );
  for (const path of ["usr/local/bin/npm", "source", "packed", "opt/alt-las/package.json"])
    assert.ok(!existsSync(join(root, path)), path);
  assert.deepEqual(image.config.Volumes, { "/data": {} });
});
