/** The models that the GPUs serve, by the names that requests call them. */
import { wallTime } from "../common/clock.ts";
import { type EngineInfo, type EngineOptions } from "../engine/engine.ts";
import { type EngineKind, engineTraits } from "../engine/kinds.ts";
import { type Capability } from "../request.ts";

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

  /**
   * The name of an engine's model. The first model that is called so has the name itself, others "-2", "-3" and so on behind it. A file is a
   * model of its own; servers that call theirs alike are replicas of one model, which shares its tasks among them.
   */
  of({ kind, model }: Pick<EngineOptions, "kind" | "model">, called: string): string {
    const file = engineTraits(kind).model === "file" ? model : null;
    for (let number = 1; ; number++) {
      const name = number === 1 ? called : `${called}-${number}`;
      const known = this.#named.get(name);
      if (known === undefined) this.#named.set(name, { called, kind, file, since: wallTime() });
      else if (known.called !== called || known.kind !== kind || known.file !== file) continue;
      return name;
    }
  }

  /** @throws {Error} no model has this name, which is a bug of the caller */
  sinceOf(name: string): number {
    const known = this.#named.get(name);
    if (known === undefined) throw new Error(`there is no model ${name}`);
    return known.since;
  }
}

/** A GPU, as far as its models go. */
interface Loaded {
  readonly device: { readonly id: number };
  readonly instances: readonly { readonly modelName: string | null; readonly info: EngineInfo | null }[];
}

/** The models that were loaded, in the order of their first GPUs. */
export function modelsOf(gpus: readonly Loaded[], names: Pick<ModelNames, "sinceOf">): readonly ModelStatus[] {
  const loaded = gpus.flatMap(({ device: { id }, instances }) =>
    instances.flatMap(({ modelName: name, info }) => (name === null || info === null ? [] : { id, name, info })),
  );
  const models = Map.groupBy(loaded, ({ name }) => name);
  return Array.from(models, ([name, on]) => ({
    name,
    context: on.reduce<number | null>((most, { info }) => larger(most, info.context), null),
    capabilities: [...new Set(on.flatMap(({ info }) => info.capabilities))],
    gpuIds: [...new Set(on.map(({ id }) => id))],
    since: names.sinceOf(name),
  }));
}

function larger(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
