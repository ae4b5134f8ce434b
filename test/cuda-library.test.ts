/** The code for GPUs in llama.cpp's library: read, compiled by a stand-in for ptxas, and put back. The libraries are made up. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { codeIn, compileLibrary, originalOf } from "../src/add-gpu/compile.ts";
import { contentOf, type Fatbin, fatbinsIn } from "../src/add-gpu/fatbin.ts";
import { packLz4, unpackLz4 } from "../src/add-gpu/lz4.ts";
import { cudaLibrary, likeThePackage, PTXAS } from "./helpers/cuda-library.ts";
import { temporaryFolder } from "./helpers/http.ts";

const TEXTS = ["first module", "second module", "second module"];

async function modulesIn(library: string): Promise<Fatbin[]> {
  const file = await open(library);
  try {
    return await Array.fromAsync(fatbinsIn(file));
  } finally {
    await file.close();
  }
}

/** Of each module the machine code for an architecture. */
async function codeFor(library: string, arch: number): Promise<(string | undefined)[]> {
  const modules = await modulesIn(library);
  return modules.map(({ entries }) => {
    const entry = entries.find((one) => one.kind === "machine code" && one.arch === arch);
    return entry && contentOf(entry).toString();
  });
}

interface Bench {
  readonly library: string;
  readonly folder: string;
  /** How often the stand-in for ptxas was called. */
  runs(): number;
  compile(archs: readonly number[], cards?: readonly number[]): Promise<void>;
}

function bench(t: TestContext, content = likeThePackage(TEXTS)): Bench {
  const folder = temporaryFolder(t);
  const library = join(folder, "libggml-cuda.so");
  const tools = join(folder, "tools");
  mkdirSync(tools);
  const ptxas = join(tools, "ptxas");
  writeFileSync(library, content);
  writeFileSync(ptxas, PTXAS);
  chmodSync(ptxas, 0o755);
  const runs = join(tools, "runs");
  return {
    library,
    folder,
    runs: () => (existsSync(runs) ? readFileSync(runs, "utf8").trim().split("\n").length : 0),
    compile: (archs, cards = archs) => compileLibrary({ library, archs, cards, ptxas, cache: join(folder, "cache") }),
  };
}

test("the code that all modules have is listed, and each is read as nvcc packed it", async (t) => {
  const { library } = bench(t);
  assert.deepEqual(await codeIn(library), { ptx: [75, 80, 90], machineCode: [86, 89, 120, 121] });
  const [first] = await modulesIn(library);
  assert.equal(contentOf(first!.entries[2]!).toString(), ".target sm_90 first module");
  const packed = "\u0038abc\u0003\u0000\u0020X\u0000";
  const entries = [
    { kind: "ptx", arch: 80, content: packed, packing: "lz4", unpacked: 17 },
    { kind: "machine code", arch: 86, content: "as it is", packing: "none" },
  ] as const;
  writeFileSync(library, cudaLibrary([entries, entries.slice(0, 1)]));
  assert.deepEqual(await codeIn(library), { ptx: [80], machineCode: [] });
  const [old] = await modulesIn(library);
  assert.deepEqual(
    old!.entries.map((entry) => contentOf(entry).toString()),
    ["abcabcabcabcabcX", "as it is"],
  );
});

test("a block of LZ4 with long lengths is unpacked, and a damaged one refused", () => {
  const literals = "x".repeat(15 + 255 + 10);
  // 280 literals, then 4 + 15 + 255 + 1 bytes from one byte back.
  const block = Buffer.from(`\u00ff\u00ff\u000a${literals}\u0001\u0000\u00ff\u0001\u0010y`, "latin1");
  const text = `${"x".repeat(280 + 275)}y`;
  assert.equal(unpackLz4(block, text.length).toString(), text);
  for (const wrong of [block.subarray(0, -1), block.subarray(0, 100), Buffer.concat([block, block])])
    assert.throws(() => unpackLz4(wrong, text.length), RangeError);
  const back = Buffer.from("\u0010x\u0002\u0000\u0000", "latin1");
  assert.throws(() => unpackLz4(back, 5), RangeError);
});

test("what is packed by LZ4 is unpacked to the same, however it repeats itself", () => {
  const random = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * index * 31 + (index >> 3)) % 251));
  const texts = [
    Buffer.alloc(0),
    Buffer.from("short"),
    Buffer.alloc(13, "x"),
    Buffer.alloc(70_000),
    random,
    Buffer.concat([random, Buffer.alloc(66_000, "y"), random, Buffer.from("end")]),
    Buffer.concat([random, random, random.subarray(0, 300)]),
  ];
  for (const text of texts) assert.deepEqual(unpackLz4(packLz4(text), text.length), text);
  assert.ok(packLz4(Buffer.alloc(70_000)).length < 300);
});

