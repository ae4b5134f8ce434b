/** How a model is told the form that its answer must have. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { renderedWithForm } from "../src/engine/format-prompt.ts";
import { EngineFailure } from "../src/engine/failures.ts";
import { type AnswerFormat, type Message } from "../src/request.ts";

const QUESTION: Message = { role: "user", content: "Who?" };
const SYSTEM: Message = { role: "system", content: "Be brief." };
const SCHEMA: AnswerFormat = { kind: "schema", name: "person", schema: { type: "object" }, strict: true };
const INSTRUCTION = /^Answer in JSON only.*\n\{"type":"object"\}$/;

const asTheyAre = (messages: readonly Message[]) => messages;

function withoutSystem(messages: readonly Message[]): readonly Message[] {
  if (messages.some(({ role }) => role === "system"))
    throw new EngineFailure("invalid_input", "The model's chat template refuses the messages: no system role.");
  return messages;
}

function broken(): never {
  throw new EngineFailure("unsupported", "The model's chat template cannot be applied to the messages.");
}

it("nothing is added where any text will do", () => {
  const messages = [QUESTION];
  assert.equal(renderedWithForm(messages, undefined, asTheyAre), messages);
});

it("a system message asks for the form, and is made where there is none", () => {
  const [made, question] = renderedWithForm([QUESTION], SCHEMA, asTheyAre);
  assert.deepEqual([made!.role, question], ["system", QUESTION]);
  assert.match(made!.content, INSTRUCTION);
  const [longer, ...rest] = renderedWithForm([SYSTEM, QUESTION], { kind: "json" }, asTheyAre);
  assert.deepEqual([longer!.role, rest], ["system", [QUESTION]]);
  assert.match(longer!.content, /^Be brief\.\n\nAnswer in JSON only.*one object\.$/);
});

it("the user's first message asks for it where the template refuses a system message", () => {
  const answer: Message = { role: "assistant", content: "Me." };
  const [first, ...rest] = renderedWithForm([QUESTION, answer, QUESTION], SCHEMA, withoutSystem);
  assert.deepEqual([first!.role, rest], ["user", [answer, QUESTION]]);
  assert.match(first!.content, /^Who\?\n\nAnswer in JSON only/);
});

it("what the template refuses for another reason is refused, and so is the caller's own system message", () => {
  assert.throws(() => renderedWithForm([SYSTEM, QUESTION], SCHEMA, withoutSystem), { code: "invalid_input" });
  assert.throws(() => renderedWithForm([QUESTION], SCHEMA, broken), { code: "unsupported" });
});
