/** The routers that can be had here, and this project's server beside them, started and asked alike. */
import { rmSync } from "node:fs";
import { rounded, type Row, type Section } from "../report.ts";
import { startServer } from "../server.ts";
import { requestTo } from "../submit.ts";
import { UPSTREAM_MODEL } from "../upstream-words.ts";
import { type Program, reasonOf, scratch } from "./cupboard.ts";
import { type Router, ROUTERS } from "./routers.ts";
import { freePort } from "../../src/common/free-port.ts";
import { startAnswering, treeCpu } from "./running.ts";

export const OURS = "ALT_LAS";
export const HOST = "127.0.0.1";

/** A peer that is there, or why it is not. */
export interface Provided {
  readonly name: string;
  readonly version: string;
  /** null: it is there. */
  readonly missing: string | null;
}

/** A router that can be started. */
export interface Candidate {
  readonly name: string;
  readonly policy: string | null;
  /** @param upstreams ports of the servers behind it @throws {Error} it does not start */
  start(upstreams: readonly number[], slots: number): Promise<Target>;
}

/** A router that runs. */
export interface Target {
  readonly name: string;
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** Value of the `Authorization` header; the routers of others want none. */
  readonly authorization: string;
  readonly path: string;
  /** Milliseconds from the start of the process until it serves. */
  readonly readyAfter: number;
  /** Seconds of processor time until then. */
  readonly startCpu: number;
  stop(): Promise<void>;
}

export interface Shelf {
  readonly provided: readonly Provided[];
  /** This project's server comes last. */
  readonly candidates: readonly Candidate[];
}

/** Brings what can be had. @param all also what is slow */
export async function fill(all: boolean): Promise<Shelf> {
  const provided = new Map<string, Provided>();
  const candidates: Candidate[] = [];
  for (const router of ROUTERS) {
    const { name } = router;
    try {
      if (router.isSlow && !all) throw new Error("it is slow; --all brings it");
      const program = await router.provide();
      provided.set(name, { name, version: program.version, missing: null });
      candidates.push(candidateOf(router, program));
    } catch (error) {
      provided.set(name, { name, version: "–", missing: reasonOf(error) });
    }
  }
  return { provided: [...provided.values()], candidates: [...candidates, ours()] };
}

/** Each once, whatever its policy: where there is one server only, it makes no difference. */
export function oneOfEach({ candidates }: Shelf): Candidate[] {
  return candidates.filter(({ name }, index) => candidates.findIndex((other) => other.name === name) === index);
}

/** What there was to compare with, for the record. */
export function shelfSection(provided: readonly Provided[]): Section {
  return {
    name: "peers: what is here",
    about: "Versions, and what could not be had, and why. The others go on without it.",
    rows: provided.map(({ name, version, missing }): Row => ({ peer: name, version, "left out": missing ?? "" })),
    bars: [],
  };
}

/** "2.1 (1.9-2.4)": the middle, the least and the most. */
export function spread(values: readonly number[], middle: number, digits: number): string {
  if (values.length === 0) return "–";
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => rounded(value, digits));
  return `${rounded(middle, digits)} (${least}-${most})`;
}

/** A chat of one message, streamed. */
export function chatRequest(
  target: Pick<Target, "host" | "port" | "authorization" | "path">,
  maxTokens: number,
): string {
  return requestTo(target, target.path, JSON.stringify(chatBody(maxTokens, "Sample input text")));
}

export function chatBody(maxTokens: number, content: string): object {
  return {
    model: UPSTREAM_MODEL,
    messages: [{ role: "user", content }],
    max_tokens: maxTokens,
    stream: true,
  };
}

function candidateOf(router: Router, program: Program): Candidate {
  const { name, policy, path } = router;
  return {
    name,
    policy,
    async start(upstreams) {
      console.error(`Starting ${name} …`);
      const folder = scratch(name.replaceAll(" ", "-"));
      const port = await freePort();
      const command = await router.command({ program, folder, port, upstreams });
      const target = { name, host: HOST, port, authorization: "none", path };
      const tidy = (): void => rmSync(folder, { recursive: true, force: true });
      const running = await startAnswering(command, port, chatRequest(target, 1)).catch((error: unknown) => {
        tidy();
        throw error;
      });
      return {
        ...target,
        pid: running.pid,
        readyAfter: running.readyAfter,
        startCpu: treeCpu(running.pid),
        async stop(): Promise<void> {
          await running.stop();
          tidy();
        },
      };
    },
  };
}

function ours(): Candidate {
  return {
    name: OURS,
    policy: "least_loaded",
    start: (upstreams, slots) => startOurs(upstreams, slots),
  };
}

/** This project's server, or another checkout's, before servers with OpenAI's API. @param program another checkout's bin/alt-las.js */
export async function startOurs(upstreams: readonly number[], slots: number, program?: string): Promise<Target> {
  const urls = upstreams.map((port) => `http://${HOST}:${port}`);
  const config = {
    engine: { kind: "openai", url: urls.length === 1 ? urls[0] : urls },
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: slots } },
  };
  const server = await startServer({ devices: "auto", config, ...(program !== undefined && { program }) });
  const { pid, host, port, authorization, readyAfter } = server;
  const startCpu = treeCpu(pid);
  return {
    name: OURS,
    pid,
    host,
    port,
    authorization,
    readyAfter,
    startCpu,
    path: "/v1/chat/completions",
    stop: () => server.stop(),
  };
}
