/** Who decodes how much in a step, for any tasks. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Pending, planStep } from "../src/engine/llama/step-plan.ts";

interface Case {
  readonly tasks: Pending[];
  readonly batchSize: number;
  readonly allowed: number;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    tasks: fc.array(
      fc
        .record({ remaining: fc.oneof(fc.nat(1), fc.nat(3000)), read: fc.nat(300), came: fc.nat(3) })
        .map(({ remaining, read, came }) => ({ remaining, toRead: remaining + read, came })),
      { minLength: 1, maxLength: 16 },
    ),
    spare: fc.nat(600),
    allowed: fc.oneof(fc.nat(300), fc.constant(Infinity)),
  })
  .map(({ tasks, spare, allowed }) => ({ tasks, batchSize: tasks.length + spare, allowed }));

type Moves = ReturnType<typeof planStep<Pending>>["moves"];

function holdsFor(property: (moves: Moves, given: Case) => void): void {
  fc.assert(
    fc.property(cases, (given) => {
      property(planStep(given.tasks, given.batchSize, () => given.allowed).moves, given);
    }),
    { numRuns: 1000 },
  );
}

function tokensIn(moves: Moves): number {
  return moves.reduce((sum, { promptTokens }) => sum + Math.max(1, promptTokens), 0);
}

/** Has come at that time, with so many tokens to read. */
function pending(remaining: number, came = 0, toRead = remaining): Pending {
  return { remaining, toRead, came };
}

/** Whether somebody who generates has to wait for it: one that came before, or after as much of it as a batch, or its own prompt, has. */
function holdsUp({ remaining, toRead, came }: Pending, { tasks, batchSize }: Case): boolean {
  const generating = tasks.filter((other) => other.remaining <= 1);
  const patience = Math.max(batchSize, ...generating.map((other) => other.toRead));
  return generating.some((other) => other.came < came) || (generating.length > 0 && toRead - remaining >= patience);
}

describe("the plan of a step", () => {
  it("never has more tokens than the batch, nor more of prompts that hold somebody up than allowed", () =>
    holdsFor((moves, given) => {
      assert(tokensIn(moves) <= given.batchSize);
      const prompts = moves.filter(({ generates }) => !generates);
      assert(prompts.every(({ promptTokens }) => promptTokens > 0));
      assert(tokensIn(prompts.filter((move) => holdsUp(move.task, given))) <= given.allowed);
    }));

  it("lets everybody decode one token who has at most one left of its prompt, and nobody else", () =>
    holdsFor((moves, { tasks }) => {
      const generating = moves.filter(({ generates }) => generates);
      assert.deepEqual(
        generating.map(({ task }) => task),
        tasks.filter(({ remaining }) => remaining <= 1),
      );
      for (const { task, promptTokens } of generating) assert.equal(promptTokens, task.remaining);
    }));

  it("keeps a prompt's last token for the step after the rest of it", () =>
    holdsFor((moves) => {
      for (const { task, promptTokens, generates } of moves) if (!generates) assert(promptTokens < task.remaining);
    }));

  it("moves every prompt that is paced where enough is allowed, and each prompt once", () =>
    holdsFor((moves, given) => {
      assert.equal(new Set(moves.map(({ task }) => task)).size, moves.length);
      const paced = given.tasks.filter((one) => one.remaining > 1 && holdsUp(one, given));
      if (given.allowed < paced.length) return;
      const moved = new Set(moves.map(({ task }) => task));
      assert(paced.every((one) => moved.has(one)) || given.batchSize === moves.length);
    }));

  it("leaves half of the room unused at most where prompts could use it, but for first tokens", () =>
    holdsFor((moves, given) => {
      const wanted = (holds: boolean) =>
        given.tasks
          .filter((one) => holdsUp(one, given) === holds)
          .reduce((sum, { remaining }) => sum + Math.max(0, remaining - 1), 0);
      const prompts = moves.filter(({ generates }) => !generates);
      const room = given.batchSize - moves.length + prompts.length;
      const isFirstDue = given.tasks.some(({ remaining }) => remaining === 1);
      const free = isFirstDue ? 0 : wanted(false);
      const paced = Math.min(wanted(true), given.allowed);
      assert(tokensIn(prompts) >= Math.min(free + paced, free === 0 ? room : (room - prompts.length) / 2));
    }));

  it("gives a short prompt all that it needs before a long one gets the rest", () => {
    const { moves } = planStep([pending(3000), pending(0), pending(11)], 128, () => Infinity);
    assert.deepEqual(
      moves.map(({ task: { remaining }, promptTokens }) => [remaining, promptTokens]),
      [
        [0, 0],
        [11, 10],
        [3000, 117],
      ],
    );
  });

  it("reads whole prompts, and no small piece of one more", () => {
    const { moves } = planStep([pending(60), pending(60), pending(60), pending(60)], 128, () => 0);
    assert.deepEqual(
      moves.map(({ promptTokens }) => promptTokens),
      [59, 59],
    );
  });

  it("reads prompts that came together in full batches, also when the first of them generate", () => {
    const together = [pending(0, 5, 60), pending(0, 5, 60), pending(60, 5), pending(60, 5), pending(60, 5)];
    const { moves, isPaced } = planStep(together, 128, () => assert.fail("nobody is held up"));
    assert.deepEqual(
      moves.map(({ promptTokens }) => promptTokens),
      [0, 0, 59, 59],
    );
    assert.equal(isPaced, false);
  });

  it("gives whoever has been read its first token before it reads on", () => {
    const { moves, isPaced } = planStep([pending(0, 5, 9), pending(1, 5, 60), pending(60, 5)], 128, () => 0);
    assert.deepEqual(
      moves.map(({ task, generates }) => [task.remaining, generates]),
      [
        [0, true],
        [1, true],
      ],
    );
    assert.equal(isPaced, true);
  });

  it("reads a prompt as it is paced for whoever came before it, and at once for whoever came after it", () => {
    for (const [came, promptTokens] of [
      [4, 10],
      [5, 59],
      [6, 59],
    ] as const) {
      const { moves, isPaced } = planStep([pending(0, came, 8), pending(60, 5)], 128, () => 10);
      assert.equal(moves[1]!.promptTokens, promptTokens, `${came}`);
      assert.equal(isPaced, promptTokens === 10);
    }
  });

  it("lets nobody wait for more of a prompt that came with it than its own has, or a batch", () => {
    for (const [own, read, promptTokens] of [
      [60, 127, 127],
      [60, 128, 10],
      [500, 499, 127],
      [500, 500, 10],
    ] as const) {
      const { moves } = planStep([pending(0, 5, own), pending(3000 - read, 5, 3000)], 128, () => 10);
      assert.equal(moves[1]!.promptTokens, promptTokens, `${own}, ${read}`);
    }
  });

  it("leaves a token of a full batch to each prompt that is paced", () => {
    const { moves } = planStep([pending(0, 5, 60), pending(300, 5), pending(300, 6), pending(300, 7)], 128, () => 50);
    assert.deepEqual(
      moves.map(({ promptTokens }) => promptTokens),
      [0, 125, 1, 1],
    );
  });

  it("asks what is allowed with who takes part", () => {
    const loads: unknown[] = [];
    planStep([pending(0), pending(1), pending(2, 1), pending(3, 2)], 8, (load) => loads.push(load));
    planStep([pending(0)], 8, (load) => loads.push(load));
    assert.deepEqual(loads, [{ generating: 2, prompts: 2 }]);
  });
});
