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

/** Tokens of a task that come before its pace is measured. */
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

async function together(engine: Engine, { tokens, ...counts }: Together): Promise<Paces> {
  const kinds = (["free", "held", "told"] as const).flatMap((kind) => Array.from({ length: counts[kind] }, () => kind));
  const paces = await Promise.all(kinds.map((kind, index) => paceOf(engine, requestOf(kind, index, tokens))));
  const mean = (kind: string): number | null => {
    const own = paces.filter((_, index) => kinds[index] === kind);
    return own.length === 0 ? null : own.reduce((sum, pace) => sum + pace, 0) / own.length;
  };
  return { free: mean("free"), held: mean("held"), told: mean("told") };
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

/** Milliseconds for a token. */
async function paceOf(engine: Engine, request: TextRequest): Promise<number> {
  let count = 0;
  let [begun, last] = [0, 0];
  const emit = (_delta: unknown, tokens: number): void => {
    count += tokens;
    last = performance.now();
    if (count === WARM) begun = last;
  };
  await engine.generate({ request, signal: new AbortController().signal, emit });
  return (last - begun) / (count - WARM);
}
