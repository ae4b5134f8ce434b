/** What the programs about responses have in common; stories.py is the same for Python. */

import { setTimeout as pause } from "node:timers/promises";

/** A second question, which only who knows the first one understands. */
export const AGAIN = "And what is the capital of Italy?";

/** The text of a response as it comes in events, which has no `output_text`. */
export const textOf = ({ output }) =>
  output
    .filter(({ type }) => type === "message")
    .flatMap(({ content }) => content.map(({ text }) => text))
    .join("");

/** What a reader of a stream was told, over all of its connections. */
export function storyOf(events) {
  const texts = new Map();
  for (const { type, output_index: index, delta } of events)
    if (type === "response.output_text.delta") texts.set(index, (texts.get(index) ?? "") + delta);
  const end = events.at(-1);
  return {
    numbers: events.map(({ sequence_number: number }) => number),
    texts: [...texts.values()],
    closed: events.filter(({ type }) => type === "response.output_item.done").map(({ item }) => item.status),
    end: end.type,
    final: textOf(end.response),
  };
}

/** Reads events until there are so many pieces of text; whoever breaks off closes the connection. */
export async function readPieces(stream, pieces, events = []) {
  let left = pieces;
  for await (const event of stream) {
    events.push(event);
    if (event.type === "response.output_text.delta" && --left === 0) break;
  }
  return events;
}

/** Milliseconds between two looks. */
const OFTEN = 25;
const UNDER_WAY = new Set(["queued", "in_progress", "validating", "finalizing", "cancelling"]);

/** Asks again until a response or batch suits, by default until it has ended. */
export async function until(look, suits = ({ status }) => !UNDER_WAY.has(status)) {
  for (;;) {
    const seen = await look();
    if (suits(seen)) return seen;
    await pause(OFTEN);
  }
}
