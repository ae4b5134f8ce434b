/** The models that the GPUs serve, by the names that requests call them. */
import { basename } from "node:path";
import { wallTime } from "../common/clock.ts";
import { type EngineInfo, type EngineOptions } from "../engine/engine.ts";
import { type EngineKind, engineTraits } from "../engine/kinds.ts";
import { type Capability } from "../request.ts";
import { type ServedModel } from "./served.ts";

/** A model as clients list it. */
export interface ModelStatus {
  /** What requests call it. */
  readonly name: string;
  /** Tokens of context in its largest slot; null: the server behind it does not tell. */
  readonly context: number | null;
  /** Each of these some instance of it can do. */
  readonly capabilities: readonly Capability[];
  /** The GPUs that have loaded it, in order. */
  readonly gpuIds: readonly number[];
  /** Unix milliseconds when one of them had loaded it first. */
  readonly since: number;
  /** Path of its file; null: it has none here. */
  readonly file: string | null;
}

interface Named {
  /** As its engine calls it. */
  readonly called: string;
  readonly kind: EngineKind;
  /** Path of its file; null: it has none here. */
  readonly file: string | null;
  /** Unix milliseconds. */
  readonly since: number;
}

/** Gives each model a name of its own, which it keeps while the server runs. */
export class ModelNames {
  readonly #named = new Map<string, Named>();
  /** By their names and aliases. */
  #served: ReadonlyMap<string, ServedModel> = new Map();
  readonly #since = wallTime();

  /** Takes over the models that have names in the configuration. */
  serve(models: readonly ServedModel[]): void {
    const named = models.flatMap((model) => namesOf(model).map((name) => [name, model] as const));
    this.#served = new Map(named);
  }

  /**
   * The name of an engine's model. The first model that is called so has the name itself, others "-2", "-3" and so on behind it. A file is a
   * model of its own; servers that call theirs alike are replicas of one model, which shares its tasks among them.
   */
  of({ kind, model }: Pick<EngineOptions, "kind" | "model">, called: string): string {
    const file = engineTraits(kind).model === "file" ? model : null;
    for (let number = 1; ; number++) {
      const name = number === 1 ? called : `${called}-${number}`;
      if (this.#served.has(name)) continue;
      const known = this.#named.get(name);
      if (known === undefined) this.#named.set(name, { called, kind, file, since: wallTime() });
      else if (known.called !== called || known.kind !== kind || known.file !== file) continue;
      return name;
    }
  }

  /** The name of the model that a request calls so; one that calls none stays as it is. */
  meantBy(asked: string): string {
    const served = this.#served.get(asked);
    if (served !== undefined) return served.settings.name;
    if (this.#named.has(asked)) return asked;
    const all = Array.from(this.#named, ([name, { file }]) => ({ name, file }));
    return modelMeant(asked, all)?.name ?? asked;
  }

  /** @throws {Error} no model has this name, which is a bug of the caller */
  about(name: string): Pick<ModelStatus, "since" | "file"> {
    const file = this.#served.get(name)?.file;
    if (file !== undefined) return { since: this.#since, file: file?.state === "there" ? file.path : null };
    const known = this.#named.get(name);
    if (known === undefined) throw new Error(`there is no model ${name}`);
    return known;
  }
}

function namesOf({ settings: { name, aliases } }: ServedModel): readonly string[] {
  return [name, ...aliases];
}

/** The model that has this name, else the only one whose file does, with or without ".gguf". Within a file stands what people expect least. */
export function modelMeant<Model extends Pick<ModelStatus, "name" | "file">>(
  asked: string,
  models: readonly Model[],
): Model | undefined {
  const named = models.find(({ name }) => name === asked);
  if (named !== undefined) return named;
  const [first, second] = models.filter(({ file }) => file !== null && isFileName(asked, basename(file)));
  return second === undefined ? first : undefined;
}

function isFileName(asked: string, file: string): boolean {
  return asked === file || `${asked}.gguf` === file;
}

/** A GPU, as far as its models go. */
interface Loaded {
  readonly device: { readonly id: number };
  readonly instances: readonly {
    readonly modelName: string | null;
    readonly info: EngineInfo | null;
    readonly stay: { readonly served: ServedModel | null };
  }[];
}

/** The models that were loaded, and those that are loaded when they are wanted, in the order of their first GPUs. */
export function modelsOf(gpus: readonly Loaded[], names: Pick<ModelNames, "about">): readonly ModelStatus[] {
  const loaded = gpus.flatMap(({ device: { id }, instances }) =>
    instances.flatMap(({ modelName: name, info, stay: { served } }) =>
      name === null || (info === null && served === null) ? [] : { id, name, info, served },
    ),
  );
  const models = Map.groupBy(loaded, ({ name }) => name);
  return Array.from(models, ([name, on]) => ({
    name,
    since: names.about(name).since,
    file: names.about(name).file,
    context: on.reduce<number | null>(
      (most, { info, served }) => larger(most, info?.context ?? served?.settings.context ?? null),
      null,
    ),
    capabilities: [...new Set(on.flatMap(({ info }) => info?.capabilities ?? []))],
    gpuIds: [...new Set(on.map(({ id }) => id))],
  }));
}

function larger(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
