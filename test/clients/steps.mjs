/** What the programs beside this file have in common; steps.py is the same for Python. */
import { once } from "node:events";
import { createInterface } from "node:readline";

export const { BASE_URL, API_KEY, CHAT_MODEL, EMBEDDING_MODEL, SLOW_MODEL } = process.env;
/** What every client asks: none of them may change it on the way, so all get the same text. */
export const MESSAGES = [
  { role: "system", content: "You are a helpful assistant." },
  { role: "user", content: "What is the capital of France?" },
];
export const MAX_TOKENS = 24;
export const TEXTS = ["A man is eating food.", "Someone eats a meal.", "The sky is full of stars tonight."];
/** Refused by the server, not by any client. */
export const BAD_TEMPERATURE = 3;
export const LONG = 20_000;

/**
 * Runs the steps and prints what they found, by their names, as one line of JSON.
 * @param steps what each found has to be what the others of its name find (test/wide/openai-clients.test.ts)
 */
export async function report(steps) {
  console.log(JSON.stringify(await run(steps)));
}

/** As `report`, for the steps of several libraries by their names, which run beside each other. */
export async function reportEach(libraries) {
  const found = Object.entries(libraries).map(async ([name, steps]) => [name, await run(steps)]);
  console.log(JSON.stringify(Object.fromEntries(await Promise.all(found))));
}

async function run(steps) {
  const found = {};
  for (const [name, step] of Object.entries(steps))
    found[name] = await step().catch((error) => ({ threw: String(error.stack) }));
  return found;
}

/** What a call that must fail says. @param of what of the client's error is the status, the code and the message */
export async function failure(call, of) {
  try {
    await call();
  } catch (error) {
    return of(error);
  }
  throw new Error("It was not refused.");
}

/** Says that a stream was left, and stays until it is told to go, so that it is not the end of this process that ends the task. */
export async function left() {
  console.log("left");
  await once(process.stdin.resume(), "end");
}

let lines;

/** What the test says next, as one line; null: it says nothing more. */
export async function heard() {
  lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const { value, done } = await lines.next();
  return done ? null : value;
}
