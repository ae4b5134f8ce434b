/** The stream of one reader, over a connection that a test lets take what it wants. */
import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { BEGINNING, EventStream, type Position } from "../src/http/event-stream.ts";
import { Pings } from "../src/http/pings.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";
import { unitVector } from "../src/common/vectors.ts";
import { brief, parseEvents, type ServerEvent } from "./helpers/events.ts";
import { aCompletedTask, aTask, FakeRun, ID } from "./helpers/http.ts";

/** A connection that takes one write at a time, and the next one when it is told to. */
class Connection extends Writable {
  text = "";
  #next: (() => void) | null = null;

  constructor(highWaterMark: number) {
    super({ highWaterMark, decodeStrings: false });
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.text += chunk;
    this.#next = done;
  }

  /** Takes everything, also what comes of it. */
  take(): void {
    while (this.#next !== null) {
      const next = this.#next;
      this.#next = null;
      next();
    }
  }

  get events(): ServerEvent[] {
    return parseEvents(this.text);
  }
}

function reader(run: FakeRun, from: Position = BEGINNING, highWaterMark = 1) {
  const connection = new Connection(highWaterMark);
  const overs: boolean[] = [];
  const stream = new EventStream(connection, ID, from, (left) => overs.push(left));
  stream.start(run.follow(stream));
  return { connection, stream, overs };
}

function ended(text: string | null, attempts: number, reasoning = ""): TaskSnapshot {
  const done = aCompletedTask();
  const all = Array.from({ length: attempts }, () => done.attempts[0]!);
  if (text === null) return aTask({ status: "canceled", attempts: all });
  return { ...done, attempts: all, result: { ...done.result!, text, ...(reasoning !== "" && { reasoning }) } };
}

test("while the connection takes nothing, nothing is written, whatever happens", () => {
  const run = new FakeRun();
  const { connection, stream } = reader(run);
  run.place(1);
  run.say("one ");
  run.say("two ");
  stream.ping();
  run.place(2);
  run.say("three ");
  run.end(ended("three four", 2));
  assert.equal(connection.writableLength, Buffer.byteLength(connection.text), "only the first event was written");
  assert.deepEqual(brief(connection.events), ["placed 1 on 0"]);
  connection.take();
  assert.deepEqual(brief(connection.events), ["placed 1 on 0", "placed 2 on 0", "token three four", "completed"]);
});

for (const [offset, events] of [
  [4, ["token two ", "token three "]],
  [0, ["token one two ", "token three "]],
  [99, ["placed 1 on 0", "token one two ", "token three "]],
] as const)
  test(`a reader that comes with position ${offset} before the output is here gets what it lacks once that has come`, () => {
    const run = new FakeRun();
    run.place(1, 0, "one two ");
    run.isWhole = false;
    const { connection } = reader(run, { attempt: 1, offset }, 1_000_000);
    connection.take();
    assert.deepEqual(brief(connection.events), []);
    run.arrive();
    run.say("three ");
    connection.take();
    assert.deepEqual(brief(connection.events), events);
  });

test("no event breaks at a character that ends a line for some reader, and none of it is lost", () => {
  const run = new FakeRun();
  const { connection } = reader(run, BEGINNING, 1_000_000);
  const text = "a\u2028b\u2029c\u0085d\ve\ff\u001cg\u001dh\u001ei\r\nj";
  run.place(1);
  run.say(text);
  run.end(ended(text, 1));
  connection.take();
  const ends = new Set("\n\r\v\f\u001c\u001d\u001e\u0085\u2028\u2029");
  const lines = [...connection.text]
    .map((character) => (ends.has(character) ? "\n" : character))
    .join("")
    .split("\n");
  assert(
    lines.every((line) => line === "" || /^(event|id|data): /.test(line)),
    JSON.stringify(lines),
  );
  const said = connection.events.filter(({ event }) => event === "token");
  assert.deepEqual(
    said.map(({ data }) => (data as { text: string }).text),
    [text],
  );
});

test("half a character waits for its other half", () => {
  const run = new FakeRun();
  const { connection } = reader(run, BEGINNING, 1_000_000);
  run.place(1);
  for (const piece of ["a\ud83d", "\ude00", "\ud83d", "\ude00b", "\ud83d"]) run.say(piece);
  connection.take();
  assert.deepEqual(brief(connection.events).slice(1), ["token a", "token 😀", "token 😀b"]);
  run.end(ended("a😀😀b\ud83d", 1));
  connection.take();
  assert.deepEqual(brief(connection.events).slice(4), ["token \ud83d", "completed"]);
});

