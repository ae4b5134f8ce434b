/** What the engine makes of a llama.cpp server that fails, with a stand-in that fails as it is told to. */
import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Engine, type EngineEnd, type EngineOptions } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/open.ts";
import type { StandInFault, StandInFaults } from "../helpers/fake-llama-server.ts";
import { abortAll, LLAMA, refused, started, watch } from "../helpers/engines.ts";
import { Program } from "../helpers/llama-server.ts";

const REFUSAL = (message: string) => JSON.stringify({ error: { code: 500, message, type: "server_error" } });

function engineOn(binary: string, changes: Partial<EngineOptions> = {}): Promise<Engine> {
  return createEngine({ ...LLAMA, kind: "llama-server", binary, ...changes }, 0);
}

/** Opens a stand-in and an engine on it, and closes both. */
const CUT = { kind: "cut", after: 1 } as const;

async function withEngine(
  faults: StandInFaults,
  use: (engine: Engine, program: Program) => Promise<void>,
  changes?: Partial<EngineOptions>,
): Promise<void> {
  await using program = await Program.standIn(faults);
  const engine = await engineOn(program.path, changes);
  try {
    await engine.load();
    await use(engine, program);
  } finally {
    await engine.stop();
  }
}

/** How loading ends that has to fail. */
async function loadFailure(binary: string, changes?: Partial<EngineOptions>) {
  const engine = await engineOn(binary, changes);
  const error = await refused(engine.load());
  await engine.stop();
  return { code: error.code, message: error.message.replaceAll(binary, "PROGRAM") };
}

async function loadFailureOf(faults: StandInFaults, changes?: Partial<EngineOptions>) {
  await using program = await Program.standIn(faults);
  return await loadFailure(program.path, changes);
}

/** What happened, in its order. */
async function events(engine: Engine, texts: readonly string[], sentences: EngineEnd[] = []): Promise<string[]> {
  const said: string[] = [];
  void engine.gone!.then((end) => void (said.push("gone"), sentences.push(end)));
  const tasks = texts.map((text) => watch(engine, text, 4000));
  const failed = tasks.map(async ({ outcome }) => said.push((await refused(outcome)).code));
  await Promise.all(failed);
  return said;
}

/** The values of these arguments that an engine with these options starts its program with. */
async function valuesOf(changes: Partial<EngineOptions>, names: readonly string[]) {
  await using program = await Program.standIn();
  const engine = await engineOn(program.path, changes);
  await engine.load();
  await engine.stop();
  return await Promise.all(names.map((name) => program.value(name)));
}

describe("a server that counts no tokens", () => {
  const pages = { "/tokenize": { status: 500, body: REFUSAL("I do not count.") } };

  it("is not asked for those of a text without anything that looks like a special token", () =>
    withEngine(
      { pages },
      async (engine) => {
        const { promptTokens, completionTokens } = await watch(engine, "Good morning, 7 (seven) cats!", 5).outcome;
        assert.deepEqual([promptTokens, completionTokens], [8, 5]);
      },
      { raw: true },
    ));

  it("is asked once how a prompt begins, for which it is asked again when it could not say", () =>
    withEngine({ pages }, async (engine) => {
      for (const text of ["One", "Two"]) {
        const error = await refused(watch(engine, text, 5).outcome);
        assert.equal(error.message, "llama-server refused the task: I do not count.");
      }
    }));

  const asked = {
    "a special token": ["a <|endoftext|> b", 5],
    brackets: ["[1]", 5],
    "no room in any case": ["cat", 4090],
  } as const;
  for (const [what, [text, maxLength]] of Object.entries(asked)) {
    it(`fails a text with ${what}, which it has to count`, () =>
      withEngine({ pages }, async (engine) => {
        const error = await refused(watch(engine, text, maxLength).outcome);
        assert.equal(error.message, "llama-server refused the task: I do not count.");
      }));
  }
});

