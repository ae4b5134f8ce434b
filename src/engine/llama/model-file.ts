/** Whether a model's files are there, before anything reads them: llama.cpp's own words for the everyday mistakes are hard to understand. */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { MAGIC, partsOf } from "../../common/gguf.ts";
import { EngineFailure } from "../failures.ts";

/** @throws {EngineFailure} `model_error`: a file is missing, or is no GGUF file */
export async function checkFile(path: string): Promise<void> {
  await checkStart(path);
  const parts = partsOf(path);
  if (parts.length > 1 && path !== parts[0]) {
    const sentence = `The model file ${path} is not the first of ${parts.length} parts; that one has to be named: ${parts[0]}.`;
    throw new EngineFailure("model_error", sentence);
  }
  for (const [index, part] of parts.entries()) {
    const missing = `Part ${index + 1} of ${parts.length} of the model is missing: there is no ${basename(part)} beside ${path}.`;
    await checkStart(part, missing);
  }
}

/** @param missing the sentence where it does not exist */
async function checkStart(path: string, missing = `The model file ${path} does not exist.`): Promise<void> {
  const start = await readStart(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw new EngineFailure("model_error", missing);
    throw new EngineFailure("model_error", `The model file ${path} cannot be read: ${error.message}.`, {
      cause: error,
    });
  });
  if (start.length === 0) throw new EngineFailure("model_error", `The model file ${path} is empty.`);
  const text = start.toString("latin1");
  if (text === MAGIC) return;
  const shown = /^[ -~]+$/.test(text) ? `"${text}"` : `the bytes ${start.toString("hex")}`;
  throw new EngineFailure("model_error", `The model file ${path} is not a GGUF file: it starts with ${shown}.`);
}

async function readStart(path: string): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MAGIC.length) });
  return buffer.subarray(0, bytesRead);
}
