/** How fast prompts come in beside tasks that generate, on machines whose steps take what a formula says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Prefill } from "../src/engine/llama/prefill.ts";
import { seeded } from "./helpers/seeded.ts";

/** Milliseconds of a step without prompt tokens, and what so many of them add. */
interface Machine {
  readonly plain: (generating: number) => number;
  readonly added: (promptTokens: number) => number;
}

/** Computes one token after the other, and a second pass through the model takes a while by itself. */
const CPU: Machine = { plain: (generating) => 3 + 3 * generating, added: (tokens) => 4 + 2.5 * tokens };
/** Reads all weights for a step, and computes hundreds of tokens meanwhile. */
const GPU: Machine = { plain: (generating) => 5 + 0.02 * generating, added: (tokens) => 2 + 0.005 * tokens };
/** A single prompt token takes longer than a step. */
const SLOW: Machine = { plain: (generating) => generating, added: (tokens) => 20 * tokens };

const MOST = 256;

interface Step {
  readonly promptTokens: number;
  readonly ms: number;
}

/** Steps on a machine, as the engine makes them. `noise`: by what each is multiplied. */
function stepper(machine: Machine, pace: Prefill, noise: () => number = () => 1) {
  return (generating: number, prompts = 0, left = Infinity): Step => {
    const allowed = prompts === 0 ? 0 : pace.allowance({ generating, prompts });
    const promptTokens = Math.min(allowed, left);
    const ms = noise() * (machine.plain(generating) + (promptTokens > 0 ? machine.added(promptTokens) : 0));
    pace.took(generating, promptTokens, ms);
    return { promptTokens, ms };
  };
}

function times<T>(count: number, one: () => T): T[] {
  return Array.from({ length: count }, one);
}

function share(steps: readonly Step[], part: number): number {
  const sorted = steps.map(({ ms }) => ms).toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * part) - 1]!;
}

/** The most prompt tokens of the last 20 steps. */
function lately(steps: readonly Step[]): number {
  return Math.max(...steps.slice(-20).map(({ promptTokens }) => promptTokens));
}

/** The steps until a prompt has come in. */
function comesIn(step: ReturnType<typeof stepper>, generating: number, tokens: number): Step[] {
  const steps: Step[] = [];
  for (let left = tokens; left > 0; left -= steps.at(-1)!.promptTokens) steps.push(step(generating, 1, left));
  return steps;
}

