/** Plans the steps by which this machine's NVIDIA GPUs come to compute. It decides only, and does nothing. */
import { ADD_GPU } from "../common/paste.ts";
import type { CudaBuild } from "./builds.ts";

/** An NVIDIA GPU, or a MIG device. */
export interface Card {
  readonly name: string;
  /** Like 8.6; null: the driver does not say. */
  readonly computeCapability: number | null;
}

export interface Machine {
  /** Of NVIDIA's driver, like "580.159.04"; null: none answers. */
  readonly driver: string | null;
  readonly cards: readonly Card[];
  /** Why there is no driver or no card, in its own words. */
  readonly notes: readonly string[];
}

/** How a card gets to run a build. `none`: it cannot. */
export type Way = "machine code" | "driver compiles" | "ptxas compiles" | "none";

export interface Plan {
  readonly build: CudaBuild;
  /** As many as cards. */
  readonly ways: readonly { readonly card: Card; readonly way: Way }[];
  /** The compute capabilities that ptxas has to compile for, times ten. */
  readonly compileFor: readonly number[];
}

/** There is nothing that this program could do. */
export interface Refusal {
  /** One sentence. */
  readonly reason: string;
  readonly mend: string;
}

const DRIVERS = "https://www.nvidia.com/drivers";

/** @param builds the better one first */
export function planFor(machine: Machine, builds: readonly CudaBuild[]): Plan | Refusal {
  const oldest = Math.min(...builds.map(({ drivers }) => drivers.runs));
  const newest = Math.max(...builds.map(({ drivers }) => drivers.runs));
  const install = `Install NVIDIA's driver ${newest} or later (on Ubuntu: sudo apt-get install nvidia-driver-${newest}; others: ${DRIVERS}), restart the machine, and run this again.`;
  const { driver, cards, notes } = machine;
  if (driver === null || cards.length === 0)
    return { reason: `NVIDIA's driver lists no GPU here: ${notes.join(" ") || "there is none."}`, mend: install };
  const number = Number.parseInt(driver, 10);
  if (number < oldest)
    return { reason: `NVIDIA's driver is ${driver}, and CUDA needs ${oldest} or later.`, mend: install };
  const plans = builds.filter(({ drivers }) => number >= drivers.runs).map((build) => planWith(build, cards, number));
  // Of equals the first one, which is the better one.
  const best = plans.toSorted((a, b) => served(b) - served(a))[0]!;
  if (served(best) > 0) return best;
  const names = cards.map(({ name, computeCapability: cc }) => `${name} (compute capability ${shown(cc)})`);
  return {
    reason: `llama.cpp's CUDA package has no code for ${names.join(", ")} that driver ${driver} could run.`,
    mend: `Try ${ADD_GPU} vulkan, or engine.kind: llama-server with a llama-server that was built for this GPU (docs/engines.md).`,
  };
}

function planWith(build: CudaBuild, cards: readonly Card[], driver: number): Plan {
  const ways = cards.map((card) => ({ card, way: wayOf(card, build, driver) }));
  const archs = ways.flatMap(({ card, way }) => (way === "ptxas compiles" ? [archOf(card)!] : []));
  return { build, ways, compileFor: [...new Set(archs)].toSorted((a, b) => a - b) };
}

/** Machine code runs on the same major number from its minor one on; PTX is compiled for any later card. CUDA Programming Guide, "Compute Capabilities". */
function wayOf(card: Card, { code, drivers }: CudaBuild, driver: number): Way {
  const arch = archOf(card);
  // A driver that does not tell is an old or a strange one; the trial at the end says more.
  if (arch === null) return "machine code";
  if (code.machineCode.some((has) => runsOn(has, arch))) return "machine code";
  if (!code.ptx.some((has) => has <= arch)) return "none";
  return driver >= drivers.compiles ? "driver compiles" : "ptxas compiles";
}

export function runsOn(machineCode: number, arch: number): boolean {
  return Math.floor(machineCode / 10) === Math.floor(arch / 10) && machineCode <= arch;
}

/** null: the driver does not say. */
export function archOf({ computeCapability }: Card): number | null {
  return computeCapability === null ? null : Math.round(computeCapability * 10);
}

function served({ ways }: Plan): number {
  return ways.filter(({ way }) => way !== "none").length;
}

function shown(computeCapability: number | null): string {
  return computeCapability?.toFixed(1) ?? "unknown";
}

const WORDS: Readonly<Record<Way, string>> = {
  "machine code": "the package has machine code for it",
  "driver compiles": "the driver compiles the package's PTX for it, which takes some minutes at the first start",
  "ptxas compiles": "the package's PTX is compiled for it here, with NVIDIA's ptxas",
  none: "cannot be used: the package has no code for it",
};

/** The plan in lines, for a person. */
export function planLines({ build, ways }: Plan, driver: string): string[] {
  const cards = ways.map(
    ({ card, way }) => `  ${card.name} (compute capability ${shown(card.computeCapability)}): ${WORDS[way]}.`,
  );
  return [`NVIDIA's driver ${driver} runs llama.cpp's build for CUDA ${build.version}.`, ...cards];
}
