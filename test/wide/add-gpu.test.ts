/** `npm run add-gpu cuda`, with stand-ins for the driver, the cards, npm, PyPI and ptxas; files, links and downloads are real. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { WheelIndex } from "../../src/common/wheels.ts";
import { CUDA_BUILDS } from "../../src/add-gpu/builds.ts";
import { codeIn, originalOf } from "../../src/add-gpu/compile.ts";
import { addCuda, type Surroundings } from "../../src/add-gpu/cuda.ts";
import { machineOf } from "../../src/add-gpu/machine.ts";
import { otherMachine } from "../../src/add-gpu/other-machine.ts";
import { type Card, type Machine, planFor } from "../../src/add-gpu/plan.ts";
import { tryGpus } from "../../src/add-gpu/trial.ts";
import { cudaLibrary, likeThePackage, PTXAS } from "../helpers/cuda-library.ts";
import { card } from "../helpers/gpu-identities.ts";
import { gpuStubs, NO_GPU_STUBS, stubGpu } from "../helpers/gpu-stubs.ts";
import { temporaryFolder } from "../helpers/http.ts";
import { ROOT, runProgram } from "../helpers/server.ts";
import { type IndexedFile, wheelIndex } from "../helpers/wheel-index.ts";
import { zip } from "../helpers/zip.ts";

const H100: Card = { name: "NVIDIA H100", computeCapability: 9 };
const L4: Card = { name: "NVIDIA L4", computeCapability: 8.9 };
const V100: Card = { name: "Tesla V100", computeCapability: 7 };
const T4: Card = { name: "Tesla T4", computeCapability: 7.5 };
const M60: Card = { name: "Tesla M60", computeCapability: 5.2 };
const K80: Card = { name: "Tesla K80", computeCapability: 3.7 };

function machine(driver: string | null, ...cards: readonly Card[]): Machine {
  return { driver, cards, notes: ["NVML: libnvidia-ml.so.1 cannot be opened."] };
}

// --- the plan --------------------------------------------------------------------------------------------------------

const PLANS = [
  ["580.65", [L4], "13.1", ["machine code"], []],
  ["580.65", [H100], "13.1", ["ptxas compiles"], [90]],
  ["590.1", [H100], "13.1", ["driver compiles"], []],
  ["580.65", [H100, T4, L4], "13.1", ["ptxas compiles", "ptxas compiles", "machine code"], [75, 90]],
  ["580.65", [{ name: "B300", computeCapability: 10.3 }], "13.1", ["ptxas compiles"], [103]],
  // Driver 580 is the last one for these, and only the build for CUDA 12 has code for them.
  ["580.65", [V100, H100], "12.4", ["driver compiles", "driver compiles"], []],
  ["580.65", [M60, H100, L4], "12.4", ["driver compiles", "driver compiles", "machine code"], []],
  ["550.54.15", [H100], "12.4", ["driver compiles"], []],
  ["535.129.03", [H100, L4], "12.4", ["ptxas compiles", "machine code"], [90]],
  ["590.1", [K80, L4], "13.1", ["none", "machine code"], []],
  ["580.65", [{ name: "?", computeCapability: null }], "13.1", ["machine code"], []],
] as const;

for (const [driver, cards, build, ways, compileFor] of PLANS)
  test(`with driver ${driver}, ${cards.map(({ name }) => name).join(" and ")} run the build for CUDA ${build}`, () => {
    const plan = planFor(machine(driver, ...cards), CUDA_BUILDS);
    assert.ok("build" in plan);
    assert.deepEqual([plan.build.version, plan.ways.map(({ way }) => way)], [build, ways]);
    assert.deepEqual(plan.compileFor, compileFor);
  });

test("a driver that is missing, lists nothing or is too old is told with what to install", () => {
  const refusals = [
    [machine(null), /^NVIDIA's driver lists no GPU here: NVML: libnvidia-ml\.so\.1 cannot be opened\.$/],
    [machine("580.65"), /^NVIDIA's driver lists no GPU here/],
    [machine("470.57.02", H100), /^NVIDIA's driver is 470\.57\.02, and CUDA needs 525 or later\.$/],
  ] as const;
  for (const [found, reason] of refusals) {
    const plan = planFor(found, CUDA_BUILDS);
    assert.ok("reason" in plan);
    assert.match(plan.reason, reason);
    assert.match(
      plan.mend,
      /^Install NVIDIA's driver 580 or later \(on Ubuntu: sudo apt-get install nvidia-driver-580/,
    );
  }
});

test("cards for which no build has code are told with what else there is", () => {
  const plan = planFor(machine("470.1", K80), [{ ...CUDA_BUILDS[1], drivers: { runs: 470, compiles: 470 } }]);
  assert.ok("reason" in plan);
  assert.match(plan.reason, /has no code for Tesla K80 \(compute capability 3\.7\) that driver 470\.1 could run\.$/);
  assert.match(plan.mend, /npm run add-gpu vulkan/);
});

test("the machine is what its NVIDIA driver says, whichever way it is asked", () => {
  const gpus = [
    card("GPU-a", "0000:01:00.0", { computeCapability: 9 }),
    card("AMD-1", "0000:02:00.0", { vendor: "amd" }),
  ];
  for (const source of ["NVML 580.65.06", "nvidia-smi 580.65.06"]) {
    const found = machineOf({
      drivers: [{ source: "amdgpu" }, { source }],
      gpus,
      notes: ["No AMD GPU.", "NVML: none."],
    });
    assert.deepEqual(found, {
      driver: "580.65.06",
      cards: [{ name: gpus[0]!.name, computeCapability: 9 }],
      notes: ["NVML: none."],
    });
  }
});

// --- the steps -------------------------------------------------------------------------------------------------------

function wheel(project: string, version: string, files: Readonly<Record<string, string>>): IndexedFile {
  const name = project.replaceAll("-", "_");
  const content = zip([
    ...Object.entries(files).map(([path, text]) => ({ name: `nvidia/${path}`, content: text })),
    { name: `${name}-${version}.dist-info/licenses/License.txt`, content: "the licence" },
  ]);
  return { project, filename: `${name}-${version}-py3-none-manylinux_2_27_x86_64.whl`, content };
}

const WHEELS = [
  wheel("nvidia-cuda-runtime", "13.1.80", { "cu13/lib/libcudart.so.13": "cudart 13", "cu13/include/a.h": "" }),
  wheel("nvidia-cublas", "13.2.2.2", { "cu13/lib/libcublas.so.13": "blas", "cu13/lib/libcublasLt.so.13": "lt" }),
  wheel("nvidia-cuda-nvcc", "13.1.115", { "cu13/bin/ptxas": PTXAS, "cu13/bin/nvcc": "" }),
  wheel("nvidia-cuda-runtime-cu12", "12.4.127", { "cuda_runtime/lib/libcudart.so.12": "cudart 12" }),
  wheel("nvidia-cublas-cu12", "12.4.5.8", { "cublas/lib/libcublas.so.12": "b", "cublas/lib/libcublasLt.so.12": "l" }),
  wheel("nvidia-cuda-nvcc-cu12", "12.4.131", { "cuda_nvcc/bin/ptxas": PTXAS }),
];

const [NEW, OLD] = CUDA_BUILDS;

/** The build for CUDA 12.4, in small: its machine code is not packed. */
const OLD_LIBRARY = cudaLibrary([
  [
    ...[50, 80].map((arch) => ({ kind: "ptx" as const, arch, content: `.target sm_${arch}` })),
    { kind: "machine code", arch: 86, content: "code", packing: "none" },
  ],
]);