describe("a task that the server does not do", () => {
  const refusals: readonly [name: string, fault: StandInFault, code: string, message: string][] = [
    [
      "no room",
      { kind: "refuse", status: 503, body: REFUSAL("no slot available") },
      "gpu_full",
      "llama-server has no room now: no slot available.",
    ],
    [
      "an error of its own",
      { kind: "refuse", status: 500, body: REFUSAL("Compute error.") },
      "model_error",
      "llama-server refused the task: Compute error.",
    ],
    [
      "too little memory",
      { kind: "refuse", status: 500, body: REFUSAL("failed to allocate CUDA0 buffer") },
      "out_of_memory",
      "llama-server refused the task: failed to allocate CUDA0 buffer.",
    ],
    [
      "a task that it does not like",
      { kind: "refuse", status: 400, body: REFUSAL("invalid prompt") },
      "model_error",
      "llama-server refused the task: invalid prompt.",
    ],
    [
      "an error in the middle",
      { kind: "say", data: REFUSAL("Context size has been exceeded."), after: 3 },
      "model_error",
      "llama-server refused the task: Context size has been exceeded.",
    ],
    [
      "garbage",
      { kind: "say", data: "<html>", after: 3 },
      "gpu_lost",
      "llama-server failed: it sent what makes no sense: <html>.",
    ],
    [
      "an event of another protocol",
      { kind: "say", data: '{"choices":[]}', after: 3 },
      "gpu_lost",
      'llama-server failed: it sent what makes no sense: {"choices":[]}.',
    ],
    [
      "a page instead of a stream",
      { kind: "refuse", status: 200, body: "Welcome" },
      "gpu_lost",
      "llama-server failed: Welcome.",
    ],
    ["a broken connection", { kind: "cut", after: 3 }, "gpu_lost", "llama-server failed: it closed the connection."],
    [
      "an answer without an end",
      { kind: "end", after: 3 },
      "gpu_lost",
      "llama-server failed: it ended its answer before that was complete.",
    ],
  ];
  let program: Program;
  let engine: Engine;
  before(async () => {
    program = await Program.standIn({
      tasks: {
        ...Object.fromEntries(refusals.map(([name, fault]) => [name, fault])),
        "too many": { kind: "refuse", status: 429, headers: { "retry-after": "7" }, body: "{}" },
        slow: { kind: "slow", pause: 60 },
      },
    });
    engine = await engineOn(program.path);
    await engine.load();
  });
  after(async () => {
    await engine.stop();
    await program[Symbol.asyncDispose]();
  });

  for (const [name, , code, message] of refusals) {
    it(`${name}: ${code}, and the server goes on`, async () => {
      const other = await started(engine, "another", 50, 1);
      const error = await refused(watch(engine, name, 10).outcome);
      assert.deepEqual([error.code, error.message], [code, message]);
      assert.equal((await other.outcome).completionTokens, 50);
      assert.equal((await watch(engine, "another", 10).outcome).finishReason, "length");
    });
  }

  it("says after how many seconds there may be room, if the server does", async () => {
    const { code, retryAfter } = await refused(watch(engine, "too many", 10).outcome);
    assert.deepEqual([code, retryAfter], ["gpu_full", 7]);
  });

  it("a slow answer is waited for", async () => {
    assert.equal((await watch(engine, "slow", 5).outcome).completionTokens, 5);
  });
});

describe("a task that stalls", () => {
  it("is given up, while the others get on", () =>
    withEngine(
      { tasks: { trouble: { kind: "stall", after: 3 } } },
      async (engine) => {
        const stalled = watch(engine, "trouble", 10);
        const other = watch(engine, "another", 100);
        const { code, message } = await refused(stalled.outcome);
        assert.equal(code, "gpu_lost");
        assert.equal(message, "llama-server failed: it did not send the next piece of its answer within 0.3 s.");
        assert.equal(stalled.tokens, 3);
        assert.equal((await other.outcome).completionTokens, 100);
      },
      { patience: { firstByte: 60, token: 0.3 } },
    ));
});

