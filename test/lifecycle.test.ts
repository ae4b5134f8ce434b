/** When an instance's worker is started, replaced and ended, by plain calls: no worker, no timer, no waiting. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Health } from "../src/gpu/card/health.ts";
import { type InstanceHealth, MAX_CRASHES } from "../src/gpu/instance/health.ts";
import { type CutOff, Lifecycle, type LifecycleOptions, type LossReason } from "../src/gpu/instance/lifecycle.ts";
import { type LifecycleTiming } from "../src/gpu/instance/pauses.ts";

const TIMING: LifecycleTiming = { restartPause: 500, retryPauses: [5000, 15_000], healthyAfter: 300_000 };

/** A lifecycle whose effects are written down: its worker is what it asked for, and time passes when the test says so. */
class World {
  now = 1000;
  readonly health: Health;
  readonly instance: InstanceHealth;
  readonly lifecycle: Lifecycle;
  /** A start that was asked for and has not had its turn. */
  startsWaiting = 0;
  hasWorker = false;
  proofs = 0;
  /** When `wake` is to be called; null: never. */
  wakeAt: number | null = null;
  readonly cutOffs: CutOff[] = [];
  releases = 0;

  constructor(options: Partial<LifecycleOptions> = {}) {
    this.health = new Health({ now: () => this.now, wall: () => this.now, maxTemperature: 85, changed: () => {} });
    this.instance = this.health.add();
    this.lifecycle = new Lifecycle(
      {
        health: this.instance,
        isAvailable: () => !this.health.isLost && !this.health.isDraining,
        isHopeless: false,
        mayBeMended: false,
        onDemand: false,
        modelFile: () => "model.gguf",
        timing: TIMING,
        now: () => this.now,
        ...options,
      },
      {
        start: () => void this.startsWaiting++,
        prove: () => void this.proofs++,
        cutOff: (what) => {
          this.hasWorker = false;
          this.cutOffs.push(what);
        },
        release: () => {
          this.hasWorker = false;
          this.releases++;
        },
        wakeIn: (pause) => void (this.wakeAt = pause === null ? null : this.now + pause),
      },
    );
  }

  get state(): string {
    return this.health.state;
  }

  get reason(): string {
    return this.health.reason ?? "";
  }

  get losses(): LossReason[] {
    return this.cutOffs.map(({ reason }) => reason);
  }

  /** Gives a start that waits its turn. */
  takeTurn(): void {
    if (this.startsWaiting === 0) return;
    this.startsWaiting--;
    if (this.lifecycle.begins()) this.hasWorker = true;
  }

  /** Brings it to where it loads. */
  begin(): void {
    this.lifecycle.launch();
    this.takeTurn();
    assert.ok(this.hasWorker);
  }

  /** Brings it to where it serves, by every proof that is asked for. */
  serve(): void {
    if (!this.hasWorker) {
      this.passPause();
      this.takeTurn();
    }
    const { proofs } = this;
    this.lifecycle.loaded();
    if (this.proofs > proofs) this.lifecycle.proved(null);
    assert.ok(this.lifecycle.isServing);
  }

  /** Lets the pause before the next try pass, and says how long it was; null: there was none. */
  passPause(): number | null {
    if (this.wakeAt === null) return null;
    const pause = this.wakeAt - this.now;
    this.now = this.wakeAt;
    this.wakeAt = null;
    this.lifecycle.wake();
    return pause;
  }

  die(lived = true, lastWords = ""): void {
    this.lifecycle.died({ how: "SIGKILL", lastWords, lived });
  }
}

function serving(options: Partial<LifecycleOptions> = {}): World {
  const world = new World(options);
  world.begin();
  world.serve();
  return world;
}

test("a worker is started once, however often a launch is asked for, and only when its turn comes", () => {
  const world = new World();
  world.lifecycle.launch();
  world.lifecycle.launch();
  world.lifecycle.wake();
  assert.deepEqual([world.startsWaiting, world.hasWorker], [1, false]);
  world.takeTurn();
  world.lifecycle.launch();
  assert.deepEqual([world.startsWaiting, world.hasWorker, world.lifecycle.isServing], [0, true, false]);
});

