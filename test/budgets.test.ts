/** Budgets of tokens and GPU-seconds by day and month: what fits, who is named, when they reset. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AltLasError } from "../src/errors.ts";
import type { BudgetFacts, BudgetRules, Holder } from "../src/scheduler/budget-kinds.ts";
import type { Task } from "../src/task.ts";
import { budgetRules } from "../src/tasks/budget-rules.ts";
import { parseConfig } from "../src/config/config.ts";
import { COMPLETED, facts, World } from "./helpers/scheduling.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Noon of a day in the middle of a month. */
const NOON = Date.parse("2026-11-16T12:00:00Z");

function rules(callers: string): BudgetRules {
  const made = budgetRules(parseConfig(`callers: ${callers}`, "config.yaml").callers);
  assert.ok(made !== null);
  return made;
}

/** The teams of users. */
const TEAMS: Readonly<Record<string, string>> = { bob: "research", eve: "research" };

class Counted extends World {
  constructor(callers: string, slots = 100) {
    super([facts(0, { slots })], { budgets: rules(callers) });
    this.now = NOON;
    this.budgets.begin(NOON);
  }

  get budgets() {
    return this.scheduler.callers.budgets;
  }

  /** Submits one task that is estimated at so many tokens, by a key of its user. */
  ask(tokens: number, user = "bob", keyName: string | null = null, team = TEAMS[user] ?? null): Task {
    return this.submit({ user, team, keyName, text: "1234", maxTokens: tokens - 1 });
  }

  refused(tokens: number, user = "bob", keyName: string | null = null): AltLasError {
    try {
      this.ask(tokens, user, keyName);
    } catch (error) {
      assert.ok(error instanceof AltLasError);
      return error;
    }
    return assert.fail(`${tokens} tokens were not refused`);
  }

  /** It ends, having cost so much. */
  end(task: Task, tokens: number, gpuSeconds = 0): void {
    const use = task.use!;
    use.promptTokens = 1;
    use.completionTokens = tokens - 1;
    use.gpuSeconds = gpuSeconds;
    this.scheduler.finished(task, COMPLETED);
  }

  spend(tokens: number, user = "bob", gpuSeconds = 0, keyName: string | null = null): void {
    this.end(this.ask(2, user, keyName), tokens, gpuSeconds);
  }

  of(holder: Holder, name: string): Pick<BudgetFacts, "used" | "reserved">[] {
    return this.budgets
      .facts(null)
      .filter((one) => one.of === holder && one.name === name)
      .map(({ used, reserved }) => ({ used, reserved }));
  }
}

test("a budget is full at its very last token, and one more is refused with whose it is, its size, its use and its reset", () => {
  const world = new Counted("{ users: { bob: { tokens_per_day: 100 } } }");
  world.end(world.ask(60), 60);
  world.end(world.ask(40), 39);
  world.spend(1, "ada");
  assert.deepEqual(world.of("user", "bob"), [{ used: 99, reserved: 0 }]);
  world.end(world.ask(2), 1);
  const error = world.refused(2);
  assert.equal(error.code, "budget_exceeded");
  assert.equal(error.status, 429);
  assert.equal(error.retryAfter, 12 * 3600);
  assert.equal(
    error.message,
    "bob may have 100 tokens a day (callers.users.bob.tokens_per_day): 100 are used, and this needs about 2. It resets at 2026-11-17T00:00:00.000Z. Try again in 43200 s.",
  );
  world.ask(1000, "ada");
});

test("a burst is stopped by what is reserved for it, and what it did not need comes back at its ends", () => {
  const world = new Counted("{ defaults: { tokens_per_day: 100 } }", 3);
  const burst = Array.from({ length: 5 }, () => world.ask(20));
  const error = world.refused(20);
  assert.match(error.message, /0 are used, 100 are set aside for tasks that have not ended, and this needs about 20/);
  assert.equal(error.retryAfter, 10, "they may end soon");
  world.end(burst[0]!, 5);
  assert.deepEqual(world.of("user", "bob"), [{ used: 5, reserved: 80 }]);
  world.refused(16);
  world.ask(15);
  world.scheduler.cancel([burst[4]!]);
  assert.deepEqual(world.of("user", "bob"), [{ used: 5, reserved: 75 }], "one that never ran has cost nothing");
});

