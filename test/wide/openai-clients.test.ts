/** Clients of OpenAI's API, as they come from their registries, against real models: nothing but the base URL and the key is ours. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { ClientProgram, haveClients, LLM, NO_CLIENTS } from "../helpers/clients.ts";
import {
  answerTo,
  assertChat,
  assertVectors,
  type Chat,
  MAX_TOKENS,
  newest,
  newKey,
  QUESTION,
  type Refusal,
  SYSTEM,
  TEXTS,
  usersOf,
  type Vectors,
} from "../helpers/findings.ts";
import { embeddingModel, instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { newFolder, runProgram, Server } from "../helpers/server.ts";

const haveModels = instructModel() !== null && embeddingModel() !== null;
const skip = haveClients() ? (haveModels ? false : NO_REAL_MODEL) : NO_CLIENTS;

/** So many that a stream which nobody leaves would take minutes. */
const TOKENS_PER_SECOND = 50;

interface Client {
  readonly name: string;
  readonly program: string;
  /** The list of its Python packages; null: it runs on Node. */
  readonly python: "openai" | "llama-index" | null;
}

const CLIENTS: readonly Client[] = [
  { name: "openai for Node", program: "openai.mjs", python: null },
  { name: "the AI SDK", program: "ai-sdk.mjs", python: null },
  { name: "LangChain for Node", program: "langchain.mjs", python: null },
  { name: "openai for Python", program: "openai_package.py", python: "openai" },
  { name: "LangChain for Python", program: "langchain_package.py", python: "openai" },
  { name: "litellm", program: "litellm_package.py", python: "openai" },
  { name: "LlamaIndex", program: "llama_index_package.py", python: "llama-index" },
];

/** By the names of the steps. Clients that lack a call lack its step. */
interface Found {
  readonly models?: readonly string[];
  readonly chat: Chat;
  readonly stream: Chat;
  readonly choices?: readonly (readonly [number, string])[];
  readonly completion?: string;
  /** Completion of a text that the client makes of the conversation. */
  readonly flattened?: string;
  readonly embeddings?: Vectors;
  readonly floats?: Vectors;
  readonly unauthorized: Refusal;
  readonly unknown: Refusal;
  readonly bad: Refusal;
}

/** What the task API gives to the same requests. */
interface Expected {
  readonly models: { readonly chat: string; readonly embedding: string; readonly slow: string };
  readonly chat: Chat;
  readonly completion: string;
  readonly choices: readonly string[];
  readonly vectors: Vectors;
}

/** A user for each client, so that its tasks can be told from those of the others; the last one is for the program llm. */
const keys = [...CLIENTS, null].map(newKey);
const shared = skip === false ? await begin() : null;

async function begin(): Promise<{ readonly server: Server; readonly expected: Expected }> {
  const server = await Server.start({ after }, { config: config(), env: { ALT_LAS_API_KEY: newKey() } });
  await server.loaded();
  return { server, expected: await expectedOf(server) };
}

for (const [index, { name, program, python }] of CLIENTS.entries()) {
  test(`${name} chats, streams, embeds, shows refusals, and what it leaves is canceled`, { skip }, async (t) => {
    const { server, expected } = shared!;
    const { chat, embedding, slow } = expected.models;
    const env = {
      BASE_URL: `${server.url}/v1`,
      API_KEY: keys[index]!,
      CHAT_MODEL: chat,
      EMBEDDING_MODEL: embedding,
      SLOW_MODEL: slow,
    };
    const client = ClientProgram.start(t, program, env, python);
    assertFound(await client.found<Found>(), expected);
    await client.left();
    const left = await newest(server, keys[index]!);
    assert.deepEqual([left.status, left.model], ["canceled", slow]);
    await client.end();
  });
}

test("the program llm chats, streams, shows refusals, and what it leaves is canceled", { skip }, async (t) => {
  const { server, expected } = shared!;
  const { models, chat } = expected;
  const key = keys.at(-1)!;
  const llm = commandLine(t, `${server.url}/v1`, { chat: models.chat, slow: models.slow, unknown: "nothing" });
  const asked = ["-s", SYSTEM.content, QUESTION.content, "-o", "temperature", "0", "-o", "max_tokens", `${MAX_TOKENS}`];
  // One after the other: they share a log.
  const answers = [
    await llm.run("-m", "chat", "--key", key, ...asked),
    await llm.run("-m", "chat", "--key", key, "--no-stream", ...asked),
  ];
  for (const { stdout, stderr } of answers) assert.equal(stdout, `${chat.text}\n`, stderr);
  const refused = [
    [/key/, await llm.run("-m", "chat", "--key", "wrong", "Hi")],
    [/nothing/, await llm.run("-m", "unknown", "--key", key, "Hi")],
    [/max_tokens.*-1/, await llm.run("-m", "chat", "--key", key, "-o", "max_tokens", "-1", "Hi")],
  ] as const;
  for (const [sentence, { code, stderr }] of refused) {
    assert.equal(code, 1, stderr);
    assert.match(stderr, sentence);
  }
  await llm.leave("-m", "slow", "--key", key, "-o", "max_tokens", "20000", "Hi");
  const left = await newest(server, key);
  assert.deepEqual([left.status, left.model], ["canceled", models.slow]);
});

