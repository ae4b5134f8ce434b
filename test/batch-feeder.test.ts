/** The reader of a batch's lines, whatever stands in its way: each line becomes one task or is refused once, in its order. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { pino } from "pino";
import { Feeder, type FeederParts } from "../src/batch-files/feeder.ts";
import { checkLines } from "../src/batch-files/check.ts";
import { type Line, linesOf } from "../src/batch-files/lines.ts";
import { Mutex } from "../src/common/mutex.ts";
import { AltLasError, type ErrorCode } from "../src/errors.ts";
import { completionOf } from "../src/request.ts";
import { type RefusedLine } from "../src/store/batch-files.ts";
import { type BatchLines, type LinesClosed } from "../src/task.ts";
import { type FeedApi } from "../src/tasks/feed-api.ts";
import { chatLine, CHAT, linesText } from "./helpers/batch-files.ts";
import { batchFile } from "./kits/batch-files.ts";

const FIRST_SEQ = 100;

/** What meets one call: it is taken, or refused and why, or closed just before, or the server dies just before or just after. */
type Fate = "taken" | "closed" | "killed before" | "killed after" | ErrorCode;

class Killed extends Error {}

/** A task book that takes what fate lets it take, and keeps what a disk would. */
class FatefulBook implements Pick<FeedApi, "feed" | "room" | "lines"> {
  readonly #fates: Fate[];
  readonly #most: number;
  readonly tasks: { index: number; customId: string }[] = [];
  readonly refused: RefusedLine[] = [];
  state: BatchLines;

  /** @param most lines that it takes at once */
  constructor(size: number, fates: readonly Fate[], most: number) {
    this.#fates = [...fates];
    this.#most = most;
    this.state = { toCome: size, failed: 0, canceled: 0, place: 0, closed: null };
  }

  lines = (): BatchLines => this.state;

  room = async (): Promise<number> => (this.state.closed === null ? 3 : 0);

