/** A llama.cpp server and the worker that has started it: whatever ends one of them ends both. Every test has real processes. */
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { describe, it } from "node:test";
import { pino } from "pino";
import { completionOf } from "../../src/request.ts";
import { type FromWorker, type ToWorker } from "../../src/gpu/worker/messages.ts";
import { useOf } from "../../src/gpu/worker/process-use.ts";
import { Gpu, type GpuEvents } from "../../src/gpu/gpu.ts";
import { ModelNames } from "../../src/gpu/models.ts";
import { forkChannel } from "../../src/gpu/worker/fork-channel.ts";
import { Mutex } from "../../src/common/mutex.ts";
import { aDevice } from "../helpers/devices.ts";
import { LLAMA } from "../helpers/engines.ts";
import { Program } from "../helpers/llama-server.ts";
import { childrenOf } from "../helpers/processes.ts";

const NO_PROC = existsSync("/proc/self/stat") ? false : "the system has no /proc";

const CHILD = new URL("../../src/gpu/worker/child.ts", import.meta.url).pathname;

/** A worker process with a program as its engine's server. */
class Worker {
  readonly process: ChildProcess;
  readonly program: Program;
  readonly said: FromWorker[] = [];
  /** All that it wrote to its standard error. */
  readonly words: Promise<string>;
  readonly exit: Promise<unknown[]>;
  /** Resolves when the program is gone. */
  readonly over: Promise<unknown>;

