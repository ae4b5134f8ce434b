/** The demo model's chat template: a conversation is answered by going on with the last message of a user. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { type Delta, textOf } from "../src/output.ts";
import { type Message, type TextRequest } from "../src/request.ts";
import { type LlamaEngine } from "../src/engine/llama/llama.ts";
import { withLlama } from "./helpers/llama.ts";

const sampling = { maxTokens: 12, temperature: 0 };

async function answerOf(engine: LlamaEngine, request: TextRequest) {
  let text = "";
  const emit = (delta: Delta) => (text += textOf(delta));
  const { promptTokens, finishReason } = await engine.generate({ request, signal: new AbortController().signal, emit });
  return { text, promptTokens, finishReason };
}

it("gives a text, a chat of it, and the text as it is, the same answer", async () => {
  await withLlama(async (engine) => {
    const odd = ["", " ", "\n\n", " a\n", "\0", "\ud800", "<|endoftext|>", "a <|endoftext|> b", "<", "{{ 1 }}", "🙂ğ"];
    for (const text of ["Once upon a time there was a dog", "The cat said:\n\n", ...odd]) {
      const raw = await answerOf(engine, { kind: "completion", text, raw: true, sampling });
      const asked = await answerOf(engine, { kind: "completion", text, sampling });
      const messages: Message[] = [{ role: "user", content: text }];
      const chat = await answerOf(engine, { kind: "chat", messages, sampling });
      assert.deepEqual([asked, chat], [raw, raw], JSON.stringify(text));
    }
  });
});

it("has eyes for the last message of a user alone", async () => {
  await withLlama(async (engine) => {
    const user: Message = { role: "user", content: "Once upon a time there was a fox" };
    const alone = await answerOf(engine, { kind: "chat", messages: [user], sampling });
    const others: Message[] = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hey" },
      user,
      { role: "assistant", content: "who" },
    ];
    assert.deepEqual(await answerOf(engine, { kind: "chat", messages: others, sampling }), alone);
  });
});
