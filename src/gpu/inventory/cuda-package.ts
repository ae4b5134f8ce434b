/** llama.cpp's CUDA package, which `npm run add-gpu cuda` installs. */
import { join } from "node:path";
import { messageOf } from "../../errors.ts";

const PACKAGE = "@node-llama-cpp/linux-x64-cuda";
const LIBRARY = join("linux-x64-cuda", "libggml-cuda.so");

/**
 * Why it cannot be loaded although it is installed, in the words of the system's loader: most often it misses CUDA's own libraries.
 * null: it can, or it is not there, or nobody can tell.
 */
export async function cudaPackageFault(): Promise<string | null> {
  // The stand-in for a package that is not installed cannot be imported.
  const [{ getBinsDir }, koffi] = await Promise.all([
    (import(PACKAGE) as Promise<{ getBinsDir?: () => { binsDir: string } }>).catch(() => ({ getBinsDir: undefined })),
    import("koffi").catch(() => null),
  ]);
  if (getBinsDir === undefined || koffi === null) return null;
  try {
    koffi.load(join(getBinsDir().binsDir, LIBRARY));
    return null;
  } catch (error) {
    return messageOf(error).replace(/^Failed to load shared library: /, "");
  }
}