  feed: FeedApi["feed"] = async (_id, chunk, recordsOf) => {
    const fate = this.#fates.shift() ?? "taken";
    if (fate === "killed before") throw new Killed();
    if (fate === "closed") this.close("canceled");
    else if (fate !== "taken" && fate !== "killed after") throw new AltLasError(fate, "Not now.");
    if (this.state.closed !== null && chunk.tasks.length > 0) throw new AltLasError("conflict", "It is closed.");
    if (chunk.tasks.length > this.#most) throw new AltLasError("queue_full", "Too many at once.");
    // Every seventh line is one that no GPU could do.
    const error = new AltLasError("unsupported", "No GPU can do that.");
    const impossible = chunk.tasks.filter(({ index }) => index % 7 === 3).map(({ index }) => ({ index, error }));
    for (const { index, input } of chunk.tasks) {
      if (index % 7 === 3) continue;
      this.tasks.push({ index, customId: (JSON.parse(input.note!) as { custom_id: string }).custom_id });
    }
    const records = recordsOf(impossible);
    for (const record of records) if (record.kind === "refused_line") this.refused.push(record.line);
    const refused = chunk.refused + impossible.length;
    const { toCome, failed } = this.state;
    const left = toCome - (chunk.tasks.length - impossible.length) - refused;
    this.state = { ...this.state, toCome: left, failed: failed + refused, place: chunk.place };
    if (fate === "killed after") throw new Killed();
  };

  close(why: LinesClosed): void {
    this.state = { ...this.state, closed: this.state.closed ?? { why, at: 0 } };
  }
}

const PARTS: Omit<FeederParts, "feeding"> = {
  endpoint: {
    inputOf: async (body) => {
      const { wrong } = body as { readonly wrong?: boolean };
      if (wrong === true) throw new AltLasError("invalid_input", "wrong must be false.", { param: "wrong" });
      const settings = { taskType: "", priority: "low", timeoutSeconds: null, model: null } as const;
      return { input: { ...settings, request: completionOf("text") }, strategy: "random", pinnedGpuId: null };
    },
    answerOf: () => Promise.reject(new Error("nothing is answered here")),
  },
  log: pino({ level: "silent" }),
  pause: async () => {},
};

/** Feeds a file to its end, over as many lives of the server as that takes. @param cut bytes that are read at once */
async function fed(book: FatefulBook, size: number, text: Buffer, cut: number): Promise<void> {
  const batch = { file: batchFile({ endpoint: CHAT }), firstSeq: FIRST_SEQ, size };
  for (let lives = 0; book.state.toCome > 0; lives++) {
    assert.ok(lives < 100, "it does not come to an end");
    const { place } = book.state;
    const feeder = new Feeder({ ...PARTS, feeding: book as unknown as FeedApi }, batch, new AbortController().signal);
    try {
      await feeder.run(read(text, place, cut));
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
  }
}

function read(text: Buffer, from: number, cut: number, maxBytes = 1e6): AsyncGenerator<readonly Line[]> {
  const pieces: Buffer[] = [];
  for (let at = from; at < text.length; at += cut) pieces.push(text.subarray(at, at + cut));
  return linesOf(Readable.from(pieces), from, maxBytes, atOnce);
}

/** Bytes of each line of the next part. */
async function lengthsOf(lines: AsyncGenerator<readonly Line[]>): Promise<readonly number[]> {
  return ((await lines.next()).value as readonly Line[]).map(({ bytes }) => bytes!.length);
}

/** No line waits for another. */
const atOnce = async (): Promise<() => void> => () => undefined;

const FATES: readonly Fate[] = [
  "taken",
  "killed before",
  "killed after",
  "queue_full",
  "rate_limited",
  "store_unavailable",
  "no_usable_gpu",
  "not_ready",
  "draining",
];

test("each line becomes one task or is refused once, whatever fails, fills up or dies meanwhile", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.record({ wrong: fc.boolean(), blank: fc.boolean() }), { minLength: 1, maxLength: 300 }),
    fc.array(fc.constantFrom(...FATES), { maxLength: 40 }),
    fc.boolean(),
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 1, max: 5000 }),
    async (lines, fates, isCanceled, most, cut) => {
      const texts = lines.flatMap(({ wrong, blank }, index) => [
        ...(blank ? ["", " \r"] : []),
        chatLine(`line ${index}`, { wrong, text: "ünï" }),
      ]);
      const book = new FatefulBook(lines.length, isCanceled ? [...fates, "closed"] : fates, most);
      await fed(book, lines.length, Buffer.from(linesText(texts)), cut);
      const { tasks, refused, state } = book;
      assert.deepEqual([state.toCome, state.failed], [0, refused.length]);
      const all = [
        ...tasks.map(({ index, customId }) => [index, customId]),
        ...refused.map(({ seq, customId }) => [seq - FIRST_SEQ, customId]),
      ] as [number, string][];
      assert.deepEqual(
        all.toSorted(([a], [b]) => a - b),
        lines.map((_line, index) => [index, `line ${index}`]),
      );
      for (const { seq, failure } of refused) {
        const index = seq - FIRST_SEQ;
        const expected = lines[index]!.wrong ? "invalid_input" : index % 7 === 3 ? "unsupported" : null;
        if (failure.code !== "batch_cancelled") assert.equal(failure.code, expected);
        else assert.ok(isCanceled);
      }
    },
  );
  await fc.assert(property, { numRuns: 100 });
});

test("lines are found wherever the reading of the file cuts them, with their numbers and their places", async () => {
  const text = Buffer.from('\uFEFF{"a":"ü"}\n\n  \r\n{"b":1}\r\n0123456789abcdef\nlast');
  for (let cut = 1; cut <= text.length; cut++) {
    const lines = (await Array.fromAsync(read(text, 0, cut, 13))).flat();
    assert.deepEqual(
      lines.map(({ number, bytes }) => [number, bytes?.toString() ?? null]),
      [
        [1, '{"a":"ü"}'],
        [4, '{"b":1}\r'],
        [5, null],
        [6, "last"],
      ],
      `cut into ${cut}`,
    );
    assert.deepEqual(
      lines.map(({ end }) => text.subarray(end, end + 3).toString()),
      ["\n  ", "012", "las", ""],
    );
  }
});

