/**
 * Which GPUs the CUDA driver shows this process: what decides in the end where a model is computed. The functions are those of the CUDA
 * Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/: cuInit, cuDeviceGetCount, cuDeviceGet, cuDeviceGetUuid_v2.
 */
import { SYSTEM } from "../../common/system.ts";
import { uuidOf } from "../../common/uuid.ts";

/** CUresult. */
const SUCCESS = 0;
const ERROR_NO_DEVICE = 100;

/**
 * UUIDs, in CUDA's order; none when all GPUs are hidden from this process. CUDA gives them as 16 bytes, here always written `GPU-…`, also
 * those of MIG devices: `sameGpu` compares them. null: nobody can tell, because koffi or the CUDA driver is not there.
 * @param library its path; without it, where the driver's installer puts it
 * @throws {Error} one sentence: why the CUDA driver does not work
 */
export async function visibleCudaGpus(library?: string): Promise<readonly string[] | null> {
  const cuda = await loadCuda(library);
  if (cuda === null) return null;
  const started = cuda.init(0);
  if (started === ERROR_NO_DEVICE) return [];
  cuda.check(started, "refused to start");
  const number = new Int32Array(1);
  cuda.check(cuda.getCount(number), "does not count its GPUs");
  return Array.from({ length: number[0]! }, (_, ordinal) => {
    cuda.check(cuda.get(number, ordinal), `does not give GPU ${ordinal}`);
    const uuid = Buffer.alloc(16);
    cuda.check(cuda.getUuid(uuid, number[0]!), `does not say which GPU ${ordinal} is`);
    return written(uuid);
  });
}

/**
 * Whether two UUIDs name the same GPU, whatever stands before their digits and in which case. Drivers before 470 name a MIG device by its
 * card and its place there (`MIG-GPU-…/1/0`), and their CUDA names the card: of such ones it only says whether the cards are the same.
 */
export function sameGpu(a: string, b: string): boolean {
  return digitsOf(a) === digitsOf(b);
}

interface Cuda {
  init(flags: number): number;
  getCount(out: Int32Array): number;
  get(out: Int32Array, ordinal: number): number;
  getUuid(out: Buffer, device: number): number;
  /** @throws {Error} when `code` is not success */
  check(code: number, what: string): void;
}

type Library = ReturnType<(typeof import("koffi"))["load"]>;

/** null: there is none, or nothing to load it with. */
async function loadCuda(path: string | undefined): Promise<Cuda | null> {
  const koffi = await import("koffi").catch(() => null);
  if (koffi === null) return null;
  try {
    return bind(koffi.load(path ?? (SYSTEM.platform === "win32" ? "nvcuda.dll" : "libcuda.so.1")));
  } catch {
    return null;
  }
}

/** @throws {Error} when it lacks one of the functions */
function bind(library: Library): Cuda {
  const getErrorString = library.func("cuGetErrorString", "int", ["int", "_Out_ const char **"]);
  return {
    init: library.func("cuInit", "int", ["uint32"]),
    getCount: library.func("cuDeviceGetCount", "int", ["void *"]),
    get: library.func("cuDeviceGet", "int", ["void *", "int"]),
    getUuid: library.func(uuidFunction(library), "int", ["void *", "int"]),
    check(code, what) {
      if (code === SUCCESS) return;
      const text: (string | null)[] = [null];
      getErrorString(code, text);
      throw new Error(`The CUDA driver ${what}: ${text[0] ?? `error ${code}`}`);
    },
  };
}

/** Before CUDA 11.4 there is only the older one, which names the card of a MIG device instead. */
function uuidFunction(library: Library): string {
  try {
    library.symbol("cuDeviceGetUuid_v2");
    return "cuDeviceGetUuid_v2";
  } catch {
    return "cuDeviceGetUuid";
  }
}

function written(uuid: Buffer): string {
  return `GPU-${uuidOf(uuid.toString("hex"))}`;
}

/** A name that is no UUID stays as it is. */
function digitsOf(uuid: string): string {
  const text = uuid.toLowerCase();
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(text)?.[0] ?? text;
}