test("a start whose card is drained or gone before its turn comes is given up, and made again afterwards", () => {
  for (const leave of ["drain", "vanish"] as const) {
    const world = new World();
    world.lifecycle.launch();
    if (leave === "drain") world.health.drain("Drained.", false);
    else world.health.vanish("Gone.");
    world.takeTurn();
    assert.equal(world.hasWorker, false);
    if (leave === "drain") world.health.resume("Resumed.");
    else world.health.appear();
    world.begin();
  }
});

test("a start that still waits for its turn survives a card that goes and comes back meanwhile", () => {
  const world = new World();
  world.lifecycle.launch();
  world.health.vanish("Gone.");
  world.lifecycle.lose("gpu_lost", "Gone.");
  world.health.appear();
  world.lifecycle.cardIsBack(false);
  assert.equal(world.startsWaiting, 1);
  world.takeTurn();
  assert.ok(world.hasWorker);
});

test("a worker that dies is started again after a short pause, and its tasks are told", () => {
  const world = serving();
  world.die();
  assert.equal(world.state, "starting");
  assert.match(world.reason, /^The worker died \(SIGKILL\) and is being restarted\.$/);
  assert.deepEqual(world.losses, ["worker_crash"]);
  assert.equal(world.cutOffs[0]!.sentence, world.reason);
  assert.equal(world.passPause(), TIMING.restartPause);
  world.takeTurn();
  world.serve();
  assert.deepEqual([world.state, world.proofs, world.lifecycle.restarts], ["ready", 0, 1]);
});

test("when it is told of a loss, the state already says that nothing may be placed there", () => {
  const states: string[] = [];
  const world: World = new World();
  world.cutOffs.push = () => states.push(world.state);
  world.begin();
  world.serve();
  world.die();
  world.passPause();
  world.takeTurn();
  world.lifecycle.fail("Xid 79.", "gpu_lost");
  assert.deepEqual(states, ["starting", "faulted"]);
});

test("after the third crash in a short time it must generate a token before it serves, and waits for longer from try to try", () => {
  const world = serving();
  for (let crash = 1; crash < MAX_CRASHES; crash++) {
    world.die();
    world.serve();
  }
  world.die();
  assert.equal(world.state, "faulted");
  assert.equal(world.passPause(), 5000);
  world.takeTurn();
  world.lifecycle.loaded();
  assert.deepEqual([world.proofs, world.lifecycle.isServing], [1, false]);
  world.lifecycle.proved("no token");
  assert.match(world.reason, /^It failed when it was asked for one token: no token$/);
  assert.deepEqual([world.passPause(), world.state], [15_000, "faulted"]);
  world.takeTurn();
  world.lifecycle.fail("Again.", "gpu_lost");
  assert.equal(world.passPause(), 15_000, "the last pause repeats");
  world.takeTurn();
  world.serve();
  assert.equal(world.state, "ready");
});

test("the pauses begin anew only after it has served for long", () => {
  const world = serving();
  const failAfter = (served: number): number | null => {
    world.now += served;
    world.lifecycle.fail("Xid 79.", "gpu_lost");
    const pause = world.passPause();
    world.takeTurn();
    world.serve();
    return pause;
  };
  assert.equal(failAfter(1), 5000);
  assert.equal(failAfter(TIMING.healthyAfter), 15_000);
  assert.equal(failAfter(TIMING.healthyAfter + 1), 5000);
});

test("two deaths while loading blame the model, with its file, and nothing is tried again by itself", () => {
  const world = new World();
  world.begin();
  world.die();
  world.passPause();
  world.takeTurn();
  world.die(true, "ggml-cuda.cu:110: CUDA error");
  assert.equal(world.state, "unfit");
  assert.match(
    world.reason,
    /^The worker died 2 times while loading the model model\.gguf \(SIGKILL\); the driver may be too old/,
  );
  assert.equal(world.passPause(), null);
  world.lifecycle.launch();
  assert.equal(world.startsWaiting, 0);
  world.lifecycle.resume();
  assert.equal(world.startsWaiting, 1, "an operator has it tried again");
});

test("a process that never lived, or a model that has been served here, says nothing against the model", () => {
  const neverLived = new World();
  neverLived.begin();
  for (let death = 0; death < 5; death++) {
    neverLived.die(false);
    neverLived.passPause();
    neverLived.takeTurn();
    assert.notEqual(neverLived.state, "unfit");
  }
  const served = serving();
  served.die();
  served.passPause();
  served.takeTurn();
  served.die();
  assert.notEqual(served.state, "unfit");
});

