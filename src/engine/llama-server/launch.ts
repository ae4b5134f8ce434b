/** From the configuration to a llama.cpp server that has loaded its model. */
import { basename } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { EngineFailure } from "../failures.ts";
import { type Capability, SAMPLING_NAMES } from "../../request.ts";
import type { EngineInfo, EngineOptions } from "../engine.ts";
import { templateOf } from "../llama/chat-template.ts";
import { modelNameOf, kvBytesPerToken, type ModelHeader } from "../llama/header.ts";
import { ErrorLog } from "../llama/error-log.ts";
import { openBackend, planLoad } from "../llama/model.ts";
import { checkFile } from "../llama/model-file.ts";
import { contextIn, nameIn, slotsIn } from "../upstream/figures.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { findBinary } from "./binary.ts";
import { type Command, serverOptions, settingsFor } from "./command.ts";
import { complaintsIn, lastWordsIn } from "./complaints.ts";
import { findDevices } from "./devices.ts";
import type { ServerEnd, ServerProcess } from "./process.ts";

/** Milliseconds between two looks at whether the model is loaded: at first, and at most. */
const LOOKS = { first: 10, longest: 250 };

/** Seconds that one look may take. */
const LOOK_PATIENCE = 10;

/** The status of `/health` while the model is being loaded. */
const LOADING = 503;

/** In what a server says when its memory is too small. */
export const NO_MEMORY =
  /out of memory|not enough memory|insufficient memory|failed to allocate|unable to allocate|bad_alloc/i;

const NO_SOCKET = /couldn't bind/;

/** Facts that are found out before anything is started. */
export type Prepared = Pick<Command, "program" | "devices" | "header" | "plan" | "chat">;

/** Finds the program and its devices, and plans their memory. @throws {EngineFailure} `model_error` or `out_of_memory` */
export async function prepare(options: EngineOptions, signal: AbortSignal): Promise<Prepared> {
  const program = await findBinary(options.binary);
  await checkFile(options.model);
  const devices = await findDevices(program, options);
  const log = new ErrorLog();
  // It only counts what a model would take, which is the same everywhere.
  const llama = await openBackend({ ...options, backend: false }, log);
  try {
    const opening = { llama, options: serverOptions(options), signal, log, gpus: devices.length };
    const { header, plan } = await planLoad(opening);
    return { program, devices, header, plan, chat: templateOf(llama, header) };
  } finally {
    await llama.dispose();
  }
}

/** Resolves when it has loaded its model. @throws {EngineFailure} it has ended instead, or is something else */
export async function untilReady(server: ServerProcess, upstream: Upstream, options: EngineOptions): Promise<void> {
  const { binary, patience } = options;
  const latest = performance.now() + patience.firstByte * 1000;
  let answers = false;
  for (let wait = LOOKS.first; ; wait = Math.min(2 * wait, LOOKS.longest)) {
    const looks = await look(upstream, options);
    if (looks === "ready") return;
    answers ||= looks === "loading";
    // It answers before it loads its model, however long that takes.
    if (!answers && performance.now() > latest) {
      const sentence = `engine.binary is ${binary}, which is no llama-server: it did not answer within ${patience.firstByte} s.`;
      throw new EngineFailure("model_error", sentence);
    }
    await Promise.race([server.ended, pause(wait)]);
    if (server.hasEnded) throw failureOf(await server.ended, options);
  }
}

async function look(upstream: Upstream, { binary }: EngineOptions): Promise<"silent" | "loading" | "ready"> {
  const answer = await upstream
    .ask("GET", "/health", undefined, { timeout: LOOK_PATIENCE })
    .catch((error: unknown) => error);
  if (answer instanceof UpstreamError) return "silent";
  if (answer instanceof Error) throw answer;
  const { status } = answer as { status: number };
  if (status === 200) return "ready";
  if (status === LOADING) return "loading";
  throw new EngineFailure(
    "model_error",
    `engine.binary is ${binary}, which is no llama-server: its /health answers ${status}.`,
  );
}

/** Why it ended while it loaded its model. */
function failureOf({ how, killed, words }: ServerEnd, { binary, model }: EngineOptions): EngineFailure {
  const why = complaintsIn(words) || lastWordsIn(words) || "it did not say why";
  const sentence = `${binary} ended (${how}) while it loaded the model file ${model}: ${why}.`;
  if (NO_MEMORY.test(why)) return new EngineFailure("out_of_memory", sentence);
  // Nothing is wrong with the model: next time it may go well.
  return new EngineFailure(killed || NO_SOCKET.test(why) ? "gpu_lost" : "model_error", sentence);
}

/** The properties that the server reports. @throws {EngineFailure} `model_error` */
export async function describe(upstream: Upstream, command: Command): Promise<EngineInfo & { context: number }> {
  const { options, header, devices, plan, chat } = command;
  const { status, body } = await upstream.ask("GET", "/props");
  const page = status === 200 ? valueIn(body) : undefined;
  const props = isObject(page) ? page : {};
  const settings = props.default_generation_settings;
  const context = isObject(settings) ? contextIn(settings.n_ctx) : null;
  const slots = slotsIn(props.total_slots);
  if (context === null || slots === null) {
    const sentence = `engine.binary is ${options.binary}, which is no llama-server: its /props does not tell its slots and context.`;
    throw new EngineFailure("model_error", sentence);
  }
  // It rounds the context up.
  const made = { ...plan, context: Math.min(plan.context, context), slots: Math.min(plan.slots, slots) };
  return {
    model: header.insights.ggufFileInfo.metadata.general.name ?? basename(options.model),
    modelName: modelNameOf(header, options.model),
    capabilities: capabilitiesOf(header, chat),
    honours: header.generates ? Object.values(SAMPLING_NAMES) : [],
    hasChatTemplate: chat.template !== null,
    context: made.context,
    slots: made.slots,
    memoryNote: plan.note,
    memory: plan.memory,
    kvBytesPerToken: kvBytesPerToken(header, plan.kvCacheType),
    maxTokenBytes: Number.MAX_SAFE_INTEGER,
    devices: devices.map(({ name }) => name),
    device: devices.length === 0 ? "CPU" : devices.map(({ title }) => title).join(", "),
    backend: options.backend || "cpu",
    settings: settingsFor({ ...command, plan: made }, nameIn(props.build_info) ?? "of an unknown version"),
  };
}

/** One that makes vectors was started for nothing else, and one that generates cannot make any. */
function capabilitiesOf({ generates }: ModelHeader, { template }: Command["chat"]): readonly Capability[] {
  if (!generates) return ["embedding"];
  const any: readonly Capability[] = ["completion", "json_schema", "logprobs"];
  if (template === null) return any;
  return template.tools === null ? ["chat", ...any] : ["chat", ...any, "tools"];
}
