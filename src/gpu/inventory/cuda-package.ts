/** llama.cpp's CUDA packages, which `add-gpu cuda` installs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../errors.ts";

/** The second one has the library for older drivers, for which the first one's is set aside. */
const PACKAGES = ["@node-llama-cpp/linux-x64-cuda", "@node-llama-cpp/linux-x64-cuda-ext"] as const;
const LIBRARIES = ["libggml-cuda.so", join("fallback", "libggml-cuda.so")] as const;
/** The library that both were linked against, found by itself beside the first one only. */
const BASE = "libggml-base.so";

/**
 * Why it cannot be loaded although it is installed, in the words of the system's loader: most often it misses CUDA's own libraries.
 * null: it can, or it is not there, or nobody can tell.
 */
export async function cudaPackageFault(): Promise<string | null> {
  const [koffi, ...folders] = await Promise.all([
    import("koffi").catch(() => null),
    ...PACKAGES.map((name) => binsOf(name)),
  ]);
  const [main] = folders;
  if (!main || koffi === null) return null;
  const paths = folders.flatMap((folder, index) => (folder === null ? [] : join(folder, LIBRARIES[index]!)));
  const library = paths.find((path) => existsSync(path));
  if (library === undefined) return null;
  try {
    koffi.load(join(main, BASE));
    koffi.load(library);
    return null;
  } catch (error) {
    return messageOf(error).replace(/^Failed to load shared library: /, "");
  }
}

/** null: the package is not installed; its stand-in cannot be imported. */
async function binsOf(name: string): Promise<string | null> {
  const found = await (import(name) as Promise<{ getBinsDir?: () => { binsDir: string } }>).catch(() => null);
  return found?.getBinsDir === undefined ? null : join(found.getBinsDir().binsDir, "linux-x64-cuda");
}