/** The program llm with models of its own names on this server. */
function commandLine(t: TestContext, baseUrl: string, models: Readonly<Record<string, string>>) {
  const folder = newFolder(t);
  const listed = Object.entries(models).map(([model_id, model_name]) => ({
    model_id,
    model_name,
    api_base: baseUrl,
    // Without it every key that it is given is replaced by one of its own.
    api_key_name: "alt-las",
  }));
  writeFileSync(join(folder, "extra-openai-models.yaml"), JSON.stringify(listed));
  const env = { LLM_USER_PATH: folder };
  return {
    run: (...args: readonly string[]) => runProgram(LLM, args, { env }),
    /** Interrupts it as soon as it has printed something. */
    async leave(...args: readonly string[]): Promise<void> {
      const child = spawn(LLM, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "ignore"] });
      t.after(() => void child.kill("SIGKILL"));
      await once(child.stdout, "data");
      child.kill("SIGINT");
      await once(child, "close");
    },
  };
}

function config(): string {
  const devices = [
    // One at a time: what is computed beside others may be rounded otherwise.
    { gpu: "cpu:1", slots: 1, engine: { model: instructModel(), context: 1024, min_context: 1024 } },
    { gpu: "cpu:1", engine: { model: embeddingModel(), min_context: 128 } },
    { gpu: "simulated:1" },
  ];
  const simulated = { tokens_per_second: TOKENS_PER_SECOND };
  return JSON.stringify({ auth: usersOf(keys), gpu: { devices }, engine: { threads: 1, simulated } });
}

async function expectedOf(server: Server): Promise<Expected> {
  const [chat = "", embedding = "", slow = ""] = (await server.gpus()).map((gpu) => gpu.model_name ?? gpu.status);
  const asked = { messages: [SYSTEM, QUESTION], max_length: MAX_TOKENS, temperature: 0, model: chat };
  const raw = { text: "The capital of France is", raw: true, model: chat, temperature: 0, max_length: 4 };
  // The defaults there are OpenAI's.
  const openAi = { ...asked, temperature: 1, top_p: 1, top_k: 0, min_p: 0 };
  const seeded = (seed: number) => server.run({ ...openAi, seed });
  return {
    models: { chat, embedding, slow },
    chat: await answerTo(server, chat, [SYSTEM, QUESTION]),
    completion: (await server.run(raw)).result!.text,
    choices: (await Promise.all([seeded(7), seeded(8)])).map(({ result }) => result!.text),
    vectors: (await server.run({ input: TEXTS, model: embedding })).result!.embeddings!,
  };
}

function assertFound(found: Found, expected: Expected): void {
  for (const [step, { threw }] of Object.entries(found) as [string, { threw?: string }][])
    assert.equal(threw, undefined, `${step}: ${threw}`);
  const { chat, embedding, slow } = expected.models;
  if (found.models !== undefined) assert.deepEqual(found.models, [chat, embedding, slow, chat]);
  for (const answer of [found.chat, found.stream]) {
    assert.match(answer.text, /Paris/);
    assertChat(answer, expected.chat, new RegExp(`^${expected.chat.finish}$`));
  }
  if (found.completion !== undefined) assert.equal(found.completion, expected.completion);
  if (found.flattened !== undefined) assert.notEqual(found.flattened, "");
  if (found.choices !== undefined) assert.deepEqual(found.choices, [...expected.choices.entries()]);
  assertVectors(found.embeddings ?? [], expected.vectors);
  assertVectors(found.floats ?? [], expected.vectors);
  assertRefusals(found, expected);
}

function assertRefusals({ unauthorized, unknown, bad }: Found, { models }: Expected): void {
  assert.deepEqual([unauthorized.status, unknown.status, bad.status], [401, 404, 400]);
  assert.match(unauthorized.message, /key/);
  assert.ok(unknown.message.includes("nothing") && unknown.message.includes(models.chat), unknown.message);
  assert.match(bad.message, /temperature.*3/);
}

test("the demo model answers a client that was told nothing but the address and the key", { skip }, async (t) => {
  const server = await Server.start(t, { args: ["--devices", "cpu:1"] });
  // Until then there is no model to list.
  await server.loaded();
  const env = { BASE_URL: `${server.url}/v1`, API_KEY: server.key };
  const client = ClientProgram.start(t, "hello.mjs", env, null);
  const { chat } = await client.found<{ chat: { model: string; text: string; finish: string } }>();
  await client.end();
  assert.match(chat.model, /demo/, JSON.stringify(chat));
  assert.notEqual(chat.text.trim(), "");
});
