/**
 * NVIDIA GPUs as `nvidia-smi` tells them, for machines where NVML itself cannot be loaded into Node.
 *
 * To start a process for every sample would cost more than what it measures (loading the driver alone takes up to a
 * second without persistence mode), so two run for as long as the driver is open, in nvidia-smi's loop (`-lms`):
 *
 * 1. One writes a row for each card, over and over. A turn is complete when every known card has its row, or when a card
 *    comes for the second time: the cards without a row are then no longer listed.
 * 2. One writes a row for each process that uses a card, and *nothing* where there is none, so its turns have no
 *    boundary, and the time in its rows would not help: silence has no time. A process therefore counts until it has
 *    not been named for two periods, the period being the longer of the interval and what the cards' last turn took.
 *    When it arrived is what counts; the wall clock that nvidia-smi would write may jump.
 *
 * nvidia-smi does not tell of Xid errors, of the energy used, or of how much single processes use.
 */
import { CommandStream } from "./command-stream.ts";
import {
  busIdIn,
  failureIn,
  type Field,
  IDENTITY_FIELDS,
  migSampleOf,
  PROCESS_FIELDS,
  processOf,
  type Row,
  rowOf,
  SAMPLE_FIELDS,
  sampleOf,
} from "./nvidia-smi-output.ts";
import { findGpus, queryKnownFields, TIMEOUT } from "./nvidia-smi-queries.ts";
import type { Driver, GpuIdentity, GpuProcess, GpuSample, Snapshot } from "./telemetry.ts";

/** Milliseconds beyond two turns after which what nvidia-smi wrote says nothing of now: it hangs. */
const STALE = 3000;

export interface NvidiaSmiOptions {
  /** Milliseconds between two turns of nvidia-smi, to which its own work is added. */
  readonly interval: number;
  /** The program to run; by default the `nvidia-smi` in the PATH. */
  readonly command?: string;
}

/** @throws {Error} when there is no nvidia-smi, or it finds no GPU */
export async function openNvidiaSmi({ interval, command = "nvidia-smi" }: NvidiaSmiOptions): Promise<Driver> {
  const { fields, rows } = await queryKnownFields(command, [...new Set([...IDENTITY_FIELDS, ...SAMPLE_FIELDS])]);
  return new NvidiaSmi({
    command,
    interval,
    version: rows[0]?.get("driver_version") ?? "",
    identityFields: IDENTITY_FIELDS.filter((field) => fields.includes(field)),
    sampleFields: SAMPLE_FIELDS.filter((field) => fields.includes(field)),
  });
}

interface Settings {
  readonly command: string;
  readonly interval: number;
  readonly version: string;
  /** Those that this nvidia-smi knows. */
  readonly identityFields: readonly Field[];
  readonly sampleFields: readonly Field[];
}

