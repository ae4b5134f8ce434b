/**
 * Sentences for users who may not know the inside of the machine and its network. The words of engines, drivers, the system and servers
 * elsewhere may contain any name, and no filter finds them all. So such users get sentences of our own, by code and state, and of other
 * sentences only the parts that are surely ours.
 */
import type { Caller } from "../auth/credentials.ts";
import type { AltLasError, ErrorCode } from "../errors.ts";
import { deviceTraits } from "../gpu/device-kinds.ts";
import type { GpuState } from "../gpu/facts.ts";
import type { GpuEventRecord, GpuStatus, InstanceStatus } from "../gpu/status.ts";
import type { CatalogModel } from "../models/catalog.ts";
import type { Attempt, TaskError } from "../task.ts";

/** Whether somebody may know how the machine and its network look from inside. */
export function maySeeInside({ role }: Pick<Caller, "role">): boolean {
  return role === "admin";
}

/** Codes whose sentences are always ours, and say nothing but numbers and names of settings. */
const ALWAYS_OURS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "timeout",
  "poison",
  "queue_full",
  "overloaded",
  "draining",
  "internal_error",
  "not_ready",
  "model_not_found",
]);

/** Sentences of ours, or beginnings of them, under codes that others have sentences for too. */
const OURS: readonly RegExp[] = [
  /^The prompt has \d+ tokens, which leaves no room in a context of \d+ tokens\.$/,
  /^The prompt has no token that this model knows\.$/,
  // The template's words are about the messages, and part of the model's file.
  /^The model's chat template (?:refuses|cannot be applied to) the messages: [^]*$/,
  /^The model's chat template changes the texts of messages, [a-z', ]+\.$/,
  /^The model has no chat template, so that it takes a text, but no messages\.$/,
  /^(?:This model makes embeddings; it generates no text|No memory is left for embeddings)\.$/,
  /^The model's vector of an input is all zeros: it knows none of its tokens\.$/,
  /^The server behind this GPU takes no (?:tools|tool_choice|response_format|logprobs)\b[a-z ]*\.(?: It does with [a-z :,]+\.)?$/,
  /^The server behind this GPU told no logprobs, for which it was asked\.$/,
  /^The model's chat template tells of no tools, or calls them in a way that is not known here\.$/,
  /^tools must not be nested deeper than \d+ levels\.$/,
  // Of the task's own schema.
  /^The model (?:can write nothing that goes on with|ended its answer before it began to write what has to have) [a-z ]+\.$/,
  /^The answer's form has alternatives in each other that begin alike, [A-Za-z ,.]+$/,
  /^The schema cannot be compiled\b[^]*$/,
  /^The answer does not match its schema\. Without strict the result has the text, and says what does not match\.$/,
  /^The server's content filter ended the answer\.$/,
  /^The model computed nonsense \d+ times where this task ran, [a-z ,]+; it is not tried again\.$/,
  /^The task was cut off (?:once|\d+ times), the last time because [A-Za-z ]+ \(tasks\.max_attempts is \d+\)/,
  /^Task [0-9a-f-]{36} has ended, but its end could not be written to disk yet; it is written as soon as that can be\.$/,
  /^What was canceled has not ended yet, or its end could not be written to disk; it is written as soon as that can be\.$/,
  /^The text of task [0-9a-f-]{36} is not in the store any more\.$/,
  /^tasks could not be (?:written to|read from) disk/,
  /^The task store has failed\. Nothing can be stored until the server is started again\.$/,
  /^The (?:log of the )?task database was [a-z ,]+ while the server ran\. Nothing can be stored or read until the server is started again\./,
  /^No GPU is left for this task: .*\.$/,
  /^No GPU can run tasks(?=\.)/,
  /^GPU \d+ cannot run tasks(?=\. )/,
];

/** How sentences of ours about webhooks begin. They name no host but that of the webhook's own URL. */
const OURS_OF_TRIES =
  /^(?:webhook_url must |The connection was |The time for an answer |The name servers do not answer for |It answered with a redirect|Enough is sent to |The endpoint is paused, )/;

/** The failure of a task, as part of a sentence about where it ran. */
const FAILURES: Readonly<Partial<Record<string, string>>> = {
  gpu_lost: "has failed",
  gpu_full: "had no room for the task",
  worker_crash: "lost the worker that ran the task",
  out_of_memory: "had no memory left for the task",
  model_error: "could not run the task",
  prompt_too_long: "refused the prompt as too long",
  worker_stopped: "had its worker replaced for another reason than the task",
  gpu_drained: "was taken out of service",
  machine_lost: "was on a machine that is gone",
};

/** @param gpuId where it ran; null: nowhere, or not known */
export function publicFailure({ code, sentence }: TaskError, gpuId: number | null): string {
  return ALWAYS_OURS.has(code) ? sentence : (oursIn(sentence) ?? failureAt(code, sentence, gpuId));
}

/** The sentence for outsiders about one attempt; undefined: the reason says it all. */
export function publicAttempt({ reason, error, gpuId }: Attempt): string | undefined {
  return error === undefined ? undefined : failureAt(reason ?? "", error, gpuId);
}

function failureAt(code: string, sentence: string, gpuId: number | null): string {
  const gpu = gpuId === null ? "The GPU" : `GPU ${gpuId}`;
  const status = statusIn(sentence);
  const what = FAILURES[code] ?? "could not run the task";
  return status === null ? `${gpu} ${what}.` : `The server behind ${gpu} ${what} (HTTP ${status}).`;
}