describe("an answer that is complete", () => {
  it("is taken without what comes behind it, and without its end", () => {
    const data = JSON.stringify({ stop: true, stop_type: "eos", tokens_predicted: 3, tokens_evaluated: 2 });
    return withEngine({ tasks: { trouble: { kind: "say", data, after: 2 } } }, async (engine) => {
      // It would go on for seconds.
      const task = watch(engine, "trouble", 4000);
      const { finishReason, completionTokens } = await task.outcome;
      assert.deepEqual([finishReason, completionTokens, task.text.split(" ").length], ["stop", 2, 2]);
    });
  });
});

describe("a server that is gone", () => {
  it("says so before the tasks that it had are lost, when its process is killed", () =>
    withEngine({ tasks: { trouble: { kind: "die", after: 5 } } }, async (engine) => {
      const ends: EngineEnd[] = [];
      const said = await events(engine, ["one", "two", "trouble"], ends);
      assert.deepEqual(said, ["gone", "gpu_lost", "gpu_lost", "gpu_lost"]);
      assert.deepEqual(ends, [{ sentence: "The llama-server process ended (SIGKILL).", crashed: true }]);
      const { code, message } = await refused(watch(engine, "more", 1).outcome);
      assert.deepEqual([code, message], ["gpu_lost", ends[0]!.sentence]);
    }));

  it("when it does not answer any more, and is killed then", async () => {
    const patience = { firstByte: 60, token: 0.3 };
    await using program = await Program.standIn({ tasks: { trouble: { kind: "freeze", after: 5 } } });
    const engine = await engineOn(program.path, { patience });
    const { over } = program.life();
    await engine.load();
    const ends: EngineEnd[] = [];
    assert.deepEqual(await events(engine, ["one", "trouble"], ends), ["gone", "gpu_lost", "gpu_lost"]);
    const sentence = "The llama-server process did not answer any more and was killed.";
    assert.deepEqual(ends, [{ sentence, crashed: true }]);
    await over;
    await engine.stop();
  });

  it("when it fails three times without a success between, and then cannot generate a token either", () =>
    withEngine({ spared: 1, tasks: { trouble: CUT, Hello: { kind: "cut", after: 0 } } }, async (engine) => {
      for (const text of ["trouble", "trouble", "success", "trouble", "trouble"])
        await watch(engine, text, 5).outcome.catch(() => {});
      assert.equal((await watch(engine, "success", 5).outcome).completionTokens, 5);
      for (let failures = 0; failures < 3; failures++) await refused(watch(engine, "trouble", 5).outcome);
      const sentence =
        "llama-server failed 3 times in a row, and then when it was asked for one token; the last task failed so: it closed the connection.";
      assert.deepEqual(await engine.gone, { sentence, crashed: false });
    }));
});

describe("a server that computes nonsense", () => {
  const data = JSON.stringify({
    tokens_predicted: 1,
    content: "!",
    completion_probabilities: [{ id: 0, logprob: null }],
  });
  const Hello = { kind: "say", data, after: 0 } as const;

  it("is refused when it is loaded", async () => {
    const { code, message } = await refused(withEngine({ tasks: { Hello } }, async () => {}));
    assert.equal(code, "model_error");
    assert.match(message, /failed when it was asked for one token: it computed nonsense: .*\(NaN\)\.$/);
  });

  it("completes no task with it later, and takes no more", () =>
    withEngine({ spared: 1, tasks: { Hello } }, async (engine) => {
      assert.equal((await refused(watch(engine, "Hello", 4).outcome)).code, "gpu_lost");
      assert.match((await engine.gone!).sentence, /^llama-server failed: it computed nonsense/);
      assert.equal((await refused(watch(engine, "another", 4).outcome)).code, "gpu_lost");
    }));
});