test("what was said before the start was on disk is told once, also when a reader has asked for it already", () => {
  const run = new FakeRun();
  const { connection } = reader(run, BEGINNING, 1_000_000);
  run.place(1, 0, "early");
  run.say(" and late");
  connection.take();
  assert.deepEqual(brief(connection.events), ["placed 1 on 0", "token early", "token  and late"]);
});

test("a task that has failed without a result is not begun anew for a reader that had some of its text", () => {
  const run = new FakeRun();
  const { connection, stream } = reader(run);
  run.place(1);
  run.say("some text");
  connection.take();
  stream.ping();
  // Its end is not on disk yet, and its text is gone.
  run.place(1);
  connection.take();
  run.end({ ...ended(null, 1), status: "failed" });
  assert.deepEqual(brief(connection.events), ["placed 1 on 0", "token some text", "failed"]);
});

test("a position within a character is no position", () => {
  const run = new FakeRun();
  run.place(1);
  run.say("a😀b");
  const { connection } = reader(run, { attempt: 1, offset: 2 });
  connection.take();
  assert.deepEqual(brief(connection.events), ["placed 1 on 0", "token a😀b"]);
});

test("a client that adds up texts gets none of the reasoning, and vectors come with the end alone", () => {
  const run = new FakeRun();
  const { connection } = reader(run, BEGINNING, 1_000_000);
  run.place(1);
  run.say("hm ", "reasoning");
  run.say("so", "reasoning");
  run.say("yes");
  run.tell({ kind: "embedding", vector: unitVector([3, 4]) });
  const done = ended("yes", 1, "hm so");
  run.end({ ...done, result: { ...done.result!, embeddings: [unitVector([3, 4])] } });
  connection.take();
  const [, ...events] = connection.events;
  const data = events.map((event) => [event.id.slice(ID.length), event.data]).slice(0, -1);
  assert.deepEqual(data, [
    [":1:3", { text: "", reasoning: "hm " }],
    [":1:5", { text: "", reasoning: "so" }],
    [":1:8", { text: "yes" }],
  ]);
  const { result } = events.at(-1)!.data as { result: { text: string; reasoning: string; embeddings: number[][] } };
  assert.deepEqual([result.text, result.reasoning], ["yes", "hm so"]);
  assert.deepEqual(result.embeddings, [[Math.fround(0.6), Math.fround(0.8)]]);
});

test("a reader that leaves is told of once, and gets nothing more", () => {
  const run = new FakeRun();
  const { connection, stream, overs } = reader(run);
  run.place(1);
  connection.emit("close");
  assert.equal(run.readers.size, 0);
  stream.closed();
  stream.ended(ended("late", 1));
  stream.delta({ kind: "text", text: "late" }, 0);
  stream.placed(2, 0);
  stream.ping();
  connection.take();
  assert.deepEqual(overs, [true]);
  assert.deepEqual(brief(connection.events), ["placed 1 on 0"]);
});

test("a reader that leaves before it was told of the end has not left a running task", () => {
  const run = new FakeRun();
  const { connection, overs } = reader(run);
  run.place(1);
  run.end(ended("x", 1));
  connection.emit("close");
  assert.deepEqual(overs, [false]);
});

/** What a reader knows after these events, which must be without a gap or a repetition. */
function follow(events: readonly ServerEvent[], known = { attempt: 0, reasoning: "", text: "" }) {
  let { attempt, reasoning, text } = known;
  let finals = 0;
  for (const { event, id, data } of events) {
    assert.equal(finals, 0, "something follows the end");
    if (event === "placed") [attempt, reasoning, text] = [Number(data["attempt"]), "", ""];
    else if (event === "token") {
      const [piece, thought] = [String(data["text"]), String(data["reasoning"] ?? "")];
      assert.ok(piece.isWellFormed() && thought.isWellFormed(), JSON.stringify(data));
      assert.equal((piece === "") !== (thought === ""), true, JSON.stringify(data));
      assert.ok(thought === "" || text === "", "reasoning comes before the text");
      text += piece;
      reasoning += thought;
    } else finals++;
    assert.equal(id, finals > 0 ? `${ID}:end` : `${ID}:${attempt}:${reasoning.length + text.length}`);
  }
  return { attempt, reasoning, text, finals };
}

/** What an engine says, a number of UTF-16 units at a time: it may cut characters in two. */
const SAID = "a😀bc😀😀dğ\n".repeat(40);

