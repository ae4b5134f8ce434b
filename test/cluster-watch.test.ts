/** The output of a run leaves its machine only while somebody reads it, and each reader gets all of it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  type Command,
  type FromAgent,
  type FromReader,
  type News,
  newsOf,
  readersTo,
  textTo,
  type ToAgent,
  type ToReader,
} from "../src/cluster/messages.ts";
import { TextReader } from "../src/cluster/text-reader.ts";
import { textOf } from "../src/output.ts";
import { newUse } from "../src/task-use.ts";
import { BEAT, ClusterWorld, type Run } from "./helpers/cluster-world.ts";

/** Milliseconds that no test takes. */
const LONG = 600_000;
const SLOW = "engine: { simulated: { tokens_per_second: 50 } }";

function resultOf({ outcome }: Run): string {
  return (outcome as { result: { text: string } }).result.text;
}

async function canceled(world: ClusterWorld, run: Run): Promise<void> {
  world.pool.cancel(0, run.task);
  assert.equal((await world.ended(run)).status, "canceled");
}

/** The news of a machine about its runs, and the commands that it got. */
function listen(world: ClusterWorld) {
  const told: News[] = [];
  const commands: Command[] = [];
  const outputs: string[] = [];
  world.hub.damages = (_subject, message) => {
    const { news = [], state, commands: given = [] } = message as Partial<FromAgent & ToAgent>;
    told.push(...news);
    commands.push(...given);
    for (const { output } of state?.runs ?? []) outputs.push(output.map(textOf).join(""));
    world.changes.tell();
    return message;
  };
  const types = (): string[] => told.map(({ type }) => type);
  return { told, commands, outputs, types };
}

async function worldOfOne(t: TestContext, config = SLOW) {
  const world = await ClusterWorld.start(t);
  const heard = listen(world);
  const machine = await world.agent("one", config);
  await world.became(0, "ready");
  return { world, heard, ...machine };
}

test("the text of a run that nobody reads crosses once, with its end", async (t) => {
  const { world, heard } = await worldOfOne(t);
  const run = world.runUnread(0, "hello", 20);
  await world.changes.until(() => run.begun);
  assert.deepEqual([run.output.length, run.outcome], [0, null]);
  assert.equal((await world.ended(run)).status, "completed");
  assert(!heard.types().includes("delta") && !heard.types().includes("watched"));
  assert.deepEqual(heard.outputs.filter(Boolean), []);
  assert.equal(run.task.use!.completionTokens, 20);
  assert(resultOf(run).length > 0);
});

test("the cost so far of a run that nobody reads is known while it goes on", async (t) => {
  const { world } = await worldOfOne(t);
  const run = world.runUnread(0, "hello", 10_000);
  run.task.use = newUse();
  const { use } = run.task;
  await world.changes.until(() => use!.completionTokens > 5 && use!.gpuSeconds > 0 && use!.firstOutput !== null);
  assert.equal(run.output.length, 0);
});

test("a reader that comes late, leaves and comes again gets all of it, and nothing crosses meanwhile", async (t) => {
  const { world, heard } = await worldOfOne(t);
  const run = world.runUnread(0, "hello", 10_000);
  await world.changes.until(() => run.begun);
  world.pool.watch(run.task, true);
  await world.changes.until(() => run.text.length > 20);
  world.pool.watch(run.task, false);
  const isOver = (): boolean => heard.commands.some(({ type }) => type === "unwatch");
  await world.changes.until(isOver);
  // Its pieces that were on their way when the command came.
  const looks = (): number => heard.types().filter((type) => type === "look").length;
  const before = looks();
  await world.changes.until(() => looks() > before + 1);
  const [text, deltas] = [run.text, heard.types().filter((type) => type === "delta").length];
  await world.changes.until(() => looks() > before + 3);
  assert.equal(heard.types().filter((type) => type === "delta").length, deltas);
  assert.equal(run.output.isWhole, false);
  world.pool.watch(run.task, true);
  await world.changes.until(() => run.text.length > text.length);
  assert(run.text.startsWith(text));
  // The part that the server has does not cross again.
  const [first, second] = heard.told.filter(({ type }) => type === "watched");
  assert(first?.type === "watched" && second?.type === "watched");
  assert.deepEqual([first.from, second.from > 0], [0, true]);
  await canceled(world, run);
  assert.equal(run.text, resultOf(run));
});