class NvidiaSmi implements Driver {
  readonly source: string;
  readonly #settings: Settings;
  /** By uuid; one that was found stays, so that it is called lost when it is gone. */
  readonly #known = new Map<string, GpuIdentity>();
  #cards: CardRows | null = null;
  #processes: ProcessRows | null = null;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.source = `nvidia-smi ${settings.version}`.trim();
  }

  async discover(): Promise<readonly GpuIdentity[]> {
    const gpus = await findGpus(this.#settings.command, this.#settings.identityFields);
    for (const gpu of gpus) this.#known.set(gpu.uuid, gpu);
    const busIds = new Set([...this.#known.values()].map(({ pciBusId }) => pciBusId));
    this.#cards ??= new CardRows(this.#settings);
    this.#cards.expected = busIds;
    this.#processes ??= new ProcessRows(this.#settings);
    return gpus;
  }

  async sample(): Promise<Snapshot> {
    if (this.#cards === null) throw new Error("The GPUs have not been discovered yet.");
    await this.#cards.begun;
    const rows = this.#cards.newest();
    const looked = [...this.#known.values()].map((gpu) => this.#look(gpu, rows.get(gpu.pciBusId)));
    return {
      samples: looked.filter((found) => "memoryUsed" in found),
      lost: looked.filter((found) => "reason" in found),
      events: [],
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#cards?.close(), this.#processes?.close()]);
  }

  #look(gpu: GpuIdentity, row: Row | undefined): GpuSample | Snapshot["lost"][number] {
    const failure = row === undefined ? this.#cards!.whyMissing(gpu.pciBusId) : failureIn(row);
    if (row !== undefined && failure === null) return this.#sampleOf(gpu, row);
    return { uuid: gpu.uuid, reason: `The GPU at ${gpu.pciBusId} ${failure}, says nvidia-smi.` };
  }

  #sampleOf({ uuid, parentUuid }: GpuIdentity, row: Row): GpuSample {
    const { turns, period } = this.#cards!;
    // Both were started together, so after two turns of the cards the processes have been looked at once.
    const processes = turns < 2 ? null : this.#processes!.of(uuid, period);
    if (parentUuid === null) return sampleOf(uuid, row, processes);
    // Processes may be listed under their card, so that none listed here does not mean that there are none.
    return migSampleOf(uuid, sampleOf(parentUuid, row, null), processes?.length === 0 ? null : processes);
  }
}

/** The newest row of each card, from a process that writes them over and over. */
class CardRows {
  /** Bus ids of the cards that a complete turn lists. */
  expected: ReadonlySet<string> = new Set();
  /** How many were complete since the process was started. */
  turns = 0;
  /** Milliseconds that the last turn took. */
  period: number;
  /** When there is something to tell: a turn is complete, or the process has ended, or hangs. */
  readonly begun: Promise<void>;
  readonly #settings: Settings;
  readonly #stream: CommandStream;
  readonly #begin: () => void;
  readonly #giveUp: NodeJS.Timeout;
  /** Of the turn that is being written. */
  #rows = new Map<string, Row>();
  #complete: { readonly rows: ReadonlyMap<string, Row>; readonly at: number } | null = null;
  /** The last lines of nvidia-smi that were no rows, and those about single cards. */
  #lastWords = "";
  readonly #complaints = new Map<string, string>();

  constructor(settings: Settings) {
    this.#settings = settings;
    this.period = settings.interval;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.begun = promise;
    this.#begin = resolve;
    this.#giveUp = setTimeout(resolve, STALE + 3 * settings.interval);
    const { command, sampleFields, interval } = settings;
    this.#stream = new CommandStream(command, loop(`--query-gpu=${sampleFields.join()}`, interval), {
      line: (text) => this.#line(text),
      ended: (how) => this.#ended(how),
    });
  }

  /** By bus id. @throws {Error} when nvidia-smi has nothing new to tell of any card */
  newest(): ReadonlyMap<string, Row> {
    const at = this.#complete?.at ?? performance.now() - (this.#stream.runningFor ?? 0);
    const silentFor = performance.now() - at;
    if (silentFor > TIMEOUT + 2 * this.period) this.#stream.kill();
    if (silentFor > STALE + 2 * this.period) {
      throw new Error(`nvidia-smi has written nothing for ${Math.round(silentFor / 1000)} seconds.`);
    }
    if (this.#complete !== null) return this.#complete.rows;
    const isEveryCardGone = [...this.expected].every((busId) => this.#complaints.has(busId));
    if (isEveryCardGone && this.expected.size > 0) return new Map();
    throw new Error(`nvidia-smi ended and is started again: ${this.#lastWords || "it said nothing"}`);
  }

  whyMissing(busId: string): string {
    return this.#complaints.get(busId) ?? "is not listed any more";
  }

  async close(): Promise<void> {
    clearTimeout(this.#giveUp);
    this.#begin();
    await this.#stream.close();
  }

  #line(text: string): void {
    const row = rowOf(this.#settings.sampleFields, text);
    const busId = busIdIn(row?.get("pci.bus_id") ?? "");
    if (row === null || busId === null) this.#complain(text.trim());
    else this.#add(busId, row);
  }

  #add(busId: string, row: Row): void {
    this.#complaints.delete(busId);
    if (this.#rows.has(busId)) {
      this.#endTurn();
      this.#rows = new Map();
    }
    this.#rows.set(busId, row);
    if ([...this.expected].every((expected) => this.#rows.has(expected))) this.#endTurn();
  }

  #endTurn(): void {
    if (this.#complete?.rows === this.#rows) return;
    const at = performance.now();
    if (this.#complete !== null) this.period = Math.max(this.#settings.interval, at - this.#complete.at);
    this.#complete = { rows: this.#rows, at };
    this.turns++;
    this.#lastWords = "";
    this.#begin();
  }

  /** `No devices were found` is said of all cards; other sentences name the card they are about, if it is one. */
  #complain(text: string): void {
    if (text === "") return;
    this.#lastWords = text;
    const busId = busIdIn(text);
    if (busId !== null) this.#complaints.set(busId, `is out of reach ("${text}")`);
    if (/No devices were found/i.test(text)) {
      for (const expected of this.expected) this.#complaints.set(expected, "is not found any more");
    }
  }

  #ended(how: string): void {
    this.#lastWords ||= how;
    this.#complete = null;
    this.#rows = new Map();
    this.turns = 0;
    this.#begin();
  }
}

/** The processes that use the GPUs, from a process that writes them over and over. */
class ProcessRows {
  readonly #stream: CommandStream;
  readonly #seen = new Map<string, { readonly gpu: string; readonly process: GpuProcess; readonly at: number }>();
  /** It ended, and has named no process since: its silence may be a failure. */
  #hasFailed = false;

  constructor({ command, interval }: Settings) {
    this.#stream = new CommandStream(command, loop(`--query-compute-apps=${PROCESS_FIELDS.join()}`, interval), {
      line: (text) => this.#line(text),
      ended: () => {
        this.#hasFailed = true;
        this.#seen.clear();
      },
    });
  }

  /** `period`: of the process that lists the cards, in milliseconds. null: it does not tell. */
  of(uuid: string, period: number): readonly GpuProcess[] | null {
    if (this.#hasFailed || this.#stream.runningFor === null) return null;
    const oldest = performance.now() - 2 * period;
    for (const [key, { at }] of this.#seen) if (at < oldest) this.#seen.delete(key);
    return [...this.#seen.values()].filter(({ gpu }) => gpu === uuid).map(({ process }) => process);
  }

  close(): Promise<void> {
    return this.#stream.close();
  }

  #line(text: string): void {
    const row = rowOf(PROCESS_FIELDS, text);
    const found = row === null ? null : processOf(row);
    if (found === null) return;
    this.#hasFailed = false;
    this.#seen.set(`${found.gpu} ${found.process.pid}`, { ...found, at: performance.now() });
  }
}

function loop(what: string, interval: number): readonly string[] {
  return [what, "--format=csv,noheader,nounits", "-lms", String(interval)];
}
