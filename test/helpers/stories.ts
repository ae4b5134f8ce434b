/** What a reader of a response was told in events, as the programs of test/clients tell of it. */
import assert from "node:assert/strict";
import { type TaskView } from "../../src/http/schemas/tasks.ts";

export interface Story {
  /** Of the response. */
  readonly id: string;
  /** Of the events, over all connections. */
  readonly numbers: readonly number[];
  /** Of each item. */
  readonly texts: readonly string[];
  /** How each item that was closed had ended. */
  readonly closed: readonly string[];
  /** The last event. */
  readonly end: string;
  /** The text of the response that the last event brought. */
  readonly final: string;
  /** The texts that somebody gets who reads all of it afterwards. */
  readonly again: readonly string[];
}

/** The id of a response's task. */
export function taskIdOf(id: string): string {
  const [, digits = ""] = /^(?:resp|batch)_([0-9a-f]{32})$/.exec(id) ?? [];
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The whole answer came once, whatever happened to the server meanwhile. @param begunAgain it had to begin anew */
export function assertStory(story: Story, { result, status }: TaskView, begunAgain: boolean): void {
  const { numbers, texts, closed, end, final, again } = story;
  assert.equal(status, "completed");
  const { text, finish_reason } = result!;
  assert.ok(
    numbers.every((number, index) => index === 0 || number > numbers[index - 1]!),
    `numbers do not grow: ${numbers.join(", ")}`,
  );
  const ended = finish_reason === "stop" ? "completed" : "incomplete";
  assert.equal(end, `response.${ended}`);
  assert.deepEqual([texts.at(-1), final, ...again], [text, text, text]);
  assert.deepEqual(closed, begunAgain ? ["incomplete", ended] : [ended]);
  assert.equal(texts.length, closed.length);
  assert.ok(text.startsWith(texts[0]!), `what came first is not of it: ${texts[0]}`);
}