describe("prompts beside tasks that generate", () => {
  for (const [name, machine] of Object.entries({ CPU, GPU })) {
    it(`make the others wait twice as long at most while 3,000 tokens come in: ${name}`, () => {
      for (const generating of [2, 4, 7]) {
        const step = stepper(machine, new Prefill(MOST));
        const plain = times(50, () => step(generating));
        const during = comesIn(step, generating, 3000);
        assert(share(during, 0.5) <= 2 * share(plain, 0.5), `${generating}: ${share(during, 0.5)}`);
        assert(share(during, 0.95) <= 2 * share(plain, 0.95), `${generating}: ${share(during, 0.95)}`);
        // All but a little of what may be used is used: a prompt is not slower than it has to be.
        assert(share(during, 0.5) >= 1.3 * share(plain, 0.5), `${generating}: ${share(during, 0.5)}`);
      }
    });
  }

  it("keep that where steps vary, and some are held up by something else", () => {
    const random = seeded(3);
    const noise = () => (random() < 0.02 ? 8 : 0.9 + 0.2 * random());
    const step = stepper(CPU, new Prefill(MOST), noise);
    const plain = times(200, () => step(7));
    const during = comesIn(step, 7, 3000);
    assert(share(during, 0.5) <= 2 * share(plain, 0.5), `${share(during, 0.5)}`);
    assert(share(during, 0.95) <= 2 * share(plain, 0.95), `${share(during, 0.95)}`);
  });

  it("keep that where each token costs more the more there were before it", () => {
    let taken = 0;
    const deep: Machine = { ...CPU, added: (tokens) => 4 + (2.5 + taken / 500) * tokens };
    const step = stepper(deep, new Prefill(MOST));
    const plain = times(50, () => step(7));
    const during: Step[] = [];
    for (; taken < 3000; taken += during.at(-1)!.promptTokens) during.push(step(7, 1, 3000 - taken));
    assert(share(during, 0.95) <= 2 * share(plain, 0.95), `${share(during, 0.95)}`);
  });

  it("notice when plain steps have become slower or faster, although there is always a prompt", () => {
    let speed = 1;
    const changing: Machine = { plain: (generating) => CPU.plain(generating) * speed, added: CPU.added };
    const step = stepper(changing, new Prefill(MOST));
    times(50, () => step(7));
    const before = lately(times(200, () => step(7, 1)));
    speed = 3;
    const slower = lately(times(400, () => step(7, 1)));
    speed = 1;
    const again = lately(times(400, () => step(7, 1)));
    assert(slower > 2 * before && again <= before + 1, `${before}, ${slower}, ${again}`);
  });

  it("never are more than the configured number, and reach it where they cost next to nothing", () => {
    const step = stepper(GPU, new Prefill(MOST));
    times(50, () => step(7));
    const tokens = times(100, () => step(7, 1).promptTokens);
    assert.equal(Math.max(...tokens), MOST);
    // But for the plain steps.
    assert(
      tokens.slice(40).every((count) => count === MOST || count === 0),
      `${tokens}`,
    );
  });

  it("have all the room there is when no task generates", () => {
    const pace = new Prefill(MOST);
    assert.equal(pace.allowance({ generating: 0, prompts: 3 }), Infinity);
  });

  it("always move, each of them, but for one plain step in 17", () => {
    const step = stepper(SLOW, new Prefill(MOST));
    times(50, () => step(7));
    // Until it is known what a token takes.
    times(17, () => step(7, 3));
    const tokens = times(17 * 10, () => step(7, 3).promptTokens);
    assert.equal(tokens.filter((count) => count === 0).length, 10);
    assert(
      tokens.every((count) => count === 0 || count === 3),
      `${tokens}`,
    );
  });

  it("wait for one plain step when none was seen yet", () => {
    const step = stepper(CPU, new Prefill(MOST));
    assert.equal(step(7, 1).promptTokens, 0);
    assert(step(7, 1).promptTokens > 0);
  });

  it("know about how long a plain step takes with a number of tasks that was not seen yet", () => {
    for (const [known, generating] of [
      [3, 7],
      [7, 3],
    ] as const) {
      const step = stepper(CPU, new Prefill(MOST));
      times(20, () => step(known));
      const during = times(40, () => step(generating, 1)).slice(1);
      assert(share(during, 0.95) <= 2 * CPU.plain(generating), `${known}, ${generating}: ${share(during, 0.95)}`);
    }
  });

  it("come in at once when they are short and none came for a while, and cost no more on the whole", () => {
    const step = stepper(CPU, new Prefill(MOST));
    times(20, () => step(7));
    for (let arrival = 0; arrival < 50; arrival++) {
      const steps = [...comesIn(step, 7, 24), ...times(8, () => step(7))];
      assert.equal(steps.filter(({ promptTokens }) => promptTokens > 0).length, 1);
      const mean = steps.reduce((sum, { ms }) => sum + ms, 0) / steps.length;
      assert(mean <= 2 * CPU.plain(7), `${mean}`);
    }
  });

  it("get more time where more of them wait than tasks generate", () => {
    const [one, two, six] = [1, 2, 6].map((prompts) => {
      const step = stepper(CPU, new Prefill(MOST));
      times(20, () => step(2));
      return lately(times(60, () => step(2, prompts)));
    });
    assert(two === Math.max(2, one!) && six! > 2 * two, `${one}, ${two}, ${six}`);
  });
});
