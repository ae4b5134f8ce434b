/** What one user may have stored, uploaded, waiting and open: each at its edge, in its sentence, and changed while the server runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { callerLimit } from "../src/config/caller-limits.ts";
import { parseConfig } from "../src/config/config.ts";
import { FileRoom } from "../src/files/room.ts";
import { StoredRoom } from "../src/tasks/stored-room.ts";
import type { Task } from "../src/task.ts";
import { PendingRoom } from "../src/webhooks/pending-room.ts";
import { accounts } from "./helpers/accounts.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { newTask } from "./helpers/store.ts";

const AS = (name: string) => ({ authorization: `Bearer ${name}` });

/** One task. @param size bytes of its text */
function ofSize(size: number, user = "bob"): readonly Task[] {
  return [{ ...newTask(1, { user }), size }];
}

function refusalOf(work: () => unknown): AltLasError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof AltLasError);
    return error;
  }
  return assert.fail("it was not refused");
}

test("a user's own limit comes before that of all, and unlimited lifts it", () => {
  const { callers } = parseConfig(
    "callers: { defaults: { max_stored_bytes: 5 }, users: { bob: { max_stored_bytes: 9, max_files: unlimited }, ann: { weight: 2, max_files: 0 } } }",
    "config.yaml",
  );
  assert.deepEqual(callerLimit(callers, "bob", "max_stored_bytes"), {
    most: 9,
    setIn: "callers.users.bob.max_stored_bytes",
  });
  const ofAll = { most: 5, setIn: "callers.defaults.max_stored_bytes" };
  for (const user of ["ann", "zoe", "__proto__"])
    assert.deepEqual(callerLimit(callers, user, "max_stored_bytes"), ofAll);
  assert.equal(callerLimit(callers, "bob", "max_files"), null);
  assert.equal(callerLimit(callers, "ann", "max_files")?.most, 0);
  assert.equal(callerLimit(callers, "zoe", "max_files")?.most, 100_000);
  assert.equal(callerLimit(callers, "zoe", "max_connections"), null);
});

test("stored texts count until the last byte; what was accepted since the store was asked is added", async () => {
  const stored = [{ user: "bob", bytes: 70 }];
  const store = { storedBytes: async () => stored };
  const room = new StoredRoom(store, (user) => (user === "bob" ? { bytes: 100, setIn: "callers.here" } : null));
  await Promise.resolve();
  room.take(ofSize(20));
  room.take(ofSize(10));
  const error = refusalOf(() => room.take(ofSize(1)));
  assert.deepEqual([error.code, error.retryAfter], ["rate_limited", 300]);
  assert.match(error.message, /^The stored tasks of bob have .* over the .* of callers\.here\. Remove some/);
  room.take(ofSize(1_000_000, "ann"));
  // They have been written, and others were removed.
  stored[0]!.bytes = 50;
  room.ask();
  await Promise.resolve();
  room.take(ofSize(50));
  refusalOf(() => room.take(ofSize(1)));
});

test("files count from the moment in which they begin to come, and those that do not arrive come back", () => {
  const room = new FileRoom(() => ({
    inAll: 1000,
    ofUser: { most: 1000, why: "of all" },
    files: { most: 2, setIn: "callers.defaults.max_files" },
  }));
  room.add([{ user: "bob", files: 1, bytes: 10 }]);
  const second = room.hold("bob");
  assert.equal(
    refusalOf(() => room.hold("bob")).message,
    "bob has 2 files, and may have 2 (callers.defaults.max_files). Delete some, or wait until they expire.",
  );
  room.hold("ann").keep();
  second.release();
  second.release();
  const third = room.hold("bob");
  third.take(5);
  third.keep();
  refusalOf(() => room.hold("bob"));
  room.give("bob", 5);
  room.hold("bob");
});

test("waiting webhooks are counted by the store, with those that were accepted since", async () => {
  const asked: unknown[] = [];
  const outbox = {
    countPending: async (most: number, user?: string) => {
      asked.push([most, user]);
      return 1;
    },
  };
  const room = new PendingRoom(outbox, (user) => (user === "bob" ? { most: 3, setIn: "callers.here" } : null));
  await room.take("bob");
  await room.take("bob");
  await assert.rejects(room.take("bob"), {
    code: "rate_limited",
    message:
      "bob has 3 webhooks that wait to be delivered, and may have no more (callers.here). Submit without webhook_url, or see to the receivers of those before.",
  });
  await room.take("ann");
  assert.deepEqual(asked, [[3, "bob"]]);
});

