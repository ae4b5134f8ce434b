/** Models that take turns on a card, for clients that never stop asking. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelWorld } from "./helpers/model-world.ts";

test("clients that ask again after each answer do not have their model unloaded between two of them", () => {
  const clients = ["a", "c"];
  const world = new ModelWorld(
    [{ total: 10, mostTasks: null, models: clients }],
    clients.map((name) => ({ name, memory: 6, slots: 1, context: 1000, can: new Set(["completion"]), loadSeconds: 5 })),
  );
  const asks = (model: string): void => {
    const task = world.task({ model });
    world.scheduler.submit([task], "single");
    world.tasks.push(task);
    world.obey();
  };
  for (const name of clients) asks(name);
  for (let tenth = 0; tenth < 6000; tenth++) {
    world.passes(0.1);
    for (const place of world.places)
      if (place.state === "starting" || place.state === "unloading")
        world.becomes(place, place.state === "starting" ? "ready" : "cold");
    for (const task of world.tasks.filter(({ status }) => status === "running")) {
      world.ends(task);
      asks(task.model!);
    }
  }
  assert.ok(world.loadCount >= 15 && world.loadCount <= 22, `${world.loadCount} loads in 600 s`);
});

test("models that share the slots of a GPU take turns in the order of their tasks", () => {
  const world = new ModelWorld(
    [{ total: 10, mostTasks: 1, models: ["a", "b"] }],
    ["a", "b"].map((name) => ({
      name,
      memory: 5,
      slots: 1,
      context: 1000,
      can: new Set(["completion"]),
      loadSeconds: 0,
    })),
  );
  for (const place of world.places) world.scheduler.ask([place], "load");
  world.obey();
  for (const place of world.places) world.becomes(place, "ready");
  const tasks = ["a", "a", "b", "a"].map((model) => world.submit({ model }));
  const [first, second] = tasks;
  world.complete(first!);
  world.complete(second!);
  assert.deepEqual(
    tasks.map(({ status }) => status),
    ["completed", "completed", "running", "queued"],
  );
});