type Step = "place" | "requeue" | "take" | "ping" | { readonly units: number };

/** Lets a task and its reader go on by these steps, to the end of both. @param thought units of it that are reasoning */
function play(steps: readonly Step[], highWaterMark: number, thought: number) {
  const run = new FakeRun();
  const { connection, stream } = reader(run, BEGINNING, highWaterMark);
  let attempts = 0;
  let length: number | null = null;
  const say = (units: number): void => {
    if (length === null) return;
    const [from, to] = [length, (length += units)];
    run.say(SAID.slice(from, Math.min(to, thought)), "reasoning");
    run.say(SAID.slice(Math.max(from, thought), to));
  };
  for (const step of steps) {
    if (typeof step === "object") say(step.units);
    else if (step === "take") connection.take();
    else if (step === "ping") stream.ping();
    else if (step === "place" && length === null) {
      run.place(++attempts);
      length = 0;
    } else if (step === "requeue") {
      run.requeue();
      length = null;
    }
  }
  while (!SAID.slice(0, length ?? 0).isWellFormed()) say(1);
  const whole = SAID.slice(0, length ?? 0);
  const reasoning = whole.slice(0, thought);
  const text = length === null ? null : whole.slice(thought);
  const final = ended(text, attempts, reasoning);
  run.end(final);
  connection.take();
  return { final, attempts, reasoning, text, events: connection.events };
}

test("however slow a reader is, it gets each unit of reasoning and text once, and from any event on another gets the same", () => {
  const step = fc.oneof(
    fc.constantFrom<Step>("place", "requeue", "take", "ping"),
    fc.integer({ min: 0, max: 9 }).map<Step>((units) => ({ units })),
  );
  const steps = fc.array(step, { maxLength: 40 });
  // None, some, up to the border of a character, and more than is ever said.
  const thoughts = fc.constantFrom(0, 1, 3, 16, 60, 100_000);
  fc.assert(
    fc.property(
      steps,
      fc.constantFrom(1, 150, 1_000_000),
      thoughts,
      fc.nat(),
      (list, highWaterMark, thought, choice) => {
        const { final, attempts, reasoning, text, events } = play(list, highWaterMark, thought);
        const known = follow(events);
        assert.deepEqual([known.attempt, known.finals], [attempts, 1]);
        if (text !== null) assert.deepEqual([known.reasoning, known.text], [reasoning, text]);

        const before = follow(events.slice(0, choice % events.length));
        const again = new Connection(1);
        new EventStream(
          again,
          ID,
          { attempt: before.attempt, offset: before.reasoning.length + before.text.length },
          () => {},
        ).ended(final);
        again.take();
        const after = follow(again.events, before);
        assert.deepEqual([after.attempt, after.finals], [attempts, 1]);
        if (text !== null) assert.deepEqual([after.reasoning, after.text], [reasoning, text]);
      },
    ),
    { numRuns: 1000 },
  );
});

// --- pings --------------------------------------------------------------------------------------------------------

test("every stream is pinged once in 15 seconds, and first after half of that, by one timer that is there only while streams are", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const started = t.mock.method(globalThis, "setInterval");
  const stopped = t.mock.method(globalThis, "clearInterval");
  const pings = new Pings();
  const counts = Array.from({ length: 40 }, () => 0);
  const removals = counts.map((_, i) => pings.add({ ping: () => counts[i]!++ }));
  t.mock.timers.tick(7_500);
  assert.deepEqual(new Set(counts), new Set([0]));
  t.mock.timers.tick(7_500);
  assert.deepEqual(new Set(counts), new Set([1]));
  t.mock.timers.tick(30_000);
  assert.deepEqual(new Set(counts), new Set([3]));
  assert.equal(started.mock.callCount(), 1);
  for (const removal of removals) {
    assert.equal(stopped.mock.callCount(), 0);
    removal();
  }
  assert.equal(stopped.mock.callCount(), 1);
  t.mock.timers.tick(60_000);
  assert.deepEqual(new Set(counts), new Set([3]));
  pings.add({ ping: () => counts[0]!++ });
  t.mock.timers.tick(15_000);
  assert.equal(counts[0], 4);
});

test("a ping is a comment", () => {
  const run = new FakeRun();
  const { connection, stream } = reader(run, BEGINNING, 1_000_000);
  stream.ping();
  stream.ping();
  connection.take();
  assert.equal(connection.text, ": ping\n\n: ping\n\n");
});