/** An instance whose model was refused when it was opened first. */
function opened(options: Partial<LifecycleOptions>, code: "model_error" | "out_of_memory"): World {
  const world = new World(options);
  world.begin();
  world.lifecycle.refused(code, "Cannot be opened.");
  assert.deepEqual([world.state, world.losses, world.lifecycle.settled], ["unfit", ["gpu_lost"], true]);
  return world;
}

test("a model that cannot be opened is unfit for good; one that lacks memory, or a server that refuses, is tried again", () => {
  assert.equal(opened({}, "model_error").wakeAt, null);
  for (const world of [opened({}, "out_of_memory"), opened({ mayBeMended: true }, "model_error")]) {
    assert.equal(world.passPause(), 5000);
    world.takeTurn();
    assert.equal(world.state, "unfit", "until it has loaded");
    world.serve();
    assert.equal(world.state, "ready");
  }
});

test("a model that has been served here is not to blame when it cannot be opened any more", () => {
  const world = serving();
  world.die();
  world.passPause();
  world.takeTurn();
  world.lifecycle.refused("model_error", "Cannot be opened.");
  assert.deepEqual([world.state, world.reason], ["faulted", "Cannot be opened."]);
});

test("an instance whose card can never serve is not started, whoever asks", () => {
  const world = new World({ isHopeless: true });
  world.instance.refuse("The card is too old.");
  world.lifecycle.launch();
  world.lifecycle.resume();
  world.lifecycle.cardIsBack(false);
  assert.equal(world.startsWaiting, 0);
});

test("a stall under work is a fault; one without work only costs the worker", () => {
  const busy = serving();
  busy.lifecycle.stalled("It hangs.", true);
  assert.deepEqual([busy.state, busy.reason, busy.losses], ["faulted", "It hangs.", ["worker_crash"]]);
  const idle = serving();
  idle.lifecycle.stalled("It hangs.", false);
  assert.deepEqual([idle.state, idle.wakeAt], ["starting", idle.now + TIMING.restartPause]);
});

test("a load of a model by name that gets no further is given up with the reason, and may be asked for again after a pause", () => {
  const world = new World({ onDemand: true });
  world.lifecycle.want();
  world.lifecycle.begins();
  world.lifecycle.stalled("It hangs.", false);
  assert.deepEqual([world.state, world.reason, world.lifecycle.isWanted], ["unfit", "It hangs.", false]);
  world.lifecycle.wake();
  assert.equal(world.instance.state, "cold");
});

test("a worker that does not stop a task is replaced, and the tasks that it was to stop are handed on", () => {
  const world = serving();
  world.lifecycle.stuck("It is deaf.", []);
  assert.deepEqual([world.losses, world.reason], [["worker_stopped"], "It is deaf. It is being restarted."]);
});

test("a drained worker is released, not cut off, and loads again when it is resumed", () => {
  const world = serving();
  world.health.drain("Drained by ada.", false);
  world.lifecycle.drained();
  assert.deepEqual([world.releases, world.losses, world.state], [1, [], "drained"]);
  world.lifecycle.wake();
  assert.equal(world.startsWaiting, 0);
  world.health.resume("Resumed by ada.");
  world.lifecycle.resume();
  world.takeTurn();
  world.serve();
  assert.equal(world.state, "ready");
});

test("a card that comes and goes is not followed each time", () => {
  const world = serving();
  const comeAndGo = (flaps: boolean): void => {
    world.health.vanish("Gone.");
    world.lifecycle.lose("gpu_lost", "Gone.");
    world.health.appear();
    world.lifecycle.cardIsBack(flaps);
  };
  comeAndGo(false);
  assert.deepEqual([world.startsWaiting, world.wakeAt], [1, null]);
  world.takeTurn();
  world.serve();
  comeAndGo(true);
  assert.deepEqual([world.startsWaiting, world.wakeAt], [0, world.now + 5000]);
});

test("a check that succeeds changes nothing, and one that fails is the GPU's fault", () => {
  const world = serving();
  const since = world.health.since;
  world.now += 1000;
  world.lifecycle.proved(null);
  assert.deepEqual([world.state, world.health.since], ["ready", since]);
  world.lifecycle.proved("no token");
  assert.deepEqual([world.state, world.losses], ["faulted", ["gpu_lost"]]);
});

