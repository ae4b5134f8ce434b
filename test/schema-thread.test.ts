/** The thread that looks at schemas: what takes too long is ended, others take turns, and the same is not looked at twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Question, type Reply } from "../src/forms/messages.ts";
import { SchemaThread, TooMuch } from "../src/forms/schema-thread.ts";
import { Verdicts } from "../src/forms/verdicts.ts";
import { answerForms } from "../src/engine/forms/answer-forms.ts";

const compile = (schema: unknown): Question => ({ kind: "compile", schema: JSON.stringify(schema) });
const check = (schema: unknown, text: string): Question => ({ kind: "check", schema: JSON.stringify(schema), text });

/** A pattern that goes through a text in as many ways as there are. */
const HOSTILE = { type: "string", pattern: "^(a|a)*$" };
const NEVER = `"${"a".repeat(60)}!"`;

test("a schema is compiled, with what no grammar can say of it, or refused with its place", async () => {
  const thread = new SchemaThread();
  const exact = { type: "object", properties: { a: { type: "integer" } }, additionalProperties: false };
  assert.deepEqual(await thread.ask(compile(exact), "ada"), {
    kind: "verdict",
    verdict: { fits: true, inexact: [], notes: [] },
  });
  const loose = await thread.ask(compile({ properties: { "a/b": { uniqueItems: true } } }), "ada");
  assert.ok(loose.kind === "verdict" && loose.verdict.fits);
  assert.equal(loose.verdict.inexact[0]!.pointer, "/properties/a~1b/uniqueItems");
  const refused = await thread.ask(compile({ properties: { a: { type: "text" } } }), "ada");
  assert.ok(refused.kind === "verdict" && !refused.verdict.fits);
  assert.equal(refused.verdict.pointer, "/properties/a/type");
});

test("a text is checked against a schema, of whatever draft", async () => {
  const thread = new SchemaThread();
  const mismatch = async (schema: unknown, text: string): Promise<string | null> => {
    const reply = await thread.ask(check(schema, text), "");
    return reply.kind === "checked" ? reply.mismatch : assert.fail(reply.kind);
  };
  const schema = { $schema: "http://json-schema.org/draft-07/schema#", properties: { at: { format: "date" } } };
  assert.equal(await mismatch(schema, '{"at":"2026-02-28"}'), null);
  assert.match(String(await mismatch(schema, '{"at":"2026-02-30"}')), /^The answer does not match its schema: .*at/);
  assert.equal(await mismatch(schema, "{"), "The answer is no JSON.");
  assert.match(
    String(await mismatch({ $ref: "#/nowhere" }, "1")),
    /^The answer could not be checked against its schema/,
  );
});

test("what takes too long is ended, and the next question is answered", async () => {
  const thread = new SchemaThread({ time: 100 });
  // The time of a question does not count what it takes to start.
  await thread.ask(check(true, "1"), "");
  const [hostile, next] = await Promise.allSettled([
    thread.ask(check(HOSTILE, NEVER), "mallory"),
    thread.ask(compile(true), "ada"),
  ]);
  assert.ok(hostile.status === "rejected" && hostile.reason instanceof TooMuch);
  assert.equal(hostile.reason.message, "it takes more than 0.1 s");
  assert.equal(next.status, "fulfilled");
});

test("what takes too much memory is ended", async () => {
  const thread = new SchemaThread({ heap: 8 });
  const large = { enum: Array.from({ length: 200_000 }, (_, index) => `value ${index}`) };
  await assert.rejects(thread.ask(compile(large), "mallory"), /^TooMuch: it takes more than 8 MiB of memory$/);
});

test("a thread that cannot be started is no verdict about a schema", async () => {
  const thread = new SchemaThread({}, new URL("data:text/javascript,throw new Error('broken')"));
  await assert.rejects(new Verdicts(thread).of("true", "ada") as Promise<unknown>, /failed: broken/);
  await assert.rejects(thread.ask(compile(true), "ada"), /failed: broken/);
});

test("a system that lets no thread start is not told to clients", async (t) => {
  if (process.platform === "win32") return t.skip("Windows gives a thread less room than it is asked for");
  // More room than there are addresses.
  const thread = new SchemaThread({ stack: 1e9 });
  const refused = { name: "Error", message: /^The system lets this server start no more threads / };
  await assert.rejects(thread.ask(compile(true), "ada"), refused);
  await assert.rejects(new Verdicts(thread).of("true", "ada") as Promise<unknown>, refused);
});

