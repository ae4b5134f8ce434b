/** The models that the GPUs serve, by the names that requests call them. */
import { basename } from "node:path";
import { wallTime } from "../common/clock.ts";
import type { EngineInfo, EngineOptions } from "../engine/engine.ts";
import { type EngineKind, engineTraits } from "../engine/kinds.ts";
import type { Capability } from "../request.ts";
import { keyOf, type ModelFile, type ServedModel } from "./served.ts";

/** A model as clients list it. */
export interface ModelStatus {
  /** The name by which requests call it. */
  readonly name: string;
  /** Further names of it. */
  readonly aliases: readonly string[];
  /** Its entry in the configuration, or as it was pulled; null: it is the own model of a device. */
  readonly served: ServedModel | null;
  /** Tokens of context in its largest slot; null: not known yet, or the server behind it does not tell. */
  readonly context: number | null;
  /** Each of these some instance of it can do; null: it was not loaded yet. */
  readonly capabilities: readonly Capability[] | null;
  /** Unix milliseconds since when it can be asked for. */
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
  /** The names of models by the types of tasks that mean them. */
  #byTaskType: ReadonlyMap<string, string> = new Map();
  readonly #since = wallTime();

  /** Takes over the models that have names in the configuration. */
  serve(models: readonly ServedModel[]): void {
    const named = models.flatMap((model) => namesOf(model).map((name) => [name, model] as const));
    this.#served = new Map(named);
    const typed = models.flatMap(({ settings: { name, task_types: types } }) =>
      types.map((type) => [type, name] as const),
    );
    this.#byTaskType = new Map(typed);
  }

  /** The model that tasks of a type mean when they name none; null: they mean any. */
  ofTaskType(type: string): string | null {
    return this.#byTaskType.get(type) ?? null;
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
    const own = Array.from(this.#named, ([name, { file }]) => ({ name, file }));
    const all = [...new Set(this.#served.values())].map(({ settings: { name }, file }) => ({
      name,
      file: pathOf(file),
    }));
    return modelMeant(asked, [...own, ...all])?.name ?? asked;
  }

  /** @throws {Error} no model has this name, which is a bug of the caller */
  about(name: string): Pick<ModelStatus, "since" | "file"> {
    const file = this.#served.get(name)?.file;
    if (file !== undefined) return { since: this.#since, file: pathOf(file) };
    const known = this.#named.get(name);
    if (known === undefined) throw new Error(`there is no model ${name}`);
    return known;
  }
}

/** null: its engine has no file, or that is not there. */
function pathOf(file: ModelFile | null): string | null {
  return file?.state === "there" ? file.path : null;
}

function namesOf({ settings: { name, aliases } }: ServedModel): readonly string[] {
  return [name, ...aliases];
}

/** The model that has this name, else the only one whose file does, with or without ".gguf". Within a file stands what people expect least. */
export function modelMeant<Model extends Pick<ModelStatus, "name" | "file"> & Partial<Pick<ModelStatus, "aliases">>>(
  asked: string,
  models: readonly Model[],
): Model | undefined {
  const named = models.find(({ name, aliases = [] }) => name === asked || aliases.includes(asked));
  if (named !== undefined) return named;
  const [first, second] = models.filter(({ file }) => file !== null && isFileName(asked, basename(file)));
  return second === undefined ? first : undefined;
}

function isFileName(asked: string, file: string): boolean {
  return asked === file || `${asked}.gguf` === file;
}

/** A GPU, as far as its models go. */
interface Loaded {
  readonly instances: readonly LoadedInstance[];
}

interface LoadedInstance {
  readonly modelName: string | null;
  readonly info: EngineInfo | null;
  readonly stay: { readonly served: ServedModel | null };
}

/** The models by name, in the order of `served`, then the devices' own that were loaded, in the order of their first GPUs. */
export function modelsOf(
  gpus: readonly Loaded[],
  served: readonly ServedModel[],
  names: Pick<ModelNames, "about">,
): readonly ModelStatus[] {
  const all = gpus.flatMap(({ instances }) => instances);
  const own = all.filter(({ info, stay }) => stay.served === null && info !== null);
  return [
    ...Array.from(
      Map.groupBy(served, ({ settings: { name } }) => name),
      ([name, models]) => statusOf(name, models[0]!, all.filter(isOf(models)), names),
    ),
    ...Array.from(
      Map.groupBy(own, ({ modelName }) => modelName!),
      ([name, on]) => statusOf(name, null, on, names),
    ),
  ];
}

/** Whether an instance has one of these models. */
function isOf(models: readonly ServedModel[]): (instance: LoadedInstance) => boolean {
  const keys = new Set(models.map(({ settings }) => keyOf(settings)));
  return ({ stay: { served } }) => served !== null && keys.has(keyOf(served.settings));
}

function statusOf(
  name: string,
  served: ServedModel | null,
  on: readonly LoadedInstance[],
  names: Pick<ModelNames, "about">,
): ModelStatus {
  const infos = on.flatMap(({ info }) => info ?? []);
  const { since, file } = names.about(name);
  return {
    name,
    aliases: served?.settings.aliases ?? [],
    served,
    since,
    file,
    context:
      infos.reduce<number | null>((most, { context }) => larger(most, context), null) ??
      served?.settings.context ??
      null,
    capabilities: infos.length === 0 ? null : [...new Set(infos.flatMap(({ capabilities }) => capabilities))],
  };
}

function larger(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
