/** Clients of Anthropic's API, as they come from their registries. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ClientProgram, haveClients, NO_CLIENTS } from "../helpers/clients.ts";
import {
  answerTo,
  assertCalled,
  assertChat,
  assertLooped,
  assertRefused,
  type Called,
  type Chat,
  check,
  type Checks,
  newest,
  newKey,
  QUESTION,
  type Refusal,
  SYSTEM,
  usersOf,
} from "../helpers/findings.ts";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { Server } from "../helpers/server.ts";

const skip = haveClients() ? (instructModel() === null ? NO_REAL_MODEL : false) : NO_CLIENTS;

const PROGRAMS = [
  { name: "@anthropic-ai/sdk", program: "anthropic-sdk.mjs", python: null },
  { name: "anthropic for Python", program: "anthropic_package.py", python: "openai" },
] as const;

interface Looped extends Called {
  readonly finishes: readonly string[];
}

interface Found {
  readonly chat?: Chat;
  readonly byBearer?: Chat;
  readonly stream?: Chat;
  readonly stopped?: string;
  readonly counted?: number;
  readonly loop?: Looped;
  readonly loopStreamed?: Looped;
  readonly required?: Called;
  readonly unauthorized?: Refusal;
  readonly unknown?: Refusal;
  readonly bad?: Refusal;
}

interface Expected {
  readonly models: readonly string[];
  readonly chat: Chat;
}

const keys = PROGRAMS.map(newKey);
const shared = skip === false ? await begin() : null;

async function begin(): Promise<{ readonly server: Server; readonly expected: Expected }> {
  const devices = [
    { gpu: "cpu:1", slots: 1, engine: { model: instructModel(), context: 1024, min_context: 1024 } },
    { gpu: "simulated:1" },
  ];
  const engine = { threads: 1, simulated: { tokens_per_second: 100 } };
  const config = JSON.stringify({ api: { anthropic: true }, auth: usersOf(keys), gpu: { devices }, engine });
  const server = await Server.start({ after }, { config, env: { ALT_LAS_API_KEY: newKey() } });
  await server.loaded();
  const models = (await server.gpus()).map((gpu) => gpu.model_name ?? gpu.status);
  return { server, expected: { models, chat: await answerTo(server, models[0]!, [SYSTEM, QUESTION]) } };
}

for (const [index, { name, program, python }] of PROGRAMS.entries())
  test(`${name} asks, streams, counts, has tools called, and what it leaves is canceled`, { skip }, async (t) => {
    const { server, expected } = shared!;
    const [chat = "", slow = ""] = expected.models;
    const models = { CHAT_MODEL: chat, EMBEDDING_MODEL: chat, SLOW_MODEL: slow };
    const env = { BASE_URL: server.url, API_KEY: keys[index]!, ...models };
    const client = ClientProgram.start(t, program, env, python);
    check(name, await client.found<Found>(), checksFor(expected));
    await client.left();
    const left = await newest(server, keys[index]!);
    assert.deepEqual([left.status, left.model], ["canceled", slow]);
    await client.end();
  });

function checksFor({ chat }: Expected): Checks<Found> {
  const ended = chat.finish === "stop" ? /^end_turn$/ : /^max_tokens$/;
  const isAnswer = (found: Chat): void => assertChat(found, chat, ended);
  return {
    chat(found) {
      isAnswer(found);
      assert.match(found.text, /Paris/);
    },
    byBearer: isAnswer,
    stream: isAnswer,
    stopped: (found) => assert.equal(found, chat.text.slice(0, chat.text.indexOf("Paris"))),
    counted: (found) => assert.equal(found, chat.usage.prompt_tokens),
    loop: isLoop,
    loopStreamed: isLoop,
    required: assertCalled,
    unauthorized: (found) => assertRefused(found, 401, /key/),
    unknown: (found) => assertRefused(found, 404, /nothing/),
    bad: (found) => assertRefused(found, 400, /temperature.*3/),
  };
}

function isLoop(found: Looped): void {
  assertLooped(found);
  assert.deepEqual(found.finishes, ["tool_use", "end_turn"]);
}
