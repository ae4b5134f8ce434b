/** Which GPUs CUDA shows, asked by a child process for each question: CUDA reads the environment when it starts, and only once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sameGpu, visibleCudaGpus } from "../src/gpu/worker/cuda.ts";
import {
  type GpuStubs,
  gpuStubs,
  NO_GPU_STUBS,
  stubGpu,
  type StubGpu,
  stubMig,
  type StubDriver,
  type StubVariant,
  WITHOUT_KOFFI,
} from "./helpers/gpu-stubs.ts";
import { type Ran, runProgram } from "./helpers/server.ts";

type Environment = Readonly<Record<string, string>>;

const A = stubGpu(1);
const B = stubGpu(2);
const C = stubGpu(3);
const ALL = [A.uuid, B.uuid, C.uuid];

const ASK = `
  import { visibleCudaGpus } from ${JSON.stringify(import.meta.resolve("../src/gpu/worker/cuda.ts"))};
  console.log(JSON.stringify(await visibleCudaGpus().catch((error) => error.message)));
`;

interface Machine {
  readonly gpus?: readonly StubGpu[];
  readonly driver?: StubDriver;
  readonly variant?: StubVariant;
}

/** What a process with this environment is shown, or the sentence that it gets instead. */
type Ask = (environment?: Environment) => Promise<readonly string[] | string | null>;

function withCuda(name: string, { gpus = [A, B, C], ...machine }: Machine, body: (ask: Ask) => Promise<void>): void {
  test(name, async (t) => {
    const stubs: GpuStubs | null = await gpuStubs(t, gpus, machine);
    if (stubs === null) return t.skip(NO_GPU_STUBS);
    await body(async (environment = {}) => answerOf(await askIn({ ...stubs.environment, ...environment })));
  });
}

function askIn(env: Environment): Promise<Ran> {
  return runProgram(process.execPath, ["--input-type=module", "--eval", ASK], { cwd: import.meta.dirname, env });
}

function answerOf({ code, stdout, stderr }: Ran): Awaited<ReturnType<Ask>> {
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Awaited<ReturnType<Ask>>;
}

withCuda("without a selection CUDA shows every GPU", {}, async (ask) => {
  assert.deepEqual(await ask(), ALL);
});

withCuda("CUDA's order is by bus id only when it is told so", { gpus: [C, A, B] }, async (ask) => {
  assert.deepEqual(await ask(), [C.uuid, A.uuid, B.uuid]);
  assert.deepEqual(await ask({ CUDA_DEVICE_ORDER: "PCI_BUS_ID" }), ALL);
  assert.deepEqual(await ask({ CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: "2,0" }), [C.uuid, A.uuid]);
});

withCuda("a process sees the GPUs it was given by UUID, also by a short one", {}, async (ask) => {
  assert.deepEqual(await ask({ CUDA_VISIBLE_DEVICES: B.uuid }), [B.uuid]);
  assert.deepEqual(await ask({ CUDA_VISIBLE_DEVICES: `${C.uuid},${A.uuid.slice(0, 12)}` }), [C.uuid, A.uuid]);
});

withCuda("a process that may see no GPU sees none", {}, async (ask) => {
  assert.deepEqual(await ask({ CUDA_VISIBLE_DEVICES: "" }), []);
  assert.deepEqual(await ask({ CUDA_VISIBLE_DEVICES: "GPU-00000000" }), []);
});

withCuda("a GPU that is lost is not shown", { gpus: [A, { ...B, state: "lost" }] }, async (ask) => {
  assert.deepEqual(await ask(), [A.uuid]);
  assert.deepEqual(await ask({ CUDA_VISIBLE_DEVICES: B.uuid }), []);
});

withCuda("a worker that was given another GPU can tell", {}, async (ask) => {
  const shown = await ask({ CUDA_VISIBLE_DEVICES: B.uuid, CUDA_STUB_WRONG: "1" });
  assert.deepEqual(shown, [A.uuid]);
});

const PARTS = [stubMig(1), stubMig(2)];
const DIVIDED = stubGpu(4, { mig: PARTS });

withCuda("of a MIG device CUDA gives its own UUID", { gpus: [A, DIVIDED] }, async (ask) => {
  const shown = await ask({ CUDA_VISIBLE_DEVICES: PARTS[1]!.uuid });
  assert.ok(Array.isArray(shown) && shown.length === 1);
  assert.ok(sameGpu(shown[0], PARTS[1]!.uuid), shown[0]);
  assert.ok(!sameGpu(shown[0], PARTS[0]!.uuid));
});

withCuda("an old CUDA is asked by its older function", { variant: "old" }, async (ask) => {
  assert.deepEqual(await ask(), ALL);
});

withCuda("a CUDA driver that does not start says why", { driver: { cudaError: 803 } }, async (ask) => {
  assert.equal(
    await ask(),
    "The CUDA driver refused to start: system has unsupported display driver / cuda driver combination",
  );
});

withCuda("an error that CUDA has no words for is told by its number", { driver: { cudaError: 46 } }, async (ask) => {
  assert.equal(await ask(), "The CUDA driver refused to start: error 46");
});

test("without a CUDA driver nobody can tell", async () => {
  assert.equal(await visibleCudaGpus("/nonexistent/libcuda.so.1"), null);
});

test("without koffi nobody can tell", async (t) => {
  const stubs = await gpuStubs(t, [A]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  assert.equal(answerOf(await askIn({ ...stubs.environment, ...WITHOUT_KOFFI })), null);
});

const DIGITS = "8f6d0a1b-2c3d-4e5f-8091-a2b3c4d5e6f7";

test("UUIDs are the same GPU by their digits alone", () => {
  assert.ok(sameGpu(`GPU-${DIGITS}`, `GPU-${DIGITS.toUpperCase()}`));
  assert.ok(sameGpu(`MIG-${DIGITS}`, `GPU-${DIGITS}`));
  assert.ok(sameGpu(`MIG-GPU-${DIGITS}/1/0`, `GPU-${DIGITS}`));
  assert.ok(!sameGpu(`GPU-${DIGITS}`, `GPU-${DIGITS.replace("8f6d", "8f6e")}`));
});

test("names that are no UUIDs are compared whole", () => {
  assert.ok(sameGpu("AMD-0000000000000003", "amd-0000000000000003"));
  assert.ok(!sameGpu("AMD-0000000000000003", "AMD-0000000000000004"));
});
