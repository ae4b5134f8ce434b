/**
 * `cluster.json` in the data directory: the id of the cluster, which `gpu_id` each card of each machine has there, which of them an operator
 * drained, which machines are let in, where the NATS servers are, and the epoch: a number that is higher at each start of the server.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { isoTime, wallTime } from "../common/clock.ts";
import { type Static, Type } from "../common/type.ts";
import { checkFor } from "../common/ajv.ts";
import { readJsonFile, writeJsonFile } from "../common/json-file.ts";
import type { AgentGpu } from "./messages.ts";
import type { Drain } from "../gpu/inventory/known-gpus.ts";

export const CLUSTER_FILE = "cluster.json";

const Count = Type.Integer({ minimum: 0 });
const Text = Type.String({ minLength: 1 });

/** Keys of a later version are ignored, and stay. */
const FileSchema = Type.Object({
  version: Type.Literal(1, { allowed: "1; another version of ALT_LAS may have written the file" }),
  cluster: Type.Optional(Text),
  epoch: Count,
  nats: Type.Optional(Text),
  gpus: Type.Array(
    Type.Object({
      id: Count,
      machine: Text,
      key: Type.String(),
      drained: Type.Optional(Type.Object({ by: Text, at: Count })),
    }),
  ),
  joined: Type.Optional(Type.Array(Type.Object({ machine: Text, key: Text }))),
  locked: Type.Optional(Type.Array(Type.Object({ machine: Text, key: Type.Optional(Text), by: Text, at: Count }))),
  revoked: Type.Optional(Type.Array(Text)),
});
type ClusterFile = Static<typeof FileSchema>;

const validate = checkFor(FileSchema);

/** A machine that an operator has locked out. */
export interface Lockout {
  readonly machine: string;
  /** The public key of its credentials; absent: they came by no token. */
  readonly key?: string;
  readonly by: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/** Why a machine takes no part, as a sentence. */
export function lockWords({ machine, by, at }: Lockout): string {
  return `Machine ${machine} was locked out by ${by} at ${isoTime(at)}.`;
}

/** The NATS servers that such a file names; null: none. @param body null: there is no file */
export function natsIn(body: string | null): string | null {
  const { nats } = JSON.parse(body ?? "{}") as Partial<ClusterFile>;
  return nats ?? null;
}

/** The highest id that a machine may claim for a card, and the highest epoch: then there is room for all that come after them. */
const MOST_ID = 2 ** 31;
export const MOST_EPOCH = 2 ** 52;

export class GpuIds {
  readonly #path: string;
  #file: ClusterFile & { readonly cluster: string };

  private constructor(path: string, file: ClusterFile, cluster: string) {
    this.#path = path;
    this.#file = { ...file, cluster };
  }

  /**
   * @param cluster its id, where the database says it; else it is made at the first start
   * @throws {AltLasError} `bad_config`, naming the file and what is wrong with it: to begin anew would give GPUs other ids
   */
  static open(dataDir: string, cluster?: string): GpuIds {
    const path = join(dataDir, CLUSTER_FILE);
    const file = (readJsonFile(path, validate) ?? { version: 1, epoch: 0, gpus: [] }) as ClusterFile;
    return new GpuIds(path, file, cluster ?? file.cluster ?? randomUUID());
  }

  /** The id of the cluster. */
  get cluster(): string {
    return this.#file.cluster;
  }

