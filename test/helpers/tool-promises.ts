/** The promises about tools: those of each engine that says its model can call them. */
import assert from "node:assert/strict";
import { type ChatRequest, type Message, type Sampling, type Tool, type ToolChoice } from "../../src/request.ts";
import { type Answer, ask, chatOf, type RequestSubject, sayTwice, type Where } from "./asking.ts";
import { assertMatches, objectOf } from "./form-promises.ts";

const WEATHER = {
  name: "get_weather",
  description: "Tells the weather of a city.",
  parameters: objectOf({ city: { enum: ["Paris", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 7 } }, [
    "city",
  ]),
} as const satisfies Tool;
const CLOCK = { name: "clock", description: "Tells the time.", parameters: objectOf({}, []) } as const satisfies Tool;
/** It has no parameters at all. */
const STOP = { name: "stop-all" } as const satisfies Tool;
const TOOLS: readonly Tool[] = [WEATHER, CLOCK, STOP];

const QUESTION = "Call get_weather for Paris, and the clock.";
const MAX_TOKENS = 400;

function asking(choice: ToolChoice, sampling: Partial<Sampling> = {}, parallel = true): ChatRequest {
  return { ...chatOf(QUESTION, { maxTokens: MAX_TOKENS, ...sampling }), tools: { list: TOOLS, choice, parallel } };
}

/** @param where for what an engine need not be able to do */
export function makesCalls(subject: RequestSubject, where: Where): void {
  const { repeats, countsEachToken } = subject;
  where(["tools"], "calls a tool that it has to call, with arguments that match", async (engine) => {
    for (const seed of [1, 2, 3]) {
      const answer = await ask(engine, asking("required", { temperature: 1, seed }, false));
      assert.equal(answer.calls.length, 1);
      assertCalls(answer);
      assert.equal(answer.text.trim(), "");
      if (countsEachToken) assert.equal(answer.tokens, answer.completionTokens);
    }
  });

  where(["tools"], "calls the tool that is named", async (engine) => {
    for (const { name } of TOOLS) {
      const answer = await ask(engine, asking({ name }, {}, false));
      assert.deepEqual(
        answer.calls.map((call) => call.name),
        [name],
      );
      assertCalls(answer);
    }
  });

  where(["tools"], "counts tools as a part of the prompt, if it counts prompts at all", async (engine) => {
    const counted = await engine.countTokens?.(asking("auto"));
    if (counted !== undefined)
      assert.equal(counted, (await ask(engine, asking("auto", { maxTokens: 1 }))).promptTokens);
  });

  where(["tools"], "gives each call an id of its own", async (engine) => {
    const answers = await Promise.all(
      [1, 2, 3].map((seed) => ask(engine, asking("required", { temperature: 1, seed }))),
    );
    const ids = answers.flatMap(({ calls }) => calls.map(({ id }) => id));
    assert(ids.length >= answers.length && ids.every((id) => id !== ""));
    assert.equal(new Set(ids).size, ids.length, ids.join());
  });

  where(["tools"], "may call tools or answer where it decides by itself", async (engine) => {
    for (const parallel of [true, false]) {
      const answer = await ask(engine, asking("auto", { maxTokens: 60 }, parallel));
      assert(answer.text.isWellFormed() && answer.completionTokens > 0);
      for (const { name } of answer.calls)
        assert(
          TOOLS.some((tool) => tool.name === name),
          name,
        );
      if (!parallel) assert(answer.calls.length <= 1);
    }
  });

  where(["tools"], "reads what its calls have given", async (engine) => {
    const call = { id: "call_1", name: WEATHER.name, arguments: '{"city":"Paris"}' };
    const messages: readonly Message[] = [
      { role: "user", content: QUESTION },
      { role: "assistant", content: "", toolCalls: [call, { ...call, id: "call_2", arguments: "{} not JSON" }] },
      { role: "tool", content: "21 degrees", toolCallId: "call_1", name: WEATHER.name },
      { role: "tool", content: "no such city", toolCallId: "call_2", name: WEATHER.name },
    ];
    const { tools } = asking("auto");
    for (const request of [{ tools }, {}]) {
      const { text, completionTokens } = await ask(engine, { ...chatOf(""), messages, ...request });
      assert(completionTokens > 0 && text.isWellFormed());
    }
  });

  where(["tools"], "a call that is cut off is the beginning of one", async (engine) => {
    const { finishReason, calls, completionTokens } = await ask(
      engine,
      asking({ name: WEATHER.name }, { maxTokens: 2 }, false),
    );
    assert.deepEqual([finishReason, completionTokens], ["length", 2]);
    for (const { name } of calls) assert.equal(name, WEATHER.name);
  });

  where(["tools"], "a call is canceled like any text, and leaves its slot", async (engine) => {
    const controller = new AbortController();
    const onDelta = (length: number): void => void (length > 0 && controller.abort());
    const { finishReason } = await ask(engine, asking("required"), { signal: controller.signal, onDelta });
    assert(finishReason === "canceled" || !controller.signal.aborted, finishReason);
    assertCalls(await ask(engine, asking("required", {}, false)));
  });

  if (repeats)
    where(["tools", "seed"], "the same seed gives the same call again", () =>
      sayTwice(subject, asking("required", { temperature: 1, seed: 7 }, false), callsOf),
    );
}

/** Without the ids. */
function callsOf({ calls }: Answer): unknown {
  return calls.map(({ name, arguments: all }) => [name, all]);
}

function assertCalls({ calls, finishReason }: Answer): void {
  assert.equal(finishReason, "stop");
  assert(calls.length > 0);
  for (const call of calls) {
    const tool = TOOLS.find(({ name }) => name === call.name);
    assert(tool !== undefined, call.name);
    assertMatches(tool.parameters ?? { type: "object", maxProperties: 0 }, JSON.parse(call.arguments));
  }
}
