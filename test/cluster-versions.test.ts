/**
 * Servers and agents of earlier versions, by what real ones have said: fixtures/cluster-messages.json was recorded from NATS, beside the
 * commits 26bab832 (version 1), 82b0fbf0 (version 2), fe70afef (version 3, whose agents told nobody but the leader) and ee75195d (version 3, whose
 * agents also tell servers that stand by; what such a server and the leader say to each other over HTTP is replayed by relayed-streams.test.ts).
 * Names of sessions and runs are those of the test.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { faultOf } from "../src/cluster/from-agent.ts";
import { GpuIds } from "../src/cluster/gpu-ids.ts";
import {
  type Beat,
  BEATS,
  commandsTo,
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
import { Changes } from "./helpers/changes.ts";
import { ClusterWorld } from "./helpers/cluster-world.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { Hub } from "./helpers/memory-bus.ts";

interface Recorded {
  readonly agent1: readonly FromAgent[];
  readonly agent2: readonly FromAgent[];
  readonly agent3: readonly FromAgent[];
  /** The state of one that tells others, too. */
  readonly agent3tells: readonly FromAgent[];
  readonly reader3: readonly FromReader[];
  readonly text3: readonly ToReader[];
  readonly leader2: readonly (Beat | ToAgent)[];
  readonly leader3: readonly (Beat | ToAgent)[];
}

const recorded = JSON.parse(
  readFileSync(new URL("fixtures/cluster-messages.json", import.meta.url), "utf8"),
) as Recorded;

const agents = [
  [1, recorded.agent1],
  [2, recorded.agent2],
  [3, recorded.agent3],
  [3, [...recorded.agent3tells, ...recorded.agent3.slice(1)]],
] as const;

for (const [version, messages] of agents) {
  const tells = messages[0]!.state!.tells === true;
  const which = `message version ${version}${tells ? " that tells others" : ""}`;
  test(`an agent of ${which} is understood, and serves`, async (t) => {
    assert.deepEqual(
      messages.map((message) => [message.version, faultOf(message)]),
      messages.map(() => [version, null]),
    );
    const world = await ClusterWorld.start(t);
    const agent = world.hub.connect();
    const { incarnation } = messages[0]!;
    const all = messages.flatMap(({ news }) => news);
    const newsOfType = (type: string): News => all.find((one) => one.type === type)!;
    // From version 3 on output is told when it is asked for.
    const isAsked = version < 3 ? "run" : "watch";
    const output = all.filter(({ type }) => ["watched", "delta", "ended"].includes(type));
    const said: ToAgent[] = [];
    let number = 0;
    let heard = { epoch: 0, leader: null as string | null, session: 0, heard: 0 };
    const say = (news: readonly News[], state?: FromAgent["state"]): void => {
      const about = {
        ...messages[0]!,
        ...heard,
        number: ++number,
        news,
        ...(version > 1 && { cluster: "the-cluster" }),
      };
      const { state: _state, ...message } = about;
      agent.send(newsOf("old"), state === undefined ? message : { ...message, state });
    };
    const forgotten: string[] = [];
    agent.listen(commandsTo("old", incarnation), (given) => {
      const message = given as ToAgent;
      said.push(message);
      const { epoch, leader, session, first, commands } = message;
      heard = { epoch, leader, session, heard: session === heard.session ? heard.heard : 0 };
      for (const [index, command] of commands.entries()) {
        if (first + index !== heard.heard + 1) continue;
        heard.heard++;
        if (command.type === "forget") forgotten.push(...command.keys);
        if (command.type !== isAsked) continue;
        const key = command.type === "run" ? command.run.key : (command as { key: string }).key;
        say(output.map((one) => ({ ...one, key }) as News));
      }
      say([]);
      world.changes.tell();
    });
    say([newsOfType("look")], messages[0]!.state);
    await world.changes.until(() => said.length > 0);
    say([newsOfType("facts")], messages[0]!.state);
    await world.became(0, "ready");
    const run = world.run(0, "hello", 3);
    // A reader at another server reads it there, or at the leader.
    assert.equal(world.pool.elsewhere(run.task)?.machine, tells ? "old" : undefined);
    const outcome = await world.ended(run);
    assert.equal(outcome.status, "completed");
    assert.equal(run.text, (outcome as { result: { text: string } }).result.text);
    world.stored(run.task);
    await world.changes.until(() => forgotten.some((key) => key.startsWith(run.task.id)));
    assert.deepEqual([...new Set(said.map((message) => message.version))], [version]);
    const types = new Set(said.flatMap(({ commands }) => commands.map(({ type }) => type)));
    assert.deepEqual([...types], version < 3 ? ["ids", "run", "forget"] : ["ids", "run", "watch", "forget"]);
  });
}

