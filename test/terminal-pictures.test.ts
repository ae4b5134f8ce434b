/** What the commands draw on terminals: tables that fit, ids that can be told apart, and the living picture of `alt-las top`. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { anyText } from "./helpers/any-text.ts";
import { endsOf } from "../src/cli/remote/ids.ts";
import { jsonText, legibleText } from "../src/common/legible.ts";
import { picture } from "../src/cli/remote/picture.ts";
import { Screen } from "../src/cli/remote/screen.ts";
import { type Sight } from "../src/cli/remote/sight.ts";
import { type Listed, tasksTable, timeGiven } from "../src/cli/remote/tasks.ts";
import { taskPage } from "../src/cli/remote/task-page.ts";
import { tookWords, whenOf } from "../src/cli/remote/times.ts";
import { top } from "../src/cli/remote/top.ts";
import { widthOf } from "../src/cli/table.ts";
import { GPU } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { runCommand } from "./helpers/command.ts";
import { viewOfGpu } from "../src/http/views.ts";

const NOW = Date.UTC(2025, 7, 10, 12, 35);
const PLAIN = { colour: false, now: NOW };

/** A time so many seconds ago. */
function ago(seconds: number): string {
  return new Date(NOW - seconds * 1000).toISOString();
}

function aTask(index: number, changes: Partial<Listed> = {}): Listed {
  return {
    task_id: `01a207ec-e652-719a-a551-${(0xa55b85090000 + index).toString(16)}`,
    gpu_id: 0,
    status: "running",
    created_at: ago(90 + index),
    started_at: ago(80),
    finished_at: null,
    strategy: "least_loaded",
    task_type: "text_generation",
    max_length: 128,
    temperature: 0.7,
    priority: "normal",
    timeout_seconds: null,
    deadline_at: null,
    attempts: [],
    ...changes,
  } as Listed;
}

const SENTENCE =
  "The server behind GPU 0 refused the request with the status 400, and said that its context is too short.";

const TASKS: readonly Listed[] = [
  aTask(1, { user: "team-alpha-the-first-service", model: "Llama-3.2-1B-Instruct-Q4_K_M" }),
  aTask(2, { user: "team-alpha-the-other-service", model: "Llama-3.2-3B-Instruct-Q4_K_M" }),
  aTask(3, {
    user: "显卡一号在左边的机箱里面",
    status: "failed",
    error: SENTENCE,
    error_code: "refused",
    finished_at: ago(7),
  }),
  aTask(4, { status: "queued", started_at: null, gpu_id: null }),
];

test("a table of tasks fits the terminal, and what differs is told apart", () => {
  for (let columns = 60; columns <= 160; columns++) {
    const lines = tasksTable(TASKS, { ...PLAIN, columns }).split("\n");
    for (const line of lines) assert.ok(widthOf(line) <= columns, `${columns}: ${line}`);
    const rows = lines.slice(1).filter((line) => !line.startsWith(" "));
    const cells = rows.map((row) => row.split(/ {2,}/));
    assert.equal(rows.length, TASKS.length);
    for (const column of [0, 2])
      assert.equal(new Set(cells.map((row) => row[column])).size, 4, `${columns}:\n${lines.join("\n")}`);
  }
  const narrow = tasksTable(TASKS, { ...PLAIN, columns: 60 });
  assert.match(narrow, /^TASK +STATUS +USER +GPU +SUBMITTED +RAN/m);
  assert.match(narrow, /^…85090001 +running +team-a…rst-service /m);
  assert.match(narrow, /\n {2}The server behind GPU 0 refused the request with the\n {2}status 400/);
  const file = tasksTable(TASKS, { ...PLAIN, columns: null });
  assert.match(file, /^01a207ec-e652-719a-a551-a55b85090001 +running +team-alpha-the-first-service /m);
  assert.ok(file.includes(`\n  ${SENTENCE}\n`), "programs get unbroken lines");
});

test("states have colours only where they are asked for", () => {
  const coloured = tasksTable(TASKS, { columns: 80, colour: true, now: NOW });
  assert.ok(coloured.includes("\u001b[31mfailed"));
  assert.equal(stripVTControlCharacters(coloured), tasksTable(TASKS, { columns: 80, ...PLAIN }));
});

test("ids are shown by ends that differ", () => {
  const ids = ["01a207ec-e652-719a-a551-a55b85090581", "01a207ec-e652-719a-a551-a55185090581"];
  assert.deepEqual(endsOf(ids.slice(0, 1)), ["…85090581"]);
  assert.deepEqual(endsOf(ids), ["…b85090581", "…185090581"]);
  fc.assert(
    fc.property(fc.uniqueArray(fc.uuid(), { minLength: 1, maxLength: 50 }), (some) => {
      assert.equal(new Set(endsOf(some)).size, some.length);
    }),
  );
});

