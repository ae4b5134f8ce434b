/** The rules for pulling a model: what it is called, and which names are free. */
import { resolve } from "node:path";
import { shown } from "../common/validation.ts";
import { type Config, MODEL_NAME } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import type { PulledModel } from "./pulled.ts";
import { parseSource, shortNameOf, sourceText } from "./source.ts";

/** A model that somebody wants to have. */
export interface Wish {
  readonly name: string;
  /** As `parseSource` reads it; a path is absolute. */
  readonly source: string;
}

/** @param name what requests shall call it; without one, its short name @throws {AltLasError} `invalid_input` */
export function pullOf(source: string, name?: string): Wish {
  const parsed = parseSource(source);
  const plain = parsed.kind === "path" ? ({ kind: "path", path: resolve(parsed.path) } as const) : parsed;
  const called = name ?? shortNameOf(parsed);
  if (!new RegExp(MODEL_NAME.pattern).test(called))
    throw new AltLasError("invalid_input", `The name of a model must be ${MODEL_NAME.allowed}; got ${shown(called)}.`);
  return { name: called, source: sourceText(plain) };
}

/**
 * Refuses models of a configuration that came over HTTP, where they name what no request may: files and programs of this machine, and
 * addresses unless `models_allow_urls` is set. Models that were there before may stay.
 * @throws {AltLasError} `invalid_input`
 */
export function refuseOwnPlaces(
  next: Pick<Config, "models" | "models_allow_urls">,
  before: readonly Pick<Config, "models">[],
): void {
  const were = before.flatMap(({ models }) => models);
  for (const [index, model] of next.models.entries()) {
    const known = were.filter(({ name }) => name === model.name);
    const { source, engine } = model;
    const at = `models[${index}]`;
    if (source !== undefined && known.every((one) => one.source !== source) && !isPublic(source, next.models_allow_urls)) {
      const wanted = "must be a name of the table or begin with hf: when a request sets it";
      throw new AltLasError("invalid_input", `${at}.source ${wanted}; got ${shown(source)}.`, { param: `${at}.source` });
    }
    if (engine?.binary !== undefined && known.every((one) => one.engine?.binary !== engine.binary)) {
      const sentence = `${at}.engine.binary cannot be set by a request: it is a program of the server's machine.`;
      throw new AltLasError("invalid_input", sentence, { param: `${at}.engine.binary` });
    }
  }
}

/** Whether a request may name a source. */
export function isPublic(source: string, allowUrls: boolean): boolean {
  const { kind } = parseSource(source);
  return kind !== "path" && (kind !== "url" || allowUrls);
}

/** Adds a model to those that were pulled, or says anew where its file is. @throws {AltLasError} `conflict`: another model has the name */
export function withPulled(models: readonly PulledModel[], model: PulledModel): readonly PulledModel[] {
  const same = models.find(({ name }) => name === model.name);
  if (same === undefined) return [...models, model];
  if (same.source !== model.source) throw nameTaken(same.name, same.source);
  return models.map((one) => (one === same ? { ...model, file: model.file ?? same.file } : one));
}

/**
 * Whether the configuration serves a model by this name already.
 * @throws {AltLasError} `conflict`: it has the name for a model of another source
 */
export function isConfigured({ name, source }: Wish, { models }: Pick<Config, "models">): boolean {
  const same = models.find((model) => model.name === name || model.aliases.includes(name));
  if (same !== undefined && same.source !== source) throw nameTaken(name, same.source);
  return same !== undefined;
}

export function nameTaken(name: string, source: string | undefined): AltLasError {
  const whose = source === undefined ? "" : `, which comes from ${source}`;
  return new AltLasError("conflict", `The name ${name} is another model's${whose}; give this one a name of its own.`);
}
