import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { COOL_BY, Health } from "../src/gpu/card/health.ts";
import { CRASH_WINDOW, type InstanceHealth, MAX_CRASHES } from "../src/gpu/instance/health.ts";

class World {
  now = 1000;
  changes = 0;
  readonly health: Health;
  readonly instance: InstanceHealth;

  constructor(maxTemperature: number | null = 85) {
    this.health = new Health({
      now: () => this.now,
      wall: () => this.now,
      maxTemperature,
      changed: () => void this.changes++,
    });
    this.instance = this.health.add();
  }

  get state(): string {
    return this.health.state;
  }
}

function serving(maxTemperature?: number | null): World {
  const world = new World(maxTemperature);
  world.instance.serving();
  return world;
}

test("a GPU is starting until its model is loaded, and then ready without a reason", () => {
  const world = new World();
  assert.equal(world.state, "starting");
  assert.match(world.health.reason ?? "", /loaded/);
  world.now = 2000;
  world.instance.serving();
  assert.equal(world.state, "ready");
  assert.equal(world.health.reason, null);
  assert.equal(world.health.since, 2000);
});

test("a crash makes it start again, and the third within five minutes is a fault", () => {
  const world = serving();
  for (let crash = 1; crash < MAX_CRASHES; crash++) {
    world.instance.crashed("It died.");
    assert.equal(world.state, "starting");
    world.instance.serving();
  }
  world.instance.crashed("It died.");
  assert.equal(world.state, "faulted");
  assert.match(world.health.reason ?? "", /3 times within 5 minutes\. It died\./);
});

test("crashes that are far apart never make a fault", () => {
  const world = serving();
  for (let crash = 0; crash < 10; crash++) {
    world.instance.crashed("It died.");
    assert.equal(world.state, "starting");
    world.instance.serving();
    world.now += CRASH_WINDOW / 2;
  }
});

test("a fault ends when the GPU has proved that it works, and not when its worker is started", () => {
  const world = serving();
  world.instance.fault("Xid 79.");
  world.instance.starting("It is tried again.");
  assert.equal(world.state, "faulted");
  world.instance.serving();
  assert.equal(world.state, "ready");
  world.instance.crashed("It died.");
  assert.equal(world.state, "starting", "the crashes before the fault are forgotten");
});

test("a hot GPU is taken in again only when it has cooled down by five degrees", () => {
  const world = serving(85);
  world.health.temperature(85);
  assert.equal(world.state, "ready");
  world.health.temperature(86);
  assert.equal(world.state, "hot");
  world.health.temperature(81);
  assert.equal(world.state, "hot");
  world.health.temperature(80);
  assert.equal(world.state, "ready");
});

test("a GPU whose temperature is not told any more does not stay hot for ever", () => {
  const world = serving(85);
  world.health.temperature(90);
  world.health.temperature(null);
  assert.equal(world.state, "ready");
});

test("a drained GPU is draining while tasks run, then drained until it is resumed", () => {
  const world = serving();
  world.health.drain("Drained by ada.", true);
  assert.equal(world.state, "draining");
  world.health.idle();
  assert.equal(world.state, "drained");
  assert.equal(world.health.reason, "Drained by ada.");
  world.health.resume("Resumed by ada.");
  assert.equal(world.state, "starting", "it has no worker now");
  world.instance.serving();
  assert.equal(world.state, "ready");
});

test("a drain outlasts a fault", () => {
  const world = serving();
  world.health.drain("Drained by ada.", true);
  world.instance.fault("Xid 48.");
  assert.equal(world.state, "faulted");
  world.health.idle();
  world.instance.serving();
  assert.equal(world.state, "drained");
});

test("a lost GPU that is there again starts anew, whatever was wrong with it before", () => {
  const world = serving();
  world.instance.fault("Xid 79.");
  world.health.vanish("GPU is lost.");
  assert.equal(world.state, "lost");
  world.instance.serving();
  assert.equal(world.state, "lost");
  world.health.appear();
  assert.equal(world.state, "starting");
});

test("an unfit GPU stays so while it is tried again, until it serves", () => {
  const world = new World();
  world.instance.refuse("Too little memory.");
  world.instance.starting("It is looked at again.");
  assert.equal(world.state, "unfit");
  world.instance.serving();
  assert.equal(world.state, "ready");
});

test("whatever happens: every change has a reason, the history tells it, and nothing changes without being told", () => {
  const step = fc.oneof(
    fc.constant((world: World) => world.instance.starting("Started again.")),
    fc.constant((world: World) => world.instance.serving()),
    fc.constant((world: World) => world.instance.crashed("It died.")),
    fc.constant((world: World) => world.instance.fault("Xid 48.")),
    fc.constant((world: World) => world.instance.refuse("Too little memory.")),
    fc.constant((world: World) => world.health.vanish("Fell off the bus.")),
    fc.constant((world: World) => world.health.appear()),
    fc.boolean().map((busy) => (world: World) => world.health.drain("Drained by ada.", busy)),
    fc.constant((world: World) => world.health.idle()),
    fc.constant((world: World) => world.health.resume("Resumed by ada.")),
    fc.integer({ min: 60, max: 100 }).map((celsius) => (world: World) => world.health.temperature(celsius)),
    fc.nat(CRASH_WINDOW).map((pause) => (world: World) => void (world.now += pause)),
  );
  const history = fc.array(step, { maxLength: 60 });
  fc.assert(
    fc.property(history, (steps) => {
      const world = new World();
      for (const happen of steps) checkStep(world, happen);
    }),
  );
});

function checkStep(world: World, happen: (world: World) => void): void {
  const { state, since } = world.health;
  const changes = world.changes;
  const recorded = world.health.history.length;
  happen(world);
  if (world.state === state) {
    assert.equal(world.health.since, since);
  } else {
    assert.equal(world.changes, changes + 1);
    assert.equal(world.health.since, world.now);
    const last = world.health.history.at(-1)!;
    assert.equal(last.event, world.state);
    assert.notEqual(last.reason, "");
    assert.ok(world.health.history.length > Math.min(recorded, 49));
  }
  assert.equal(world.health.reason === null, world.state === "ready");
}

test("a temperature at the line makes no more changes than it really swings", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 75, max: 95 }), { maxLength: 200 }), (readings) => {
      const world = serving(85);
      let turned = 0;
      let extreme = 0;
      for (const celsius of readings) {
        const before = world.state;
        world.health.temperature(celsius);
        if (world.state === before) continue;
        if (turned++ > 0) assert.ok(Math.abs(celsius - extreme) >= COOL_BY, "it swung by the whole hysteresis");
        extreme = celsius;
      }
    }),
  );
});

test("a GPU whose models are yet to be told whether they are wanted does not look ready for a moment", () => {
  const world = new World();
  world.instance.absent("cold", "Its model is loaded when it is wanted.");
  assert.equal(world.state, "starting");
  world.instance.starting("The model is being loaded.");
  world.health.begin();
  assert.equal(world.state, "starting");
  const cold = new World();
  cold.instance.absent("cold", "Its model is loaded when it is wanted.");
  cold.health.begin();
  assert.equal(cold.state, "ready");
});