  /**
   * A server begins to lead: no command of one from before counts any more. It is the time, unless the clock was set back: then a server whose
   * data directory is a backup's leads on, too.
   * @param before an epoch of another server, as far as one is known
   * @throws {AltLasError} `bad_config`: the file cannot be written
   */
  nextEpoch(before = 0): number {
    const epoch = Math.max(this.#file.epoch + 1, before + 1, Math.floor(wallTime()));
    this.#save({ ...this.#file, epoch });
    return epoch;
  }

  /**
   * A server begins to lead, with these NATS servers.
   * @param nats as `Bus.at`
   * @returns those of the server before; undefined: none has led
   */
  leadsOver(nats: string): string | undefined {
    const before = this.#file.nats;
    if (nats !== before) this.#save({ ...this.#file, nats });
    return before;
  }

  /** The machines that have had GPUs here, and may come again. */
  get machines(): ReadonlySet<string> {
    return new Set(this.#file.gpus.map(({ machine }) => machine).filter((machine) => this.lockOf(machine) === null));
  }

  /** Whether a machine has had GPUs here, has joined with a token, or is locked out. */
  knows(name: string): boolean {
    const { gpus, joined = [], locked = [] } = this.#file;
    return [...gpus, ...joined, ...locked].some(({ machine }) => machine === name);
  }

  /** The public key with which a machine has joined; undefined: it has not, or came without a token. */
  keyOf(name: string): string | undefined {
    return this.#file.joined?.find(({ machine }) => machine === name)?.key;
  }

  /** Public keys whose credentials count no more. */
  get revoked(): readonly string[] {
    return this.#file.revoked ?? [];
  }

  get locked(): readonly Lockout[] {
    return this.#file.locked ?? [];
  }

  /** null: it is not locked out. */
  lockOf(machine: string): Lockout | null {
    return this.locked.find((lock) => lock.machine === machine) ?? null;
  }

  /** A machine has joined with a token: of each name the newest credentials count, and no others. @param key its public one @returns whether others were revoked */
  join(machine: string, key: string): boolean {
    const { joined = [] } = this.#file;
    const before = joined.find((one) => one.machine === machine);
    const locked = this.locked.filter((lock) => lock.machine !== machine);
    if (before?.key === key && locked.length === this.locked.length) return false;
    const others = joined.filter((one) => one !== before);
    const replaced = before === undefined || before.key === key ? [] : [before.key];
    const revoked = [...this.revoked, ...replaced];
    this.#save({ ...this.#file, joined: [...others, { machine, key }], locked, revoked });
    return replaced.length > 0;
  }

  /** Calling it again is harmless. */
  lockOut(machine: string, by: string): Lockout {
    const known = this.lockOf(machine);
    if (known !== null) return known;
    const { joined = [] } = this.#file;
    const key = this.keyOf(machine);
    const lock = { machine, by, at: Math.floor(wallTime()), ...(key !== undefined && { key }) };
    this.#save({
      ...this.#file,
      joined: joined.filter((one) => one.machine !== machine),
      locked: [...this.locked, lock],
      revoked: [...this.revoked, ...(key === undefined ? [] : [key])],
    });
    return lock;
  }

  /**
   * The ids of a machine's cards, by their keys. New ones get those that an earlier leader gave them, unless another card has them, else the
   * next ones, in the order they come; the others keep theirs. A new one that was drained stays so.
   * @throws {AltLasError} `bad_config`: the file cannot be written, and nothing has changed
   */
  remember(machine: string, cards: readonly Omit<AgentGpu, "id">[]): ReadonlyMap<string, number> {
    const gpus = [...this.#file.gpus];
    const missing = cards.filter(({ key }) => !gpus.some((gpu) => gpu.machine === machine && gpu.key === key));
    for (const { key, gpuId, drainedBy } of missing) {
      const isFree = gpuId !== undefined && gpuId <= MOST_ID && !gpus.some(({ id }) => id === gpuId);
      const id = isFree ? gpuId : Math.max(-1, ...gpus.map((gpu) => gpu.id)) + 1;
      gpus.push({ id, machine, key, ...(drainedBy !== undefined && { drained: { by: drainedBy, at: wallTime() } }) });
    }
    if (missing.length > 0) this.#save({ ...this.#file, gpus });
    return new Map(gpus.filter((gpu) => gpu.machine === machine).map(({ key, id }) => [key, id]));
  }

  drainOf(id: number): Drain | null {
    return this.#gpu(id)?.drained ?? null;
  }

  /** Remembers that a GPU was taken out of service, or with null that it was put back. */
  setDrained(id: number, drain: Drain | null): void {
    const gpu = this.#gpu(id);
    if (gpu === undefined || (drain === null && gpu.drained === undefined)) return;
    const { drained: _before, ...plain } = gpu;
    const next = drain === null ? plain : { ...plain, drained: { ...drain } };
    this.#save({ ...this.#file, gpus: this.#file.gpus.map((one) => (one === gpu ? next : one)) });
  }

  #gpu(id: number): ClusterFile["gpus"][number] | undefined {
    return this.#file.gpus.find((gpu) => gpu.id === id);
  }

  /** The file holds: one that cannot be written changes nothing. */
  #save(file: ClusterFile & { readonly cluster: string }): void {
    writeJsonFile(this.#path, file);
    this.#file = file;
  }
}
