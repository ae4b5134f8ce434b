/**
 * The package openai for Node: files and batches; then, when it is told to begin, a response and a batch in the background, whose server
 * is killed: where the next one is it is told then.
 */
import { begun, CHATS, chatOf, clientOf, linesOf, resultsOf, steps } from "./batches-openai.mjs";
import { BASE_URL, heard, report, SLOW_MODEL } from "./steps.mjs";
import { readPieces, storyOf, until } from "./stories.mjs";

/** Lines of the batch that has to get over it. */
const LINES = 400;

await report(steps);
await heard();
const before = clientOf(BASE_URL);
const bodies = Object.fromEntries(Array.from({ length: LINES }, (_, n) => [`line-${n}`, chatOf(`Line ${n}`)]));
const { id: batchId } = await begun(before, linesOf(bodies, CHATS), CHATS);
const stream = await before.responses.create({
  model: SLOW_MODEL,
  input: "Tell me a long story",
  max_output_tokens: 400,
  temperature: 0,
  background: true,
  stream: true,
});
const events = await readPieces(stream, 5);
await until(
  () => before.batches.retrieve(batchId),
  ({ request_counts: counts }) => counts.completed >= 5,
);
console.log("under way");
const after = clientOf(await heard());
const { id } = events[0].response;
await readPieces(
  await after.responses.retrieve(id, { stream: true, starting_after: events.at(-1).sequence_number }),
  Infinity,
  events,
);
const again = storyOf(await readPieces(await after.responses.retrieve(id, { stream: true }), Infinity)).texts;
const batch = await until(() => after.batches.retrieve(batchId));
const counted = { status: batch.status, counts: batch.request_counts, results: await resultsOf(after, batch) };
console.log(JSON.stringify({ id, ...storyOf(events), again, batch: { id: batchId, ...counted } }));
