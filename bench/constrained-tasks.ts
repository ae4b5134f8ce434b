/** The other side of constrained.ts: an engine in a process of its own, whose pool of threads is as its environment says. */
import { type AnswerFormat, type TextRequest } from "../src/request.ts";
import { type Engine, type EngineOptions } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";

/** How many tasks of each kind run together, and for how many tokens of each at least. */
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

/** Tokens of a task at most. */
const MOST = 500;
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

/** A task, and when each of its tokens came. */
interface Running {
  readonly kind: keyof Paces;
  readonly times: readonly number[];
  readonly ended: Promise<unknown>;
}

/**
 * Only while all of them run is counted: beginnings cost the others, and whoever ends early leaves them more. They begin one after the other,
 * as prompts that have a form in them take a hundred steps beside others; so each runs until all have had their tokens.
 */
async function together(engine: Engine, { tokens, ...counts }: Together): Promise<Paces> {
  const over = new AbortController();
  const all: Running[] = [];
  const look = (): void => {
    if (all.every(({ times }) => times.length >= WARM + tokens)) over.abort();
  };
  for (const kind of ["free", "held", "told"] as const)
    for (let count = 0; count < counts[kind]; count++)
      all.push(started(engine, kind, requestOf(kind, all.length), { signal: over.signal, look }));
  await Promise.all(all.map(({ ended }) => ended));
  const from = Math.max(...all.map(({ times }) => times[WARM] ?? Infinity));
  const to = Math.min(...all.map(({ times }) => times.at(-1)!));
  if (!(from < to)) throw new Error("a task ended before all had begun");
  const paceOf = (kind: keyof Paces): number | null => {
    const own = all.filter((task) => task.kind === kind);
    const seen = own.flatMap(({ times }) => times).filter((time) => time > from && time <= to).length;
    return own.length === 0 ? null : ((to - from) * own.length) / seen;
  };
  return { free: paceOf("free"), held: paceOf("held"), told: paceOf("told") };
}

function requestOf(kind: keyof Paces, index: number): TextRequest {
  const text = `${kind === "held" ? "List people who work in a library" : "Tell a long story about a fox"}, number ${index}.`;
  return {
    kind: "completion",
    text,
    sampling: { maxTokens: MOST, temperature: 0.7, seed: index },
    ...(kind === "held" && { format: PEOPLE }),
    ...(kind === "told" && { logprobs: 5 }),
  };
}

/** @param look called with each token */
function started(
  engine: Engine,
  kind: keyof Paces,
  request: TextRequest,
  { signal, look }: { readonly signal: AbortSignal; readonly look: () => void },
): Running {
  const times: number[] = [];
  const emit = (_delta: unknown, tokens: number): void => {
    const now = performance.now();
    for (let token = 0; token < tokens; token++) times.push(now);
    look();
  };
  return { kind, times, ended: engine.generate({ request, signal, emit }) };
}