test("files that are read at once have one long line in memory, and one that is left early gives its turn to the next", async () => {
  const turns = new Mutex();
  const long = `"${"x".repeat(2 ** 21)}"`;
  const pieces = Buffer.from(`"short"\n${long}\n"after"\n${long}`);
  const open = (): AsyncGenerator<readonly Line[]> => {
    const parts = Array.from({ length: Math.ceil(pieces.length / 65_536) }, (_, k) =>
      pieces.subarray(k * 65_536, (k + 1) * 65_536),
    );
    return linesOf(Readable.from(parts), 0, 1e8, () => turns.take(["long"]));
  };
  const [one, other] = [open(), open()];
  // Short lines wait for nobody.
  assert.deepEqual([await lengthsOf(one), await lengthsOf(other)], [[7], [7]]);
  assert.deepEqual(await lengthsOf(one), [long.length, 7]);
  let came = false;
  const next = lengthsOf(other).finally(() => (came = true));
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  assert.equal(came, false);
  await one.return(undefined);
  assert.deepEqual(await next, [long.length, 7]);
  assert.deepEqual(await lengthsOf(other), [long.length]);
});

test("a file of empty lines is passed over, and the lines behind them keep their numbers", async () => {
  const text = Buffer.concat([Buffer.alloc(3_000_000, "\n \r\n\t"), Buffer.from('\n  {"a":1}')]);
  const lines = (await Array.fromAsync(read(text, 0, 65_536))).flat();
  assert.deepEqual(
    lines.map(({ number, bytes, end }) => [number, bytes!.toString(), end]),
    [[1_200_002, '{"a":1}', text.length]],
  );
});

test("a file with more lines than a batch has, or a line that is longer than a body, is none", async () => {
  const many = Buffer.from("{}\n".repeat(50_001));
  const lines = linesOf(Readable.from([many]), 0, 100, atOnce);
  const { faults } = await checkLines(lines, CHAT);
  // A hundred faults are enough.
  assert.equal(faults.length, 100);
  const numbered = Array.from({ length: 50_001 }, (_, index) => JSON.stringify(chatLine(index.toString()))).join("\n");
  const checked = await checkLines(read(Buffer.from(numbered), 0, 1e6), CHAT);
  assert.deepEqual(
    checked.faults.map(({ line, code }) => [line, code]),
    [[50_001, "too_many_lines"]],
  );
  const long = await checkLines(read(Buffer.from(`${"x".repeat(1000)}\n`), 0, 7, 100), CHAT);
  assert.deepEqual(
    long.faults.map(({ line, code }) => [line, code]),
    [[1, "line_too_long"]],
  );
});

async function faultsOf(text: string | Buffer) {
  const { faults } = await checkLines(read(Buffer.from(text), 0, 1e6), CHAT);
  return faults.map(({ line, sentence }) => [line, sentence]);
}

test("a file that is no JSONL is told as a whole; a line that is none, without a place that is not the file's", async () => {
  const whole = [[null, "The file is not JSONL: each line must be a JSON object of its own."]];
  const list = JSON.stringify(
    Array.from({ length: 50 }, (_, index) => chatLine(index.toString())),
    null,
    2,
  );
  assert.deepEqual(await faultsOf(list), whole);
  assert.deepEqual(await faultsOf(Buffer.from("89504e470d0a1a0a0000000d49484452000a00ff", "hex")), whole);
  const good = JSON.stringify(chatLine("a"));
  assert.deepEqual(await faultsOf(`${good}\n\n${good.slice(0, -1)}}x\n`), [
    [3, `The line is not JSON: Unexpected non-whitespace character after JSON at position ${good.length}.`],
  ]);
  const [[first] = []] = await faultsOf("no JSON");
  assert.equal(first, 1, "of a single line it can be said what is wrong");
});
