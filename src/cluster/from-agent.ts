/**
 * Whether a message is what an agent says, as far as the server relies on it. An agent may be damaged or hostile, and must not harm more than
 * its own machine. Figures may be null where an agent could not compute them: JSON has no other word for that.
 */
import { checkFor } from "../common/ajv.ts";
import { type TSchema, Type } from "../common/type.ts";
import { misfitOf } from "../common/validation.ts";
import { ERRORS } from "../errors.ts";
import { GPU_STATES } from "../gpu/facts.ts";
import { FINISH_REASONS } from "../task.ts";
import { AGENT_SPEAKS, type FromAgent, type ToReader } from "./messages.ts";

const Text = Type.String();
const Texts = Type.Array(Text);
const Flag = Type.Boolean();
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** Unix milliseconds, as far as a date can say them. */
const Time = Type.Number({ minimum: -8.64e15, maximum: 8.64e15 });
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);
const Figure = orNull(Type.Number());
const Ref = Type.Object({ gpuId: Count, id: Count });

const Instance = Type.Object({
  id: Count,
  model: Text,
  modelName: orNull(Text),
  onlyByName: Type.Optional(Flag),
  can: orNull(Texts),
  state: Type.Enum([...GPU_STATES, "cold", "unloading"]),
  reason: orNull(Text),
  isFetching: Flag,
  crowded: orNull(Text),
  slots: Count,
  loadedSlots: Type.Optional(Count),
  context: Figure,
  residency: Type.Object({ memory: Figure, fileBytes: Figure, loadSeconds: Figure, pinned: Flag }),
  successor: orNull(Count),
  retired: Flag,
  kvBytesPerToken: Figure,
  maxTokenBytes: Figure,
});

const Facts = Type.Object({
  id: Count,
  memoryFree: Figure,
  othersUtilization: Figure,
  mostTasks: Figure,
  memory: orNull(Type.Object({ total: Figure, reserved: Figure, sharedBy: Type.Optional(Type.Array(Count)) })),
  instances: Type.Array(Instance),
});

const InstanceLook = Type.Object({
  id: Count,
  model: orNull(Text),
  source: Text,
  state: Text,
  isFetching: Flag,
  reason: orNull(Text),
  memoryBytes: Figure,
  loadSeconds: Figure,
  lastUsedAt: orNull(Time),
  running: Count,
  // The first version of the messages has them in facts alone.
  slots: Type.Optional(Count),
  context: Type.Optional(Figure),
  kvBytesPerToken: Type.Optional(Figure),
});

const GpuLook = Type.Object({
  id: Count,
  name: Text,
  kind: Text,
  uuids: Texts,
  pciBusIds: Texts,
  status: Type.Enum([...GPU_STATES]),
  reason: orNull(Text),
  since: Time,
  crowded: orNull(Text),
  utilization: Figure,
  memoryUsed: Figure,
  memoryTotal: Figure,
  memoryFree: Figure,
  othersMemory: Figure,
  othersUtilization: Figure,
  temperature: Figure,
  maxTemperature: Figure,
  power: Figure,
  powerLimit: Figure,
  energy: Figure,
  throttle: orNull(Texts),
  ecc: orNull(Type.Object({ corrected: Figure, uncorrected: Figure })),
  xids: Type.Record(Text, Type.Number()),
  computeCapability: Figure,
  processes: orNull(Type.Array(Type.Object({ pid: Count, memory: Figure, utilization: Figure, own: Flag }))),
  slots: Count,
  model: orNull(Text),
  modelName: orNull(Text),
  capabilities: orNull(Texts),
  hasChatTemplate: orNull(Flag),
  context: Figure,
  memoryNote: orNull(Text),
  device: orNull(Text),
  settings: orNull(Type.Array(Type.Object({ name: Text, reason: Text }))),
  upstream: orNull(Type.Object({ running: Figure, waiting: Figure, kvCacheUse: Figure, slots: Figure })),
  pid: Figure,
  restarts: Count,
  instances: Type.Array(InstanceLook),
  events: Type.Array(Type.Object({ at: Time, event: Text, reason: Text })),
});

const Model = Type.Object({
  name: Text,
  aliases: Texts,
  served: orNull(Type.Object({ settings: Type.Object({ name: Text, task_types: Texts }) })),
  context: Figure,
  capabilities: orNull(Texts),
  since: Time,
  file: orNull(Text),
});

const Look = Type.Object({
  gpus: Type.Array(GpuLook),
  models: Type.Array(Model),
  readiness: Type.Object({ ready: Flag, reason: orNull(Text) }),
  at: Type.Optional(Time),
});

const Call = Type.Object({ id: Text, name: Text, arguments: Text });

const Result = Type.Object({
  text: Text,
  reasoning: Type.Optional(Text),
  toolCalls: Type.Optional(Type.Array(Call)),
  embeddings: Type.Optional(Texts),
  executionTime: Type.Number(),
  timestamp: Time,
  finishReason: Type.Enum([...FINISH_REASONS]),
  promptTokens: orNull(Count),
  completionTokens: Count,
  cachedTokens: orNull(Count),
  mismatch: Type.Optional(Text),
});

const Outcome = Type.Union([
  Type.Object({ status: Type.Literal("completed"), result: Result }),
  Type.Object({
    status: Type.Literal("failed"),
    error: Type.Object({ code: Type.Enum(Object.keys(ERRORS)), sentence: Text }),
  }),
  Type.Object({ status: Type.Literal("canceled"), result: Type.Optional(Result) }),
  Type.Object({
    status: Type.Literal("interrupted"),
    reason: Type.Enum(["out_of_memory", "gpu_lost", "gpu_full", "machine_lost"]),
    sentence: Text,
    retryAfter: Type.Optional(Type.Number()),
  }),
]);

