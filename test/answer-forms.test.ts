/** Grammars of answers are made beside the engine: nobody waits for them but the runs that need them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AnswerForms, answerForms } from "../src/engine/forms/answer-forms.ts";
import { type Form, formOf, type FormQuestion, type FormReply } from "../src/engine/forms/questions.ts";
import { FAMILIES } from "../src/engine/tools/families.ts";
import { SchemaThread } from "../src/forms/schema-thread.ts";
import { GRAMMAR_LIMITS } from "../src/grammar/limits.ts";
import { type AnswerFormat, type JsonSchema, type TextRequest, type Tool } from "../src/request.ts";
import { type Engine } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { type ToWorker } from "../src/gpu/worker/messages.ts";
import { WorkerRuns } from "../src/gpu/worker/worker-runs.ts";
import { chatOf, STORY, textOf } from "./helpers/asking.ts";
import { opened, SIMULATED, SLOTS } from "./helpers/engines.ts";
import { withLlama } from "./helpers/llama.ts";
import { World } from "./helpers/scheduling.ts";

const NEVER = new AbortController().signal;

function format(schema: JsonSchema): AnswerFormat {
  return { kind: "schema", name: "answer", schema, strict: false };
}

function form(schema: JsonSchema): Form {
  return { format: format(schema), calls: null, reasoning: null };
}

/** Notes what it is asked, and answers when it is let. */
class NotingThread extends SchemaThread<FormQuestion, FormReply> {
  readonly asked: PromiseWithResolvers<FormReply>[] = [];
  readonly by: string[] = [];

  override ask(_question: FormQuestion, by: string): Promise<FormReply> {
    const asked = Promise.withResolvers<FormReply>();
    this.by.push(by);
    this.asked.push(asked);
    return asked.promise;
  }
}

test("a form that many runs ask for at once is compiled once, and later not again", async () => {
  const thread = new NotingThread();
  const forms = new AnswerForms(thread);
  const many = Array.from({ length: 50 }, () => forms.gbnfOf(form({ type: "null" }), NEVER));
  assert.equal(thread.asked.length, 1);
  thread.asked[0]!.resolve({ kind: "gbnf", gbnf: "root", isExact: true });
  assert.deepEqual(new Set(await Promise.all(many)), new Set(["root"]));
  assert.equal(await forms.gbnfOf(form({ type: "null" }), NEVER), "root");
  assert.equal(thread.asked.length, 1);
});

test("a run that is canceled waits no longer, and others that ask for the same do", async () => {
  const thread = new NotingThread();
  const forms = new AnswerForms(thread);
  const controller = new AbortController();
  const [left, stays] = [forms.gbnfOf(form(true), controller.signal), forms.gbnfOf(form(true), NEVER)];
  controller.abort();
  assert.equal(await left, null);
  assert.equal(await forms.gbnfOf(form(true), controller.signal), null);
  thread.asked[0]!.resolve({ kind: "gbnf", gbnf: "root", isExact: false });
  assert.equal(await stays, "root");
  assert.equal(thread.asked.length, 1);
});

test("users take turns with their forms, as the worker is told whose task has one", async () => {
  const thread = new NotingThread();
  const forms = new AnswerForms(thread);
  void forms.gbnfOf(form({ type: "null" }), NEVER, "ada");
  void forms.said({ what: { format: format(true) }, seed: 1, most: 9 }, NEVER, "bob");
  assert.deepEqual(thread.by, ["ada", "bob"]);
  const sent: ToWorker[] = [];
  const runs = new WorkerRuns({
    send: (message) => sent.push(message),
    busy: () => {},
    ended: () => {},
    asksServer: false,
  });
  const sink = { delta: () => {}, ended: () => {} };
  const plain = textOf("x");
  const withTool: TextRequest = {
    ...chatOf("x"),
    tools: { list: [{ name: "a" }], choice: "required", parallel: true },
  };
  for (const request of [plain, { ...plain, format: format(true) }, withTool])
    runs.run(new World([]).task({ user: "ada" }), request, sink);
  // They leave behind what the same turn has for the store.
  while (sent.length === 0) await nextTurn();
  assert.deepEqual(
    sent.flatMap((message) => (message.type === "run" ? message.requests.map(({ by }) => by) : [])),
    [undefined, "ada", "ada"],
  );
});

test("a failure of the thread is tried again, a refusal is not", async () => {
  const thread = new NotingThread();
  const forms = new AnswerForms(thread);
  const lost = forms.gbnfOf(form(true), NEVER);
  thread.asked[0]!.reject(new Error("gone"));
  await assert.rejects(lost, /^Error: gone$/);
  const refused = forms.gbnfOf(form(true), NEVER);
  thread.asked[1]!.resolve({ kind: "refused", why: "No." });
  const refusal = { code: "invalid_input", message: "No." };
  await assert.rejects(refused, refusal);
  await assert.rejects(forms.gbnfOf(form(true), NEVER), refusal);
  assert.equal(thread.asked.length, 2);
});

test("whether a grammar says all of a form is known where it was made", async () => {
  const [all, some] = [form({ type: "null" }), form({ type: "array", uniqueItems: true })];
  assert.equal(answerForms.isExact(all.format!), false);
  for (const one of [all, some]) assert.match((await answerForms.gbnfOf(one, NEVER))!, /^root ::= /);
  assert.deepEqual([answerForms.isExact(all.format!), answerForms.isExact(some.format!)], [true, false]);
  assert.equal(answerForms.isExact({ kind: "json" }), true);
});

