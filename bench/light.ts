/** What this checkout takes at its start and at rest, beside another one: both are started by turns, so that noise meets both. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startChild } from "./child.ts";
import { endedChildrenCpu } from "./cpu-time.ts";
import { AT_REST, treeCpu, treeMemory } from "./peers/running.ts";
import { type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { nodeOf, startServer } from "./server.ts";

const MIB = 2 ** 20;

interface Found {
  /** Seconds of processor time of `alt-las version`. */
  readonly version: number;
  /** Seconds of processor time of the server until it is ready, and of its worker. */
  readonly startCpu: number;
  /** Seconds until it is ready. */
  readonly ready: number;
  /** MiB resident at rest, of the server alone, and with its workers. */
  readonly server: number;
  readonly all: number;
}

/** @throws {Error} when no other checkout was named */
export async function light({ quick, checkout }: Extent): Promise<Section> {
  if (checkout === undefined) throw new Error("say with --checkout FOLDER what to compare with; it needs its npm ci");
  const programs = { ours: join(import.meta.dirname, ".."), theirs: resolve(checkout) };
  await using started = new AsyncDisposableStack();
  const upstream = started.adopt(startChild("upstream.ts", process.env), (child) => child.stop());
  const url = `http://127.0.0.1:${await upstream.ask<number>({})}`;
  const cases = [0, 1, 64].map((upstreams) => ({ upstreams, ours: [] as Found[], theirs: [] as Found[] }));
  // The first round fills the caches of compiled code.
  for (let round = 0; round <= (quick ? 1 : 7); round++)
    for (const { upstreams, ...found } of cases)
      for (const side of ["theirs", "ours"] as const) {
        const one = await measure(programs[side], url, upstreams);
        if (round > 0) found[side].push(one);
      }
  const rows = cases.flatMap(({ upstreams, ours, theirs }) => [
    rowOf("this checkout", upstreams, ours),
    rowOf("the other", upstreams, theirs),
  ]);
  const one = cases[1]!;
  const [, router, many] = cases.map(({ ours }) => median(ours.map(({ all }) => all)));
  return {
    name: "light",
    about:
      "Starts of this checkout and of another, by turns: processor time of `alt-las version`, of a server until the first 200 of /readyz, and " +
      `what is resident ${AT_REST / 1000} s later, with one simulated GPU (0 upstreams) or so many openai engines that ask one server; medians.`,
    rows,
    bars: [
      {
        what: "seconds of processor time of version",
        measured: median(one.ours.map(({ version }) => version)),
        atMost: 0.15,
      },
      { what: "time to ready, ratio", measured: ratio(one, ({ ready }) => ready), atMost: 0.6 },
      { what: "processor time to ready, ratio", measured: ratio(one, ({ startCpu }) => startCpu), atMost: 0.6 },
      { what: "MiB of an idle server", measured: median(cases[0]!.ours.map(({ server }) => server)), atMost: 120 },
      { what: "MiB of a router of one upstream, in all", measured: router!, atMost: 190 },
      { what: "MiB of 64 upstreams beyond those of one", measured: many! - router!, atMost: 100 },
    ].map((bar) => ({ ...bar, measured: rounded(bar.measured, 3) })),
  };
}

function ratio({ ours, theirs }: Record<"ours" | "theirs", readonly Found[]>, of: (found: Found) => number): number {
  return median(ours.map(of)) / median(theirs.map(of));
}

function rowOf(side: string, upstreams: number, found: readonly Found[]): Row {
  const of = (figure: (one: Found) => number, digits: number): number => rounded(median(found.map(figure)), digits);
  return {
    upstreams,
    side,
    "version, CPU s": of(({ version }) => version, 2),
    "ready after s": of(({ ready }) => ready, 2),
    "CPU s until then": of(({ startCpu }) => startCpu, 2),
    "server, MiB": of(({ server }) => server, 0),
    "with workers, MiB": of(({ all }) => all, 0),
  };
}

async function measure(checkout: string, url: string, upstreams: number): Promise<Found> {
  const program = join(checkout, "bin", "alt-las.js");
  const version = cpuOf(program);
  const remote = { engine: { kind: "openai", url } };
  const devices = Array.from({ length: upstreams }, (_, i) => ({ name: `upstream-${i}`, slots: 8, ...remote }));
  const config = upstreams === 0 ? {} : { gpu: { devices } };
  const server = await startServer({ config, program, ...(upstreams === 0 && { devices: "simulated:1" }) });
  try {
    const startCpu = treeCpu(server.pid);
    await sleep(AT_REST);
    const all = treeMemory(server.pid) / MIB;
    return { version, startCpu, ready: server.readyAfter / 1000, server: residentOf(server.pid) / MIB, all };
  } finally {
    await server.stop();
  }
}

/** Seconds of processor time of `alt-las version`. */
function cpuOf(program: string): number {
  const before = endedChildrenCpu();
  const { status } = spawnSync(nodeOf(program), [program, "version"]);
  if (status !== 0) throw new Error(`${program} version ended with ${status}`);
  return endedChildrenCpu() - before;
}

function residentOf(pid: number): number {
  const [, kilobytes = "0"] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}