/** A refusal as outsiders read it. Those below 500 repeat what the client itself has sent. */
export function publicRefusal({ code, status, message }: AltLasError): string {
  if (status < 500 || ALWAYS_OURS.has(code)) return message;
  const ours = oursIn(message);
  if (ours !== null) return ours;
  if (code === "no_usable_gpu") return "No GPU can run this task.";
  if (code === "store_unavailable") return "The server cannot use its task database at present.";
  return failureAt(code, message, null);
}

/** The sentence for outsiders about a webhook that could not be sent: the system names the addresses that a host leads to. */
export function publicTry(error: string): string {
  if (OURS_OF_TRIES.test(error)) return error;
  const [code] = /\b(?:E[A-Z]{3,}|[A-Z]+(?:_[A-Z]+)+)\b/.exec(error) ?? [];
  return `Its receiver could not be asked${code === undefined ? "" : ` (${code})`}.`;
}

/** The part of a sentence that is surely ours, as a sentence; null: none is. */
function oursIn(sentence: string): string | null {
  for (const pattern of OURS) {
    const [found] = pattern.exec(sentence) ?? [];
    if (found !== undefined) return found.endsWith(".") ? found : `${found}.`;
  }
  return null;
}

/** The HTTP status that a server answered with, which says nothing of where it is. */
function statusIn(sentence: string): string | null {
  return /\bHTTP ([1-5]\d\d)\b/.exec(sentence)?.[1] ?? null;
}

/** The sentence for outsiders about a state whose reason may be another program's. */
const STATES: Readonly<Partial<Record<GpuState | GpuEventRecord["event"], string>>> = {
  starting: "The model is being loaded.",
  unfit: "It cannot serve as things are.",
  faulted: "It failed, and is tried again.",
  lost: "It is not there any more.",
  load_failed: "A model cannot be loaded.",
};

/** The sentence of an event or a state of a GPU. */
export function publicReason(state: GpuState | GpuEventRecord["event"], reason: string, isServer: boolean): string {
  // A server that is full says so in its own words, other crowds are counted by us.
  if (state === "crowded" && isServer) return "Its server has no room now.";
  const own = STATES[state];
  if (own === undefined) return reason;
  const status = isServer ? statusIn(reason) : null;
  return status === null ? own : `${own.slice(0, -1)} (its server answered HTTP ${status}).`;
}

/** A GPU as those may see it who may not see inside. */
export function publicGpu(gpu: GpuStatus): GpuStatus {
  const isServer = deviceTraits(gpu).isServer;
  return {
    ...gpu,
    ...(isServer && publicRemote(gpu)),
    reason: gpu.reason === null ? null : publicReason(gpu.status, gpu.reason, isServer),
    model: gpu.model === null ? null : fileName(gpu.model),
    instances: gpu.instances.map(publicInstance),
    memoryNote: gpu.memoryNote === null ? null : beforeWords(gpu.memoryNote),
    settings:
      gpu.settings?.map(({ name, value, reason }) => ({
        name,
        value: typeof value === "string" ? fileName(value) : value,
        reason: beforeWords(reason),
      })) ?? null,
    events: gpu.events.map((event) => ({ ...event, reason: publicReason(event.event, event.reason, isServer) })),
  };
}

/** A model as those may see it who may not see inside. */
export function publicModel({ source, instances, ...model }: CatalogModel): CatalogModel {
  const isOfHub = source?.startsWith("hf:") ?? false;
  return {
    ...model,
    source: source === null || isOfHub ? source : fileName(source),
    instances: instances.map(publicInstance),
  };
}

function publicInstance(instance: InstanceStatus): InstanceStatus {
  const { state, reason, source, isFetching } = instance;
  const loading = isFetching ? "The model is being fetched." : "The model is being loaded.";
  const own = { loading, failed: "It cannot be loaded, or its GPU failed." }[state as string];
  return { ...instance, source: fileName(source), reason: reason === null ? null : (own ?? reason) };
}

/** Its UUID is its address, and so is its name where it has none of its own. */
function publicRemote({ id, name, uuids }: GpuStatus): Pick<GpuStatus, "name" | "uuids" | "device"> {
  const host = URL.parse(uuids[0]?.replace(/^REMOTE-/, "") ?? "")?.hostname;
  const isAddress = (host !== undefined && name.includes(host)) || /[:/\\]/.test(name);
  return { name: isAddress ? `server of GPU ${id}` : name, uuids: [`REMOTE-${id}`], device: null };
}

/** Our words come first, and others' behind a colon. */
function beforeWords(sentence: string): string {
  const colon = sentence.indexOf(": ");
  return colon === -1 ? sentence : `${sentence.slice(0, colon)}.`;
}

/** Of a path or an address its last part; `organization/model` is neither. */
function fileName(text: string): string {
  const parts = text.split(/[/\\]/);
  const isName = parts.length === 1 || (parts.length === 2 && /^[\w-]/.test(text) && !/^[a-z]:/i.test(text));
  return isName ? text : parts.at(-1)!;
}

/** The drivers' notes for outsiders. */
export const PUBLIC_NOTE = "Not all drivers tell what they could; an admin sees why.";