describe("a task that fails again and again", () => {
  it("does not end a server that can generate a token, nor what others have there", () =>
    withEngine({ tasks: { trouble: CUT } }, async (engine) => {
      const other = await started(engine, "a long one", 4000, 1);
      for (let failures = 0; failures < 7; failures++) await refused(watch(engine, "trouble", 5).outcome);
      assert.equal((await watch(engine, "success", 5).outcome).completionTokens, 5);
      assert.equal(other.ended, false);
      await abortAll([other]);
    }));
});

describe("a program that cannot be used", () => {
  it("is not there, or is none: the sentence names engine.binary", async () => {
    const directory = await mkdtemp(join(tmpdir(), "alt-las-program-"));
    const text = join(directory, "text");
    await writeFile(text, "no program", { mode: 0o600 });
    const cases: readonly [binary: string, why: RegExp][] = [
      ["no-such-llama-server", /^engine\.binary is PROGRAM, but no program of that name is on PATH; /],
      [join(directory, "nothing"), /^engine\.binary is PROGRAM, which does not exist\.$/],
      [directory, /^engine\.binary is PROGRAM, which is not a file\.$/],
      [text, /^engine\.binary is PROGRAM, which is not executable\.$/],
    ];
    for (const [binary, why] of cases) {
      const { code, message } = await loadFailure(binary);
      assert.equal(code, "model_error");
      assert.match(message, why);
    }
    await rm(directory, { recursive: true });
  });

  it("is another server", async () => {
    const html = { status: 404, body: "<h1>Not Found</h1>" };
    assert.deepEqual(await loadFailureOf({ pages: { "/health": html } }), {
      code: "model_error",
      message: "engine.binary is PROGRAM, which is no llama-server: its /health answers 404.",
    });
    for (const body of ['{"total_slots":1}', "hi"]) {
      const { message } = await loadFailureOf({ pages: { "/props": { status: 200, body } } });
      assert.match(message, /no llama-server: its \/props does not tell its slots and context\.$/);
    }
  });

  it("is no server at all, and says nothing", async () => {
    const directory = await mkdtemp(join(tmpdir(), "alt-las-program-"));
    const mute = join(directory, "mute");
    await writeFile(mute, '#!/bin/sh\n[ "$1" = --list-devices ] || exec sleep 1000\n', { mode: 0o700 });
    const failure = await loadFailure(mute, { patience: { firstByte: 0.2, token: 30 } });
    const message = "engine.binary is PROGRAM, which is no llama-server: it did not answer within 0.2 s.";
    assert.deepEqual(failure, { code: "model_error", message });
    await rm(directory, { recursive: true });
  });

  it("ends while it loads, and says why", async () => {
    const words = [
      "0.00.008.554 E llama_model_load: error loading model: unknown model architecture: 'new'",
      "0.00.008.568 E llama_model_load_from_file_impl: failed to load model",
      "0.00.008.819 E srv  llama_server: exiting due to model loading error",
    ].join("\n");
    const { code, message } = await loadFailureOf({ load: { words } });
    assert.equal(code, "model_error");
    assert.equal(
      message,
      `PROGRAM ended (exit code 1) while it loaded the model file ${LLAMA.model}: unknown model architecture: 'new'.`,
    );
  });

  it("has too little memory: that may be otherwise later", async () => {
    const words = "0.04.061 E ggml_aligned_malloc: insufficient memory (attempted to allocate 64000.00 MB)";
    const { code, message } = await loadFailureOf({ load: { words } });
    assert.equal(code, "out_of_memory");
    assert.match(message, /: insufficient memory \(attempted to allocate 64000\.00 MB\)\.$/);
  });

  it("is killed while it loads: nothing is said against the model", async () => {
    const { code, message } = await loadFailureOf({ load: { words: "loading", signal: "SIGKILL" } });
    assert.equal(code, "gpu_lost");
    assert.match(message, /^PROGRAM ended \(SIGKILL\) while it loaded the model file .*: loading\.$/);
  });

  it("is no GPU's: it is not started where it would compute on something else", async () => {
    assert.deepEqual(await loadFailureOf({}, { backend: "cuda" }), {
      code: "model_error",
      message: "PROGRAM was to use cuda, but it finds no GPU; it may be built for something else.",
    });
    const devices = ["Vulkan0: NVIDIA H100 (81110 MiB, 80000 MiB free)"];
    const { message } = await loadFailureOf({ devices }, { backend: "cuda" });
    assert.match(message, /was to use cuda, but it finds Vulkan0 \(NVIDIA H100\); /);
  });
});

