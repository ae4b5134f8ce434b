/** The telemetry process and what the server makes of it, also when it fails in each way a process can. Every process is a real one. */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createLogger } from "../../src/log/log.ts";
import { openDrivers } from "../../src/gpu/telemetry/drivers.ts";
import { type FromTelemetry } from "../../src/gpu/telemetry/messages.ts";
import { DEFAULT_MONITOR_TIMING, GpuMonitor, type MonitorTiming } from "../../src/gpu/telemetry/monitor.ts";
import { type Snapshot } from "../../src/gpu/telemetry/telemetry.ts";
import { Changes } from "../helpers/changes.ts";
import { amdCard, fakeNvidiaSmi, type FakeNvidiaSmi, FakeSysfs, nvidiaGpu } from "../helpers/fake-drivers.ts";
import { gpuStubs, NO_GPU_STUBS, type StubGpu, stubGpu } from "../helpers/gpu-stubs.ts";
import { childrenOf, type Process, processes, untilGone } from "../helpers/processes.ts";
import { deadline } from "../helpers/server.ts";

const PROCESS = fileURLToPath(new URL("../../src/gpu/telemetry/process.ts", import.meta.url));
const INTERVAL = 20;
const TIMING: MonitorTiming = { ...DEFAULT_MONITOR_TIMING, restartPauses: [0, 100], stopTimeout: 1000 };

const FIRST = nvidiaGpu(1);
const SECOND = nvidiaGpu(2);
const BOTH = { gpus: [FIRST, SECOND] };

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly reason?: string;
}

const INFO = 30;
const WARN = 40;

interface WatcherOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly timing?: Partial<MonitorTiming>;
}

/** A monitor, and everything it has told. */
class Watcher {
  readonly monitor: GpuMonitor;
  readonly snapshots: Snapshot[] = [];
  readonly log: LogLine[] = [];
  readonly #changes = new Changes();

  constructor(t: TestContext, { environment = {}, timing = {} }: WatcherOptions) {
    const write = (line: string): void => {
      this.log.push(JSON.parse(line) as LogLine);
      this.#changes.tell();
    };
    const log = createLogger("debug", { write });
    this.monitor = new GpuMonitor({ interval: INTERVAL, log, environment, timing: { ...TIMING, ...timing } });
    t.after(() => this.monitor.stop());
  }

  subscribe(): void {
    this.monitor.subscribe((snapshot) => {
      this.snapshots.push(snapshot);
      this.#changes.tell();
    });
  }

  until(holds: () => boolean): Promise<void> {
    return this.#changes.until(holds);
  }

  /** Waits for a snapshot like this that comes from now on. */
  async next(isMeant: (snapshot: Snapshot) => boolean): Promise<Snapshot> {
    const from = this.snapshots.length;
    const found = (): Snapshot | undefined => this.snapshots.slice(from).find(isMeant);
    await this.until(() => found() !== undefined);
    return found()!;
  }

  said(level: number, msg: string): LogLine[] {
    return this.log.filter((line) => line.level === level && line.msg === msg);
  }
}

/** Puts `smi` first on the PATH. */
function pathTo({ folder }: FakeNvidiaSmi): Readonly<Record<string, string>> {
  return { PATH: `${folder}:${process.env["PATH"]}` };
}

/** A watcher of two GPUs, which nvidia-smi lists. */
async function watchTwo(t: TestContext, timing: Partial<MonitorTiming> = {}) {
  const smi = fakeNvidiaSmi(t, BOTH);
  const watcher = new Watcher(t, { environment: pathTo(smi), timing });
  const found = await watcher.monitor.start();
  watcher.subscribe();
  return { smi, watcher, found };
}

function uuidsOf(things: readonly { readonly uuid: string }[]): string[] {
  return things.map(({ uuid }) => uuid);
}

const hasBoth = ({ samples }: Snapshot): boolean => samples.length === 2;
const lacksBoth = ({ lost }: Snapshot): boolean => lost.length === 2;

/** Makes a process run this before anything else. */
function preload(code: string): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}

const HANG = preload("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)");

