/** `alt-las models` and `alt-las rm`: they ask the server that runs on the data directory, and do it themselves where none does. */
import { said } from "../words/terminal.ts";
import { wallTime } from "../common/clock.ts";
import type { Config } from "../config/config.ts";
import { askServer } from "../control/client.ts";
import { createLogger } from "../log/log.ts";
import { durationWords, sizeWords } from "../common/progress-words.ts";
import { type ListedModel, listedModel } from "../models/listing.ts";
import { ModelRegistry } from "../models/registry.ts";
import { TABLE } from "../models/table.ts";
import { ALT_LAS } from "../common/paste.ts";
import type { Columns } from "./gpus-table.ts";
import { shortened, table, widthOf, wrap } from "./table.ts";

export interface ModelsOptions {
  readonly config: Config;
  readonly dataDir: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** @returns the table, or with `json` what it is made of */
export async function modelsCommand(options: ModelsOptions, columns: Columns, json: boolean): Promise<string> {
  const answer = (await askServer(options.dataDir, "POST /models")) as { models: readonly ListedModel[] } | undefined;
  const models = answer?.models ?? (await modelsOnDisk(options));
  return json ? JSON.stringify({ models }, null, 2) : modelsTable(models, columns);
}

async function modelsOnDisk(options: ModelsOptions): Promise<readonly ListedModel[]> {
  const registry = registryOf(options);
  await registry.find();
  return registry.entries().map((entry) => listedModel(entry, null));
}

/** One that is asked and not started, so that it fetches nothing. */
function registryOf({ config, dataDir, environment }: ModelsOptions): ModelRegistry {
  return new ModelRegistry({ config, dataDir, environment, log: createLogger("warn"), changed: () => {} });
}

/** @returns one line: what was done @throws {AltLasError} `not_found`, `conflict` */
export async function removeCommand(name: string, options: ModelsOptions): Promise<string> {
  const answer = (await askServer(options.dataDir, "POST /models/rm", { name })) as
    | { freed: number | null }
    | undefined;
  const freed = answer === undefined ? await registryOf(options).remove(name) : answer.freed;
  return freed === null
    ? `${name} is not served any more. Its file was left where it is.`
    : `${name} is removed; ${sizeWords(freed)} are free again.`;
}

const HEAD = ["NAME", "SIZE", "LICENCE", "WHERE", "STATE", "LAST USE"];
const WHERE = HEAD.indexOf("WHERE");
/** Cells below which a path tells nothing. */
const LEAST_PATH = 12;

/** One a line, and under those that cannot serve the reason. @param now Unix milliseconds */
export function modelsTable(models: readonly ListedModel[], columns: Columns, now = wallTime()): string {
  if (models.length === 0) return noModels(columns);
  const rows = models.map((model) => cellsOf(model, now));
  const widths = HEAD.map((title, column) => Math.max(...[HEAD, ...rows].map((row) => widthOf(row[column] ?? title))));
  const others = widths.reduce((sum, width, column) => sum + 2 + (column === WHERE ? 0 : width), -2);
  const room = columns === null ? Infinity : Math.max(LEAST_PATH, columns - others);
  const lines = rows.flatMap((row, index) => {
    const { reason } = models[index]!;
    const cells = row.map((cell, column) => (column === WHERE ? shortened(cell, room) : cell));
    return reason === null ? [cells] : [cells, wrap(said(reason), columns ?? Infinity, "  ")];
  });
  return table(HEAD, lines);
}

function noModels(columns: Columns): string {
  const names = TABLE.models.map(({ name }) => name).join(", ");
  const text = `There are no models by name. ${ALT_LAS} pull SOURCE fetches one; short names are ${names}.`;
  return wrap(said(text), columns ?? Infinity);
}

function cellsOf(model: ListedModel, now: number): string[] {
  const { name, size_bytes: size, licence, gpu_ids: gpus, path, state, last_used_at: used } = model;
  return [
    name,
    size === null ? "-" : sizeWords(size),
    licence ?? "-",
    gpus.length > 0 ? `GPU ${gpus.join(", ")}` : (path ?? "-"),
    state,
    used === null ? "-" : `${durationWords(Math.max(0, (now - used) / 1000))} ago`,
  ];
}