test("the rest of a budget can be used by one task that may need more, and by no two at once", () => {
  const world = new Counted("{ users: { bob: { tokens_per_day: 100 } } }");
  world.spend(90);
  const large = world.ask(500);
  world.refused(1);
  world.end(large, 40);
  assert.equal(world.refused(1).retryAfter, 12 * 3600);
});

test("a batch that no unused budget would be enough for is refused for good", () => {
  const world = new Counted("{ users: { bob: { tokens_per_day: 100 } } }");
  assert.throws(() => world.batch(2, "split", { user: "bob", text: "1234", maxTokens: 59 }), {
    code: "invalid_input",
    param: "batch",
    message:
      "batch has 2 items, which need about 120 tokens together. bob may have 100 tokens a day (callers.users.bob.tokens_per_day).",
  });
  world.spend(50);
  const small = { user: "bob", text: "1234", maxTokens: 29 };
  assert.throws(() => world.batch(2, "split", small), { code: "budget_exceeded" });
  assert.deepEqual(world.of("user", "bob"), [{ used: 50, reserved: 0 }], "nothing is left reserved");
});

test("what the queue refuses has nothing reserved", () => {
  const world = new World([facts(0, { slots: 1 })], {
    budgets: rules("{ users: { ada: { tokens_per_day: 1000 } } }"),
    maxQueueSize: 1,
  });
  world.submitMany(2);
  assert.throws(() => world.submit(), { code: "queue_full" });
  assert.deepEqual(
    world.scheduler.callers.budgets.facts(null).map(({ reserved }) => reserved),
    [24],
  );
});

test("of a user, its team and its key, the one that lasts longest is named, of equals the tightest", () => {
  const world = new Counted(
    "{ users: { bob: { tokens_per_day: 100 } }, teams: { research: { tokens_per_day: 150, tokens_per_month: 400 } }, keys: { k1: { tokens_per_day: 60 } } }",
  );
  world.spend(60, "bob", 0, "k1");
  assert.match(
    world.refused(10, "bob", "k1").message,
    /^The key k1 may have 60 tokens a day \(callers\.keys\.k1\.tokens_per_day\)/,
  );
  world.end(world.ask(10, "bob", "k2"), 10);
  world.spend(80, "eve");
  assert.match(
    world.refused(40, "bob", "k2").message,
    /^The team research may have 150 tokens a day/,
    "it has none left",
  );
  assert.match(world.refused(1, "eve").message, /^The team research/);
  world.pass(12 * 3600);
  world.spend(250, "eve");
  const error = world.refused(10, "bob", "k2");
  assert.match(
    error.message,
    /^The team research may have 400 tokens a month .* It resets at 2026-12-01T00:00:00.000Z/,
  );
  assert.equal(error.retryAfter, 14 * 24 * 3600);
});

test("a task counts for the team in which its user was when it submitted it", () => {
  const world = new Counted("{ teams: { research: { tokens_per_day: 100 }, sales: { tokens_per_day: 100 } } }");
  world.spend(70);
  const open = world.ask(10);
  const other = world.ask(20, "bob", null, "sales");
  assert.deepEqual(world.of("team", "research"), [{ used: 70, reserved: 10 }]);
  assert.deepEqual(world.of("team", "sales"), [{ used: 0, reserved: 20 }]);
  world.end(open, 20);
  world.end(other, 5);
  assert.deepEqual(world.of("team", "research"), [{ used: 90, reserved: 0 }]);
  assert.deepEqual(world.of("team", "sales"), [{ used: 5, reserved: 0 }]);
});

