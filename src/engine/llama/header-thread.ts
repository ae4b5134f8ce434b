/* A thread that reads headers of model files: the library for that takes half a second to load, which the server must not stand still for. */
import { statSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { readGgufFileInfo } from "node-llama-cpp";
import type { FileShape, FileShapeAnswer } from "./file-shape.ts";
import { generates, kvShapeOf } from "./header.ts";
import { partsOf } from "../../common/gguf.ts";

const port = parentPort;
if (port === null) throw new Error("header-thread.ts is started by estimate.ts");
port.on("message", (path: string) => {
  void shapeOf(path)
    .catch(() => null)
    .then((shape) => port.postMessage({ path, shape } satisfies FileShapeAnswer, []));
});

async function shapeOf(path: string): Promise<FileShape> {
  const { architectureMetadata, metadata } = await readGgufFileInfo(path, {
    sourceType: "filesystem",
    logWarnings: false,
    spliceSplitFiles: false,
  });
  const { context_length: trained, embedding_length: width } = architectureMetadata;
  return {
    bytes: partsOf(path).reduce((sum, part) => sum + statSync(part).size, 0),
    kvNumbersPerToken: kvShapeOf(architectureMetadata).kvNumbersPerToken,
    trainContext: isCount(trained) && trained > 0 ? trained : null,
    vocabulary: metadata.tokenizer?.ggml?.tokens?.length ?? 0,
    width: isCount(width) ? width : 0,
    generates: generates(architectureMetadata),
  };
}

/** A header may have anything in it. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
