/** What the dashboard's settings make of the configuration, and of what somebody writes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changeableIn,
  fixedIn,
  kindOf,
  patchOf,
  sectionOf,
  textOf,
  valueOf,
} from "../src/dashboard/files/settings/keys.js";
import {
  PRIORITIES as OWN_PRIORITIES,
  STRATEGIES as OWN_STRATEGIES,
} from "../src/dashboard/files/playground/request.js";
import { STATUSES } from "../src/dashboard/files/tasks/filters.js";
import { ENGLISH } from "../src/dashboard/files/words/index.js";
import { changeableKeys } from "../src/config/keys.ts";
import { type Attempt, PRIORITIES, STRATEGIES, TASK_STATUSES } from "../src/task.ts";

const ANSWER = {
  config: {
    server: { port: 8642, tls: { cert: null } },
    callers: { defaults: { weight: 1 }, users: { "ada.b": { weight: 2 } } },
    gpu: { multi_gpu: { task_specific_mappings: { summary: ["gpu_0"] }, queue_timeout: null } },
    models: [],
    models_from_cache: true,
  },
  sources: { server: { port: "option" }, callers: { users: { "ada.b": { weight: "runtime" } } } },
  runtime: [],
  changeable: [
    "callers.defaults.weight",
    "callers.users.*.weight",
    "gpu.multi_gpu.task_specific_mappings.*",
    "models",
    "models_from_cache",
  ],
};

test("what may change has a line for each name, also for one that was just added", () => {
  const bob = ["callers", "users", "bob", "weight"];
  const settings = changeableIn(ANSWER, [bob, bob, ["models"]]);
  assert.deepEqual(
    settings.map(({ key, value, source }) => [key, value, source]),
    [
      ["callers.defaults.weight", 1, "default"],
      ["callers.users.ada.b.weight", 2, "runtime"],
      ["gpu.multi_gpu.task_specific_mappings.summary", ["gpu_0"], "default"],
      ["models", [], "default"],
      ["models_from_cache", true, "default"],
      ["callers.users.bob.weight", null, "default"],
    ],
  );
  assert.deepEqual(sectionOf(settings[1]!.path), { code: "user", name: "ada.b" });
});

test("all else needs a restart", () => {
  assert.deepEqual(
    fixedIn(ANSWER).map(({ key, value, source }) => [key, value, source]),
    [
      ["server.port", 8642, "option"],
      ["server.tls.cert", null, "default"],
      ["gpu.multi_gpu.queue_timeout", null, "default"],
    ],
  );
});

test("changes are one merge patch, and a point in a name is none between names", () => {
  assert.deepEqual(
    patchOf([
      [["callers", "users", "ada.b", "weight"], 3],
      [["callers", "users", "ada.b", "max_running"], null],
      [["log", "level"], "debug"],
    ]),
    { callers: { users: { "ada.b": { weight: 3, max_running: null } } }, log: { level: "debug" } },
  );
});

test("what somebody writes becomes a value, and what is none goes to the server as it is", () => {
  for (const [kind, text, value] of [
    ["plain", " 12 ", 12],
    ["plain", "0.5", 0.5],
    ["plain", "unlimited", "unlimited"],
    ["plain", "", null],
    ["plain", '["gpu_0", 1]', ["gpu_0", 1]],
    ["json", '[{"name": "a"}]', [{ name: "a" }]],
    ["json", "[{", "[{"],
    ["switch", "false", false],
    ["strategies", "random,round_robin", ["random", "round_robin"]],
    ["level", "debug", "debug"],
  ] as const) {
    assert.deepEqual(valueOf(kind, text), value, text);
  }
});

const kind = (key: string, value: unknown) => kindOf({ path: key.split("."), key, value, source: "default" });

test("a value stands in its field as it would be written", () => {
  assert.equal(kind("models_from_cache", true), "switch");
  assert.equal(kind("models", []), "json");
  assert.equal(kind("callers.defaults.weight", 1), "plain");
  for (const value of [["a", 1], 12, "unlimited", null]) {
    assert.deepEqual(valueOf(kind("models", value), textOf(value)), value);
  }
});

test("names of the server's own are those of the server", () => {
  assert.deepEqual(OWN_STRATEGIES, [...STRATEGIES]);
  assert.deepEqual(OWN_PRIORITIES, [...PRIORITIES]);
  assert.deepEqual(STATUSES, TASK_STATUSES);
});

test("each key that may change, and each way in which an attempt ends, has words of its own", () => {
  // A name that people choose, like a task type, is its own.
  const keys = changeableKeys().filter((key) => !key.endsWith("*"));
  const ends = {
    completed: 0,
    failed: 0,
    canceled: 0,
    timeout: 0,
    worker_crash: 0,
    gpu_lost: 0,
    out_of_memory: 0,
    gpu_full: 0,
    worker_stopped: 0,
    gpu_drained: 0,
    machine_lost: 0,
    server_stop: 0,
    server_restart: 0,
  } satisfies Record<NonNullable<Attempt["reason"]>, 0>;
  const words = [
    ...keys.map((key) => `setting.${key.split(".").at(-1)}`),
    ...Object.keys(ends).map((end) => `attemptEnd.${end}`),
  ];
  assert.deepEqual(
    words.filter((word) => !Object.hasOwn(ENGLISH, word)),
    [],
  );
  assert.equal(kind("log.requests", "errors"), "logged");
});