test("webhooks that are submitted at once are counted together, and one count that fails is asked for again", async () => {
  const answers = [Promise.reject(new Error("no disk")), Promise.resolve(0)];
  answers[0]!.catch(() => {});
  const outbox = { countPending: () => answers.shift()! };
  const room = new PendingRoom(outbox, () => ({ most: 3, setIn: "callers.here" }));
  await assert.rejects(room.take("bob"), /no disk/);
  const taken = await Promise.allSettled(Array.from({ length: 10 }, () => room.take("bob")));
  assert.equal(taken.filter(({ status }) => status === "fulfilled").length, 3);
});

/** Another limit for bob, while the server runs. */
async function limit(server: LocalServer, of: object): Promise<void> {
  const { status, body } = await server.request("PATCH", "/api/v1/config", {
    body: { callers: { users: { bob: of } } },
  });
  assert.equal(status, 200, JSON.stringify(body));
}

const submit = (server: LocalServer, body: object, name = "bob") =>
  server.request("POST", "/api/v1/predict", { body, headers: AS(name) });

const upload = async (server: LocalServer, content: string) => {
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new Blob([content]), "lines.jsonl");
  const answer = await fetch(`${server.url}/v1/files`, { method: "POST", body: form, headers: AS("bob") });
  return { status: answer.status, text: await answer.text() };
};

test("each limit holds in the server as it runs, and after a restart", async (t) => {
  const config = `${accounts({ root: "admin", bob: "user", ann: "user" })}
webhooks: { allow_private: true }
engine: { simulated: { tokens_per_second: 0 } }
`;
  const first = await startLocalServer(t, { config, devices: "simulated:1" });
  first.key = "root";
  await first.loaded();
  const text = "x".repeat(5000);
  await first.run({ text, max_length: 1 }, AS("bob"));

  await limit(first, { max_files: 1 });
  assert.equal((await upload(first, "one")).status, 200);
  const full = await upload(first, "two");
  assert.equal(full.status, 429);
  assert.match(full.text, /bob has 1 files, and may have 1 \(callers\.users\.bob\.max_files\)/);
  await limit(first, { max_files: null, max_uploaded_bytes: 4 });
  assert.match(
    (await upload(first, "three")).text,
    /more would be over the 0\.0 MiB of callers\.users\.bob\.max_uploaded_bytes/,
  );

  await limit(first, { max_webhooks: 0 });
  const webhook_url = "http://127.0.0.1:1/";
  assert.match((await submit(first, { text: "x", webhook_url })).body.error, /\(callers\.users\.bob\.max_webhooks\)/);
  assert.equal((await submit(first, { text: "x" })).status, 200);
  await limit(first, { max_webhooks: "unlimited", max_stored_bytes: 5001 });
  await first.stop();

  const second = await first.restart();
  second.key = "root";
  await second.loaded();
  const over = await submit(second, { text: "xy" });
  assert.equal(over.status, 429);
  assert.match(over.body.error, /^The stored tasks of bob have .* of callers\.users\.bob\.max_stored_bytes\./);
  const dry = await second.request("POST", "/api/v1/predict?dry_run=true", {
    body: { text: "xy" },
    headers: AS("bob"),
  });
  assert.equal(dry.body.error, over.body.error);
  assert.equal((await submit(second, { text }, "ann")).status, 200);
  assert.match((await upload(second, "three")).text, /max_uploaded_bytes/);
  await limit(second, { max_stored_bytes: null, max_open_requests: 1 });
  const waiting = new AbortController();
  // It waits as long as its GPU is drained.
  await second.request("POST", "/api/v1/gpus/0/drain");
  const { task_id } = await second.predict({ text: "x" }, AS("bob"));
  const events = `${second.url}/api/v1/task/${task_id}/events`;
  assert.equal((await fetch(events, { headers: AS("bob"), signal: waiting.signal })).status, 200);
  const busy = await second.request("GET", "/api/v1/me", { headers: AS("bob") });
  assert.equal(busy.status, 429);
  assert.match(busy.body.error, /and callers\.users\.bob\.max_open_requests allows no more/);
  waiting.abort();
});