test("GPUs are found once, and then sampled over and over", async (t) => {
  const { watcher, found } = await watchTwo(t);
  assert.deepEqual(uuidsOf(found.gpus), [FIRST.uuid, SECOND.uuid]);
  assert.equal(found.failure, null);
  for (let i = 0; i < 3; i++) {
    const { samples, lost } = await watcher.next(hasBoth);
    assert.deepEqual([uuidsOf(samples), lost], [[FIRST.uuid, SECOND.uuid], []]);
  }
  assert.equal(watcher.monitor.trouble, null);
});

test("where NVML cannot be used and nvidia-smi can, it is said once why", async (t) => {
  const { watcher, found } = await watchTwo(t);
  await watcher.next(hasBoth);
  const said = watcher.log.filter(({ level, msg }) => level === INFO && msg.includes("nvidia-smi"));
  assert.equal(said.length, 1);
  assert.match(said[0]!.msg, /^NVIDIA GPUs are read through nvidia-smi, which tells less than NVML\. .+/);
  assert.ok(found.notes.some((note) => said[0]!.msg.endsWith(note)));
});

test("where there is no driver, nothing is found, each reason is known, and no process stays", async (t) => {
  const watcher = new Watcher(t, { environment: { PATH: "" } });
  const found = await watcher.monitor.start();
  if (found.gpus.length > 0) return t.skip("this machine has a GPU");
  assert.deepEqual([found.gpus, found.failure], [[], null]);
  assert.equal(found.notes.length, 3, found.notes.join());
  for (const note of found.notes) assert.match(note, /^\S.*\.$/s);
  await untilGone(({ parent, command }) => parent === process.pid && command.includes("telemetry"), deadline());
  assert.deepEqual([watcher.monitor.trouble, watcher.said(WARN, "GPU drivers fail")], [null, []]);
});

test("a process that is killed is replaced, and its GPUs are sampled again", async (t) => {
  const { watcher } = await watchTwo(t);
  await watcher.next(hasBoth);
  const { pid } = watcher.monitor;
  process.kill(pid!, "SIGKILL");
  await watcher.until(() => watcher.monitor.trouble !== null);
  assert.match(watcher.monitor.trouble!, /^The telemetry process died \(SIGKILL\) and is started again\./);
  await watcher.until(() => watcher.monitor.trouble === null);
  const { samples, lost, events } = await watcher.next(hasBoth);
  assert.deepEqual([uuidsOf(samples), lost, events], [[FIRST.uuid, SECOND.uuid], [], []]);
  assert.notEqual(watcher.monitor.pid, pid);
  assert.equal(watcher.said(WARN, "GPU drivers fail").length, 1);
});

test("a GPU that is missing after a restart is lost until it is there again", async (t) => {
  const { smi, watcher } = await watchTwo(t);
  await watcher.next(hasBoth);
  smi.write({ gpus: [SECOND] });
  process.kill(watcher.monitor.pid!, "SIGKILL");
  const lost = [{ uuid: FIRST.uuid, reason: "It is no longer listed by its driver." }];
  assert.deepEqual((await watcher.next((each) => each.samples.length === 0)).lost, lost, "at once");
  assert.deepEqual((await watcher.next((each) => each.samples.length === 1)).lost, lost, "and with every sample");
  smi.write(BOTH);
  assert.deepEqual((await watcher.next(hasBoth)).lost, []);
});

test("GPUs that are all missing after a restart are looked for again and again", async (t) => {
  const { smi, watcher } = await watchTwo(t);
  await watcher.next(hasBoth);
  smi.write({ gpus: [] });
  process.kill(watcher.monitor.pid!, "SIGKILL");
  await watcher.next(lacksBoth);
  await watcher.next(lacksBoth);
  assert.equal(watcher.monitor.trouble, null, "the process itself has done its work");
  smi.write(BOTH);
  assert.deepEqual((await watcher.next(hasBoth)).lost, []);
});

test("a process that hangs while it samples is noticed and replaced", async (t) => {
  const { watcher } = await watchTwo(t, { patience: 1600 });
  await watcher.next(hasBoth);
  process.kill(watcher.monitor.pid!, "SIGSTOP");
  await watcher.until(() => watcher.monitor.trouble !== null);
  assert.match(watcher.monitor.trouble!, /gave no answer for 2 s, as when a driver hangs, and was killed/);
  await watcher.next(hasBoth);
});

