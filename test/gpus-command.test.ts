/** `alt-las gpus`: what it asks a server, what it prints, and its sentences when that fails. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { type FastifyInstance } from "fastify";
import { parseConfig } from "../src/config/config.ts";
import { AltLasError } from "../src/errors.ts";
import { type GpuStatus } from "../src/gpu/status.ts";
import { gpusCommand, type GpusOptions } from "../src/cli/gpus.ts";
import { gpuPage, gpusTable } from "../src/cli/gpus-table.ts";
import { readKey, serverUrl } from "../src/cli/remote/client.ts";
import { type RunningTask } from "../src/http/server-parts.ts";
import { detailsOfGpu, viewOfGpu } from "../src/http/views.ts";
import { bar, shortened, table, widthOf, wrap } from "../src/cli/table.ts";
import {
  CPU_DEVICE,
  GPU,
  GPU_GROUP,
  ID,
  KEYS,
  OTHER_ID,
  temporaryFolder,
  testConfig,
  testServer,
} from "./helpers/http.ts";
import { runCommand } from "./helpers/command.ts";
import { altLas, lacks, runProgram } from "./helpers/server.ts";

const GIB = 2 ** 30;

const H100: GpuStatus = {
  ...GPU,
  name: "NVIDIA H100 80GB HBM3",
  utilization: 72,
  memoryUsed: 61.2 * GIB,
  memoryTotal: 79.6 * GIB,
  memoryFree: 18 * GIB,
  temperature: 61,
  power: 512.3,
  powerLimit: 700,
  othersMemory: 0.004,
  othersUtilization: 0,
  taskCount: 6,
};

const FAULTED: GpuStatus = {
  ...CPU_DEVICE,
  id: 2,
  kind: "gpu",
  name: "NVIDIA H100 80GB HBM3",
  status: "faulted",
  reason: "The driver reports Xid 79, after which the card needs a reset. It is tried again in 60 seconds.",
  utilization: null,
};

const CROWDED: GpuStatus = {
  ...H100,
  id: 3,
  crowded: "memory_taken",
  othersMemory: 0.95,
};

const MACHINE = [H100, CPU_DEVICE, FAULTED, CROWDED, { ...GPU_GROUP, id: 4 }].map(viewOfGpu);

function longestLine(text: string): number {
  return Math.max(...text.split("\n").map((line) => line.length));
}

test("a bar is as long as asked, and as full as its share", () => {
  assert.equal(bar(0.72, 10), "███████░░░");
  assert.equal(bar(0, 5), "░░░░░");
  assert.equal(bar(1, 5), "█████");
  assert.equal(bar(0.001, 5), "█░░░░", "a little is not nothing");
  assert.equal(bar(0.999, 5), "████░", "nearly all is not all");
  assert.equal(bar(-1, 3), "░░░");
  assert.equal(bar(7, 3), "███");
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 2, max: 40 }), (share, width) => {
      const drawn = bar(share, width);
      const full = drawn.replaceAll("░", "").length;
      assert.equal(drawn.length, width);
      assert.ok(Math.abs(full - share * width) <= 1);
      assert.deepEqual([full === 0, full === width], [share === 0, share === 1]);
    }),
  );
});

test("a text is broken between words, and loses none of them", () => {
  assert.equal(wrap("one two three", 9, "  "), "  one two\n  three");
  assert.equal(wrap("one two three", Infinity, "  "), "  one two three");
  assert.equal(wrap("extraordinarily long", 6), "extraordinarily\nlong", "a word is never broken");
  const word = fc.stringMatching(/^[a-z.]{1,12}$/);
  fc.assert(
    fc.property(fc.array(word, { minLength: 1 }), fc.integer({ min: 14, max: 60 }), (words, width) => {
      const text = wrap(words.join(" "), width, "  ");
      assert.deepEqual(text.trim().split(/\s+/), words);
      assert.ok(longestLine(text) <= width);
    }),
  );
});

test("a row over all columns does not widen the first one", () => {
  assert.equal(table(["A", "B"], [["1", "2"], "a long line", ["30", "4"]]), "A   B\n1   2\na long line\n30  4");
});

test("a terminal gets bars, and the reason of each GPU that gets no tasks under it", () => {
  assert.equal(
    gpusTable(MACHINE, 101),
    `\
GPU  NAME                   STATUS   TASKS  UTIL         MEMORY               TEMP   POWER  OTHERS
0    NVIDIA H100 80GB HBM3  ready    6/8    ████░  72 %  ████░ 61.2/79.6 GiB  61 °C  512 W  0 % mem
1    CPU device 0           ready    0/8    -            -                    -      -      -
2    NVIDIA H100 80GB HBM3  faulted  0/8    -            -                    -      -      -
     The driver reports Xid 79, after which the card needs a reset. It is tried again in 60 seconds.
3    NVIDIA H100 80GB HBM3  ready    6/8    ████░  72 %  ████░ 61.2/79.6 GiB  61 °C  512 W  95 % mem
     memory taken by others
4    2 × NVIDIA A100        ready    2/8    ██░░░  30 %  █░░░░ 3.7/14.9 GiB   45 °C  131 W  10 % util`,
  );
});

test("the names that requests call the models stand where there is room for them", () => {
  const gpus = MACHINE.map((gpu) => ({ ...gpu, model_name: gpu.model_name && "Llama-3.2-1B-Instruct" }));
  assert.match(gpusTable(gpus, 160), /^0 .* ████████░░ 61\.2.* 0 % mem +Llama-3\.2-1B-Instruct$/m);
  assert.match(gpusTable(gpus, 160), /^GPU .* OTHERS +MODEL$/m);
  for (const columns of [60, 80, 101]) assert.doesNotMatch(gpusTable(gpus, columns), /MODEL|Llama/);
});

test("several models on a GPU stand by name as far as they are there, on its page with all that is known", () => {
  const [own] = GPU.instances as [(typeof GPU.instances)[number]];
  const instances = [
    { ...own, model: "chat" },
    { ...own, id: 1, model: "org/vectors", state: "loading" as const, loadSeconds: null, running: 0 },
    { ...own, id: 2, model: "rare", state: "cold" as const, loadSeconds: null, memoryBytes: null, running: 0 },
  ];
  const several = { ...H100, model: null, modelName: null, instances };
  const cold = { ...several, id: 1, instances: instances.slice(2) };
  const wide = gpusTable([several, cold].map(viewOfGpu), 160);
  assert.match(wide, / chat, org\/vectors \(loading\) \+1$/m);
  assert.match(wide, / 1 not loaded$/m);
  assert.doesNotMatch(gpusTable([several, cold].map(viewOfGpu), 80), /chat/);
  const page = gpuPage(detailsOfGpu(several, []), 80);
  assert.ok(longestLine(page) <= 80, page);
  assert.match(
    page,
    /^MODEL +STATE +TASKS +MEMORY +LOADED IN\nchat +ready +2 +3\.3 GiB +2\.5 s\norg\/vectors +loading +0 +3\.3 GiB +-\nrare +cold +0 +- +-$/m,
  );
});

test("a file gets neither bars nor broken lines", () => {
  const text = gpusTable(MACHINE, null);
  assert.doesNotMatch(text, /[█░…]/);
  assert.match(text, /^0 .* 6\/8 +72 % +61\.2\/79\.6 GiB +61 °C +512 W +0 % mem +a model$/m);
  assert.match(text, /^ {5}The driver reports Xid 79, .* again in 60 seconds\.$/m);
  assert.equal(gpusTable([], null), "There are no GPUs.");
});

test("a table fits terminals of 80 columns and more, with the widest bars and names that do", () => {
  const long = [...MACHINE, viewOfGpu({ ...H100, id: 10, name: "CPU device 0 (AMD EPYC 7B13 64-Core Processor)" })];
  for (let columns = 80; columns <= 160; columns++) {
    for (const gpus of [MACHINE, long]) assert.ok(longestLine(gpusTable(gpus, columns)) <= columns, String(columns));
  }
  assert.doesNotMatch(gpusTable(long, 80), /█/);
  assert.match(gpusTable(long, 80), /^0 {4}NVID…0GB HBM3 {2}ready/m, "the middle goes");
  assert.match(gpusTable(long, 100), /█████░| ████░ 61/);
  assert.match(gpusTable(long, 160), /████████░░ 61\.2\/79\.6 GiB/);
  assert.match(gpusTable(long, 160), /64-Core Processor\)/);
});

const NAMES = [
  "NVIDIA GeForce RTX 3090 (sol, çığ)",
  "显卡一号在左边的机箱里面",
  "🚀 rocket 🇹🇷 👩‍💻 GPU",
  "kısa",
  "e\u0301te\u0301 combining",
];

test("columns stay in line and rows within the terminal, whatever script names are in", () => {
  const gpus = NAMES.map((name, id) => viewOfGpu({ ...H100, id, name }));
  for (let columns = 60; columns <= 160; columns++) {
    const [head, ...rows] = gpusTable(gpus, columns).split("\n");
    const at = widthOf(head!.slice(0, head!.indexOf("STATUS")));
    for (const row of rows) {
      assert.equal(widthOf(row.slice(0, row.indexOf("ready"))), at, `${columns}: ${row}`);
      assert.ok(widthOf(row) <= columns, `${columns}: ${row}`);
    }
  }
});

test("the machine of each GPU stands where there are any, and goes last where there is no room", () => {
  const machines = ["gpu-node-11", "gpu-node-12", "rack-4-second-machine-from-the-left"];
  const gpus = machines.map((machine, id) => viewOfGpu({ ...H100, id, machine }));
  assert.doesNotMatch(gpusTable(MACHINE, null), /MACHINE/, "one machine looks as before");
  assert.match(gpusTable(gpus, null), /^GPU +MACHINE +NAME .*\n0 +gpu-node-11 +NVIDIA/);
  const mixed = gpusTable([...gpus.slice(0, 1), ...MACHINE.slice(1, 2)], null);
  assert.match(mixed, /^1 +- +CPU device 0 /m);
  for (let columns = 56; columns <= 180; columns++) {
    const text = gpusTable(gpus, columns);
    assert.ok(longestLine(text) <= columns, `${columns}: ${text}`);
    if (columns >= 64) assert.match(text, /^1 +gp\S*-12 +\S/m, String(columns));
  }
  assert.match(gpusTable(gpus, 160), /^2 +rack-4-second-machine-from-the-left +NVIDIA H100 80GB HBM3 .* 0 % mem/m);
  assert.match(gpusTable(gpus, 90), /^GPU +MACHINE +NAME .*\n0 +gpu-node-11 .*\n1 .*\n2 +rack-…\S+ /);
  assert.match(gpusTable(gpus, 56), /^GPU +NAME +STATUS/);
});

test("columns in which nothing is known go before a name is shortened", () => {
  const names = ["NVIDIA GeForce RTX 3090 (left)", "NVIDIA GeForce RTX 3090 (right)"];
  const gpus = names.map((name, id) => viewOfGpu({ ...CPU_DEVICE, id, name }));
  assert.match(gpusTable(gpus, 100), /^GPU +NAME +STATUS +TASKS +UTIL .*OTHERS$/m, "there is room for all");
  const narrow = gpusTable(gpus, 60);
  assert.match(narrow, /^GPU +NAME +STATUS +TASKS$/m);
  for (const name of names) assert.ok(narrow.includes(name), narrow);
  assert.match(gpusTable(gpus, 38), /^0 {4}NVIDIA…3090 \(left\) {2,}ready/m);
});

test("columns in which nothing is known make room for whole names, bars and models", () => {
  const measured = { ...CPU_DEVICE, utilization: 3, memoryUsed: GIB, memoryTotal: 24 * GIB, modelName: "demo" };
  const gpus = [0, 1].map((id) => viewOfGpu({ ...measured, id, name: `CPU device ${id} (AMD EPYC)` }));
  const [head, first] = gpusTable(gpus, 100).split("\n");
  assert.match(head!, /MEMORY +MODEL$/);
  assert.match(first!, /^0 +CPU device 0 \(AMD EPYC\) .*demo$/);
});

test("a reason that several GPUs share stands once, with their numbers", () => {
  const gpus = [0, 1, 2].map((id) => viewOfGpu(id === 1 ? { ...H100, id } : { ...FAULTED, id }));
  const text = gpusTable(gpus, 70);
  assert.equal(text.match(/Xid 79/g)!.length, 1);
  assert.match(text, /^2 .*\n {5}GPU 0, 2: The driver reports Xid 79, .*\n {5}\S/m);
});

test("states have colours where they are asked for, and columns stay in line", () => {
  const plain = gpusTable(MACHINE, 120);
  const colours = gpusTable(MACHINE, 120, { colour: true });
  assert.ok(colours.includes("\u001b[32mready\u001b[39m") && colours.includes("\u001b[31mfaulted\u001b[39m"));
  assert.equal(stripVTControlCharacters(colours), plain);
  assert.ok(!plain.includes("\u001b"));
});

test("a text that is too wide loses its middle, and no half of a character", () => {
  assert.equal(shortened("NVIDIA GeForce RTX 3090 (left)", 18), "NVIDIA…3090 (left)");
  assert.equal(shortened("short", 5), "short");
  const text = fc.string({ unit: fc.constantFrom("a", "ç", "显", "🚀", "🇹🇷", "👩‍💻", "e\u0301", " ") });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 30 }), (whole, width) => {
      const cut = shortened(whole, width);
      assert.ok(widthOf(cut) <= width);
      if (cut === whole) return;
      const [head = "", tail = ""] = cut.split("…");
      assert.ok(whole.startsWith(head) && whole.endsWith(tail));
      assert.ok(widthOf(cut) >= width - 1, "no more goes than has to");
    }),
  );
});

const STARTED = Date.UTC(2025, 7, 10, 12, 35);
const RUNNING: RunningTask[] = [
  { id: ID, user: "user", team: null, startedAt: STARTED },
  { id: OTHER_ID, user: "somebody", team: null, startedAt: STARTED },
];

test("the page of one GPU has everything, and fits the terminal", () => {
  const { reason } = FAULTED;
  const events = [...H100.events, { at: STARTED, event: "faulted" as const, reason: reason! }];
  const gpu: GpuStatus = { ...H100, status: "faulted", reason, events, memoryNote: "4 slots of 8 fit." };
  assert.equal(
    gpuPage(detailsOfGpu(gpu, RUNNING), 80),
    `\
GPU            0: NVIDIA H100 80GB HBM3
Status         faulted since 2025-08-10T12:34:56.789Z
               The driver reports Xid 79, after which the card needs a reset. It
               is tried again in 60 seconds.
Tasks          6 in 8 slots, load 0.25
Utilization    ███████░░░  72 %
Memory         ████████░░ 61.2/79.6 GiB, free 18.0 GiB
Others         memory 0 %, utilization 0 %
Temperature    61 °C, no new tasks above 87 °C
Power          512 W, limit 700 W
Energy         2.00 kWh since the driver was loaded
Throttled by   sw_power_cap
Memory errors  2 corrected, 0 uncorrected
Xid errors     13 (2 times)
Capability     8.0
UUID           GPU-1
PCI bus id     0000:65:00.0
Model          a model, 8192 tokens for each slot
Can            chat, completion
               4 slots of 8 fit.
Device         NVIDIA A100 (CUDA)
Worker         process 4711, 0 died since the server started

RUNNING TASK                          USER      STARTED
123e4567-e89b-12d3-a456-426614174000  user      2025-08-10T12:35:00.000Z
223e4567-e89b-12d3-a456-426614174000  somebody  2025-08-10T12:35:00.000Z

PROCESS  MEMORY   UTIL  WHOSE
4711     3.3 GiB  20 %  this server's worker
99       477 MiB  -     another

EVENTS
2025-08-10T12:34:55.789Z  starting  The model is being loaded.
2025-08-10T12:34:56.789Z  ready     The model is loaded.
2025-08-10T12:35:00.000Z  faulted   The driver reports Xid 79, after which the
                                    card needs a reset. It is tried again in 60
                                    seconds.`,
  );
});

test("on a narrow terminal no id and no time of a page is broken", () => {
  const running = [...RUNNING, { id: ID, user: "a-user-with-a-long-name", team: null, startedAt: null }];
  const gpu: GpuStatus = {
    ...H100,
    events: [...H100.events, { at: STARTED, event: "faulted", reason: FAULTED.reason! }],
  };
  const page = gpuPage(detailsOfGpu(gpu, running), 60, { now: STARTED + 90_000 });
  for (const line of page.split("\n")) assert.ok(widthOf(line) <= 60, line);
  assert.match(page, /^123e4567-e89b-12d3-a456-426614174000 {2}user +\d\d:\d5:00$/m);
  assert.match(page, /^123e4567-e89b-12d3-a456-426614174000 {2}a-\S*…\S+ +-$/m);
  assert.match(page, /^\d\d:\d5:00 {2}faulted {3}The driver reports/m);
  const roomy = gpuPage(detailsOfGpu(gpu, RUNNING), 66, { now: STARTED + 90_000 });
  assert.match(roomy, /^123e4567-\S+ {2}user +\d\d:\d5:00, 90 s$/m);
  const later = gpuPage(detailsOfGpu(gpu, running), 60, { now: STARTED + 3 * 86_400_000 });
  assert.match(later, /^08-1\d \d\d:\d5 {2}faulted/m, "another day is told");
});

test("what is not known of a GPU is a dash on its page", () => {
  const page = gpuPage(detailsOfGpu(CPU_DEVICE, []), null);
  for (const name of ["Utilization", "Memory", "Temperature", "Power", "Energy", "Throttled by", "Model", "Device"]) {
    assert.match(page, new RegExp(`^${name} +-$`, "m"), name);
  }
  assert.match(page, /^UUID +cpu:0$/m);
  assert.match(page, /^PCI bus id +-$/m);
  assert.match(page, /^Worker +none, 0 died/m);
  assert.doesNotMatch(page, /NaN|null|undefined|EVENTS|PROCESS|RUNNING/);
  const group = gpuPage(detailsOfGpu(GPU_GROUP, []), null);
  assert.match(group, /^UUID +GPU-2, GPU-3$/m);
  assert.match(group, /^PCI bus id +0000:66:00\.0, 0000:67:00\.0$/m);
});

const SERVER: GpuStatus = {
  ...CPU_DEVICE,
  id: 7,
  kind: "remote",
  name: "10.0.0.5:8000",
  uuids: ["REMOTE-http://10.0.0.5:8000"],
  device: "vLLM 0.11.0 at http://10.0.0.5:8000",
  othersUtilization: 0.25,
  upstream: { running: 12, waiting: 3, kvCacheUse: 0.42, slots: 32, ours: 4 },
};

test("a server elsewhere shows its load, and dashes for the rest", () => {
  const lines = gpusTable([viewOfGpu(SERVER)], null);
  assert.match(lines, /^7 +10\.0\.0\.5:8000 +ready +0\/8 +- +- +- +- +25 % util +-$/m);
  const page = gpuPage(detailsOfGpu(SERVER, []), null);
  assert.match(page, /^Others +memory -, utilization 25 %$/m);
  assert.match(page, /^UUID +REMOTE-http:\/\/10\.0\.0\.5:8000$/m);
  assert.match(page, /^Device +vLLM 0\.11\.0 at http:\/\/10\.0\.0\.5:8000$/m);
  assert.match(page, /^Its server +12 of 32 running, 3 waiting, 42 % of its KV cache in use$/m);
});

test("a server that tells little of its load shows that, and one that tells nothing shows no line", () => {
  const silent = { running: null, waiting: null, kvCacheUse: null, slots: null, ours: 0 };
  assert.equal(loadShown({ ...silent, running: 2 }), "2 running");
  assert.equal(loadShown({ ...silent, waiting: 1 }), "1 waiting");
  assert.equal(loadShown(silent), "-");
  assert.equal(loadShown(null), undefined);
});

function loadShown(upstream: GpuStatus["upstream"]): string | undefined {
  return /^Its server +(.*)$/m.exec(gpuPage(detailsOfGpu({ ...SERVER, upstream }, []), null))?.[1];
}

async function listening(app: FastifyInstance): Promise<string> {
  return app.listen({ port: 0, host: "127.0.0.1" });
}

function options(url: string, more: Partial<GpusOptions> = {}): GpusOptions {
  return { url, key: KEYS.admin, gpuId: undefined, json: false, columns: null, ...more };
}

/** The sentence with which the command ends instead of an answer. */
async function sentenceOf(asked: GpusOptions): Promise<string> {
  const error: unknown = await gpusCommand(asked).then(
    () => assert.fail("there was an answer"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AltLasError, String(error));
  assert.doesNotMatch(error.message, /\n/);
  assert.match(error.message, /\.$/);
  return error.message;
}

test("a running server is asked for its GPUs", async (t) => {
  const { app, state } = testServer(t);
  state.gpus = [H100, FAULTED];
  const url = await listening(app);
  const expected = gpusTable(state.gpus.map(viewOfGpu), null);
  assert.equal(await gpusCommand(options(url)), expected);
  assert.equal(await gpusCommand(options(`${url}/`)), expected);
});

test("what drivers said that have no GPU to offer stands under the table", async (t) => {
  const note = "nvidia-smi lists no GPU: Failed to initialize NVML: Driver/library version mismatch.";
  const url = await listening(testServer(t, testConfig(), { driverNotes: [note] }).app);
  const text = await gpusCommand(options(url));
  assert.ok(text.endsWith(`\n\nA GPU driver has no GPU to offer: ${note}`), text);
});

test("a server behind a proxy may be below a path, and only it gets the key", async (t) => {
  const asked: [url: string | undefined, authorization: string | undefined][] = [];
  const note: RequestListener = ({ url, headers }, response) => {
    asked.push([url, headers.authorization]);
    response.end('{"gpus":[]}');
  };
  const [server, stranger] = await Promise.all([answering(t, note), answering(t, note)]);
  assert.equal(await gpusCommand(options(`${server}/alt-las`)), "There are no GPUs.");
  const redirecting = await answering(t, ({ url }, response) => {
    response.writeHead(307, { location: stranger + url }).end();
  });
  await gpusCommand(options(redirecting));
  assert.deepEqual(asked, [
    ["/alt-las/api/v1/gpus", `Bearer ${KEYS.admin}`],
    ["/api/v1/gpus", undefined],
  ]);
});

test("one GPU is shown as the caller's role sees it", async (t) => {
  const { app, state } = testServer(t);
  state.running = RUNNING;
  const url = await listening(app);
  const all = await gpusCommand(options(url, { gpuId: 0, key: KEYS.admin, columns: 100 }));
  assert.equal(all, gpuPage(detailsOfGpu(GPU, RUNNING), 100));
  const own = await gpusCommand(options(url, { gpuId: 0, key: KEYS.user, columns: 100 }));
  assert.equal(own, gpuPage(detailsOfGpu(GPU, RUNNING.slice(0, 1)), 100));
});

test("--json prints what the server answers", async (t) => {
  const { app, state } = testServer(t);
  state.gpus = [GPU, CPU_DEVICE];
  state.running = RUNNING;
  const url = await listening(app);
  const headers = { authorization: `Bearer ${KEYS.viewer}` };
  for (const [gpuId, path] of [
    [undefined, "gpus"],
    [0, "gpus/0"],
  ] as const) {
    const text = await gpusCommand(options(url, { gpuId, json: true }));
    const answer = await app.inject({ url: `/api/v1/${path}`, headers });
    assert.equal(text, JSON.stringify(answer.json(), null, 2));
  }
});

test("a server without authentication needs no key", async (t) => {
  const { app } = testServer(t, parseConfig("auth: { enabled: false }", "test.yaml"));
  const url = await listening(app);
  assert.match(await gpusCommand(options(url, { key: undefined })), /NVIDIA A100/);
});

test("a refusal says what to do, and never repeats the key", async (t) => {
  const { app } = testServer(t);
  const url = await listening(app);
  assert.equal(
    await sentenceOf(options(url, { key: undefined })),
    `The server at ${url} wants to know who is asking: set ALT_LAS_API_KEY to your API key, or give --key-file FILE.`,
  );
  assert.equal(
    await sentenceOf(options(url, { key: "altlas_WRONG" })),
    `The server at ${url} says: The API key is unknown or was revoked. Set ALT_LAS_API_KEY to yours, or give --key-file FILE.`,
  );
  assert.equal(
    await sentenceOf(options(url, { key: "altlas_WRONG\nX: y" })),
    "The API key must be printable ASCII characters without spaces.",
  );
  assert.equal(await sentenceOf(options(url, { gpuId: 7 })), 'There is no GPU "7"; the GPUs are 0.');
});

test("a URL that leads nowhere is a sentence that names it", async (t) => {
  const { app } = testServer(t);
  const url = await listening(app);
  await app.close();
  assert.match(
    await sentenceOf(options(url)),
    new RegExp(
      `^There is no answer from ${url} \\(connect ECONNREFUSED .*\\); if no server listens there, start one with npm start, or say with --url`,
    ),
  );
  for (const wrong of ["", "127.0.0.1:8642", "localhost:8642", "ftp://localhost"]) {
    const sentence = `The server's URL must be like http://127.0.0.1:8642 or unix:/run/alt-las.sock; got ${JSON.stringify(wrong)}.`;
    assert.equal(await sentenceOf(options(wrong)), sentence);
  }
  const secret = await sentenceOf(options("http://bob:PASSWORD@localhost:8642"));
  assert.equal(secret, "The server's URL must not have a user or password; what counts is the API key.");
});

/** A server of another kind. */
async function answering(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => server.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("what is no ALT_LAS server is called that", async (t) => {
  const bodies: [status: number, body: string][] = [
    [200, "<html>"],
    [200, "[]"],
    [200, "null"],
    [200, '{"gpus": 5}'],
    [404, "not found"],
    [500, '{"error": {"message": "an object"}}'],
  ];
  for (const [status, body] of bodies) {
    const url = await answering(t, (_request, response) => response.writeHead(status).end(body));
    assert.equal(await sentenceOf(options(url)), `No ALT_LAS server answers at ${url} (status ${status}).`);
  }
  const mute = await answering(t, () => {});
  const sentence = `The server at ${mute} has not answered within 0.01 seconds.`;
  assert.equal(await sentenceOf(options(mute, { patience: 0.01 })), sentence);
});

test("nothing of an answer can steer the terminal", async (t) => {
  const { app, state } = testServer(t);
  state.gpus = [{ ...GPU, name: "evil\u001b[2J\u009b5m\nname", status: "faulted", reason: "a\r\u0007b" }];
  const url = await listening(app);
  for (const gpuId of [undefined, 0]) {
    const text = await gpusCommand(options(url, { gpuId }));
    assert.match(text, /evil�\[2J�5m�name/);
    assert.match(text, /a��b/);
  }
  const proxy = await answering(t, (_request, response) => response.writeHead(503).end('{"error":"\\u001b[2Jno."}'));
  assert.equal(await sentenceOf(options(proxy)), "�[2Jno.");
});

function urlFor(yaml: string): string {
  return serverUrl(parseConfig(yaml, "test.yaml").server);
}

test("the configuration says where the server is", () => {
  assert.equal(urlFor(""), "http://127.0.0.1:8642");
  assert.equal(urlFor('server: { host: "0.0.0.0", port: 80 }'), "http://127.0.0.1:80");
  assert.equal(urlFor('server: { host: "::" }'), "http://127.0.0.1:8642");
  assert.equal(urlFor('server: { host: "::1" }'), "http://[::1]:8642");
  assert.equal(urlFor("server: { host: gpu.example.com, tls: { cert: c, key: k } }"), "https://gpu.example.com:8642");
  assert.throws(() => urlFor("server: { port: 0 }"), /server\.port is 0, .* --url/);
});

test("a key file holds a key and nothing else", (t) => {
  const file = join(temporaryFolder(t), "key");
  assert.throws(() => readKey(file), /^AltLasError: The key file .*key cannot be read: ENOENT/);
  writeFileSync(file, "\n");
  assert.throws(() => readKey(file), /^AltLasError: The key file .*key is empty\.$/);
  writeFileSync(file, `${KEYS.user}\n`);
  assert.equal(readKey(file), KEYS.user);
});

test("in a shell it takes the server from the configuration and the key from the environment or a file", async (t) => {
  const { app } = testServer(t);
  const url = await listening(app);
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, "config.yaml"), `server: { port: ${new URL(url).port} }`);
  writeFileSync(join(cwd, "key.txt"), `${KEYS.viewer}\n`);
  const expected = `${gpusTable([viewOfGpu(GPU)], null)}\n`;
  const byEnvironment = await altLas(["gpus"], { cwd, env: { ALT_LAS_API_KEY: KEYS.user } });
  assert.deepEqual(byEnvironment, { code: 0, stdout: expected, stderr: "" });
  const byFile = await runCommand(["gpus", "--key-file", "key.txt", "--url", url], {
    cwd,
    env: { ALT_LAS_API_KEY: "altlas_wrong" },
  });
  assert.deepEqual(byFile, byEnvironment);
  const one = await runCommand(["gpus", "0", "--json", "--key-file", "key.txt"], { cwd });
  assert.equal((JSON.parse(one.stdout) as { pid: number }).pid, 4711);
  const none = await runCommand(["gpus"], { cwd, env: { ALT_LAS_API_KEY: "" } });
  assert.deepEqual([none.code, none.stdout], [1, ""]);
  assert.match(none.stderr, /^The server at http:\/\/127\.0\.0\.1:\d+ wants to know who is asking: .*\.\n$/);
  const wrong = await runCommand(["gpus", "one"], { cwd });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /It must be an integer of at least 0\./);
});