  constructor(program: Program) {
    this.program = program;
    this.over = program.life().over;
    this.process = fork(CHILD, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.words = textOf(this.process.stderr!);
    this.exit = once(this.process, "exit");
    this.process.on("message", (message: FromWorker) => this.said.push(message));
  }

  send(message: ToWorker): void {
    this.process.send(message);
  }

  /** Waits for a message, also one that has come already. */
  async hear<Type extends FromWorker["type"]>(
    type: Type,
    isIt: (message: Extract<FromWorker, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<FromWorker, { type: Type }>> {
    const isMeant = (message: FromWorker): message is Extract<FromWorker, { type: Type }> =>
      message.type === type && isIt(message as Extract<FromWorker, { type: Type }>);
    for (;;) {
      const found = this.said.find(isMeant);
      if (found !== undefined) return found;
      await once(this.process, "message");
    }
  }

  /** Has it generate without end, and waits for the first text. */
  async generate(run: number): Promise<void> {
    this.send({ type: "run", requests: [{ run, request: completionOf("Once", { maxTokens: 4000, temperature: 0 }) }] });
    await this.hear("step", ({ pieces }) => pieces.some((piece) => piece.run === run));
  }
}

/** Gives the test a worker that has loaded, and that is gone when the test ends. */
async function withWorker(command: () => Promise<Program>, test: (worker: Worker) => Promise<void>): Promise<void> {
  await using program = await command();
  const worker = new Worker(program);
  const engine = { ...LLAMA, kind: "llama-server", binary: program.path } as const;
  worker.send({ type: "load", gpuId: 3, engine, proveCuda: false });
  try {
    await Promise.race([worker.hear("loaded"), worker.hear("refused").then(({ sentence }) => assert.fail(sentence))]);
    await test(worker);
  } finally {
    worker.process.kill("SIGKILL");
    await worker.exit;
  }
  await worker.over;
}

/** Resolves when something is not there any more. */
async function untilRemoved(path: string): Promise<void> {
  const watcher = watch(dirname(path));
  while (existsSync(path)) await once(watcher, "change");
  watcher.close();
}

const standIn = () => Program.standIn();

describe("a worker with a llama-server", () => {
  it("leaves neither the server nor its socket behind when it is killed in the middle of a task", () =>
    withWorker(standIn, async (worker) => {
      await worker.generate(1);
      const directory = dirname(await worker.program.value("--host"));
      assert(existsSync(directory));
      worker.process.kill("SIGKILL");
      await worker.over;
      await untilRemoved(directory);
    }));

  it("ends it when it is told to stop, and leaves no child", () =>
    withWorker(standIn, async (worker) => {
      await worker.generate(1);
      worker.send({ type: "stop" });
      await worker.over;
      assert.deepEqual(await worker.exit, [0, null]);
      assert.deepEqual(childrenOf(worker.process.pid!), []);
    }));

  it("dies with it, and its last words say how", () =>
    withWorker(standIn, async (worker) => {
      await worker.generate(1);
      process.kill(await worker.program.pid(), "SIGKILL");
      assert.deepEqual(await worker.exit, [1, null]);
      assert.equal(await worker.words, "The llama-server process ended (SIGKILL).\n");
      const ended = worker.said.some((message) => message.type === "step" && message.ends.length > 0);
      assert(!ended, "its tasks were cut off, and have not failed");
    }));

  it("ends it when the guard between them is killed", () =>
    withWorker(standIn, async (worker) => {
      const [guard] = childrenOf(worker.process.pid!);
      process.kill(guard!.pid, "SIGKILL");
      await worker.over;
      assert.deepEqual(await worker.exit, [1, null]);
    }));

  it("keeps from it what is sent to a whole group of processes", () =>
    withWorker(standIn, async (worker) => {
      const [guard] = childrenOf(worker.process.pid!);
      assert.notEqual(guard!.group, worker.process.pid);
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.kill(guard!.pid, signal);
      await worker.generate(1);
    }));

  it("ends also what the program has started itself", () => {
    const shell = ["/bin/sh", "-c", '"$@" & wait', "sh"];
    return withWorker(
      () => Program.standIn({}, shell),
      async (worker) => {
        await worker.generate(1);
        worker.send({ type: "stop" });
        await worker.over;
      },
    );
  });

  it("counts the server's time and memory as its own", { skip: NO_PROC }, () =>
    withWorker(standIn, async (worker) => {
      const pid = await worker.program.pid();
      const { residentBytes, cpuSeconds } = await worker.hear("heartbeat", ({ serverPid }) => serverPid === pid);
      const server = useOf(pid)!;
      assert(server.residentBytes > 2 ** 20 && residentBytes > server.residentBytes);
      assert(cpuSeconds > 0 && server.cpuSeconds > 0);
    }),
  );
});

describe("a GPU with a llama-server", () => {
  it("knows the server's process for its own, and starts both anew when it dies", async (t) => {
    await using program = await standIn();
    const news = new EventEmitter();
    const pids: number[] = [];
    const gpu = gpuOf(program, {
      started: (pid) => news.emit("news", pids.push(pid)),
      changed: () => news.emit("news"),
    });
    t.after(() => gpu.stop());
    const servesWith = async (count: number): Promise<void> => {
      while (gpu.state !== "ready" || pids.length < count) await once(news, "news");
    };
    gpu.start(null);
    await servesWith(2);
    const server = await program.pid();
    assert.deepEqual([gpu.instances[0]!.pids, pids[1]], [pids, server]);
    process.kill(server, "SIGKILL");
    await servesWith(4);
    const { restarts, events } = gpu.status();
    assert.equal(restarts, 1);
    const crash = events.find(({ reason }) => reason?.includes("llama-server"));
    assert.equal(
      crash?.reason,
      "The worker died (exit code 1) and is being restarted. It last said: The llama-server process ended (SIGKILL).",
    );
  });
});

function nothing(): void {}

function gpuOf({ path }: Program, events: Pick<GpuEvents, "started" | "changed">): Gpu {
  const gpu = new Gpu(
    {
      device: aDevice(),
      memory: () => null,
      memoryFreed: () => async () => {},
      estimate: async () => null,
      healthCheckInterval: 0,
      stallTimeout: 60,
      cancelTimeout: 60,
      memoryBudget: async () => null,
      footprint: () => null,
      loading: new Mutex(),
      openChannel: forkChannel,
      timing: { restartPause: 0, retryPauses: [0], healthyAfter: 300_000 },
      names: new ModelNames(),
      log: pino({ level: "silent" }),
    },
    { lost: nothing, wanted: nothing, ...events },
  );
  gpu.add({ ...LLAMA, kind: "llama-server", binary: path }, null);
  return gpu;
}

describe("what a process uses", { skip: NO_PROC }, () => {
  it("is what the process says of itself", () => {
    const { user, system } = process.cpuUsage();
    const { cpuSeconds, residentBytes } = useOf(process.pid)!;
    // The kernel shows hundredths of a second.
    assert(cpuSeconds >= (user + system) / 1e6 - 0.02);
    assert(Math.abs(residentBytes / process.memoryUsage.rss() - 1) < 0.2);
  });

  it("is not known of one that is gone", () => {
    assert.equal(useOf(2 ** 30), null);
  });
});