test("a process that hangs before it has found anything is given up, with the reason", async (t) => {
  const watcher = new Watcher(t, { environment: HANG, timing: { findTimeout: 1000 } });
  const found = await watcher.monitor.start();
  const failure =
    "The telemetry process gave no answer for 1 s, as when a driver hangs, and was killed, so no GPU is known.";
  assert.deepEqual(found, { gpus: [], sources: [], notes: [failure], failure });
  assert.deepEqual([watcher.monitor.trouble, watcher.monitor.pid], [failure, null]);
});

test("a process that crashes before it has found anything is not taken for a machine without GPUs", async (t) => {
  const crash = preload("console.error('a driver crashed'); process.kill(process.pid, 'SIGSEGV')");
  const { failure } = await new Watcher(t, { environment: crash }).monitor.start();
  assert.match(failure!, /^The telemetry process died \(SIGSEGV\), so no GPU is known\. .*a driver crashed$/);
});

test("a driver that fails is told once, and again when it works", async (t) => {
  const { smi, watcher } = await watchTwo(t);
  await watcher.next(hasBoth);
  smi.write({ ...BOTH, failure: { text: "Failed to initialize NVML: Driver/library version mismatch", code: 18 } });
  await watcher.until(() => watcher.monitor.trouble !== null);
  assert.match(watcher.monitor.trouble!, /version mismatch/);
  const { samples, lost } = await watcher.next(() => true);
  assert.deepEqual([samples, lost], [[], []], "nothing is known of its GPUs, and that is all");
  smi.write(BOTH);
  await watcher.next(hasBoth);
  await watcher.until(() => watcher.monitor.trouble === null);
  assert.equal(watcher.said(WARN, "GPU drivers fail").length, 1);
  assert.equal(watcher.said(INFO, "GPU drivers answer again").length, 1);
});

test("who listens late still hears what the GPUs were like", async (t) => {
  const smi = fakeNvidiaSmi(t, BOTH);
  const watcher = new Watcher(t, { environment: pathTo(smi) });
  await watcher.monitor.start();
  const earlier = new Watcher(t, {});
  watcher.monitor.subscribe((snapshot) => earlier.snapshots.push(snapshot));
  watcher.subscribe();
  await watcher.next(hasBoth);
  assert.ok(earlier.snapshots.length > 0);
});

test("a stop leaves no process, not even one that a driver has started, and may come twice", async (t) => {
  const { watcher } = await watchTwo(t);
  await watcher.next(hasBoth);
  const pid = watcher.monitor.pid!;
  const started = [pid, ...childrenOf(pid).map((child) => child.pid)];
  assert.equal(started.length, 3, "the process, and nvidia-smi twice");
  await Promise.all([watcher.monitor.stop(), watcher.monitor.stop()]);
  await watcher.monitor.stop();
  assert.deepEqual(
    processes().filter((each) => started.includes(each.pid)),
    [],
  );
  assert.equal(watcher.monitor.pid, null);
});

test("a process that hangs is stopped too, and start is answered all the same", async (t) => {
  const watcher = new Watcher(t, { environment: HANG, timing: { stopTimeout: 0 } });
  const found = watcher.monitor.start();
  await watcher.monitor.stop();
  assert.equal((await found).failure, "The server was stopped before its GPUs were found.");
  assert.deepEqual(childrenOf(process.pid), []);
});

/** A watcher of the GPUs of a stand-in for NVML; null: there is none here. */
async function watchNvml(t: TestContext, gpus: readonly StubGpu[], timing: Partial<MonitorTiming> = {}) {
  const stubs = await gpuStubs(t, gpus);
  if (stubs === null) return null;
  const watcher = new Watcher(t, { environment: { ...stubs.environment, PATH: "" }, timing });
  const found = await watcher.monitor.start();
  watcher.subscribe();
  return { stubs, watcher, found };
}

