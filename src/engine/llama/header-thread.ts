/* A thread that reads headers of model files: the library for that takes half a second to load, which the server must not stand still for. */
import { statSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { readGgufFileInfo } from "node-llama-cpp";
import { type FileShape, type FileShapeAnswer } from "./file-shape.ts";
import { KV_CACHE, kvShapeOf } from "./header.ts";
import { partsOf } from "../../common/gguf.ts";

const port = parentPort;
if (port === null) throw new Error("header-thread.ts is started by estimate.ts");
port.on("message", (path: string) => {
  void shapeOf(path)
    .catch(() => null)
    .then((shape) => port.postMessage({ path, shape } satisfies FileShapeAnswer, []));
});

async function shapeOf(path: string): Promise<FileShape> {
  const { architectureMetadata } = await readGgufFileInfo(path, {
    sourceType: "filesystem",
    logWarnings: false,
    spliceSplitFiles: false,
  });
  const { kvNumbersPerToken } = kvShapeOf(architectureMetadata);
  const { context_length: trained } = architectureMetadata;
  return {
    bytes: partsOf(path).reduce((sum, part) => sum + statSync(part).size, 0),
    kvBytesPerToken: Math.ceil(kvNumbersPerToken * KV_CACHE.f16.bytesPerNumber),
    trainContext: Number.isSafeInteger(trained) && trained! > 0 ? trained! : null,
  };
}
