/**
 * Clients of OpenAI's API, as they come from their registries, asking for answers of a form, for calls of tools and for probabilities: of
 * the simulated model, which can do all of it, and of a real one, whose answers only a grammar keeps to their form.
 */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test, type TestContext } from "node:test";
import {
  ClientProgram,
  environmentOf,
  haveClients,
  NODE_PACKAGES,
  NO_CLIENTS,
  type PythonClients,
  pythonIn,
} from "../helpers/clients.ts";
import { assertCalled, assertFormed } from "../helpers/findings.ts";
import { assertMatches } from "../helpers/form-promises.ts";
import { withChatTemplate } from "../helpers/gguf.ts";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { newFolder, ROOT, runProgram, Server } from "../helpers/server.ts";
import { TAGGED_JSON } from "../helpers/tool-templates.ts";

interface Client {
  readonly name: string;
  readonly program: string;
  /** The list of its Python packages; null: it runs on Node. */
  readonly python: PythonClients | null;
  readonly steps: readonly string[];
}

const CLIENTS: readonly Client[] = [
  {
    name: "openai for Node",
    program: "openai-forms.mjs",
    python: null,
    steps: listOf(
      "parsed streamed order object likely likelyStreamed called required named none calledStreamed loop loopStreamed",
    ),
  },
  {
    name: "openai for Python",
    program: "openai_forms.py",
    python: "openai",
    steps: listOf("parsed streamed order likely likelyStreamed called required calledStreamed loop"),
  },
  {
    name: "the AI SDK",
    program: "ai-sdk-forms.mjs",
    python: null,
    steps: listOf(
      "parsed streamed order parsedByOpenAi streamedByOpenAi output named loop loopStreamed loopByOpenAi loopStreamedByOpenAi",
    ),
  },
  {
    name: "LangChain for Node",
    program: "langchain-forms.mjs",
    python: null,
    steps: listOf("parsed streamed order byCall called required calledStreamed loop"),
  },
  {
    name: "LangChain for Python",
    program: "langchain_forms.py",
    python: "openai",
    steps: listOf("parsed streamed order byCall called required calledStreamed loop"),
  },
  {
    name: "instructor",
    program: "instructor_forms.py",
    python: "instructor",
    steps: listOf("parsed streamed order orderByCall byCall byCallStreamed byStrictCall"),
  },
];

/** What a model does that only its grammar makes write JSON, and call tools. */
const MADE_TO = new Set(
  listOf("parsed streamed likely likelyStreamed required named byCall byCallStreamed byStrictCall"),
);

function listOf(names: string): readonly string[] {
  return names.split(" ");
}

/** What a step found: what is there is as it has to be. */
interface Step {
  readonly threw?: string;
  readonly person?: unknown;
  readonly object?: object;
  /** Each by a seed of its own, and as its client's own schema wants it: the client has looked. */
  readonly orders?: readonly object[];
  readonly calls?: readonly { readonly name: string; readonly arguments: unknown }[];
  /** The text that it ended with. */
  readonly answer?: string;
  /** With `tokens`: what they add up to. */
  readonly text?: string;
  /** Its text, its probability, and those of the likeliest tokens. */
  readonly tokens?: readonly (readonly [string, number, readonly number[]])[];
  readonly finish?: string;
  /** Whether what was streamed is what came out of it. */
  readonly same?: boolean;
}

const skip = haveClients() ? false : NO_CLIENTS;
const simulated =
  skip === false ? await begin("engine: { simulated: { tokens_per_second: 1000 } }", "simulated:1") : null;

const noModel = skip === false && instructModel() === null ? NO_REAL_MODEL : skip;
const real = noModel === false ? await begin(realConfig()) : null;

async function begin(config: string, devices?: string): Promise<Server> {
  const args = devices === undefined ? [] : ["--devices", devices];
  const server = await Server.start({ after }, { config, args });
  await server.loaded();
  return server;
}