test("NVML is asked before nvidia-smi, and its GPUs come in the order of their buses", async (t) => {
  const started = await watchNvml(t, [stubGpu(7), stubGpu(3)]);
  if (started === null) return t.skip(NO_GPU_STUBS);
  const { found, watcher } = started;
  assert.deepEqual(uuidsOf(found.gpus), [stubGpu(3).uuid, stubGpu(7).uuid]);
  assert.ok(!found.notes.some((note) => note.includes("NVIDIA") || note.includes("nvidia")), found.notes.join());
  assert.equal((await watcher.next(hasBoth)).samples[0]?.energy, 1_000_000, "which nvidia-smi does not tell");
});

test("a server that was stopped for a while, like a laptop, does not take that for silence", async (t) => {
  const started = await watchNvml(t, [stubGpu(1)], { patience: 600 });
  if (started === null) return t.skip(NO_GPU_STUBS);
  const { watcher, stubs } = started;
  await watcher.next(() => true);
  const { pid } = watcher.monitor;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
  stubs.write([stubGpu(1, { temperature: 77 })]);
  await watcher.next(({ samples }) => samples[0]?.temperature === 77);
  assert.deepEqual([watcher.monitor.pid, watcher.said(WARN, "GPU drivers fail")], [pid, []]);
});

test("an event is told once, also when the process is replaced", async (t) => {
  const started = await watchNvml(t, [stubGpu(1)]);
  if (started === null) return t.skip(NO_GPU_STUBS);
  const { stubs, watcher } = started;
  const hasFailed = stubGpu(1, { events: [{ id: 1, xid: 31 }], ecc: { corrected: 5, uncorrected: 1 } });
  await watcher.next(({ samples }) => samples.length === 1);
  stubs.write([hasFailed]);
  const { events } = await watcher.next((snapshot) => snapshot.events.length > 0);
  assert.deepEqual(events, [{ type: "xid", uuid: hasFailed.uuid, xid: 31 }]);
  const { pid } = watcher.monitor;
  process.kill(pid!, "SIGKILL");
  await watcher.until(() => watcher.monitor.trouble !== null);
  const after = watcher.snapshots.length;
  await watcher.next(({ samples }) => samples.length === 1);
  await watcher.next(({ samples }) => samples.length === 1);
  assert.deepEqual(
    watcher.snapshots.slice(after).flatMap((snapshot) => snapshot.events),
    [],
  );
});

test("what happened before anybody listened is told to who listens first", async (t) => {
  const stubs = await gpuStubs(t, [stubGpu(1), stubGpu(2)]);
  if (stubs === null) return t.skip(NO_GPU_STUBS);
  const watcher = new Watcher(t, { environment: { ...stubs.environment, PATH: "" } });
  await watcher.monitor.start();
  const hasFailed = stubGpu(1, { events: [{ id: 1, xid: 79 }] });
  stubs.write([hasFailed, stubGpu(2)]);
  // The log tells when snapshots have come after that: with another number of cards NVML is started anew, and refuses at first.
  stubs.write([hasFailed], { nvmlError: 18 });
  await watcher.until(() => watcher.said(WARN, "GPU drivers fail").length > 0);
  stubs.write([hasFailed, stubGpu(2)]);
  await watcher.until(() => watcher.said(INFO, "GPU drivers answer again").length > 0);
  watcher.subscribe();
  const { events, samples } = await watcher.next(() => true);
  assert.deepEqual(events, [{ type: "xid", uuid: hasFailed.uuid, xid: 79 }]);
  assert.equal(samples.length, 2);
});

test("GPUs of several vendors stand together in the order of their buses", async (t) => {
  const sysfs = new FakeSysfs(t);
  const cards = [amdCard(2), amdCard(9)];
  for (const card of cards) sysfs.add(card);
  const smi = fakeNvidiaSmi(t, { gpus: [nvidiaGpu(1), nvidiaGpu(5)] });
  const path = process.env["PATH"];
  Object.assign(process.env, pathTo(smi));
  t.after(() => (process.env["PATH"] = path));
  const log = { debug() {}, info() {} };
  const { drivers, gpus } = await openDrivers({ interval: INTERVAL, log, sysfs: sysfs.root });
  for (const driver of drivers) t.after(() => driver.close());
  if (drivers.length !== 2 || drivers[0]!.source.startsWith("NVML")) return t.skip("this machine has a GPU");
  const buses = ["01", "02", "05", "09"].map((bus) => `0000:${bus}:00.0`);
  assert.deepEqual(
    gpus.map(({ pciBusId }) => pciBusId),
    buses,
  );
});

