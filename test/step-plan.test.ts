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
    tasks: fc.array(fc.record({ remaining: fc.oneof(fc.nat(1), fc.nat(3000)) }), { minLength: 1, maxLength: 16 }),
    spare: fc.nat(600),
    allowed: fc.oneof(fc.nat(300), fc.constant(Infinity)),
  })
  .map(({ tasks, spare, allowed }) => ({ tasks, batchSize: tasks.length + spare, allowed }));

function holdsFor(property: (moves: ReturnType<typeof planStep<Pending>>, given: Case) => void): void {
  fc.assert(
    fc.property(cases, (given) => {
      property(
        planStep(given.tasks, given.batchSize, () => given.allowed),
        given,
      );
    }),
    { numRuns: 1000 },
  );
}

function tokensIn(moves: ReturnType<typeof planStep<Pending>>): number {
  return moves.reduce((sum, { promptTokens }) => sum + Math.max(1, promptTokens), 0);
}

describe("the plan of a step", () => {
  it("never has more tokens than the batch, nor more of prompts than allowed", () =>
    holdsFor((moves, { batchSize, allowed }) => {
      assert(tokensIn(moves) <= batchSize);
      const prompts = moves.filter(({ generates }) => !generates);
      assert(tokensIn(prompts) <= allowed && prompts.every(({ promptTokens }) => promptTokens > 0));
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

  it("moves every prompt where enough is allowed, each once", () =>
    holdsFor((moves, { tasks, allowed }) => {
      assert.equal(new Set(moves.map(({ task }) => task)).size, moves.length);
      const prompts = tasks.filter(({ remaining }) => remaining > 1).length;
      if (allowed >= prompts) assert.equal(moves.length, tasks.length);
    }));

  it("leaves no room unused that a prompt could use", () =>
    holdsFor((moves, { tasks, batchSize, allowed }) => {
      const wanted = tasks.reduce((sum, { remaining }) => sum + Math.max(0, remaining - 1), 0);
      const prompts = moves.filter(({ generates }) => !generates);
      const generating = moves.length - prompts.length;
      assert.equal(tokensIn(prompts), Math.min(wanted, allowed, batchSize - generating));
    }));

  it("gives a short prompt all that it needs before a long one gets the rest", () => {
    const [long, short] = [{ remaining: 3000 }, { remaining: 11 }];
    const moves = planStep([long, { remaining: 0 }, short], 128, () => Infinity);
    assert.deepEqual(
      moves.map(({ task, promptTokens }) => [task.remaining, promptTokens]),
      [
        [0, 0],
        [11, 10],
        [3000, 117],
      ],
    );
  });

  it("asks what is allowed with who takes part", () => {
    const loads: unknown[] = [];
    planStep([{ remaining: 0 }, { remaining: 1 }, { remaining: 2 }], 8, (load) => loads.push(load));
    planStep([{ remaining: 0 }], 8, (load) => loads.push(load));
    assert.deepEqual(loads, [{ generating: 2, prompts: 1 }]);
  });
});