test("GPU-seconds are reserved at the pace of the tasks that have ended", () => {
  const world = new Counted("{ users: { bob: { gpu_seconds_per_day: 10, gpu_seconds_per_month: 1000 } } }");
  world.spend(100, "ada", 10);
  const first = world.ask(60);
  assert.deepEqual(world.of("user", "bob")[0], { used: 0, reserved: 6 });
  assert.match(world.refused(50).message, /may have 10 GPU-seconds a day .*: 0 are used, 6 are set aside .* about 5\./);
  world.end(first, 60, 8);
  assert.equal(world.of("user", "bob")[0]!.used, 8);
  assert.equal(world.of("user", "bob")[1]!.used, 8);
});

test("a day's budget resets with the day, a month's with the month", () => {
  const world = new Counted("{ users: { bob: { tokens_per_day: 100, tokens_per_month: 150 } } }");
  world.spend(100);
  world.pass(12 * 3600 - 1);
  world.refused(1);
  world.pass(1);
  assert.deepEqual(
    world.of("user", "bob").map(({ used }) => used),
    [0, 100],
  );
  world.spend(50);
  assert.equal(world.refused(1).retryAfter, 14 * 24 * 3600);
  world.pass(14 * 24 * 3600);
  world.ask(100);
});

test("a wall clock that is set neither resets a budget nor makes a day last longer", () => {
  for (const step of [DAY, -DAY, 40 * DAY, -40 * DAY, 7 * HOUR]) {
    const world = new Counted("{ users: { bob: { tokens_per_day: 100, tokens_per_month: 100000 } } }");
    world.spend(100);
    world.ahead += step;
    world.refused(1);
    world.pass(12 * 3600 - 1);
    world.refused(1);
    world.pass(1);
    world.spend(100);
    // The next one ends when the wall clock shows midnight, again.
    const [{ resetsAt } = { resetsAt: 0 }] = world.budgets.facts(null);
    assert.equal(resetsAt % DAY, 0);
    world.refused(1);
    world.pass((resetsAt - (world.now + world.ahead)) / 1000 - 1);
    world.refused(1);
    world.pass(1);
    world.ask(1);
  }
});

test("clocks that drift apart within a day do not begin it twice", () => {
  const world = new Counted("{ users: { bob: { tokens_per_day: 100 } } }");
  world.ahead -= 2000;
  world.pass(12 * 3600);
  world.spend(100);
  world.pass(10);
  assert.equal(world.refused(1).message.includes("It resets at 2026-11-18T00:00:00.000Z"), true);
});

test("a user has the budgets of all unless its own say another size, or none", () => {
  const { sizesOf } = rules(
    "{ defaults: { tokens_per_day: 5, gpu_seconds_per_month: 7 }, users: { bob: { tokens_per_day: 9 }, eve: { tokens_per_day: unlimited, gpu_seconds_per_month: unlimited }, ann: { weight: 2 } } }",
  );
  const sizes = (user: string) => sizesOf("user", user)?.map((one) => one && [one.size, one.setIn]) ?? null;
  assert.deepEqual(sizes("zoe"), [
    [5, "callers.defaults.tokens_per_day"],
    null,
    null,
    [7, "callers.defaults.gpu_seconds_per_month"],
  ]);
  assert.deepEqual(sizes("ann"), sizes("zoe"));
  assert.deepEqual(sizes("bob")?.[0], [9, "callers.users.bob.tokens_per_day"]);
  assert.equal(sizes("eve"), null);
  assert.equal(sizesOf("key", "zoe"), null);
  assert.equal(sizesOf("user", "__proto__")?.[0]?.size, 5);
});

test("without any budget nothing is counted, and a first one can come while tasks run", () => {
  const world = new World([facts(0)], {});
  const running = world.submit();
  const { budgets } = world.scheduler.callers;
  assert.deepEqual([budgets.isOn, budgets.facts(null)], [false, []]);
  budgets.renew(rules("{ users: { ada: { tokens_per_day: 10 } } }"));
  world.complete(running);
  assert.equal(budgets.facts(null)[0]?.reserved, 0);
  budgets.renew(null);
  assert.deepEqual(budgets.facts({ user: "ada", team: null, keyName: null }), []);
});
