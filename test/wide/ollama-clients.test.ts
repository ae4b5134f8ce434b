/** Clients of Ollama's API, as they come from their registries, which have no keys. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ClientProgram, haveClients, NO_CLIENTS } from "../helpers/clients.ts";
import {
  answerTo,
  assertCalled,
  assertChat,
  assertFormed,
  assertLooped,
  assertRefused,
  assertVectors,
  type Called,
  type Chat,
  check,
  type Checks,
  type Formed,
  newKey,
  QUESTION,
  type Refusal,
  SYSTEM,
  TEXTS,
  type Vectors,
} from "../helpers/findings.ts";
import { embeddingModel, instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { Server } from "../helpers/server.ts";

const haveModels = instructModel() !== null && embeddingModel() !== null;
const skip = haveClients() ? (haveModels ? false : NO_REAL_MODEL) : NO_CLIENTS;

const PROGRAMS = [
  { name: "ollama for Node", program: "ollama-package.mjs", python: null },
  { name: "ollama and litellm for Python", program: "ollama_packages.py", python: "openai" },
] as const;

interface Found {
  readonly chat?: Chat;
  readonly stream?: Chat;
  readonly latest?: Chat;
  readonly windowed?: Chat;
  readonly generated?: Chat;
  readonly generatedStreamed?: Chat;
  readonly litellm?: Chat;
  readonly litellmStreamed?: Chat;
  readonly embeddings?: Vectors;
  readonly litellmEmbeddings?: Vectors;
  readonly parsed?: Formed;
  readonly object?: { readonly object: unknown };
  readonly loop?: Called;
  readonly loopStreamed?: Called;
  readonly litellmCalled?: Called;
  readonly models?: readonly { readonly name: string; readonly size: number; readonly digest: string }[];
  readonly shown?: { readonly capabilities: readonly string[]; readonly details: object; readonly context?: number };
  readonly running?: readonly string[];
  readonly version?: string;
  readonly unauthorized?: Refusal;
  readonly unknown?: Refusal;
  readonly bad?: Refusal;
}

interface Expected {
  readonly models: readonly string[];
  readonly chat: Chat;
  readonly vectors: Vectors;
}

const shared = skip === false ? await begin() : null;

async function begin(): Promise<{ readonly server: Server; readonly expected: Expected }> {
  const devices = [
    { gpu: "cpu:1", slots: 1, engine: { model: instructModel(), context: 1024, min_context: 1024 } },
    { gpu: "cpu:1", engine: { model: embeddingModel(), min_context: 128 } },
    { gpu: "simulated:1" },
  ];
  const config = JSON.stringify({
    api: { ollama: true },
    auth: { users: [{ name: "anybody", role: "user" }], anonymous_user: "anybody" },
    gpu: { devices },
    engine: { threads: 1, simulated: { tokens_per_second: 100 } },
  });
  const server = await Server.start({ after }, { config, env: { ALT_LAS_API_KEY: newKey() } });
  await server.loaded();
  const models = (await server.gpus()).map((gpu) => gpu.model_name ?? gpu.status);
  const [chat = "", embedding = ""] = models;
  const vectors = (await server.run({ input: TEXTS, model: embedding })).result!.embeddings!;
  return { server, expected: { models, chat: await answerTo(server, chat, [SYSTEM, QUESTION]), vectors } };
}

for (const { name, program, python } of PROGRAMS)
  test(`${name} chats, embeds, has tools called, and what it leaves is canceled`, { skip }, async (t) => {
    const { server, expected } = shared!;
    const [chat = "", embedding = "", slow = ""] = expected.models;
    const models = { CHAT_MODEL: chat, EMBEDDING_MODEL: embedding, SLOW_MODEL: slow };
    const client = ClientProgram.start(t, program, { BASE_URL: server.url, API_KEY: "none", ...models }, python);
    check(name, await client.found<Found>(), checksFor(expected));
    await client.left();
    const [id = ""] = Object.keys((await server.tasks("?limit=1")).tasks);
    const left = await server.ended(id);
    assert.deepEqual([left.status, left.model], ["canceled", slow]);
    await client.end();
  });

function checksFor({ models, chat, vectors }: Expected): Checks<Found> {
  const isAnswer = (found: Chat): void => assertChat(found, chat, new RegExp(`^${chat.finish}$`));
  const areVectors = (found: Vectors): void => assertVectors(found, vectors);
  return {
    chat(found) {
      isAnswer(found);
      assert.match(found.text, /Paris/);
    },
    stream: isAnswer,
    latest: isAnswer,
    windowed: isAnswer,
    generated: isAnswer,
    generatedStreamed: isAnswer,
    litellm: isAnswer,
    litellmStreamed: isAnswer,
    embeddings: areVectors,
    litellmEmbeddings: areVectors,
    parsed: assertFormed,
    object: ({ object }) => assert.equal(typeof object, "object"),
    loop: assertLooped,
    loopStreamed: assertLooped,
    litellmCalled: assertCalled,
    models(found) {
      for (const model of models)
        assert(
          found.some(({ name }) => name.startsWith(model)),
          JSON.stringify(found),
        );
      for (const { size, digest } of found) assert.deepEqual([typeof size, typeof digest], ["number", "string"]);
    },
    shown({ capabilities, context }) {
      assert(capabilities.includes("completion"), capabilities.join());
      assert.equal(context, 1024);
    },
    running(found) {
      for (const model of models)
        assert(
          found.some((name) => name.startsWith(model)),
          found.join(),
        );
    },
    version: (found) => assert.match(found, /^\d+\.\d+\.\d+/),
    unauthorized: (found) => assertRefused(found, 401, /key/),
    unknown: (found) => assertRefused(found, 404, /nothing/),
    bad: (found) => assertRefused(found, 400, /temperature.*3/),
  };
}
