/** A server with a small heap over a database full of waiting texts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext } from "node:test";
import { SqliteStore } from "../../src/store/sqlite/sqlite.ts";
import { newFolder, Server } from "./server.ts";
import { newTask } from "./store.ts";

export const MIB = 2 ** 20;

export interface Filling {
  /** MiB that V8 may take for what lives long. */
  readonly heap: number;
  /** Tasks that wait, and MiB of their texts in UTF-8, half of which are of characters that take two bytes each in V8. */
  readonly tasks: number;
  readonly mebibytes: number;
  /** Whether each has a webhook and a type of its own, as long as they can be, and runs for long. */
  readonly longest?: boolean;
}

/** Starts the real server over such a database; resolves when its GPU is ready. */
export async function startOver(t: TestContext, { heap, tasks, mebibytes, longest = false }: Filling): Promise<Server> {
  const folder = newFolder(t);
  const dataDir = join(folder, "data");
  mkdirSync(dataDir);
  await fill(join(dataDir, "alt-las.db"), tasks, Math.floor((mebibytes * MIB) / tasks), longest);
  const server = await Server.start(
    t,
    {
      env: { NODE_OPTIONS: `--max-old-space-size=${heap}` },
      args: ["--devices", "simulated:1"],
      config: `{ engine: { simulated: { tokens_per_second: ${longest ? 1 : 2000}, context: 4000000 } }, webhooks: { allow_private: true } }`,
    },
    folder,
  );
  return server.loaded();
}

const WEBHOOK = `json_object('url', 'http://127.0.0.1:9/' || n || '${"u".repeat(2000)}', 'events', json_array('task.completed'))`;

/** Writes waiting tasks with SQL: through a server they would take minutes. */
async function fill(path: string, tasks: number, bytes: number, longest: boolean): Promise<void> {
  const store = new SqliteStore({ path });
  await store.open();
  await store.save([newTask(1, { user: "admin", maxTokens: 10 })]);
  await store.close();
  const db = new DatabaseSync(path);
  // What this writes is made for one test: nothing is lost with it.
  db.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; BEGIN");
  const columns = db
    .prepare("SELECT name FROM pragma_table_info('tasks')")
    .all()
    .map(({ name }) => String(name));
  const own: Readonly<Record<string, string>> = {
    seq: "n",
    request: "NULL",
    size: `${bytes} + length(n)`,
    id: "printf('00000000-0000-7000-8000-%012d', n)",
    ...(longest && { estimated_tokens: "30000", task_type: `n || '${"t".repeat(250)}'`, webhook: WEBHOOK }),
  };
  const values = columns.map((name) => own[name] ?? name);
  const others = `WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${tasks})`;
  const template = "numbers JOIN (SELECT * FROM tasks WHERE seq = 1)";
  db.exec(`INSERT INTO tasks (${columns.join()}) ${others} SELECT ${values.join()} FROM ${template}`);
  const text = "json_object('kind', 'completion', 'text', iif(n % 2, :narrow, :wide) || n, 'sampling', json(sampling))";
  const from = "numbers JOIN (SELECT sampling FROM tasks WHERE seq = 1)";
  const requests = db.prepare(`INSERT INTO requests ${others} SELECT n, ${text} FROM ${from}`);
  requests.run({ narrow: "x".repeat(bytes), wide: "日".repeat(bytes / 3) });
  db.exec("COMMIT; PRAGMA journal_mode = WAL");
  db.close();
}

/** Bytes of memory that a server took at most until now; null: this system does not tell. */
export function mostMemory({ pid }: Server): number | null {
  try {
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return peak === undefined ? null : Number(peak) * 1024;
  } catch {
    return null;
  }
}

/** Waits until so many tasks more have completed. */
export async function untilCompleted(server: Server, count: number): Promise<void> {
  const { tasks } = await server.tasks("?status=queued&limit=1000&offset=0");
  assert.ok(Object.keys(tasks).length > 0, "some still wait");
  // The first in line are those that were submitted first.
  await server.ended(`00000000-0000-7000-8000-${String(count).padStart(12, "0")}`);
  assert.ok((await server.tasks("?status=completed&limit=1")).total >= count - 8);
}

/**
 * Submits tasks that take as much memory as a task can beside its text, until the server takes no more.
 * @param most at most so many @returns how many it took, and what it said of the one that it refused
 */
export async function submitLongest(server: Server, most: number): Promise<{ accepted: number; refusal: string }> {
  let sent = 0;
  let accepted = 0;
  let refusal = "";
  const submit = async (): Promise<void> => {
    while (refusal === "" && sent < most) {
      const name = String(sent++).padStart(6, "0");
      const { status, body } = await server.request("POST", "/api/v1/predict", {
        headers: { "Idempotency-Key": name.padEnd(246, "k") },
        body: {
          text: "a",
          task_type: name.padEnd(256, "t"),
          webhook_url: `http://127.0.0.1:9/${name.padEnd(2000, "u")}`,
        },
      });
      if (status === 200) accepted++;
      else refusal = `${status} ${body.code}: ${body.error}`;
    }
  };
  await Promise.all(Array.from({ length: 16 }, submit));
  return { accepted, refusal };
}