describe("what the program is started with", () => {
  it("has our slots, each with its context", async () => {
    const names = ["--model", "--parallel", "--ctx-size", "--device", "--n-gpu-layers"];
    const values = await valuesOf({ slots: 3, context: 1000 }, names);
    assert.deepEqual(values, [LLAMA.model, "3", "3000", "none", "0"]);
  });

  it("computes as the configuration says", async () => {
    const tuning = {
      threads: 3,
      cores: 7,
      prefillChunk: 64,
      batchSize: 100,
      flashAttention: true,
      kvCacheType: "q8_0",
    } as const;
    const names = ["--threads", "--batch-size", "--flash-attn", "--cache-type-k", "--cache-type-v"];
    assert.deepEqual(await valuesOf({ tuning, slots: 4 }, names), ["3", "68", "on", "q8_0", "q8_0"]);
  });

  it("chooses itself where the configuration says nothing", async () => {
    const tuning = { ...LLAMA.tuning, threads: null, cores: 5 };
    const names = ["--threads", "--batch-size", "--flash-attn", "--cache-type-k"];
    assert.deepEqual(await valuesOf({ tuning }, names), ["5", "128", "", "f16"]);
  });

  it("is given the GPUs of its own backend by their names, and all layers", async () => {
    const devices = [
      "CUDA0: NVIDIA H100 80GB HBM3 (81110 MiB, 80000 MiB free)",
      "CUDA1: NVIDIA H100 80GB HBM3 (81110 MiB, 80000 MiB free)",
      "Vulkan0: NVIDIA H100 80GB HBM3 (81110 MiB, 80000 MiB free)",
    ];
    await withEngine(
      { devices },
      async (engine, program) => {
        const info = await engine.load();
        assert.deepEqual([info.devices, info.backend], [["CUDA0", "CUDA1"], "cuda"]);
        assert.equal(info.device, "NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3");
        assert.equal(await program.value("--device"), "CUDA0,CUDA1");
        assert.equal(await program.value("--n-gpu-layers"), "999");
      },
      { backend: "cuda" },
    );
  });

  it("says what it was started with, and why", () =>
    withEngine({}, async (engine, { path }) => {
      const { settings } = await engine.load();
      assert.deepEqual(settings[0], {
        name: "binary",
        value: path,
        reason: "as engine.binary has it; it is llama-server stand-in",
      });
      const names = new Set(settings.map(({ name }) => name));
      for (const name of ["threads", "batch_size", "context", "slots"]) assert(names.has(name), name);
    }));
});

describe("stopping", () => {
  it("ends a program that is still loading, with all that it had", async () => {
    await using program = await Program.standIn({ loadsForEver: true });
    const { begun, over } = program.life();
    const engine = await engineOn(program.path);
    const loading = refused(engine.load());
    await begun;
    const directory = dirname(await program.value("--host"));
    assert((await stat(directory)).isDirectory());
    await engine.stop();
    await over;
    assert.equal((await loading).code, "gpu_lost");
    await assert.rejects(stat(directory), { code: "ENOENT" });
  });

  it("starts nothing any more when it comes before", async () => {
    const engine = await engineOn("no-such-llama-server");
    const loading = refused(engine.load());
    await engine.stop();
    await loading;
  });
});
