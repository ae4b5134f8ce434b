/**
 * The telemetry process: asks all GPU drivers, and tells the server what they say.
 *
 * Driver libraries run here, and not in the server, because they crash and hang when a card fails. Like a worker, this process
 * belongs to its parent: it ignores the signals that a terminal or a service manager sends to the whole group, and ends at once
 * when the channel closes.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { startedModule } from "../../common/started-module.ts";
import { ignoreSignals } from "../worker/child-environment.ts";
import { openDrivers, sentenceOf } from "./drivers.ts";
import type { FromTelemetry, ToTelemetry } from "./messages.ts";
import type { Driver, Snapshot } from "./telemetry.ts";

let drivers: readonly Driver[] = [];
/** Why a driver fails at present. */
const troubles = new Map<Driver, string>();
let leaving = false;
const parent = process.ppid;

/** Resolves when the message is on its way. So a server that reads nothing for a while, such as a stopped one, is not flooded. */
function send(message: FromTelemetry): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, undefined, {}, () => resolve());
  });
}

function onMessage(message: ToTelemetry): void {
  if (message.type === "start") void start(message.interval);
  else void stop();
}

async function start(interval: number): Promise<void> {
  await once(new Worker(startedModule("./guard", import.meta.url), { workerData: parent }), "online");
  const log = {
    debug: (sentence: string) => void send({ type: "log", level: "debug", sentence }),
    info: (sentence: string) => void send({ type: "log", level: "info", sentence }),
  };
  const { drivers: opened, gpus, notes, silent } = await openDrivers({ interval, log });
  drivers = opened;
  await send({ type: "found", gpus, sources: drivers.map(({ source }) => source), notes, silent });
  if (drivers.length === 0) leave();
  else await sampleForEver(interval);
}

async function stop(): Promise<void> {
  leaving = true;
  await Promise.allSettled(drivers.map((driver) => driver.close()));
  leave();
}

/** Closes the channel, after which the process ends. */
function leave(): void {
  leaving = true;
  if (process.connected) process.disconnect();
}

/** One sample after the other: a slow driver makes them rarer, and never lets them overlap. */
async function sampleForEver(interval: number): Promise<void> {
  for (;;) {
    const started = performance.now();
    const before = sentenceOfTroubles();
    const snapshots = await Promise.all(drivers.map(sample));
    // A driver that is being closed fails, and that is no news.
    if (leaving) return;
    await send({ type: "snapshot", ...merge(snapshots) });
    const sentence = sentenceOfTroubles();
    if (sentence !== before) await send({ type: "trouble", sentence });
    await sleep(Math.max(0, started + interval - performance.now()));
  }
}

/** A driver that fails says nothing of its GPUs, and is asked again the next time. */
async function sample(driver: Driver): Promise<Snapshot> {
  try {
    const snapshot = await driver.sample();
    troubles.delete(driver);
    return snapshot;
  } catch (error) {
    troubles.set(driver, sentenceOf(error));
    return { samples: [], lost: [], events: [] };
  }
}

function merge(snapshots: readonly Snapshot[]): Snapshot {
  return {
    samples: snapshots.flatMap(({ samples }) => samples),
    lost: snapshots.flatMap(({ lost }) => lost),
    events: snapshots.flatMap(({ events }) => events),
  };
}

function sentenceOfTroubles(): string | null {
  return troubles.size > 0 ? [...troubles.values()].join(" ") : null;
}

process.title = "alt-las telemetry";
process.on("message", onMessage);
ignoreSignals();
process.on("disconnect", () => {
  if (leaving) process.exit(0);
  // Processes that the drivers have started must not outlive this one, which has no time to wait: only SIGKILL ends a call that hangs.
  for (const driver of drivers) void driver.close();
  process.kill(process.pid, "SIGKILL");
});
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});
