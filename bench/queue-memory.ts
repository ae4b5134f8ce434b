/** What a waiting task takes of the server's memory. */
import { startBusyServer, TEXT } from "./queue.ts";
import { type Extent, median, type Section } from "./report.ts";

/** Bytes for each queued task, beside its text. */
interface Figure {
  readonly heap: number;
  readonly resident: number;
}

export async function queueMemory({ quick, profile }: Extent): Promise<Section> {
  const depth = quick ? 20_000 : 100_000;
  const rounds = quick ? 1 : 3;
  const figures: Figure[] = [];
  for (let round = 0; round < rounds; round++) figures.push(await measure(depth, profile));
  const middle = (of: (figure: Figure) => number): number => Math.round(median(figures.map(of)));
  return {
    name: "life: memory of queued tasks",
    about:
      `${depth} queued tasks (the document's example, of 20 callers) of a server that had none before; without the text's own ` +
      `${TEXT.length} bytes. Heap: live JavaScript objects of the main thread, after garbage collection. Resident: of the whole process; ` +
      `SQLite's cache, which grows to 16 MiB (store.cache_bytes) and no further, is in it, and what the heap keeps for later. Medians of ${rounds} servers.`,
    rows: [
      {
        queued: depth,
        "heap bytes a task": middle(({ heap }) => heap),
        "resident bytes a task": middle(({ resident }) => resident),
      },
    ],
    bars: [],
  };
}

async function measure(depth: number, profile: boolean): Promise<Figure> {
  const server = await startBusyServer({ profile });
  try {
    const before = await server.memory();
    await server.fill(depth);
    const after = await server.memory();
    const each = (of: "heap" | "resident"): number => (after[of] - before[of]) / depth - TEXT.length;
    return { heap: each("heap"), resident: each("resident") };
  } finally {
    await server.stop();
  }
}