test("times are short", () => {
  assert.deepEqual([0.0421, 1.34, 48.2, 725, 10_920].map(tookWords), [
    "42 ms",
    "1.3 s",
    "48 s",
    "12 min 5 s",
    "3 h 2 min",
  ]);
  assert.equal(tookWords(0.9999), "1.0 s");
  assert.equal(whenOf(ago(12), NOW), "12 s ago");
  assert.equal(whenOf(ago(600), NOW), "10 min ago");
  assert.match(whenOf(ago(4000), NOW), /^\d\d:\d\d$/);
  assert.match(whenOf(ago(200_000), NOW), /^08-0\d \d\d:\d\d$/);
  assert.equal(timeGiven("30m", NOW), ago(1800));
  assert.equal(timeGiven("tomorrow", NOW), "tomorrow", "the server says what is wrong with it");
});

test("no text can steer a terminal, and JSON loses nothing of it", () => {
  fc.assert(
    fc.property(anyText(), (text) => {
      assert.doesNotMatch(legibleText(text), /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
      const json = jsonText({ text }, 2);
      assert.doesNotMatch(json, /(?!\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
      assert.deepEqual(JSON.parse(json), { text });
    }),
  );
});

test("the page of a task has what was asked, how long its parts took and what it cost", () => {
  const usage = { prompt_tokens: 4, completion_tokens: 48, cached_tokens: 2, gpu_seconds: 0.25, energy_joules: 75.3 };
  const timing = { queued: 0.008, prompt: 0.1, first_token: 0.108, generation: 0.4 };
  const request = { messages: [{ role: "user" as const, content: "Tell\u001b[2J me" }] };
  const page = taskPage(aTask(1, { user: "ada", usage, timing, request }), { ...PLAIN, columns: 100 });
  assert.match(page, /^User +ada$/m);
  assert.match(page, /^Timing +queued 8 ms, prompt 100 ms, first token after 108 ms, generation 400 ms$/m);
  assert.match(page, /^Tokens +4 of the prompt \(2 from the cache\), 48 generated$/m);
  assert.match(page, /^Cost +250 ms of a GPU, 75\.3 J$/m);
  assert.match(page, /^REQUEST\nuser: Tell\ufffd\[2J me$/m);
});

test("the page of a task wraps what is long, and tells why it waits", () => {
  const waiting = { reason: "gpu_busy", sentence: SENTENCE, since: ago(30), ahead: 2 } as const;
  const page = taskPage(aTask(1, { status: "queued", started_at: null, gpu_id: null, waiting }), {
    ...PLAIN,
    columns: 60,
  });
  for (const line of page.split("\n")) assert.ok(widthOf(line) <= 60, line);
  assert.match(page, /^Waits {8}The server behind GPU 0 refused/m);
  assert.match(page, /2 of the same user come before\n +it\. \(gpu_busy, since 30 s ago\)/);
});

const NO_LIMITS = {
  weight: 1,
  max_running: null,
  max_queued: 1000,
  requests_per_minute: null,
  tokens_per_minute: null,
};

const SIGHT: Sight = {
  gpus: [0, 1, 2].map((id) => viewOfGpu({ ...GPU, id, name: `NVIDIA GeForce RTX 3090 (${id})` })),
  callers: [
    { user: "carol", running: 0, queued: 0, share: 0, limits: NO_LIMITS },
    { user: "alice", running: 0, queued: 1, share: 0.25, limits: NO_LIMITS },
    { user: "bob", running: 2, queued: 40, share: 0.75, limits: { ...NO_LIMITS, max_running: 2 } },
  ],
  running: { tasks: TASKS.slice(0, 2), total: 2 },
  queued: {
    tasks: Array.from({ length: 20 }, (_none, index) =>
      aTask(index, {
        status: "queued",
        started_at: null,
        waiting: { reason: "gpu_busy", sentence: SENTENCE, since: ago(30), ahead: 0 },
      }),
    ),
    total: 41,
  },
};

test("the picture fits every terminal, and shows GPUs, callers, running tasks and the queue", () => {
  const url = "http://127.0.0.1:8642";
  for (const columns of [60, 80, 140])
    for (const rows of [8, 24, 60]) {
      const lines = picture(SIGHT, { ...PLAIN, columns, rows, url });
      assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
      for (const line of lines) assert.ok(widthOf(line) <= columns, `${columns}: ${line}`);
    }
  const text = picture(SIGHT, { ...PLAIN, columns: 80, rows: 40, url }).join("\n");
  assert.match(text, /^ALT_LAS 127\.0\.0\.1:8642 {2}\S+ {2}2 running, 41 queued {2}q: quit$/m);
  assert.match(text, /^CALLER +RUNNING +QUEUED +SHARE\nbob +2 of 2 +40 +75 %\nalice +0 +1 +25 %$/m);
  assert.match(text, /^RUNNING \(2\) +USER .* FOR\n…85090001 /m);
  assert.equal(text.match(/The server behind GPU 0/g)!.length, 1, "what several wait for stands once");
  assert.match(picture(SIGHT, { ...PLAIN, columns: 80, rows: 24, url }).join("\n"), /^… \d+ more lines$/m);
  const late = picture(SIGHT, {
    ...PLAIN,
    columns: 60,
    rows: 24,
    url,
    trouble: "There is no answer\u001b[2J from here.",
  });
  assert.equal(late[1], "There is no answer\ufffd[2J from here.");
});

/** A process that hears of signals. */
class Life extends EventEmitter {
  readonly pid = 4711;
  readonly killed: (string | number | undefined)[] = [];

  kill(_pid: number, signal?: string | number): true {
    this.killed.push(signal);
    return true;
  }
}

class Keyboard extends PassThrough {
  readonly isTTY = true;
  isRaw = false;

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
  }
}

class Glass extends PassThrough {
  readonly isTTY = true;
  columns = 80;
  rows = 24;
  written = "";

  constructor() {
    super();
    this.on("data", (chunk: Buffer) => (this.written += chunk.toString()));
  }
}

const RESTORED = "\u001b[?25h\u001b[?1049l";

test("the terminal is as before after a quit, a crash, an exit and a stop", async () => {
  for (const how of ["q", "uncaughtExceptionMonitor", "exit", "\u001a"]) {
    const [life, stdin, stdout] = [new Life(), new Keyboard(), new Glass()];
    const quit = Promise.withResolvers<void>();
    const screen = new Screen({ stdin, stdout, life: life as never, onQuit: quit.resolve, onRedraw: () => {} });
    screen.open();
    assert.ok(stdin.isRaw);
    screen.draw(["one", "two"]);
    if (how === "q") {
      stdin.emit("data", "q");
      await quit.promise;
      screen.close();
    } else if (how === "\u001a") {
      stdin.emit("data", how);
      assert.deepEqual(life.killed, ["SIGSTOP"]);
    } else life.emit(how);
    assert.ok(stdout.written.startsWith("\u001b[?1049h\u001b[?25l\u001b[Hone\u001b[K\r\ntwo\u001b[K\u001b[J"));
    assert.ok(stdout.written.endsWith(RESTORED), JSON.stringify(stdout.written));
    assert.equal(stdin.isRaw, false);
    if (how !== "\u001a") continue;
    life.emit("SIGCONT");
    assert.ok(stdin.isRaw && stdout.written.endsWith("\u001b[?1049h\u001b[?25l"), "it comes back");
    screen.close();
    assert.deepEqual(life.eventNames(), [], "nothing listens any more");
  }
});

test("top draws again in its place until q, goes on when the server is away, and is one picture in a pipe", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:2" });
  await server.loaded();
  const command = (...args: readonly string[]) =>
    runCommand([...args, "--url", server.url], { env: { ALT_LAS_API_KEY: server.key } });
  const piped = await command("top");
  assert.equal(piped.code, 0);
  assert.match(piped.stdout, /^ALT_LAS 127\S+ {2}\S+ {2}0 running, 0 queued\n\nGPU +NAME/);
  assert.ok(!piped.stdout.includes("\u001b"));
  const seen = JSON.parse((await command("top", "--json")).stdout) as Sight;
  assert.deepEqual([seen.gpus.length, seen.queued.total], [2, 0]);
  const [life, stdin, stdout] = [new Life(), new Keyboard(), new Glass()];
  const watching = top({
    remote: server,
    json: false,
    interval: 0.01,
    stdin: () => stdin,
    stdout,
    life: life as never,
  });
  const shows = async (what: string): Promise<void> => {
    while (!stdout.written.includes(what)) await once(stdout, "data");
  };
  await shows("0 running");
  await server.predict({ text: "hello", max_length: 20_000 });
  await shows("1 running");
  // A second time hurries: it waits for no task.
  await Promise.all([server.stop(), server.stop()]);
  await shows("There is no answer from");
  stdin.emit("data", "q");
  await watching;
  assert.ok(stdout.written.endsWith(RESTORED));
});
