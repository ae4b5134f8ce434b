/** `add-gpu cuda`, step by step. Each step that is done already is left out, so that it can be run again at any time. */
import { existsSync, linkSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../errors.ts";
import type { WheelIndex } from "../common/wheels.ts";
import { ADD_GPU, BEFORE_OPTIONS, START } from "../common/paste.ts";
import { checkRoom } from "../common/disk-space.ts";
import { renameSync } from "../common/rename.ts";
import { type FileLock, lockFile, Locked } from "../store/file-lock.ts";
import { CUDA_BUILDS, type CudaBuild } from "./builds.ts";
import { codeIn, compileLibrary, originalOf } from "./compile.ts";
import { linkLibraries, ptxasIn, takeFromWheel } from "./libraries.ts";
import { packageFolder } from "./packages.ts";
import { inTenths } from "./progress.ts";
import { archOf, type Machine, type Plan, planFor, planLines, type Refusal, runsOn } from "./plan.ts";
import type { Tried } from "./trial.ts";

/** The parts that it works with; a test has stand-ins for some. */
export interface Surroundings {
  /** The folder of ALT_LAS. */
  readonly root: string;
  /** `--yes`: NVIDIA's licence is accepted. */
  readonly yes: boolean;
  /** `--for`: what `lookAtMachine` describes is another machine, so nothing can be tried here. */
  readonly isForOther: boolean;
  lookAtMachine(): Promise<Machine>;
  /** Has a package of npm in node_modules. */
  addPackage(name: string): void;
  readonly index: Pick<WheelIndex, "find" | "fetch">;
  /** Those of some libraries that the system lacks. */
  notFoundBySystem(names: readonly string[]): string[];
  /** Asks a person; null: there is nobody to ask. */
  confirm(question: string): Promise<boolean> | null;
  /** Why the library cannot be loaded; null: it can, or nobody can tell. */
  libraryFault(): Promise<string | null>;
  tryGpus(): Promise<readonly Tried[]>;
  say(line: string): void;
}

/** Reason for giving up, and the command that mends it. */
class Stop extends Error {
  readonly mend: string;

  constructor({ reason, mend }: Refusal) {
    super(reason);
    this.mend = mend;
  }
}

const AGAIN = `${ADD_GPU} cuda`;

/** Bytes. */
const ROOM_FOR_COMPILING = 700 * 2 ** 20;

const LICENCE = "https://docs.nvidia.com/cuda/eula/";

/** Whether every NVIDIA GPU of this machine generates a token in the end. Otherwise the fault has been said, and its remedy. */
export async function addCuda(surroundings: Surroundings): Promise<boolean> {
  let lock: FileLock | undefined;
  try {
    lock = lockFor(surroundings.root);
    const machine = await surroundings.lookAtMachine();
    const first = planned(machine, CUDA_BUILDS);
    for (const line of [...planLines(first, machine.driver!), ...stepLines(surroundings, first)])
      surroundings.say(line);
    for (const name of packagesFor(first.build)) surroundings.addPackage(name);
    const plan = await planOfInstalled(surroundings, machine, first);
    await prepare(surroundings, machine, plan);
    if (surroundings.isForOther) {
      surroundings.say("Done. Nothing was tried: this is for another machine.");
      return true;
    }
    return await proved(surroundings);
  } catch (error) {
    surroundings.say(messageOf(error));
    surroundings.say(error instanceof Stop ? error.mend : `When that is mended, go on with: ${AGAIN}`);
    return false;
  } finally {
    lock?.release();
  }
}

/** Two at once would write the same files. */
function lockFor(root: string): FileLock {
  try {
    return lockFile(join(root, "node_modules", ".add-gpu-lock"), 0);
  } catch (error) {
    if (!(error instanceof Locked)) throw error;
    throw new Stop({ reason: `Another ${AGAIN} is at work here.`, mend: "Wait for its end." });
  }
}

/** The lines that announce the steps before they are taken. */
function stepLines({ root, isForOther, notFoundBySystem }: Surroundings, { build, compileFor }: Plan): string[] {
  const lacks = build.needs.flatMap(({ libraries }) => notFoundBySystem(libraries));
  return [
    "What this does, where it is not done yet:",
    `  ${packagesFor(build).join(", ")}: fetched from npm into node_modules.`,
    ...(lacks.length > 0 ? [`  ${lacks.join(", ")}: fetched from PyPI into ${join(root, "cuda")}.`] : []),
    ...(compileFor.length > 0 ? ["  ptxas: fetched from there too, and used to compile the package's PTX."] : []),
    ...(isForOther ? [] : ["  Each GPU generates a token."]),
  ];
}

function planned(machine: Machine, builds: readonly CudaBuild[]): Plan {
  const plan = planFor(machine, builds);
  if ("reason" in plan) throw new Stop(plan);
  return plan;
}

/** The second build stands in for the library of the first one, whose package has all the rest. */
function packagesFor(build: CudaBuild): string[] {
  return [...new Set([CUDA_BUILDS[0].package, build.package])];
}

function libraryOf(root: string, build: CudaBuild): string {
  return join(packageFolder(root, build.package), build.library);
}

/** As `first`, by the code that is really in the library as it came. */
async function planOfInstalled({ root }: Surroundings, machine: Machine, { build }: Plan): Promise<Plan> {
  const library = libraryOf(root, build);
  const original = originalOf(library);
  // One that was set aside for the other build comes back.
  if (!existsSync(library) && existsSync(original)) linkSync(original, library);
  const code = await codeIn(existsSync(original) ? original : library);
  return planned(machine, [{ ...build, code }]);
}

/** Brings all that the library of a build needs to compute on the cards here. */
async function prepare(surroundings: Surroundings, machine: Machine, plan: Plan): Promise<void> {
  const { root, index, say } = surroundings;
  const { build } = plan;
  const library = libraryOf(root, build);
  const isReady = await runsAsItIs(library, machine);
  const compileFor = isReady ? [] : plan.compileFor;
  // Machine code for other cards has taken the place of PTX that the driver compiles for these.
  if (!isReady && compileFor.length === 0 && existsSync(originalOf(library))) renameSync(originalOf(library), library);
  const own = join(root, "cuda", build.version);
  const lacks = build.needs.flatMap(({ libraries }) => surroundings.notFoundBySystem(libraries));
  const toFetch = [...lacks, ...(compileFor.length > 0 ? ["ptxas"] : [])].filter(
    (file) => !existsSync(join(own, file)),
  );
  if (toFetch.length > 0) await accept(surroundings, toFetch);
  for (const { wheel, libraries } of build.needs) {
    const files = libraries.filter((name) => lacks.includes(name));
    await takeFromWheel(index, wheel, files, own, say);
    linkLibraries(files, own, dirname(library));
  }
  if (compileFor.length > 0) {
    await takeFromWheel(index, build.compiler, ["ptxas"], own, say);
    await compile(surroundings, machine, library, compileFor, own);
  }
  if (build.version !== CUDA_BUILDS[0].version) setAside(libraryOf(root, CUDA_BUILDS[0]));
}

/** Whether a library has machine code for all cards, as it came or as ptxas has made it. */
async function runsAsItIs(library: string, { cards }: Machine): Promise<boolean> {
  const { machineCode } = await codeIn(library);
  const archs = cards.flatMap((card) => archOf(card) ?? []);
  return archs.every((arch) => machineCode.some((has) => runsOn(has, arch)));
}

/** llama.cpp takes the second build's library only where the first one cannot be loaded. */
function setAside(library: string): void {
  if (existsSync(originalOf(library))) rmSync(library, { force: true });
  else renameSync(library, originalOf(library));
}

async function compile(
  { say }: Surroundings,
  { cards }: Machine,
  library: string,
  archs: readonly number[],
  own: string,
): Promise<void> {
  say(`Compiling the package's PTX for ${archs.map((arch) => (arch / 10).toFixed(1)).join(", ")} (some minutes) …`);
  // The library once more, and what is kept of the compiling.
  await checkRoom(dirname(library), ROOM_FOR_COMPILING, "Compiling");
  await compileLibrary({
    library,
    archs,
    cards: cards.flatMap((card) => archOf(card) ?? []),
    ptxas: ptxasIn(own),
    cache: join(own, "compiled"),
    onProgress: inTenths((done, all) => say(`  ${done} of ${all} modules`)),
  });
}

/** NVIDIA's licence is asked for once. */
async function accept({ root, yes, confirm, say }: Surroundings, files: readonly string[]): Promise<void> {
  const accepted = join(root, "cuda", "licence-accepted.txt");
  if (existsSync(accepted)) return;
  say(`These files are NVIDIA's, and come from PyPI: ${files.join(", ")}. Their licence: ${LICENCE}`);
  const answer = yes || (await confirm("Do you accept NVIDIA's licence? [y/N] "));
  if (answer === null)
    throw new Stop({
      reason: "Nobody is here to accept NVIDIA's licence.",
      mend: `To accept it: ${AGAIN}${BEFORE_OPTIONS} --yes`,
    });
  if (!answer) throw new Stop({ reason: "NVIDIA's licence was not accepted.", mend: `To be asked again: ${AGAIN}` });
  mkdirSync(dirname(accepted), { recursive: true });
  writeFileSync(accepted, `${LICENCE}\nThe licence of the files in this folder was accepted when they were fetched.\n`);
}

/** Loads the library, and has each GPU generate a token. */
async function proved({ say, libraryFault, tryGpus }: Surroundings): Promise<boolean> {
  const fault = await libraryFault();
  if (fault !== null)
    throw new Stop({
      reason: `llama.cpp's CUDA library cannot be loaded: ${fault}.`,
      mend: `Install what it names (libcuda.so.1 comes with NVIDIA's driver; libstdc++.so.6 and libgcc_s.so.1 with the system), then: ${AGAIN}`,
    });
  say("Trying it: one token from each GPU …");
  const tried = await tryGpus();
  for (const { name, fault: why } of tried) say(why === null ? `  ${name} generates.` : `  ${name}: ${why}`);
  const isWell = tried.length > 0 && tried.every(({ fault: why }) => why === null);
  say(
    isWell
      ? `Done. Start the server: ${START}`
      : `Not every GPU generates. docs/gpus.md says under "NVIDIA" what drivers and GPUs need; engine.kind: llama-server with a llama-server that was built on this machine works where this package does not.`,
  );
  return isWell;
}