test("after a stop nothing is started any more", () => {
  const world = serving();
  world.lifecycle.stop();
  world.die();
  assert.equal(world.wakeAt, null);
  world.lifecycle.resume();
  world.lifecycle.launch();
  assert.equal(world.startsWaiting, 0);
});

test("whatever happens: at most one worker, it serves only when it is ready, and what may be tried again is", () => {
  const step = fc.oneof(
    fc.constant((world: World) => world.lifecycle.launch()),
    fc.constant((world: World) => world.takeTurn()),
    fc.constant((world: World) => void world.passPause()),
    fc.boolean().map((lived) => (world: World) => void (world.hasWorker && world.die(lived))),
    fc.constant((world: World) => void (world.hasWorker && !world.lifecycle.isServing && world.lifecycle.loaded())),
    fc.option(fc.constant("no token")).map((failure) => (world: World) => {
      if (world.hasWorker && world.proofs > 0) world.lifecycle.proved(failure);
    }),
    fc.constantFrom("model_error" as const, "out_of_memory" as const).map((code) => (world: World) => {
      if (world.hasWorker && !world.lifecycle.isServing) world.lifecycle.refused(code, "Refused.");
    }),
    fc.constant((world: World) => world.lifecycle.fail("Xid 48.", "gpu_lost")),
    fc.constant((world: World) => {
      if (world.health.isLost) return;
      world.health.vanish("Gone.");
      world.lifecycle.lose("gpu_lost", "Gone.");
    }),
    fc.boolean().map((flaps) => (world: World) => {
      if (!world.health.isLost) return;
      world.health.appear();
      world.lifecycle.cardIsBack(flaps);
    }),
    fc.constant((world: World) => {
      world.health.drain("Drained.", false);
      world.lifecycle.drained();
    }),
    fc.constant((world: World) => {
      world.health.resume("Resumed.");
      world.lifecycle.resume();
    }),
    fc.nat(600_000).map((pause) => (world: World) => void (world.now += pause)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new World();
      for (const happen of steps) {
        happen(world);
        const { isServing } = world.lifecycle;
        assert.ok(world.startsWaiting + (world.hasWorker ? 1 : 0) <= 1, "two workers at once");
        assert.ok(!isServing || world.hasWorker, "it serves without a worker");
        assert.equal(world.instance.state === "ready", isServing);
        const idle = !world.hasWorker && world.startsWaiting === 0;
        const mayTry = world.instance.state === "faulted" && world.lifecycle.mayStart;
        // A pause, or the event that makes the card available again, has it tried.
        if (idle && mayTry && world.cutOffs.length > 0) assert.notEqual(world.wakeAt, null, "it is given up for ever");
      }
    }),
  );
});

test("the deaths of a process that it shares are never held against it, and all who were there wait as long", () => {
  const world = serving();
  const other = serving();
  const pauses = [1, 2, 3, 4, 5].map((sharedDeaths) => {
    const death = { how: "SIGKILL", lastWords: "", lived: true, sharedDeaths };
    for (const one of [world, other]) one.lifecycle.died(death);
    assert.deepEqual([world.state, other.state], ["starting", "starting"]);
    const pause = [world.passPause(), other.passPause()];
    for (const one of [world, other]) {
      one.takeTurn();
      one.serve();
    }
    return pause;
  });
  assert.deepEqual(pauses, [
    [500, 500],
    [500, 500],
    [5000, 5000],
    [15_000, 15_000],
    [15_000, 15_000],
  ]);
  assert.deepEqual([world.state, new Set(world.losses)], ["ready", new Set(["worker_stopped"])]);
  assert.equal(world.lifecycle.restarts, 5);
});

test("the death of a process that it shares is no model's fault, and mends no fault of its own", () => {
  const world = new World();
  for (const sharedDeaths of [1, 2, 3]) {
    world.begin();
    world.lifecycle.died({ how: "SIGKILL", lastWords: "", lived: true, sharedDeaths });
    assert.equal(world.state, "starting");
    world.passPause();
    world.takeTurn();
  }
  world.lifecycle.fail("Its server is gone.", "gpu_lost");
  world.passPause();
  world.takeTurn();
  world.lifecycle.died({ how: "SIGKILL", lastWords: "", lived: true, sharedDeaths: 1 });
  assert.equal(world.state, "faulted");
  assert.equal(world.passPause(), 500);
});
