/** The promises about the probabilities of tokens: those of each engine that can tell them. */
import assert from "node:assert/strict";
import { type TokenLogprob } from "../../src/output.ts";
import { type Sampling, type TextRequest } from "../../src/request.ts";
import { ask, chatOf, type RequestSubject, STORY, textOf, type Where } from "./asking.ts";

function told(top: number, sampling: Partial<Sampling> = {}): TextRequest {
  return { ...textOf(STORY, sampling), logprobs: top };
}

/** @param where for what an engine need not be able to do */
export function tellsLogprobs({ repeats }: RequestSubject, where: Where): void {
  where(
    ["logprobs"],
    "tells each token of a text with its probability and as many others as asked for",
    async (engine) => {
      for (const top of [0, 1, 5, 20]) {
        const { text, logprobs, completionTokens } = await ask(engine, told(top));
        assertTokens(logprobs, text, top);
        assert(logprobs.length <= completionTokens, `${logprobs.length} of ${completionTokens}`);
      }
    },
  );

  where(["logprobs", "chat"], "tells them in a conversation too", async (engine) => {
    const { text, logprobs } = await ask(engine, { ...chatOf(STORY), logprobs: 2 });
    assertTokens(logprobs, text, 2);
  });

  where(["logprobs"], "tells none where they are not asked for", async (engine) => {
    assert.deepEqual((await ask(engine, textOf(STORY))).logprobs, []);
  });

  where(["logprobs"], "draws from what it tells: at temperature 0 the likeliest", async (engine) => {
    const { logprobs } = await ask(engine, told(2, { temperature: 0 }));
    for (const { token, logprob, top } of logprobs)
      assert(
        logprob >= top[0]!.logprob - 1e-3,
        `"${token}" at ${logprob} before "${top[0]!.token}" at ${top[0]!.logprob}`,
      );
  });

  if (!repeats) return;

  where(["logprobs"], "says the same with probabilities as without", async (engine) => {
    const [without, beside] = [await ask(engine, textOf(STORY)), await ask(engine, told(3))];
    assert.equal(beside.text, without.text);
  });

  where(["logprobs", "stop"], "tells the tokens of a text that a stop sequence ends, and no others", async (engine) => {
    const { text: whole } = await ask(engine, textOf(STORY));
    for (const at of [1, 3, 8, 13]) {
      const stop = whole.slice(at, at + 3);
      const { text, logprobs } = await ask(engine, told(1, { stop: [stop] }));
      assert.equal(text, whole.slice(0, whole.indexOf(stop)));
      assertTokens(logprobs, text, 1);
    }
  });
}

/** @param top how many of the likeliest were asked for */
export function assertTokens(logprobs: readonly TokenLogprob[], text: string, top: number): void {
  assert.equal(
    logprobs.reduce((sum, { length }) => sum + length, 0),
    text.length,
    JSON.stringify(text),
  );
  for (const one of logprobs) {
    assert.equal(one.top.length, top, one.token);
    for (const { token, logprob, bytes } of [one, ...one.top]) {
      assert(logprob <= 0, `${token}: ${logprob}`);
      if (!token.includes("\ufffd")) assert.equal(Buffer.from(bytes).toString(), token);
    }
    const all = one.top.map(({ logprob }) => logprob);
    assert.deepEqual(
      all,
      all.toSorted((a, b) => b - a),
      "likeliest first",
    );
    const sum = all.reduce((so, logprob) => so + Math.exp(logprob), 0);
    assert(sum < 1.01, `${sum} for all likely tokens together`);
  }
}