test("a reader gets all of it, whatever is lost or comes twice, and however often it comes and leaves", async (t) => {
  const { world } = await worldOfOne(t, "engine: { simulated: { tokens_per_second: 300 } }");
  let count = 0;
  world.hub.loses = (_subject, message) => {
    const { commands = [], news = [], state } = message as Partial<ToAgent & FromAgent>;
    return (commands.length > 0 || news.length > 0 || state !== undefined) && ++count % 3 === 0;
  };
  world.hub.doubles = () => count % 4 === 0;
  const runs = Array.from({ length: 6 }, (_, index) => world.runUnread(0, `task ${index}`, 60));
  let turns = 0;
  while (runs.some(({ outcome }) => outcome === null)) {
    turns++;
    for (const [index, run] of runs.entries()) world.pool.watch(run.task, (turns + index) % 3 > 0);
    const seen = runs.map(({ text, outcome }) => text.length + (outcome === null ? 0 : 1));
    await world.changes.until(() =>
      runs.some(({ text, outcome }, index) => text.length + (outcome === null ? 0 : 1) !== seen[index]),
    );
  }
  for (const run of runs) {
    assert.equal(run.outcome!.status, "completed");
    assert.equal(run.text, resultOf(run));
    assert.equal(run.task.use!.completionTokens, 60);
  }
});

test("a leader that comes later stops the text that the one before was told, until it has a reader of its own", async (t) => {
  const { world, heard } = await worldOfOne(t);
  const run = world.run(0, "hello", 10_000);
  await world.changes.until(() => run.text !== "");
  await world.nextLeader();
  const adopted = world.adoptUnread(run.task)!;
  world.pool.restored();
  await world.changes.until(() => heard.commands.some(({ type }) => type === "unwatch"));
  assert.equal(adopted.output.isWhole, false);
  world.pool.watch(run.task, true);
  await world.changes.until(() => adopted.text.length > run.text.length);
  assert(adopted.text.startsWith(run.text));
  await canceled(world, adopted);
  assert.equal(adopted.text, resultOf(adopted));
});

test("a server that stands by reads a run where it is, whoever leads, and no leader hears of the text", async (t) => {
  const { world, heard } = await worldOfOne(t);
  const run = world.runUnread(0, "hello", 10_000);
  const where = world.pool.elsewhere(run.task)!;
  assert.equal(where.machine, "one");
  const texts = new TextReader({ bus: world.hub.connect(), cluster: "the-cluster", beat: BEAT });
  t.after(() => texts.close());
  const stranger = new TextReader({ bus: world.hub.connect(), cluster: "another", beat: BEAT });
  t.after(() => stranger.close());
  let text = "";
  let isOver = false;
  const reading = texts.read(where, {
    caughtUp: () => {
      text = reading.output.deltas.map(textOf).join("");
      world.changes.tell();
    },
    delta: (delta) => {
      text += textOf(delta);
      world.changes.tell();
    },
    failed: () => {
      isOver = true;
      world.changes.tell();
    },
  });
  const nothing = { caughtUp: () => assert.fail(), delta: () => assert.fail() };
  let isRefused = false;
  stranger.read(where, { ...nothing, failed: () => (isRefused = true) });
  await world.changes.until(() => text.length > 20);
  await world.nextLeader();
  const adopted = world.adoptUnread(run.task)!;
  world.pool.restored();
  assert.deepEqual(world.pool.elsewhere(run.task), where);
  const { length } = text;
  await world.changes.until(() => text.length > length + 20);
  await canceled(world, adopted);
  assert(resultOf(adopted).startsWith(text) && text.length > 40);
  assert.equal(world.pool.elsewhere(run.task), null);
  await world.changes.until(() => isOver);
  assert(isRefused);
  assert(!heard.types().includes("delta") && !heard.types().includes("watched"));
  assert.deepEqual(heard.outputs.filter(Boolean), []);
});

test("a reader that comes with more than the copy here has gets no text before that copy has caught up", async (t) => {
  const world = await ClusterWorld.start(t);
  const [bus, agent] = [world.hub.connect(), world.hub.connect()];
  const texts = new TextReader({ bus, cluster: "the-cluster", beat: LONG });
  t.after(() => texts.close());
  const asked: FromReader[] = [];
  agent.listen(readersTo("one"), (message) => {
    asked.push(message as FromReader);
    world.changes.tell();
  });
  const tell = (from: number, ...words: string[]): void => {
    const output = words.map((text) => ({ kind: "text", text }) as const);
    agent.send(textTo("one", asked[0]!.reader), { version: 3, runs: [{ key: "a", from, output }] } satisfies ToReader);
  };
  const seen = { first: "", second: "" };
  const read = (who: keyof typeof seen) => {
    const reading = texts.read(
      { machine: "one", key: "a" },
      {
        caughtUp: () => {
          seen[who] = `[${reading.output.deltas.map(textOf).join("")}]`;
          world.changes.tell();
        },
        delta: (delta) => {
          seen[who] += textOf(delta);
          world.changes.tell();
        },
        failed: () => assert.fail(),
      },
    );
    return reading;
  };
  read("first");
  await world.changes.until(() => asked.length === 1);
  tell(0, "one ");
  await world.changes.until(() => seen.first === "[one ]");
  const late = read("second");
  await world.changes.until(() => asked.length === 2);
  // It was on its way.
  tell(4, "two ");
  await world.changes.until(() => seen.first === "[one ]two ");
  assert.deepEqual([late.isThere, seen.second], [false, ""]);
  tell(8, "three");
  tell(13);
  await world.changes.until(() => seen.second !== "");
  assert.deepEqual([late.isThere, seen], [true, { first: "[one ]two three", second: "[one two three]" }]);
  tell(13, " four");
  await world.changes.until(() => seen.second.endsWith(" four"));
  assert.equal(seen.first, "[one ]two three four");
});