/** A folder like that of ALT_LAS. */
class Place {
  readonly root: string;
  readonly said: string[] = [];
  readonly index: WheelIndex;
  readonly asked: string[];
  readonly packages: string[] = [];
  /** What is not there, or goes wrong, in the next run. */
  changes: Partial<Surroundings> = {};

  private constructor(t: TestContext, { url, asked }: { readonly url: string; readonly asked: string[] }) {
    this.root = temporaryFolder(t);
    mkdirSync(this.path("node_modules"));
    this.asked = asked;
    this.index = new WheelIndex({ PIP_CONFIG_FILE: "/dev/null", PIP_INDEX_URL: url });
    t.after(() => this.index.close());
  }

  static async make(t: TestContext): Promise<Place> {
    return new Place(t, await wheelIndex(t, WHEELS));
  }

  run(found: Machine): Promise<boolean> {
    this.said.length = 0;
    this.asked.length = 0;
    this.packages.length = 0;
    return addCuda(this.surroundings(found));
  }

  surroundings(found: Machine): Surroundings {
    return {
      root: this.root,
      yes: true,
      isForOther: false,
      lookAtMachine: () => Promise.resolve(found),
      addPackage: (name) => this.#addPackage(name),
      index: this.index,
      notFoundBySystem: (names) => [...names],
      confirm: () => assert.fail("nobody is to be asked"),
      libraryFault: () => Promise.resolve(null),
      tryGpus: () => Promise.resolve(found.cards.map(({ name }) => ({ name, fault: null }))),
      say: (line) => void this.said.push(line),
      ...this.changes,
    };
  }