test("a server that stands by reads the text of an agent of message version 3", async (t) => {
  const [hub, changes] = [new Hub(), new Changes()];
  const agent = hub.connect();
  const texts = new TextReader({ bus: hub.connect(), cluster: "the-cluster", beat: 600_000 });
  t.after(() => texts.close());
  agent.listen(readersTo("old"), (message) => {
    for (const told of recorded.text3) agent.send(textTo("old", (message as FromReader).reader), told);
  });
  let text = "";
  const told = () => {
    text = reading.output.deltas.map(textOf).join("");
    changes.tell();
  };
  const { key } = recorded.text3[0]!.runs[0]!;
  const reading = texts.read({ machine: "old", key }, { caughtUp: told, delta: told, failed: () => assert.fail() });
  await changes.until(() => text === " seven small boats past an old mill while");
});

test("a server of message version 3 that stands by is told what it reads", async (t) => {
  const world = await ClusterWorld.start(t);
  await world.agent("one", "engine: { simulated: { tokens_per_second: 50 } }");
  await world.became(0, "ready");
  const run = world.runUnread(0, "hello", 10_000);
  const { key } = world.pool.elsewhere(run.task)!;
  const server = world.hub.connect();
  const [first, next, last] = recorded.reader3;
  const said: ToReader[] = [];
  let text = "";
  server.listen(textTo("one", first!.reader), (message) => {
    said.push(message as ToReader);
    for (const { from, output } of said.at(-1)!.runs) {
      assert(from <= text.length);
      text = text.slice(0, from) + output.map(textOf).join("");
    }
    world.changes.tell();
  });
  const ask = ({ runs, ...message }: FromReader): void => {
    const ours = runs.map(({ from }) => ({ key, from }));
    server.send(readersTo("one"), { ...message, cluster: "the-cluster", runs: ours });
  };
  ask(first!);
  const { from } = next!.runs[0]!;
  await world.changes.until(() => text.length > from);
  ask(next!);
  const before = said.length;
  await world.changes.until(() => said.length > before + 2);
  ask(last!);
  world.pool.cancel(0, run.task);
  const ended = (await world.ended(run)) as { result: { text: string } };
  assert(ended.result.text.startsWith(text));
  assert.deepEqual([...new Set(said.map(({ version }) => version))], [3]);
});

/** An agent, and in the place of a server what one has said once. */
async function recordedServer(t: TestContext) {
  const world = await ClusterWorld.start(t);
  // The server of today is gone before the agent comes.
  world.bus.isUp = false;
  await world.agent("one");
  const server = world.hub.connect();
  const said: FromAgent[] = [];
  server.listen(newsOf("one"), (message) => {
    said.push(message as FromAgent);
    world.changes.tell();
  });
  return { world, server, said, news: (): readonly News[] => said.flatMap((message) => message.news) };
}