/** The model's own template knows no tools; this one is as that of a model which was taught to call them, and it is made to. */
function realConfig(): string {
  const model = join(newFolder({ after }), "instruct-with-tools.gguf");
  writeFileSync(model, withChatTemplate(readFileSync(instructModel()!), TAGGED_JSON));
  const engine = { model, context: 2048, min_context: 1024 };
  return JSON.stringify({ gpu: { devices: [{ gpu: "cpu:1", slots: 2, engine }] }, engine: { threads: 1 } });
}

describe("a simulated model", () => {
  for (const { name, program, python, steps } of CLIENTS)
    test(`${name} gets answers of a form, and has tools called`, { skip }, async (t) => {
      await run(t, { program, python, steps }, simulated!);
    });
});

describe("a real model", () => {
  for (const { name, program, python, steps } of CLIENTS)
    test(`${name} gets answers of a form, and has tools called`, { skip: noModel }, async (t) => {
      await run(t, { program, python, steps: steps.filter((step) => MADE_TO.has(step)) }, real!);
    });
});

const EXAMPLES = [
  { name: "structured.mjs", python: null },
  { name: "structured.py", python: "openai" },
] as const;

for (const { name, python } of EXAMPLES)
  test(`examples/${name} gets an object by a schema, and has a tool called`, { skip }, async (t) => {
    // It finds its packages beside it.
    const folder = newFolder(t);
    const file = join(folder, name);
    copyFileSync(join(ROOT, "examples", name), file);
    symlinkSync(NODE_PACKAGES, join(folder, "node_modules"));
    const env = { ALT_LAS_URL: simulated!.url, ALT_LAS_API_KEY: simulated!.key };
    const program = python === null ? process.execPath : pythonIn(environmentOf(python));
    const { code, stdout, stderr } = await runProgram(program, [file], { env });
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^.* in .* has \d+ inhabitants, and .*\.\nThe model calls get_weather\(.*\)\.\nIt answers: The tools say: In .* it is 21 degrees and sunny\.\n$/s,
    );
  });

async function run(t: TestContext, { program, python, steps }: Omit<Client, "name">, server: Server): Promise<void> {
  const [gpu] = await server.gpus();
  const model = gpu!.model_name!;
  const models = { CHAT_MODEL: model, EMBEDDING_MODEL: model, SLOW_MODEL: model };
  const env = { BASE_URL: `${server.url}/v1`, API_KEY: server.key, STEPS: steps.join(","), ...models };
  const client = ClientProgram.start(t, program, env, python);
  const found = await client.found<Record<string, Step>>();
  await client.end();
  assert.deepEqual(Object.keys(found), steps);
  for (const [name, step] of Object.entries(found)) {
    assert.equal(step.threw, undefined, `${name}: ${step.threw}`);
    assertStep(name, step);
  }
}

function assertStep(
  name: string,
  { person, object, orders, calls, answer, tokens, text, finish, same = true }: Step,
): void {
  assert(same, `${name}: what was streamed is something else`);
  if (person !== undefined) assertFormed({ person });
  if (object !== undefined) assertMatches({ type: "object" }, object);
  if (orders !== undefined) assert(new Set(orders.map((order) => JSON.stringify(order))).size > 1, name);
  if (answer !== undefined) assert.notEqual(answer.trim(), "", name);
  if (calls !== undefined && name === "none") assert.deepEqual(calls, []);
  if (calls !== undefined && name !== "none") assertCalled({ calls });
  if (finish !== undefined) assert.equal(finish, calls === undefined ? "stop" : "tool_calls", name);
  if (tokens !== undefined) assertTokens(tokens, text!);
}

function assertTokens(tokens: Step["tokens"] & object, text: string): void {
  assert(tokens.length > 1);
  assert.equal(tokens.map(([token]) => token).join(""), text);
  for (const [token, logprob, top] of tokens) {
    assert(logprob <= 0 && top.length === 3, token);
    assert.deepEqual(
      top,
      top.toSorted((a, b) => b - a),
    );
  }
}