  path(...parts: readonly string[]): string {
    return join(this.root, ...parts);
  }

  library(build = NEW): string {
    return this.path("node_modules", build.package, build.library);
  }

  /** How often ptxas was called, for a build. */
  compiled(build = NEW): number {
    const runs = this.path("cuda", build.version, "runs");
    return existsSync(runs) ? readFileSync(runs, "utf8").trim().split("\n").length : 0;
  }

  #addPackage(name: string): void {
    const build = CUDA_BUILDS.find((one) => one.package === name)!;
    const library = this.library(build);
    if (existsSync(this.path("node_modules", name))) return;
    this.packages.push(name);
    mkdirSync(dirname(library), { recursive: true });
    writeFileSync(library, build === NEW ? likeThePackage(["a module", "another module"]) : OLD_LIBRARY);
  }
}

test("a card that the driver cannot compile for gets all that it lacks, and nothing is done twice", async (t) => {
  const place = await Place.make(t);
  assert.ok(await place.run(machine("580.65", H100)), place.said.join("\n"));
  assert.deepEqual(place.packages, [NEW.package]);
  assert.ok((await codeIn(place.library())).machineCode.includes(90));
  for (const [name, text] of [
    ["libcudart.so.13", "cudart 13"],
    ["libcublas.so.13", "blas"],
    ["libcublasLt.so.13", "lt"],
  ] as const) {
    const link = join(dirname(place.library()), name);
    assert.equal(readFileSync(link, "utf8"), text);
    assert.match(readlinkSync(link), /^\.\.\/.*\/cuda\/13\.1\/libcu/);
  }
  assert.equal(readFileSync(place.path("cuda/13.1/nvidia-cublas-LICENCE.txt"), "utf8"), "the licence");
  // The plan stands before the first deed.
  const deed = place.said.findIndex((line) => line.startsWith("Fetching"));
  const before = place.said.slice(0, deed).join("\n");
  assert.match(before, /NVIDIA H100 \(compute capability 9\.0\): the package's PTX is compiled for it here/);
  assert.match(before, /libcudart\.so\.13, libcublas\.so\.13, libcublasLt\.so\.13: fetched from PyPI/);
  assert.equal(place.said.at(-1), "Done. Start the server: npm start");

  const runs = place.compiled();
  assert.ok(await place.run(machine("580.65", H100)));
  assert.deepEqual([place.packages, place.asked, place.compiled()], [[], [], runs]);
  assert.ok(!place.said.some((line) => /^Fetching|^Compiling|licence| of /.test(line)), place.said.join("\n"));
});

test("libraries that the system has are not fetched, and a card with machine code needs no ptxas", async (t) => {
  const place = await Place.make(t);
  place.changes = { notFoundBySystem: () => [], yes: false };
  assert.ok(await place.run(machine("580.65", L4)));
  assert.deepEqual(place.asked, []);
  assert.ok(!existsSync(place.path("cuda")));
});

test("after npm ci the package is fetched anew, and what was compiled for it is used again", async (t) => {
  const place = await Place.make(t);
  await place.run(machine("580.65", H100));
  const [runs, library] = [place.compiled(), readFileSync(place.library())];
  rmSync(place.path("node_modules/@node-llama-cpp"), { recursive: true });
  assert.ok(await place.run(machine("580.65", H100)));
  assert.deepEqual([place.packages, place.asked, place.compiled()], [[NEW.package], [], runs]);
  assert.deepEqual(readFileSync(place.library()), library);
});

test("a second kind of card is compiled for beside the first one", async (t) => {
  const place = await Place.make(t);
  await place.run(machine("580.65", H100));
  assert.ok(await place.run(machine("580.65", H100, T4)));
  const { machineCode } = await codeIn(place.library());
  assert.ok(machineCode.includes(75) && machineCode.includes(90));
});

test("with a newer driver what was compiled stays for its card, and gives way where another card needs the PTX", async (t) => {
  const place = await Place.make(t);
  await place.run(machine("580.65", H100));
  assert.ok(await place.run(machine("590.1", H100)));
  assert.ok((await codeIn(place.library())).machineCode.includes(90));
  assert.ok(await place.run(machine("590.1", H100, T4)));
  assert.deepEqual(await codeIn(place.library()), { ptx: [75, 80, 90], machineCode: [86, 89, 120, 121] });
});

test("an older driver gets the build for CUDA 12, and a newer one later that for CUDA 13 again", async (t) => {
  const place = await Place.make(t);
  assert.ok(await place.run(machine("535.129.03", H100)), place.said.join("\n"));
  assert.deepEqual(place.packages, [NEW.package, OLD.package]);
  assert.ok((await codeIn(place.library(OLD))).machineCode.includes(90));
  assert.equal(readFileSync(join(dirname(place.library(OLD)), "libcudart.so.12"), "utf8"), "cudart 12");
  // The other library would be tried first.
  assert.ok(!existsSync(place.library()));
  assert.ok(existsSync(originalOf(place.library())));
  assert.ok(await place.run(machine("535.129.03", H100)));
  assert.ok(await place.run(machine("590.1", H100)));
  assert.deepEqual((await codeIn(place.library())).ptx, [75, 80, 90]);
});

test("NVIDIA's licence is asked for once, and without an answer nothing of theirs is fetched", async (t) => {
  const place = await Place.make(t);
  place.changes = { yes: false, confirm: () => null };
  assert.ok(!(await place.run(machine("580.65", L4))));
  assert.deepEqual(place.said.slice(-2), [
    "Nobody is here to accept NVIDIA's licence.",
    "To accept it: npm run add-gpu cuda -- --yes",
  ]);
  place.changes = { yes: false, confirm: () => Promise.resolve(false) };
  assert.ok(!(await place.run(machine("580.65", L4))));
  assert.deepEqual(place.asked, []);
  const questions: string[] = [];
  const confirm = (question: string): Promise<boolean> => Promise.resolve(questions.push(question) > 0);
  place.changes = { yes: false, confirm };
  assert.ok(await place.run(machine("580.65", L4)));
  assert.ok(place.said.some((line) => line.includes("https://docs.nvidia.com/cuda/eula/")));
  assert.ok(await place.run(machine("580.65", L4, H100)));
  assert.equal(questions.length, 1);
});

function nothingToTry(): never {
  assert.fail("what was prepared is for another machine");
}

test("for another machine all is prepared, and nothing is tried", async (t) => {
  const place = await Place.make(t);
  place.changes = { isForOther: true, libraryFault: nothingToTry, tryGpus: nothingToTry };
  assert.ok(await place.run(otherMachine("580.65:9.0")));
  assert.ok(existsSync(originalOf(place.library())), "it was compiled");
  assert.ok(existsSync(place.path("cuda/13.1/libcudart.so.13")));
  assert.equal(place.said.at(-1), "Done. Nothing was tried: this is for another machine.");
});

test("another machine is told by its driver and its GPUs, or by the driver alone for all of them", () => {
  assert.deepEqual(
    otherMachine("580.65:8.0,12.1").cards.map(({ computeCapability }) => computeCapability),
    [8, 12.1],
  );
  const all = planFor(otherMachine("590"), CUDA_BUILDS);
  assert.ok("build" in all && all.ways.every(({ way }) => way !== "none") && all.compileFor.length === 0);
  for (const wrong of ["", "yes", "580:", "580:90", "580:9.0,"])
    assert.throws(() => otherMachine(wrong), { code: "invalid_input", message: /^--for must be a driver's version, / });
});

test("where a step fails, its reason is told with the command that goes on, and the next run does", async (t) => {
  const place = await Place.make(t);
  const find = place.index.find.bind(place.index);
  const fetch = place.index.fetch.bind(place.index);
  place.changes = { index: { find, fetch: () => Promise.reject(new Error("The connection broke.")) } };
  assert.ok(!(await place.run(machine("580.65", H100))));
  assert.deepEqual(place.said.slice(-2), [
    "The connection broke.",
    "When that is mended, go on with: npm run add-gpu cuda",
  ]);
  place.changes = { index: { find, fetch } };
  mkdirSync(place.path("cuda/13.1"), { recursive: true });
  writeFileSync(place.path("cuda/13.1/broken"), "another");
  assert.ok(!(await place.run(machine("580.65", H100))));
  assert.match(place.said.at(-2)!, /ptxas could not compile for sm_90: ptxas fatal/);
  assert.ok(!existsSync(originalOf(place.library())));
  rmSync(place.path("cuda/13.1/broken"));
  assert.ok(await place.run(machine("580.65", H100)));
});

test("a second run at once is refused, and harms nothing", async (t) => {
  const place = await Place.make(t);
  const second: { ok?: boolean; said?: readonly string[] } = {};
  const found = machine("580.65", L4);
  place.changes = {
    tryGpus: async () => {
      const said: string[] = [];
      const surroundings = { ...place.surroundings(found), say: (line: string) => void said.push(line) };
      second.ok = await addCuda(surroundings);
      second.said = said;
      return [{ name: "NVIDIA L4", fault: null }];
    },
  };
  assert.ok(await place.run(found));
  assert.deepEqual(second, { ok: false, said: ["Another npm run add-gpu cuda is at work here.", "Wait for its end."] });
  place.changes = {};
  assert.ok(await place.run(found));
});

test("a driver that can do nothing fetches nothing, and a library or a card that fails in the end says why", async (t) => {
  const place = await Place.make(t);
  assert.ok(!(await place.run(machine("470.57", H100))));
  assert.deepEqual([place.packages, place.asked], [[], []]);
  assert.match(place.said.join("\n"), /^NVIDIA's driver is 470\.57, .*\nInstall NVIDIA's driver 580/);
  place.changes = { libraryFault: () => Promise.resolve("libcuda.so.1: cannot open shared object file") };
  assert.ok(!(await place.run(machine("580.65", L4))));
  assert.match(place.said.at(-2)!, /cannot be loaded: libcuda\.so\.1: cannot open/);
  place.changes = { tryGpus: () => Promise.resolve([{ name: "NVIDIA L4", fault: "CUDA error." }]) };
  assert.ok(!(await place.run(machine("580.65", L4))));
  assert.match(place.said.join("\n"), /^ {2}NVIDIA L4: CUDA error\.\nNot every GPU generates\. docs\/gpus\.md/m);
  place.changes = { tryGpus: () => Promise.resolve([]) };
  assert.ok(!(await place.run(machine("580.65", L4))));
});

// --- the trial, and the program --------------------------------------------------------------------------------------

test("the trial asks each GPU of a real server for a token, and tells why one gives none", async () => {
  const broken = { gpu: "cpu:1", name: "broken", engine: { model: "/none/x.gguf" } };
  const engine = { simulated: { load_seconds: 0 } };
  assert.deepEqual(await tryGpus(ROOT, { gpu: { devices: ["simulated:1", broken] }, engine }), [
    { name: "Simulated device 0", fault: null },
    { name: "broken", fault: "The model file /none/x.gguf does not exist." },
  ]);
  await assert.rejects(tryGpus(ROOT, { gpu: { devices: "gpu:99" } }), /The server does not start: .*gpu:99/);
});

test("the program looks at the driver first, and ends with what to install where that is too old", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1)], { driver: { version: "470.57.02" } });
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const program = join(ROOT, "bin/alt-las.js");
  const env = { PATH: process.env["PATH"]!, ...stubs.environment };
  const { code, stdout } = await runProgram(process.execPath, [program, "add-gpu", "cuda"], { cwd: ROOT, env });
  assert.equal(code, 1);
  assert.match(stdout, /^NVIDIA's driver is 470\.57\.02, and CUDA needs 525 or later\.\nInstall NVIDIA's driver 580/);
});
