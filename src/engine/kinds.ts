/**
 * The kinds of engines, each with the traits that the rest of the server needs. Nothing outside this folder asks which kind an engine
 * is. A new kind needs an entry here, an entry in open.ts, a folder with its code, and its keys in the configuration's section `engine`.
 */

/** The traits that distinguish one kind of engine from the others. */
interface EngineTraits {
  /** One line for the configuration's documentation. */
  readonly meaning: string;
  /** Where the tokens are computed: on a device of this machine, on a server that has its own devices, or nowhere. */
  readonly computes: "here" | "elsewhere" | "nowhere";
  /** The meaning of `engine.model`: the path of a GGUF file, the name that a server gives to its model, or nothing. */
  readonly model: "file" | "name" | "unused";
  /** Whether it starts the program that `engine.binary` names. */
  readonly startsProgram: boolean;
  /** The library that computes inside the worker's process; null: nothing is computed there. */
  readonly library: string | null;
  /** Whether it asks a server for each task, by HTTP. */
  readonly asksServer: boolean;
  /** Whether it waits as long as `first_byte_timeout` and `token_timeout` say, and gives up by itself then. */
  readonly hasPatience: boolean;
}

export const ENGINES = {
  llama: {
    meaning: "llama.cpp inside the worker",
    computes: "here",
    model: "file",
    startsProgram: false,
    library: "llama.cpp",
    asksServer: false,
    hasPatience: false,
  },
  "llama-server": {
    meaning: "a llama.cpp server that the worker starts",
    computes: "here",
    model: "file",
    startsProgram: true,
    library: null,
    asksServer: true,
    hasPatience: true,
  },
  openai: {
    meaning: "a server that runs already (vLLM, SGLang, TGI, llama-server, Ollama, TensorRT-LLM, another ALT_LAS)",
    computes: "elsewhere",
    model: "name",
    startsProgram: false,
    library: null,
    asksServer: true,
    hasPatience: true,
  },
  simulated: {
    meaning: "no model, for tests and load",
    computes: "nowhere",
    model: "unused",
    startsProgram: false,
    library: null,
    asksServer: false,
    hasPatience: false,
  },
} as const satisfies Readonly<Record<string, EngineTraits>>;

export type EngineKind = keyof typeof ENGINES;

export const ENGINE_KINDS = Object.keys(ENGINES) as readonly EngineKind[];

/** The traits of one kind. */
export function engineTraits(kind: EngineKind): EngineTraits {
  return ENGINES[kind];
}

/** The names of the kinds for which a condition holds, as in "llama and openai". */
export function kindsThat(holds: (traits: EngineTraits) => boolean): string {
  return ENGINE_KINDS.filter((kind) => holds(ENGINES[kind])).join(" and ");
}