test("PTX is compiled for a card, the rest of the code stays as far as there is room, and the original is kept", async (t) => {
  const { library, compile, folder } = bench(t);
  const before = readFileSync(library);
  await compile([90]);
  const code = await codeIn(library);
  assert.ok([86, 89, 90, 120, 121].every((arch) => code.machineCode.includes(arch)));
  assert.deepEqual(
    await codeFor(library, 90),
    TEXTS.map((text) => `made with -arch=sm_90 of .target sm_90 ${text}`),
  );
  assert.deepEqual(readFileSync(originalOf(library)), before);
  assert.equal(readFileSync(library).length, before.length);
  assert.deepEqual(readdirSync(folder).toSorted(), ["cache", "libggml-cuda.so", "libggml-cuda.so.original", "tools"]);
});

test("the newest PTX that a card can have is taken, for several cards at once", async (t) => {
  const { library, compile } = bench(t);
  await compile([75, 103]);
  assert.equal((await codeFor(library, 75))[0], "made with -arch=sm_75 of .target sm_75 first module");
  assert.equal((await codeFor(library, 103))[0], "made with -arch=sm_103 of .target sm_90 first module");
});

test("modules with the same PTX are compiled once, and nothing is compiled again later", async (t) => {
  const { library, runs, compile } = bench(t);
  await compile([90]);
  assert.equal(runs(), 2);
  const once = readFileSync(library);
  await compile([90]);
  assert.equal(runs(), 2);
  assert.deepEqual(readFileSync(library), once);
  // Another card: what was compiled for the first one is made of the original again.
  await compile([75, 90]);
  assert.equal(runs(), 4);
  const { machineCode } = await codeIn(library);
  assert.ok(machineCode.includes(75) && machineCode.includes(90), machineCode.join());
});

test("where ptxas fails the library stays as it was, and the next run goes on with what was compiled", async (t) => {
  const { library, folder, runs, compile } = bench(t);
  const before = readFileSync(library);
  const broken = join(folder, "tools/broken");
  writeFileSync(broken, "second");
  await assert.rejects(compile([90]), /ptxas could not compile for sm_90: ptxas fatal {3}: it is broken$/);
  assert.deepEqual(readFileSync(library), before);
  assert.ok(!existsSync(originalOf(library)) && !existsSync(`${library}.part`));
  const done = readdirSync(join(folder, "cache"));
  assert.ok(
    done.every((name) => name.endsWith(".cubin")),
    done.join(),
  );
  writeFileSync(broken, "no such text");
  const failed = runs();
  await compile([90]);
  assert.equal(runs(), failed + 2 - done.length);
});

test("where there is no room, code for other cards goes before the code for those that are here", async (t) => {
  const tight = cudaLibrary([
    [
      { kind: "ptx", arch: 80, content: "p", packing: "none" },
      { kind: "machine code", arch: 86, content: "for a card that is here", packing: "none" },
      { kind: "machine code", arch: 89, content: "x".repeat(60), packing: "none" },
    ],
  ]);
  const { library, compile } = bench(t, tight);
  await compile([80], [80, 86]);
  const { machineCode } = await codeIn(library);
  assert.deepEqual(machineCode, [80, 86]);
  const none = bench(
    t,
    cudaLibrary([
      [
        { kind: "machine code", arch: 86, content: "c" },
        { kind: "ptx", arch: 80, content: "" },
      ],
    ]),
  );
  const before = readFileSync(none.library);
  await assert.rejects(none.compile([80, 90], [80, 86, 90]), /has no room for the code of 80 and 90\.$/);
  assert.deepEqual(readFileSync(none.library), before);
});

test("machine code that is not packed as usual is, where there is no room otherwise", async (t) => {
  const long = `a module ${"that repeats itself ".repeat(50)}`;
  const old = cudaLibrary([
    [
      { kind: "ptx", arch: 50, content: "p".repeat(200), packing: "none" },
      { kind: "ptx", arch: 80, content: long },
      { kind: "machine code", arch: 86, content: `code of ${"a card ".repeat(100)}`, packing: "none" },
    ],
  ]);
  const { library, compile } = bench(t, old);
  await compile([80], [80, 86]);
  assert.deepEqual((await codeIn(library)).machineCode, [80, 86]);
  assert.deepEqual(await codeFor(library, 80), [`made with -arch=sm_80 of ${long}`]);
});

test("a file that is no such library is refused, and left as it is", async (t) => {
  const { library, compile } = bench(t);
  const whole = likeThePackage(TEXTS);
  const strange = Buffer.from(whole);
  strange.writeUInt32LE(0x12345678, 64);
  for (const [content, why] of [
    [Buffer.from("no library"), /has a form that is not known here, where it ends\.$/],
    [Buffer.alloc(1000, "x"), /not known here, as a library\.$/],
    [strange, /not known here, at byte 64\.$/],
    [whole.subarray(0, 200), /not known here, where it ends\.$/],
  ] as const) {
    writeFileSync(library, content);
    await assert.rejects(compile([90]), why);
    assert.deepEqual(readFileSync(library), content);
  }
});
