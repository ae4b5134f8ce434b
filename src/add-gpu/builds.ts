/** The builds of llama.cpp for CUDA that npm has, and what NVIDIA says they need. Both are for Linux on x86-64. */

/** A wheel of PyPI, by its name and the numbers with which its version begins. */
export interface WheelName {
  readonly project: string;
  readonly version: string;
}

/** The code in a library: compute capabilities times ten, like 90. */
export interface Code {
  readonly ptx: readonly number[];
  readonly machineCode: readonly number[];
}

export interface CudaBuild {
  /** Of CUDA. */
  readonly version: string;
  /** Of npm. */
  readonly package: string;
  /** The library with the code for GPUs, in the package. */
  readonly library: string;
  /** The code in it, as of the versions of this table. */
  readonly code: Code;
  /** First numbers of drivers: the oldest that runs machine code of this CUDA, and the oldest that compiles its PTX. */
  readonly drivers: { readonly runs: number; readonly compiles: number };
  /** Libraries that it needs and the driver does not bring, with the wheels that have them. */
  readonly needs: readonly { readonly wheel: WheelName; readonly libraries: readonly string[] }[];
  /** The wheel with ptxas, which compiles PTX where the driver cannot. */
  readonly compiler: WheelName;
}

/** Where both packages have their libraries. */
const BINS = "bins/linux-x64-cuda";

/**
 * The better one first: node-llama-cpp takes the second one where the first cannot be loaded. Drivers:
 * https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/, "CUDA Driver", and https://docs.nvidia.com/deploy/cuda-compatibility/.
 * The versions of the wheels are those of PyPI's cuda-toolkit 13.1.2 and of CUDA 12.4.
 */
export const CUDA_BUILDS: readonly [CudaBuild, CudaBuild] = [
  {
    version: "13.1",
    package: "@node-llama-cpp/linux-x64-cuda",
    library: `${BINS}/libggml-cuda.so`,
    code: { ptx: [75, 80, 90], machineCode: [86, 89, 120, 121] },
    drivers: { runs: 580, compiles: 590 },
    needs: [
      { wheel: { project: "nvidia-cuda-runtime", version: "13.1" }, libraries: ["libcudart.so.13"] },
      { wheel: { project: "nvidia-cublas", version: "13.2" }, libraries: ["libcublas.so.13", "libcublasLt.so.13"] },
    ],
    compiler: { project: "nvidia-cuda-nvcc", version: "13.1" },
  },
  {
    version: "12.4",
    package: "@node-llama-cpp/linux-x64-cuda-ext",
    library: `${BINS}/fallback/libggml-cuda.so`,
    code: { ptx: [50, 61, 70, 75, 80], machineCode: [86] },
    drivers: { runs: 525, compiles: 550 },
    needs: [
      { wheel: { project: "nvidia-cuda-runtime-cu12", version: "12.4" }, libraries: ["libcudart.so.12"] },
      {
        wheel: { project: "nvidia-cublas-cu12", version: "12.4" },
        libraries: ["libcublas.so.12", "libcublasLt.so.12"],
      },
    ],
    compiler: { project: "nvidia-cuda-nvcc-cu12", version: "12.4" },
  },
];
