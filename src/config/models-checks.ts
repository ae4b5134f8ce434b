/** Rules about `models` that a schema cannot say. */
import { fieldName, shown } from "../common/validation.ts";
import { messageOf } from "../errors.ts";
import { engineTraits } from "../engine/kinds.ts";
import { parseSource } from "../models/source.ts";
import { deviceEntries } from "./devices.ts";
import type { Finding, Path } from "./findings.ts";
import type { Config } from "./schema.ts";

export function* checkModels(config: Config): Iterable<Finding> {
  yield* checkUnique(config, "names", ({ name, aliases }) => [name, ...aliases]);
  yield* checkUnique(config, "task_types", ({ task_types }) => task_types);
  yield* checkSources(config);
  yield* checkOwnModels(config);
  yield* checkFetched(config);
  for (const { path, entry } of deviceEntries(config)) {
    if (entry.memory_bytes === undefined || String(entry.gpu).startsWith("simulated:")) continue;
    yield finding([...path, "memory_bytes"], "is there, but only a simulated device pretends to have memory.", path);
  }
}

type Entry = Config["models"][number];

function* checkUnique(
  { models }: Config,
  what: string,
  valuesOf: (entry: Entry) => readonly string[],
): Iterable<Finding> {
  const owners = new Map<string, number>();
  for (const [index, entry] of models.entries()) {
    for (const value of new Set(valuesOf(entry))) {
      const first = owners.get(value);
      owners.set(value, first ?? index);
      if (first === undefined) continue;
      const path = ["models", index];
      yield finding(path, `has ${shown(value)} among its ${what}, as models[${first}] has.`, ["models", first]);
    }
  }
}

function* checkSources(config: Config): Iterable<Finding> {
  for (const [index, { source, engine }] of config.models.entries()) {
    const kind = engine?.kind ?? config.engine.kind;
    const { model } = engineTraits(kind);
    if (model === "unused") continue;
    const path = ["models", index, "source"];
    if (source === undefined) yield finding(path, `is missing; engine.kind ${kind} needs one.`, ["engine", "kind"]);
    else if (model === "file") yield* checkSource(path, source);
  }
}

function* checkSource(path: Path, source: string): Iterable<Finding> {
  try {
    parseSource(source);
  } catch (error) {
    yield { path, sentence: `${fieldName(path, "")}: ${messageOf(error)}` };
  }
}

/** A device's own model is a path. */
function* checkFetched({ engine: { kind, model } }: Config): Iterable<Finding> {
  if (model === undefined || engineTraits(kind).model !== "file" || !/^(hf|https?):/i.test(model)) return;
  const how = `name it as the source of an entry of models, or start with --model ${model}`;
  yield finding(["engine", "model"], `is ${shown(model)}, which has to be fetched: ${how}.`, ["engine", "kind"]);
}

/** A device's own model and `models` would each say what the device serves. */
function* checkOwnModels(config: Config): Iterable<Finding> {
  if (config.models.length === 0) return;
  const own: Path[] = deviceEntries(config).flatMap(({ path, entry }) =>
    entry.engine?.model === undefined ? [] : [[...path, "engine", "model"]],
  );
  if (config.engine.model !== undefined) own.push(["engine", "model"]);
  const first = `models[0] (${config.models[0]!.name})`;
  for (const path of own) {
    yield finding(path, `is there beside ${first}; only one of them may say what is served.`);
    yield { path: ["models", 0], sentence: `${first} is there beside ${fieldName(path, "")}.`, from: [path] };
  }
}

function finding(path: Path, sentence: string, ...from: Path[]): Finding {
  return { path, sentence: `${fieldName(path, "")} ${sentence}`, from };
}