test("a grammar for which llama.cpp would take long is refused, with its size", async () => {
  const texts = Array.from({ length: 300 }, (_, index) => [
    `key${index}`,
    { type: "string", minLength: index % 50, maxLength: 2500 + index },
  ]);
  const required = texts.map(([key]) => key);
  const large = form({ properties: Object.fromEntries(texts), required, additionalProperties: false });
  const message = new RegExp(`its grammar has \\d+ elements, .* at most ${GRAMMAR_LIMITS.elements} are allowed`);
  await assert.rejects(answerForms.gbnfOf(large, NEVER), { code: "invalid_input", message });
});

/** Of a tool; large, and unlike the others. */
function parameters(mark: number): JsonSchema {
  const text = { type: "string", minLength: mark % 50, maxLength: 2500 + mark };
  return { properties: { text: { type: "array", items: text, maxItems: 2500 + mark } }, required: ["text"] };
}

test("tools that are too large together take any arguments, unless they are strict", async () => {
  const list = Array.from({ length: 120 }, (_, index): Tool => ({ name: `t${index}`, parameters: parameters(index) }));
  const syntax = { family: FAMILIES[0]!, severalCalls: true, shortIds: false, anyArguments: true };
  const asked = (tools: readonly Tool[]): Form =>
    formOf({ ...chatOf("x"), tools: { list: tools, choice: "required", parallel: true } }, syntax)!;
  const [two, all] = [
    await answerForms.gbnfOf(asked(list.slice(0, 2)), NEVER),
    await answerForms.gbnfOf(asked(list), NEVER),
  ];
  assert.match(two!, /text/);
  assert.doesNotMatch(all!, /text/);
  const strict = asked(list.map((tool) => ({ ...tool, strict: true })));
  await assert.rejects(answerForms.gbnfOf(strict, NEVER), {
    code: "invalid_input",
    message: /grammar of the answer's form and tools has/,
  });
});

/** Has whatever waits for an answer of the thread wait. @returns `letGo` ends that */
function heldAnswers(t: TestContext): { readonly asked: () => number; readonly letGo: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { ask } = SchemaThread.prototype;
  const { mock } = t.mock.method(
    SchemaThread.prototype,
    "ask",
    async function (this: SchemaThread, ...args: Parameters<typeof ask>) {
      const answer = await ask.apply(this, args);
      await promise;
      return answer;
    },
  );
  const letGo = (): void => {
    mock.restore();
    resolve();
  };
  return { asked: () => mock.callCount(), letGo };
}

/** A form that nobody has asked for, so that the thread is. */
function newForm(mark: string): AnswerFormat {
  return format({ properties: { [mark]: { type: "integer" } }, required: [mark] });
}

/** One that generates goes on while another one waits for its form. */
async function goesOn(t: TestContext, engine: Engine, mark: string): Promise<void> {
  const held = heldAnswers(t);
  const done = new AbortController();
  let [left, reached] = [1, Promise.withResolvers<void>()];
  const neighbour = engine.generate({
    request: textOf(STORY, { maxTokens: 2000 }, true),
    signal: done.signal,
    emit: () => void (--left === 0 && reached.resolve()),
  });
  await reached.promise;
  let hasBegun = false;
  const other = engine.generate({
    request: { ...textOf(STORY, { maxTokens: 2 }, true), format: newForm(mark) },
    signal: NEVER,
    begin: () => void (hasBegun = true),
    emit: () => {},
  });
  [left, reached] = [10, Promise.withResolvers<void>()];
  await reached.promise;
  assert.deepEqual([held.asked(), hasBegun], [1, false]);
  held.letGo();
  await other;
  assert.equal(hasBegun, true);
  done.abort();
  await neighbour;
}

test("neighbours go on while a form is compiled", async (t) => {
  await withLlama((engine) => goesOn(t, engine, "neighbour"));
  const simulated = { ...SIMULATED, simulated: { ...SIMULATED.simulated, tokens_per_second: 1000 } };
  await opened(await createEngine(simulated, 0), (engine) => goesOn(t, engine, "simulated"));
});

test("a run can be canceled while its form is compiled, and so can all of them", async (t) => {
  const held = heldAnswers(t);
  await withLlama(async (engine) => {
    const request = { ...textOf(STORY, { maxTokens: 2 }, true), format: newForm("cancel") };
    const controller = new AbortController();
    const run = async (signal: AbortSignal): Promise<void> => {
      const { finishReason, completionTokens } = await engine.generate({ request, signal, emit: assert.fail });
      assert.deepEqual([finishReason, completionTokens], ["canceled", 0]);
    };
    // More than there are slots: they hold none.
    const others = Array.from({ length: SLOTS }, () => run(NEVER));
    const one = run(controller.signal);
    controller.abort();
    await one;
    await engine.generate({ request: textOf(STORY, { maxTokens: 1 }, true), signal: NEVER, emit: () => {} });
    await engine.stop();
    await Promise.all(others);
    assert.equal(held.asked(), 1);
  });
  held.letGo();
});