test("a machine that answers is asked again, though a run was not there; one that says nothing is left alone", async (t) => {
  const { world } = await worldOfOne(t);
  const texts = new TextReader({ bus: world.hub.connect(), cluster: "the-cluster", beat: BEAT });
  t.after(() => texts.close());
  const failed = async (machine: string): Promise<void> => {
    const over = Promise.withResolvers<void>();
    texts.read({ machine, key: "none:1:a" }, { caughtUp: () => {}, delta: () => {}, failed: () => over.resolve() });
    await over.promise;
  };
  await failed("one");
  assert.equal(texts.hears("one"), true);
  await failed("nobody");
  assert.equal(texts.hears("nobody"), false);
});

test("a run is read at its leader where its agent does not say that it tells others", async (t) => {
  const world = await ClusterWorld.start(t);
  world.hub.damages = (_subject, { state, ...message }) => {
    const { tells: _tells, ...others } = (state ?? {}) as Record<string, unknown>;
    return state === undefined ? message : { ...message, state: others };
  };
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.runUnread(0, "hello", 10_000);
  await world.changes.until(() => run.begun);
  assert.equal(world.pool.elsewhere(run.task), null);
});

test("a run that is read before its request is there is told from the beginning", async (t) => {
  const { world, heard } = await worldOfOne(t);
  const run = world.runLater(0, "hello", 10);
  world.pool.watch(run.task, true);
  run.give();
  assert.equal((await world.ended(run)).status, "completed");
  assert.equal(run.text, resultOf(run));
  assert(heard.types().includes("delta"));
  assert(!heard.commands.some(({ type }) => type === "watch"));
});

test("an agent of the version before tells everything, and is never told to watch", async (t) => {
  const world = await ClusterWorld.start(t);
  const heard = listen(world);
  const { damages } = world.hub;
  world.hub.damages = (subject, message) => {
    // As if the server were of the version before, for an agent that would speak this one.
    if (Array.isArray(message["speaks"])) return { ...message, speaks: [1, 2] };
    return damages(subject, message);
  };
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const run = world.runUnread(0, "hello", 20);
  await world.changes.until(() => run.output.length > 0);
  world.pool.watch(run.task, true);
  world.pool.watch(run.task, false);
  assert.equal((await world.ended(run)).status, "completed");
  assert(run.output.isWhole);
  assert.equal(run.output.deltas.map(textOf).join(""), resultOf(run));
  assert.deepEqual(
    heard.commands.filter(({ type }) => type === "watch" || type === "unwatch"),
    [],
  );
  assert(heard.types().includes("delta") && !heard.types().includes("progress"));
});

test("an agent speaks the latest version that its server does, also when that is upgraded while tasks run", async (t) => {
  const world = await ClusterWorld.start(t);
  let speaks = [1, 2];
  const versions: number[] = [];
  world.hub.damages = (subject, message) => {
    if (subject === newsOf("one")) versions.push(message["version"] as number);
    world.changes.tell();
    return Array.isArray(message["speaks"]) ? { ...message, speaks } : message;
  };
  await world.agent("one", SLOW);
  await world.became(0, "ready");
  const [unread, read] = [world.runUnread(0, "hello", 10_000), world.run(0, "hello", 10_000)];
  await world.changes.until(() => unread.output.length > 0 && read.text !== "");
  assert.deepEqual([...new Set(versions)], [2]);
  speaks = [1, 2, 3];
  await world.changes.until(() => versions.at(-1) === 3 && !unread.output.isWhole);
  const { length } = read.text;
  const tokens = (): number => unread.task.use?.completionTokens ?? 0;
  const before = tokens();
  await world.changes.until(() => read.text.length > length && tokens() > before);
  for (const run of [unread, read]) await canceled(world, run);
  assert.equal(read.text, resultOf(read));
  assert(resultOf(unread).length > unread.output.length);
});