test("a certificate of one's own is trusted when NODE_EXTRA_CA_CERTS says so, and the sentence says that", async (t) => {
  const none = await lacks(runProgram("openssl", ["version"]), "openssl");
  if (none) return t.skip(none);
  const folder = temporaryFolder(t);
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=gpu.example";
  const files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert];
  assert.equal((await runProgram("openssl", [...request.split(" "), ...files])).code, 0);
  const { app } = testServer(t, testConfig(`server: { tls: { cert: "${cert}", key: "${key}" } }`));
  const url = await listening(app);
  assert.equal(
    await sentenceOf(options(url)),
    `The certificate of ${url} is not from an authority that this machine trusts (DEPTH_ZERO_SELF_SIGNED_CERT); set NODE_EXTRA_CA_CERTS to the file of its certificate, or of the authority that signed it.`,
  );
  const other = url.replace("127.0.0.1", "localhost");
  const env = { NODE_EXTRA_CA_CERTS: cert, ALT_LAS_API_KEY: KEYS.viewer };
  const [trusted, misnamed] = await Promise.all([
    altLas(["gpus", "--url", url], { env }),
    altLas(["gpus", "--url", other], { env }),
  ]);
  assert.deepEqual([trusted.code, trusted.stderr], [0, ""]);
  assert.match(trusted.stdout, /NVIDIA A100/);
  assert.match(misnamed.stderr, /^There is no answer from https:\/\/localhost:\d+ \(.*localhost.*\); if/);
  const plain = await answering(t, (_request, response) => response.end());
  assert.match(
    await sentenceOf(options(plain.replace("http:", "https:"))),
    /\((wrong version number|packet length too long)\)/,
  );
});