test("a server of message version 2 is obeyed, and told all in its version", async (t) => {
  const [beat, ...all] = recorded.leader2 as [Beat, ...ToAgent[]];
  const { world, server, said, news } = await recordedServer(t);
  const state = (): FromAgent["state"] => said.findLast((message) => message.state !== undefined)?.state;
  server.send(BEATS, beat);
  await world.changes.until(() => state() !== undefined);
  const { incarnation } = said[0]!;
  // Numbers that the recording has left out are those of commands that were there already.
  const tell = (type: string): void => {
    const command = all.find(({ commands }) => commands[0]!.type === type)!;
    server.send(commandsTo("one", incarnation), { ...command, first: ++first });
  };
  let first = 0;
  await world.changes.until(() => {
    const ready = news().findLast((one) => one.type === "facts")?.facts ?? state()!.facts[0];
    return ready?.instances[0]?.state === "ready";
  });
  tell("ids");
  tell("run");
  await world.changes.until(() => news().some(({ type }) => type === "ended"));
  const ended = news().find((one) => one.type === "ended")!;
  const text = news()
    .map((one) => (one.type === "delta" ? textOf(one.delta) : ""))
    .join("");
  assert.equal(text, (ended.outcome as { result: { text: string } }).result.text);
  assert(text.length > 0);
  tell("forget");
  tell("drain");
  await world.changes.until(() =>
    news().some((one) => one.type === "facts" && one.facts.instances[0]!.state === "drained"),
  );
  tell("resume");
  server.send(commandsTo("one", incarnation), { ...all[0]!, first: first + 1, commands: [], ask: true });
  const last = (): FromAgent | undefined =>
    said.find((message) => message.heard === first && message.state !== undefined);
  await world.changes.until(() => last() !== undefined);
  const [gpu] = last()!.state!.gpus;
  assert.deepEqual([last()!.state!.ends, gpu!.gpuId, gpu!.drainedBy], [[], 0, undefined]);
  assert.deepEqual([...new Set(said.map(({ version }) => version))], [2]);
  assert(!news().some(({ type }) => type === "progress" || type === "watched"));
});

function isReady(one: News): boolean {
  return one.type === "facts" && one.facts.instances[0]!.state === "ready";
}

test("a server of message version 3 that knows of no other readers is obeyed", async (t) => {
  const [beat, ...all] = recorded.leader3 as [Beat, ...ToAgent[]];
  const { world, server, said, news } = await recordedServer(t);
  server.send(BEATS, beat);
  const state = (): FromAgent["state"] => said.find((message) => message.state !== undefined)?.state;
  await world.changes.until(
    () => state() !== undefined && (news().some(isReady) || state()!.facts[0]?.instances[0]?.state === "ready"),
  );
  let first = 0;
  for (const type of ["ids", "run", "watch"]) {
    const command = all.find(({ commands }) => commands[0]!.type === type)!;
    server.send(commandsTo("one", said[0]!.incarnation), { ...command, first: ++first });
  }
  await world.changes.until(() => news().some(({ type }) => type === "ended"));
  const text = news()
    .flatMap((one) => (one.type === "watched" ? one.output : one.type === "delta" ? [one.delta] : []))
    .map(textOf)
    .join("");
  const ended = news().find((one) => one.type === "ended")!;
  assert.equal(text, (ended.outcome as { result: { text: string } }).result.text);
  assert.deepEqual([...new Set(said.map(({ version }) => version))], [3]);
});

test("what a later version has written into cluster.json is ignored, and stays", (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "cluster.json");
  const gpu = { id: 0, machine: "one", key: "a", colour: "red" };
  writeFileSync(path, JSON.stringify({ version: 1, epoch: 1, gpus: [gpu], later: { a: 1 } }));
  const ids = GpuIds.open(folder, "the-cluster");
  ids.setDrained(0, { by: "ada", at: 0 });
  ids.lockOut("two", "ada");
  const { gpus, later } = JSON.parse(readFileSync(path, "utf8")) as { gpus: unknown; later: unknown };
  assert.deepEqual([gpus, later], [[{ ...gpu, drained: { by: "ada", at: 0 } }], { a: 1 }]);
});
