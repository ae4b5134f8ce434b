/*
 * What a backup costs those who submit meanwhile: node bench/backup.ts [MiB] [rounds] [folder]
 * Tasks are saved one after another by 16 clients, for as long as a backup takes and for as long without one, in turn.
 */
import { createWriteStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { beginBackup } from "../src/backup/backup.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { newTask } from "../test/helpers/store.ts";

const SIZE = Number(process.argv[2] ?? 256) * 2 ** 20;
const ROUNDS = Number(process.argv[3] ?? 5);
const CLIENTS = 16;
const TEXT = "Write a poem about the sea. ".repeat(8);
const LONG = "Write a poem about the sea. ".repeat(4000);
const folder = mkdtempSync(join(process.argv[4] ?? tmpdir(), "alt-las-bench-"));
const databasePath = join(folder, "alt-las.db");
const store = new SqliteStore({ path: databasePath });
let seq = 0;

try {
  await store.open();
  while (seq * LONG.length < SIZE) await store.save(Array.from({ length: 50 }, () => newTask(++seq, { text: LONG })));
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) ratios.push(await measureRound());
  ratios.sort((a, b) => a - b);
  console.log(`submissions with a backup, of those without one: ${ratios[ROUNDS >> 1]!.toFixed(2)} (median)`);
} finally {
  await store.close();
  rmSync(folder, { recursive: true });
}

async function measureRound(): Promise<number> {
  const begun = performance.now();
  const during = await rateWhile(backUp());
  const ms = performance.now() - begun;
  const without = await rateWhile(pause(ms));
  const size = statSync(databasePath).size / 2 ** 20;
  console.log(
    `${size.toFixed(0)} MiB in ${(ms / 1000).toFixed(1)} s: ${during.toFixed(0)} tasks/s meanwhile, ${without.toFixed(0)} without`,
  );
  return during / without;
}

async function backUp(): Promise<void> {
  const bytes = await beginBackup({ copier: store, databasePath, dataDir: folder }, new AbortController().signal);
  await pipeline(bytes, createWriteStream(join(folder, "backup.tar")));
}

/** Tasks saved in a second while something else is done. */
async function rateWhile(other: Promise<unknown>): Promise<number> {
  const over = new AbortController();
  const begun = performance.now();
  const first = seq;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!over.signal.aborted) await store.save([newTask(++seq, { text: TEXT })]);
  });
  await other;
  const rate = (seq - first) / ((performance.now() - begun) / 1000);
  over.abort();
  await Promise.all(clients);
  return rate;
}
