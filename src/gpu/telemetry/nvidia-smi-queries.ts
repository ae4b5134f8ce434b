/** The questions that nvidia-smi is asked once: which GPUs there are, and which fields this version knows. */
import { execFile } from "node:child_process";
import {
  type Field,
  identityOf,
  isDividedByMig,
  migDevicesIn,
  refusedField,
  type Row,
  rowOf,
  slowdownTemperaturesIn,
} from "./nvidia-smi-output.ts";
import { type GpuIdentity, NoDriver } from "./telemetry.ts";

/** Milliseconds after which a hanging nvidia-smi is given up. */
export const TIMEOUT = 10_000;

/** In PCI bus order; a card that is divided by MIG is replaced by its MIG devices. */
export async function findGpus(command: string, fields: readonly Field[]): Promise<readonly GpuIdentity[]> {
  const [rows, slowdown] = await Promise.all([query(command, fields), slowdownTemperatures(command)]);
  const migDevices = rows.some(isDividedByMig) ? migDevicesIn((await run(command, ["-L"])).output) : new Map();
  const gpus = rows.flatMap((row) => {
    const identity = identityOf(row);
    if (identity === null) return [];
    const card = { ...identity, slowdownTemperature: slowdown.get(identity.pciBusId) ?? null };
    return isDividedByMig(row) ? partsOf(card, migDevices) : [card];
  });
  return gpus.toSorted((a, b) => (a.pciBusId === b.pciBusId ? a.index - b.index : a.pciBusId < b.pciBusId ? -1 : 1));
}

function partsOf(card: GpuIdentity, devices: ReturnType<typeof migDevicesIn>): GpuIdentity[] {
  return (devices.get(card.uuid) ?? []).map(({ profile, index, uuid }) => ({
    ...card,
    uuid,
    parentUuid: card.uuid,
    index,
    name: `${card.name} MIG ${profile}`,
    memoryTotal: null,
  }));
}

/** None where this nvidia-smi has no such report: the temperatures are not worth failing for. */
async function slowdownTemperatures(command: string): Promise<ReadonlyMap<string, number>> {
  return run(command, ["-q", "-d", "TEMPERATURE"]).then(
    ({ output }) => slowdownTemperaturesIn(output),
    () => new Map(),
  );
}

/** Leaves out what this nvidia-smi does not know: for one such field it refuses the whole query, naming it. */
export async function queryKnownFields(
  command: string,
  wanted: readonly Field[],
): Promise<{ readonly fields: readonly Field[]; readonly rows: readonly Row[] }> {
  let fields = wanted;
  for (;;) {
    try {
      return { fields, rows: await query(command, fields) };
    } catch (error) {
      const refused = refusedField((error as Error).message);
      const left = fields.filter((field) => field !== refused);
      if (left.length === fields.length || left.length === 0) throw error;
      fields = left;
    }
  }
}

/** One row a card. @throws {Error} with what nvidia-smi said, when there is none */
async function query(command: string, fields: readonly Field[]): Promise<readonly Row[]> {
  const args = [`--query-gpu=${fields.join()}`, "--format=csv,noheader,nounits"];
  const { output, failure } = await run(command, args);
  // It may fail because of one card and still list the others.
  const rows = output.split("\n").flatMap((line) => rowOf(fields, line) ?? []);
  if (rows.length === 0) throw new Error(`nvidia-smi lists no GPU: ${failure ?? (output.trim() || "it said nothing")}`);
  return rows;
}

/** `failure`: what it said when it failed. @throws {Error} when it could not be run */
function run(
  command: string,
  args: readonly string[],
): Promise<{ readonly output: string; readonly failure: string | null }> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: TIMEOUT, killSignal: "SIGKILL", windowsHide: true }, (error, stdout, stderr) => {
      if (error?.code === "ENOENT") reject(new NoDriver(`There is no ${command}.`));
      else if (error?.killed) reject(new Error(`nvidia-smi did not answer within ${TIMEOUT / 1000} seconds.`));
      else resolve({ output: stdout, failure: error === null ? null : `${stdout}${stderr}`.trim() || error.message });
    });
  });
}
