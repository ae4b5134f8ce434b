/** `gpus.json` in the data directory: the number of every GPU that was ever seen here, and which devices an operator drained. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Static, Type } from "../../common/type.ts";
import { AltLasError } from "../../errors.ts";
import { ABSENT, FileWatch } from "../../common/file-watch.ts";
import { readJsonFile, writeJsonFile } from "../../common/json-file.ts";
import { checkFor } from "../../common/ajv.ts";

const strict = { additionalProperties: false };
const Text = Type.String({ minLength: 1 });
const Count = Type.Integer({ minimum: 0 });

const FileSchema = Type.Object(
  {
    version: Type.Literal(1, { allowed: "1; another version of ALT_LAS may have written the file" }),
    gpus: Type.Array(Type.Object({ uuid: Text, number: Count, name: Text, pci_bus_id: Text }, strict)),
    drained: Type.Array(Type.Object({ device: Text, by: Text, at: Count }, strict)),
  },
  strict,
);
type KnownFile = Static<typeof FileSchema>;

const validate = checkFor(FileSchema);

/** A GPU that is here, or was at an earlier start. */
export interface KnownGpu {
  readonly uuid: string;
  /** The N of `gpu:N`, and its gpu_id where the configuration lists no devices. */
  readonly number: number;
  readonly name: string;
  readonly pciBusId: string;
}

/** The user who took a device out of service, and the time. */
export interface Drain {
  readonly by: string;
  /** Unix milliseconds. */
  readonly at: number;
}

export class KnownGpus {
  readonly #path: string;
  readonly #gpus: Map<string, KnownGpu>;
  readonly #drained: Map<string, Drain>;

  private constructor(path: string, { gpus, drained }: KnownFile) {
    this.#path = path;
    this.#gpus = new Map(gpus.map(({ pci_bus_id, ...gpu }) => [gpu.uuid, { ...gpu, pciBusId: pci_bus_id }]));
    this.#drained = new Map(drained.map(({ device, ...drain }) => [device, drain]));
  }

  /**
   * Reads what is remembered; nothing at the first start. It writes only when something changes.
   * @throws {AltLasError} `bad_config`, naming the file and what is wrong with it: to begin anew in silence would give GPUs other numbers
   */
  static open(dataDir: string): KnownGpus {
    const path = join(dataDir, "gpus.json");
    const file = (readJsonFile(path, validate) ?? { version: 1, gpus: [], drained: [] }) as KnownFile;
    checkUnique(file, path);
    return new KnownGpus(path, file);
  }

  /** Warns from now on when the file goes away. @returns what ends that */
  watch(log: { warn(message: string): void }): () => void {
    let wasThere = existsSync(this.#path);
    const watch = new FileWatch(this.#path, {
      seen: (version) => {
        const isThere = version !== ABSENT;
        if (wasThere && !isThere)
          log.warn(`${this.#path} is gone. Put a copy back, or GPUs may have other numbers after the next start.`);
        wasThere = isThere;
      },
    });
    return () => watch.stop();
  }

  /** By number. */
  get all(): readonly KnownGpu[] {
    return [...this.#gpus.values()].toSorted((a, b) => a.number - b.number);
  }

  numberOf(uuid: string): number | undefined {
    return this.#gpus.get(uuid)?.number;
  }

  /**
   * Gives those that are new the next numbers, in the order they come; the others keep theirs.
   * @throws {AltLasError} `bad_config`: the file cannot be written
   */
  remember(gpus: readonly Omit<KnownGpu, "number">[]): void {
    const before = JSON.stringify(this.all);
    for (const { uuid, name, pciBusId } of gpus) {
      const number = this.numberOf(uuid) ?? Math.max(-1, ...this.all.map((known) => known.number)) + 1;
      this.#gpus.set(uuid, { uuid, number, name, pciBusId });
    }
    if (JSON.stringify(this.all) !== before) this.#save();
  }

  /** @param key a device's `key` */
  isDrained(key: string): boolean {
    return this.#drained.has(key);
  }

  /**
   * Remembers that a device was taken out of service, or with null that it was put back.
   * @throws {AltLasError} `bad_config`: the file cannot be written
   */
  setDrained(key: string, drain: Drain | null): void {
    if (drain === null && !this.#drained.delete(key)) return;
    if (drain !== null) this.#drained.set(key, drain);
    this.#save();
  }

  #save(): void {
    const file: KnownFile = {
      version: 1,
      gpus: this.all.map(({ uuid, number, name, pciBusId }) => ({ uuid, number, name, pci_bus_id: pciBusId })),
      drained: [...this.#drained].map(([device, { by, at }]) => ({ device, by, at })),
    };
    writeJsonFile(this.#path, file);
  }
}

function checkUnique({ gpus }: KnownFile, path: string): void {
  for (const field of ["uuid", "number"] as const) {
    const values = gpus.map((gpu) => gpu[field]);
    const twice = values.find((value, index) => values.indexOf(value) < index);
    if (twice === undefined) continue;
    throw new AltLasError("bad_config", `${path} is damaged: the ${field} ${twice} stands there twice.`);
  }
}
