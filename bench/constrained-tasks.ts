/** The other side of constrained.ts: an engine in a process of its own, whose pool of threads is as its environment says. */
import { type AnswerFormat, type TextRequest } from "../src/request.ts";
import { type Engine, type EngineOptions } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";

/** How many tasks of each kind run together, and for how many tokens. */
export interface Together {
  readonly free: number;
  /** Held to a schema. */
  readonly held: number;
  /** Free ones that tell the probabilities of their tokens, with five others for each. */
  readonly told: number;
  readonly tokens: number;
}

/** Milliseconds for a token, by the kind of task; null: there was none. */
export type Paces = Readonly<Record<"free" | "held" | "told", number | null>>;

/** Tokens of each task that come before paces are measured. */
const WARM = 4;

/** It goes on for longer than it is measured. */
const PEOPLE: AnswerFormat = {
  kind: "schema",
  name: "people",
  strict: true,
  schema: {
    type: "array",
    minItems: 1000,
    items: {
      type: "object",
      properties: {
        name: { type: "string", minLength: 3, maxLength: 30 },
        age: { type: "integer", minimum: 1, maximum: 120 },
        email: { type: "string", format: "email" },
        role: { enum: ["reader", "writer", "admin"] },
        note: { anyOf: [{ type: "string", maxLength: 60 }, { type: "null" }] },
      },
      required: ["name", "age", "email", "role", "note"],
      additionalProperties: false,
    },
  },
};

if (process.send) {
  process.once("message", (options: EngineOptions) => void serve(options));
}

async function serve(options: EngineOptions): Promise<void> {
  const engine = await createEngine(options, 0);
  await engine.load();
  process.on("message", (order: Together) => void together(engine, order).then((paces) => process.send?.(paces)));
  process.once("disconnect", () => void engine.stop().then(() => process.exit(0)));
  process.send?.(null);
}

/** Only while all of them run is counted: beginnings cost the others, and whoever ends early leaves them more. */
async function together(engine: Engine, { tokens, ...counts }: Together): Promise<Paces> {
  const kinds = (["free", "held", "told"] as const).flatMap((kind) => Array.from({ length: counts[kind] }, () => kind));
  const times = await Promise.all(kinds.map((kind, index) => timesOf(engine, requestOf(kind, index, tokens))));
  const from = Math.max(...times.map((own) => own[WARM]!));
  const to = Math.min(...times.map((own) => own.at(-1)!));
  const paceOf = (kind: string): number | null => {
    const own = times.filter((_, index) => kinds[index] === kind);
    const seen = own.flat().filter((time) => time > from && time <= to).length;
    return own.length === 0 ? null : ((to - from) * own.length) / seen;
  };
  return { free: paceOf("free"), held: paceOf("held"), told: paceOf("told") };
}

function requestOf(kind: keyof Paces, index: number, maxTokens: number): TextRequest {
  const text = `${kind === "held" ? "List people who work in a library" : "Tell a long story about a fox"}, number ${index}.`;
  return {
    kind: "completion",
    text,
    sampling: { maxTokens, temperature: 0.7, seed: index },
    ...(kind === "held" && { format: PEOPLE }),
    ...(kind === "told" && { logprobs: 5 }),
  };
}

/** When each token came. */
async function timesOf(engine: Engine, request: TextRequest): Promise<readonly number[]> {
  const times: number[] = [];
  const emit = (_delta: unknown, tokens: number): void => {
    const now = performance.now();
    for (let token = 0; token < tokens; token++) times.push(now);
  };
  await engine.generate({ request, signal: new AbortController().signal, emit });
  return times;
}
