/** Clients that ask for responses, as they come from their registries: of a real model, and for forms and tools of a simulated one. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ClientProgram, haveClients, NO_CLIENTS } from "../helpers/clients.ts";
import {
  answerTo,
  assertChat,
  assertFormed,
  assertLooped,
  assertRefused,
  type Called,
  type Chat,
  check,
  type Checks,
  type Formed,
  newKey,
  QUESTION,
  type Refusal,
  SYSTEM,
  usersOf,
} from "../helpers/findings.ts";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { Server } from "../helpers/server.ts";
import { assertStory, type Story, taskIdOf } from "../helpers/stories.ts";

const skip = haveClients() ? (instructModel() === null ? NO_REAL_MODEL : false) : NO_CLIENTS;

/** Each with the libraries that it runs. */
const PROGRAMS = [
  { language: "Node", program: "responses.mjs", python: null, libraries: ["openai", "aiSdk", "langchain"] },
  {
    language: "Python",
    program: "responses_packages.py",
    python: "openai",
    libraries: ["openai", "langchain", "litellm"],
  },
] as const;
const AGAIN = { role: "user", content: "And what is the capital of Italy?" };

/** By the names of the steps. Clients that lack a call lack its step. */
interface Found {
  readonly chat?: Chat;
  readonly stream?: Chat;
  readonly echoed?: { readonly metadata: object; readonly model: string; readonly same: boolean };
  readonly parsed?: Formed;
  readonly streamed?: Formed;
  readonly loop?: Called;
  readonly loopStreamed?: Called;
  readonly chained?: Called | { readonly text: string };
  readonly talked?: { readonly text: string };
  readonly background?: Chat & { readonly begun: string };
  readonly resumed?: Story;
  readonly canceled?: readonly string[];
  readonly removed?: Refusal;
  readonly unstored?: Refusal & { readonly text: string };
  readonly beyond?: Refusal;
  readonly unauthorized?: Refusal;
  readonly unknown?: Refusal;
  readonly bad?: Refusal;
}

interface Expected {
  readonly models: { readonly chat: string; readonly slow: string };
  readonly chat: Chat;
  /** To the second question of the conversation. */
  readonly talked: string;
}

const keys = PROGRAMS.map(newKey);
const shared = skip === false ? await begin() : null;

async function begin(): Promise<{ readonly server: Server; readonly expected: Expected }> {
  const devices = [
    // One at a time: what is computed beside others may be rounded otherwise.
    { gpu: "cpu:1", slots: 1, engine: { model: instructModel(), context: 1024, min_context: 1024 } },
    { gpu: "simulated:1" },
  ];
  const engine = { threads: 1, simulated: { tokens_per_second: 100 } };
  const config = JSON.stringify({ auth: usersOf(keys), gpu: { devices }, engine });
  const server = await Server.start({ after }, { config, env: { ALT_LAS_API_KEY: newKey() } });
  await server.loaded();
  const [chat = "", slow = ""] = (await server.gpus()).map((gpu) => gpu.model_name ?? gpu.status);
  const first = await answerTo(server, chat, [SYSTEM, QUESTION]);
  const conversation = [SYSTEM, QUESTION, { role: "assistant", content: first.text }, AGAIN];
  const talked = await answerTo(server, chat, conversation);
  return { server, expected: { models: { chat, slow }, chat: first, talked: talked.text } };
}

for (const [index, { language, program, python, libraries }] of PROGRAMS.entries())
  test(
    `clients of ${language} ask for responses, in the background too, and go on with conversations`,
    {
      skip,
    },
    async (t) => {
      const { server, expected } = shared!;
      const { chat, slow } = expected.models;
      const models = { CHAT_MODEL: chat, EMBEDDING_MODEL: chat, SLOW_MODEL: slow };
      const env = { BASE_URL: `${server.url}/v1`, API_KEY: keys[index]!, ...models };
      const client = ClientProgram.start(t, program, env, python);
      const found = await client.found<Record<string, Found>>();
      await client.end();
      assert.deepEqual(Object.keys(found), libraries);
      for (const [name, its] of Object.entries(found)) {
        check(`${name} for ${language}`, its, checksFor(expected));
        if (its.resumed !== undefined) await assertResumed(its.resumed, server);
      }
    },
  );

/** As the reader has left a task that nobody was to cancel. */
async function assertResumed(story: Story, server: Server): Promise<void> {
  assertStory(story, await server.ended(taskIdOf(story.id)), false);
}

function checksFor({ models, chat, talked }: Expected): Checks<Found> {
  const ended = chat.finish === "stop" ? /^(stop|completed)$/ : /^(length|incomplete)$/;
  const isAnswer = (found: Chat): void => assertChat(found, chat, ended);
  const isTalk = ({ text }: { text: string }): void => assert.equal(text, talked);
  return {
    chat(found) {
      isAnswer(found);
      assert.match(found.text, /Paris/);
    },
    stream: isAnswer,
    echoed: (found) => assert.deepEqual(found, { metadata: { of: "a test" }, model: models.chat, same: true }),
    parsed: assertFormed,
    streamed: assertFormed,
    loop: assertLooped,
    loopStreamed: assertLooped,
    chained: (found) => ("text" in found ? isTalk(found) : assertLooped(found)),
    talked: isTalk,
    background({ begun, ...found }) {
      assert.match(begun, /^(queued|in_progress)$/);
      isAnswer(found);
    },
    // Against its task.
    resumed: () => {},
    canceled: (found) => assert.deepEqual(found, ["cancelled", "cancelled"]),
    removed: (found) => assertRefused(found, 404, /resp_/),
    unstored({ text, ...refusal }) {
      assert.equal(text, chat.text);
      assertRefused(refusal, 404, /resp_/);
    },
    beyond: (found) => assertRefused(found, 400, /starting_after/),
    unauthorized: (found) => assertRefused(found, 401, /key/),
    unknown: (found) => assertRefused(found, 404, /nothing/),
    bad: (found) => assertRefused(found, 400, /temperature.*3/),
  };
}