test("when the next thread does not start, all that wait hear of it at once, however many they are", async () => {
  const program = new URL("data:text/javascript,");
  const thread = new SchemaThread({}, program);
  const asked = Array.from({ length: 20_000 }, (_, index) => thread.ask(compile(true), `user ${index % 100}`));
  program.href = "https://localhost/no-program";
  const [first, ...others] = await Promise.allSettled(asked);
  assert.match(String((first as PromiseRejectedResult).reason), /ended: exit code 0/);
  assert.deepEqual(new Set(others.map(({ status }) => status)), new Set(["rejected"]));
  assert.equal(new Set(others.map((one) => (one as PromiseRejectedResult).reason as unknown)).size, 1);
  program.href = new URL("../src/forms/thread.ts", import.meta.url).href;
  assert.equal((await thread.ask(compile(true), "ada")).kind, "verdict");
});

test("users take turns, however many schemas one of them has sent", async () => {
  const thread = new SchemaThread();
  const ended: string[] = [];
  const ask = (user: string, schema: string): Promise<unknown> =>
    thread.ask({ kind: "compile", schema }, user).then(() => ended.push(user));
  await Promise.all([
    ...["1", "2", "3", "4"].map((n) => ask("mallory", `{"title":"${n}"}`)),
    ask("ada", "true"),
    ask("bob", "true"),
  ]);
  // The second was there before the others.
  assert.deepEqual(ended, ["mallory", "mallory", "ada", "bob", "mallory", "mallory"]);
});

/** A thread that notes what it is asked, and answers when it is let. */
class NotingThread extends SchemaThread {
  readonly asked: string[] = [];
  readonly replies: ((reply: Reply) => void)[] = [];

  override ask({ schema }: Question): Promise<Reply> {
    this.asked.push(schema);
    return new Promise((resolve) => this.replies.push(resolve));
  }
}

const FITS: Reply = { kind: "verdict", verdict: { fits: true, inexact: [], notes: [] } };

test("one schema that many send at once is looked at once, and later not again", async () => {
  const thread = new NotingThread();
  const verdicts = new Verdicts(thread);
  const many = Array.from({ length: 50 }, (_, index) => verdicts.of("{}", `user ${index}`));
  assert.deepEqual(thread.asked, ["{}"]);
  thread.replies[0]!(FITS);
  assert.equal(new Set(await Promise.all(many)).size, 1);
  assert.deepEqual(verdicts.of("{}", "ada"), { fits: true, inexact: [], notes: [] });
  for (let index = 0; index < 2001; index++) {
    const coming = verdicts.of(`{"title":"${index}"}`, "ada");
    thread.replies.at(-1)!(FITS);
    await coming;
  }
  // Others have taken its place.
  assert.ok(verdicts.of("{}", "ada") instanceof Promise);
});

test("what a verdict says is no longer than a person reads, whoever chose the words", async () => {
  const thread = new NotingThread();
  const coming = new Verdicts(thread).of("{}", "ada");
  const inexact = Array.from({ length: 9 }, () => ({ pointer: `/${"😀".repeat(500)}`, why: "x".repeat(9000) }));
  thread.replies[0]!({ kind: "verdict", verdict: { fits: true, inexact, notes: inexact } });
  const verdict = await coming;
  assert.ok(verdict.fits);
  assert.deepEqual([verdict.inexact.length, verdict.notes.length], [4, 4]);
  for (const { pointer, why } of [...verdict.inexact, ...verdict.notes]) {
    assert.ok(pointer.length <= 300 && pointer.isWellFormed() && pointer.endsWith("…"), pointer);
    assert.equal(why.length, 300);
  }
});

test("what is not too deep where it is looked at is not so for an engine", async () => {
  // A machine that is slow may not keep the test from a verdict.
  const verdicts = new Verdicts(new SchemaThread({ time: 60_000 }));
  const keys = Array.from({ length: 2400 }, (_, at) => `k${at}`);
  const properties = Object.fromEntries(keys.map((key) => [key, { type: "null" }]));
  const schema = { type: "object", properties, required: keys, additionalProperties: false };
  const verdict = await verdicts.of(JSON.stringify(schema), "ada");
  assert.ok(verdict.fits, JSON.stringify(verdict));
  const format = { kind: "schema", name: "x", schema, strict: true } as const;
  const gbnf = await answerForms.gbnfOf({ format, calls: null, reasoning: null }, new AbortController().signal);
  assert.match(gbnf!, /k2399/);
});