const Use = Type.Object({
  firstOutput: Figure,
  lastOutput: Figure,
  promptTokens: orNull(Count),
  completionTokens: Count,
  cachedTokens: orNull(Count),
  gpuSeconds: Type.Number(),
  energyJoules: Figure,
});

const End = Type.Object({ key: Text, instance: Ref, outcome: Outcome, use: orNull(Use) });

const isState = checkFor(
  Type.Object({
    gpus: Type.Array(
      Type.Object({
        id: Count,
        key: Text,
        gpuId: Type.Optional(Count),
        drainedBy: Type.Optional(Type.String({ minLength: 1 })),
      }),
    ),
    facts: Type.Array(Facts),
    runs: Type.Array(
      Type.Object({ key: Text, instance: Ref, output: Type.Array(Type.Object({})), watched: Type.Optional(Flag) }),
    ),
    ends: Type.Array(End),
    tells: Type.Optional(Type.Literal(true)),
    // The first agents did not tell them.
    questions: Type.Optional(Type.Array(Count)),
    look: Look,
  }),
);

const isEnvelope = checkFor(
  Type.Object({
    // A part of the subject on which it is answered.
    incarnation: Type.String({ pattern: "^[A-Za-z0-9-]{1,64}$" }),
    number: Count,
    epoch: Count,
    cluster: Type.Optional(orNull(Text)),
    leader: orNull(Text),
    session: Count,
    heard: Count,
    news: Type.Array(Type.Object({ type: Text })),
    leaves: Type.Optional(Type.Literal(true)),
  }),
);

const Lost = Type.Object({
  instance: Ref,
  reason: Type.Enum(["worker_crash", "gpu_lost", "nonsense", "worker_stopped", "gpu_drained"]),
  sentence: orNull(Text),
  keys: Texts,
});

/** By the types of news. Deltas, of which there are many, are checked by hand. */
const NEWS = {
  facts: checkFor(Type.Object({ facts: Facts })),
  lost: checkFor(Lost),
  wanted: checkFor(Type.Object({ instances: Type.Array(Ref) })),
  ended: checkFor(End),
  look: checkFor(Type.Object({ look: Look })),
  watched: checkFor(Type.Object({ key: Text, from: Count, output: Type.Array(Type.Object({})) })),
  progress: checkFor(Type.Object({ uses: Type.Array(Type.Object({ key: Text, use: Use })) })),
  answer: checkFor(Type.Object({ question: Count, tokens: orNull(Count) })),
};

/** @returns what is wrong with a message, one sentence; null: nothing */
export function faultOf(message: unknown): string | null {
  if (!isEnvelope(message)) return misfitOf(isEnvelope, "the message").sentence;
  const { state, news } = message as FromAgent;
  if (state !== undefined) {
    if (!isState(state)) return misfitOf(isState, "state").sentence;
    if (!state.runs.every(({ output }) => output.every(isDelta))) return "state.runs has what is no output.";
    if (!state.ends.every(({ outcome }) => hasTokens(outcome))) return LOGPROBS;
  }
  for (const one of news) {
    const fault = faultOfNews(one as unknown as Fields);
    if (fault !== null) return fault;
  }
  return null;
}

/** Whether a message is what an agent tells of runs that are read. */
export function isToReader(message: object): message is ToReader {
  const { version, runs } = message as Fields;
  if (!AGENT_SPEAKS.includes(version as number) || !Array.isArray(runs)) return false;
  return runs.every((run: unknown) => {
    if (!isObject(run)) return false;
    const { key, from, output } = run;
    return isString(key) && isCount(from) && Array.isArray(output) && output.every(isDelta);
  });
}

const LOGPROBS = "the logprobs of a result are none.";

type Fields = Readonly<Record<string, unknown>>;

function faultOfNews(news: Fields): string | null {
  const type = news["type"] as string;
  if (type === "delta") {
    const isSound = isString(news["key"]) && isCount(news["before"]) && isDelta(news["delta"]);
    return isSound ? null : "news of the type delta has what is no output.";
  }
  const check = Object.hasOwn(NEWS, type) ? NEWS[type as keyof typeof NEWS] : null;
  if (check === null) return `there is no news of the type ${type.slice(0, 20)}.`;
  if (!check(news)) return misfitOf(check, type).sentence;
  if (type === "watched" && !(news["output"] as object[]).every(isDelta))
    return "news of the type watched has what is no output.";
  return type !== "ended" || hasTokens(news["outcome"]) ? null : LOGPROBS;
}

function isDelta(value: unknown): boolean {
  if (!isObject(value)) return false;
  switch (value["kind"]) {
    case "text":
      return isString(value["text"]) && areTokens(value["logprobs"]);
    case "reasoning":
      return isString(value["text"]);
    case "tool_call":
      return isCount(value["index"]) && isString(value["arguments"]) && isCall(value["call"]);
    case "embedding":
      return isString(value["vector"]);
    default:
      return false;
  }
}

function isCall(call: unknown): boolean {
  return call === undefined || (isObject(call) && isString(call["id"]) && isString(call["name"]));
}

function hasTokens(outcome: unknown): boolean {
  const { result } = outcome as { result?: Fields };
  return areTokens(result?.["logprobs"]);
}

function areTokens(logprobs: unknown): boolean {
  if (logprobs === undefined) return true;
  return Array.isArray(logprobs) && logprobs.every((one) => isLikely(one) && isCount(one["length"]) && areLikely(one));
}

function areLikely({ top }: Fields): boolean {
  return Array.isArray(top) && top.every(isLikely);
}

function isLikely(value: unknown): value is Fields {
  return isObject(value) && isString(value["token"]) && Array.isArray(value["bytes"]);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
