/** What the dashboard's playground sends, and how it shows the same for a terminal and for programs. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { test } from "node:test";
import { indented, isCutJson, step } from "../src/dashboard/files/parts/answer-words.js";
import { firstTokenOf, paceAfter, sentAt, speedOf } from "../src/dashboard/files/playground/pace.js";
import { bodyOf, canChat, EMPTY_FORM, schemaFault } from "../src/dashboard/files/playground/request.js";
import { curlOf, openaiOf, pythonOf, requestsOf, shellWord } from "../src/dashboard/files/playground/snippets.js";

const BASE = "http://127.0.0.1:8642";
const NASTY = `it's "quoted" $HOME \`ls\` \\ back\nline\ttab %s ğüşöç 😀 \u2028 ${"x".repeat(90)}`;

const hasPython = spawnSync("python3", ["--version"]).status === 0;

test("fields that say nothing are left to the server", () => {
  assert.deepEqual(bodyOf({ ...EMPTY_FORM, prompt: "Hi" }, []), { messages: [{ role: "user", content: "Hi" }] });
  assert.deepEqual(bodyOf({ ...EMPTY_FORM, kind: "text", prompt: "Once" }, []), { text: "Once" });
});

test("each field of the form is a field of the request", () => {
  const form = {
    ...EMPTY_FORM,
    kind: "text" as const,
    model: "chat",
    raw: "true" as const,
    prompt: "Once",
    max_length: "32",
    temperature: "0,5",
    top_p: "0.9",
    top_k: "0",
    min_p: "0",
    seed: "7",
    stop: "END\n\nUser:",
    strategy: "round_robin",
    gpu: "0",
    priority: "high",
  };
  assert.deepEqual(bodyOf(form, []), {
    text: "Once",
    model: "chat",
    raw: true,
    max_length: 32,
    temperature: 0.5,
    top_p: 0.9,
    top_k: 0,
    min_p: 0,
    seed: 7,
    stop: ["END", "User:"],
    priority: "high",
    gpu_options: { strategy: "round_robin", specific_gpu_id: 0 },
  });
});

test("a conversation goes on behind its system message, and what is no number goes to the server as it is", () => {
  const form = { ...EMPTY_FORM, system: "Be brief.", prompt: "And then?", max_length: "many" };
  const before = [
    { role: "user" as const, content: "Hi" },
    { role: "assistant" as const, content: "Hello" },
  ];
  assert.deepEqual(bodyOf(form, before), {
    messages: [{ role: "system", content: "Be brief." }, ...before, { role: "user", content: "And then?" }],
    max_length: "many",
  });
});

test("the form of an answer and its probabilities are asked for as OpenAI's library has them, too", () => {
  const schema = { type: "object", properties: { n: { type: "integer" } } };
  const form = { ...EMPTY_FORM, prompt: "Hi", form: "json_schema" as const, logprobs: "3" };
  const body = bodyOf({ ...form, schema: JSON.stringify(schema) }, []);
  const format = { type: "json_schema", json_schema: { name: "answer", schema } };
  assert.deepEqual(body, { messages: [{ role: "user", content: "Hi" }], logprobs: 3, response_format: format });
  assert.deepEqual(bodyOf({ ...form, form: "json_object", logprobs: "" }, [])["response_format"], {
    type: "json_object",
  });
  // The server says what is wrong with it.
  const bad = bodyOf({ ...form, schema: "{" }, [])["response_format"] as typeof format;
  assert.equal(bad.json_schema.schema as unknown, "{");
  const code = openaiOf(BASE, body, "demo");
  for (const line of ["    logprobs=True,", "    top_logprobs=3,", "    response_format={"])
    assert.ok(code.includes(line), code);
  const raw = openaiOf(BASE, { text: "Once", raw: true, logprobs: 3 }, "demo");
  assert.ok(raw.includes("    logprobs=3,") && !raw.includes("top_logprobs"), raw);
});

test("a schema that is empty or no JSON is found before it is sent, and only where one is asked for", () => {
  assert.equal(schemaFault({ form: "json_schema", schema: '{"type": "object"}' }), null);
  assert.deepEqual(schemaFault({ form: "json_schema", schema: " \n" }), { why: null });
  assert.match(schemaFault({ form: "json_schema", schema: '{"type":' })!.why!, /JSON/);
  for (const form of ["", "json_object"] as const) assert.equal(schemaFault({ form, schema: "{" }), null);
});

test("tokens are coloured by how likely they were, and arguments are shown indented", () => {
  assert.deepEqual(
    [0, -0.3, -1, -3, -99].map((logprob) => step({ logprob })),
    [4, 3, 1, 0, 0],
  );
  assert.equal(indented('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(indented("{cut"), "{cut");
});

test("a model of which nothing is known yet may chat", () => {
  assert.equal(canChat({ capabilities: null }), true);
  assert.equal(canChat({ capabilities: ["completion"] }), false);
});

test("a shell gives curl the very body that was sent", () => {
  const body = { text: NASTY, stop: ["'", "\\"] };
  // In the place of curl, a function that prints what it was given.
  const script = `curl() { printf '%s\\0' "$@"; }\nALT_LAS_API_KEY=k\n${curlOf(BASE, body)}`;
  const given = execFileSync("sh", ["-c", script]).toString().split("\0");
  assert.equal(given[1], `${BASE}/api/v1/predict`);
  assert.equal(given[3], "Authorization: Bearer k");
  assert.deepEqual(JSON.parse(given[7]!), { ...body, stream: true });
  assert.equal(shellWord("it's"), String.raw`'it'\''s'`);
});

test("Python reads the same values", { skip: hasPython ? false : "python3 is not here" }, () => {
  const value = { text: NASTY, none: null, yes: true, no: false, list: [1, 0.5, [], {}], nested: { a: [NASTY] } };
  const script = `import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read())))`;
  const read = execFileSync("python3", ["-c", script], { input: pythonOf(value) }).toString();
  assert.deepEqual(JSON.parse(read), value);
});

test(
  "both programs in Python can be parsed and hold no key",
  { skip: hasPython ? false : "python3 is not here" },
  () => {
    const body = { messages: [{ role: "user", content: NASTY }], gpu_options: { strategy: "random" }, top_k: 3 };
    const programs = [
      requestsOf(BASE, body),
      openaiOf(BASE, body, "chat"),
      openaiOf(BASE, { text: NASTY, raw: true }, undefined),
    ];
    const script = `import ast, json, sys\nfor text in json.load(sys.stdin): ast.parse(text)`;
    execFileSync("python3", ["-c", script], { input: JSON.stringify(programs) });
    for (const program of programs) assert.match(program, /os\.environ\["ALT_LAS_API_KEY"\]/);
  },
);

test("through OpenAI's library the request is the same, though its defaults are others", () => {
  const program = openaiOf(BASE, { text: "Hi", min_p: 0.2, priority: "high", seed: 1 }, "chat");
  assert.match(program, /client\.chat\.completions\.create/);
  for (const line of ['model="chat"', "max_tokens=128", "temperature=0.7", "top_p=0.95", "seed=1"]) {
    assert.ok(program.includes(line), line);
  }
  assert.match(program, /extra_body=\{"top_k": 40, "min_p": 0\.2, "priority": "high"\}/);
  assert.match(openaiOf(BASE, { text: "Once", raw: true }, "m"), /client\.completions\.create[^]*prompt="Once"/);
});

test("the first token's time is that of the prompt, and no part of the speed", () => {
  let pace = sentAt(1000);
  assert.equal(firstTokenOf(pace), null);
  for (const now of [1500, 1600, 1700]) pace = paceAfter(pace, now);
  assert.equal(firstTokenOf(pace), 0.5);
  assert.equal(speedOf(pace), 10);
  assert.equal(speedOf(pace, 21), 100);
  assert.equal(speedOf(sentAt(0), 21), null);
});

test("an answer that was cut is no whole JSON, unless its last token ended it", () => {
  const asked = { response_format: { type: "json_object" } };
  const cut = (text: string, request: object | undefined = asked, finish_reason = "length"): boolean =>
    isCutJson({ text, finish_reason }, request);
  assert.equal(cut('{"a": "b'), true);
  assert.equal(cut("12"), true, "a number could go on");
  assert.equal(cut("{}"), false);
  assert.equal(cut('{"a', asked, "stop"), false);
  assert.equal(cut("Once upon", {}), false);
  assert.equal(isCutJson({ text: "Once", finish_reason: "length" }, undefined), false);
});