test("a driver that is installed and fails is told apart from one that is not there", async (t) => {
  const path = process.env["PATH"];
  t.after(() => (process.env["PATH"] = path));
  const log = { debug() {}, info() {} };
  const silentWith = async (smi: FakeNvidiaSmi | null): Promise<readonly string[] | null> => {
    process.env["PATH"] = smi === null ? "/nowhere" : pathTo(smi).PATH;
    const { drivers, silent } = await openDrivers({ interval: INTERVAL, log, sysfs: "/nowhere" });
    await Promise.all(drivers.map((driver) => driver.close()));
    return drivers.some(({ source }) => source.startsWith("NVML")) ? null : silent;
  };
  const none = await silentWith(null);
  if (none === null) return t.skip("this machine has a GPU");
  assert.deepEqual(none, []);
  assert.deepEqual(await silentWith(fakeNvidiaSmi(t, { gpus: [nvidiaGpu(1)] })), []);
  const [said, ...more] = (await silentWith(fakeNvidiaSmi(t, { gpus: [] })))!;
  assert.match(said!, /^nvidia-smi lists no GPU: /);
  assert.deepEqual(more, []);
});

/** A telemetry process without a monitor. */
async function forked(t: TestContext, smi: FakeNvidiaSmi): Promise<ChildProcess> {
  const child = fork(PROCESS, { env: { ...process.env, ...pathTo(smi) } });
  t.after(() => child.kill("SIGKILL"));
  child.send({ type: "start", interval: INTERVAL });
  for (;;) {
    const [message] = (await once(child, "message")) as [FromTelemetry];
    if (message.type === "snapshot") return child;
  }
}

test("the process ignores the signals that are meant for the server", async (t) => {
  const child = await forked(t, fakeNvidiaSmi(t, BOTH));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const) child.kill(signal);
  await once(child, "message");
  await once(child, "message");
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test("the process ends with its parent, and takes along what a driver has started", async (t) => {
  const child = await forked(t, fakeNvidiaSmi(t, BOTH));
  const started = childrenOf(child.pid!).map(({ pid }) => pid);
  assert.equal(started.length, 2);
  child.disconnect();
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  assert.deepEqual([code, signal], [null, "SIGKILL"]);
  await untilGone(({ pid }) => started.includes(pid), deadline());
});

test("the process ends with its parent also while a call of a driver's library hangs", async (t) => {
  const smi = fakeNvidiaSmi(t, BOTH);
  // It says so and hangs when the first figures are there, as in a call that does not return.
  const hang = preload(`
    const { send } = process;
    process.send = (message, ...rest) => {
      send.call(process, message, ...rest);
      if (message.type === "snapshot") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    };`);
  const code = `
    const child = require("node:child_process").fork(process.argv[1], { env: JSON.parse(process.argv[2]) });
    child.on("message", ({ type }) => type === "snapshot" && console.log(child.pid));
    child.send({ type: "start", interval: 20 });`;
  const env = JSON.stringify({ ...process.env, ...pathTo(smi), ...hang });
  const parent = spawn(process.execPath, ["-e", code, PROCESS, env], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(parent.stdout, "data")) as [Buffer];
  const isChild = ({ pid }: Process): boolean => pid === Number(said);
  t.after(() =>
    processes()
      .filter(isChild)
      .forEach(({ pid }) => process.kill(pid, "SIGKILL")),
  );
  parent.kill("SIGKILL");
  await untilGone(isChild, deadline());
});

test("the process has a name of its own, and does not get the secrets of the server's environment", async (t) => {
  process.env["OTHER_PASSWORD"] = "altlas_secret";
  t.after(() => delete process.env["OTHER_PASSWORD"]);
  const { watcher } = await watchTwo(t);
  const child = childrenOf(process.pid).find(({ pid }) => pid === watcher.monitor.pid);
  assert.equal(child?.command, "alt-las telemetry");
  if (process.platform !== "linux") return t.skip("only /proc shows the environment of a process");
  const environment = readFileSync(join("/proc", String(watcher.monitor.pid), "environ"), "utf8");
  assert.ok(environment.includes("PATH=") && !environment.includes("altlas_secret"));
});
