/** The models of the configuration, as the GPUs are told of them. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { type Config, type ModelSettings } from "../config/config.ts";
import { engineTraits } from "../engine/kinds.ts";
import { partsOf } from "../common/gguf.ts";
import { messageOf } from "../errors.ts";
import { type ModelFile, type ServedModel } from "../gpu/served.ts";

/** Those whose engines load files have sources that are paths. */
export function servedModels({ models, engine }: Config): readonly ServedModel[] {
  return models.map((settings) => ({ settings, file: fileOf(settings, settings.engine?.kind ?? engine.kind) }));
}

function fileOf({ source = "" }: ModelSettings, kind: Config["engine"]["kind"]): ModelFile | null {
  return engineTraits(kind).model === "file" ? fileAt(resolve(source)) : null;
}

/** @param path of the first part */
export function fileAt(path: string): ModelFile {
  try {
    const bytes = partsOf(path).reduce((sum, part) => sum + statSync(part).size, 0);
    return { state: "there", path, bytes };
  } catch (error) {
    return { state: "failed", why: `The model file ${path} cannot be used: ${messageOf(error)}.` };
  }
}
