/** The events of a response and their numbers: the same for every reader, however the output comes, and after a restart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { after, contentOf, type Delta, lengthOf, Output } from "../src/output.ts";
import { type ResponseFacts, ResponseReader, highestNumber } from "../src/http/openai/responses/events.ts";
import { endNumber, inProgressNumber, itemNumber, placeOf } from "../src/http/openai/responses/sequence.ts";
import { type ResponseView } from "../src/http/schemas/response-answers.ts";
import { outputOf } from "../src/http/openai/responses/items.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";
import { aCompletedTask, ID } from "./helpers/http.ts";
import { ResponseClient, type ResponseEvent, responseEventsOf } from "./helpers/response-client.ts";

/** Of a response of which only that is told which readers look at. */
const FACTS: ResponseFacts = {
  taskId: ID,
  background: true,
  at: (status) => ({ id: "resp", status, output: [] }) as unknown as ResponseView,
  ended: (task) => ({ id: "resp", status: task.status, output: outputOf(task) }) as unknown as ResponseView,
};

/** Lone characters and pairs of surrogates, as outputs come. */
const someText = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const call = fc.record({ id: fc.uuid(), name: fc.constantFrom("f", "g"), arguments: fc.string({ maxLength: 10 }) });

interface Whole {
  readonly reasoning: string;
  readonly text: string;
  readonly calls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
}
const whole: fc.Arbitrary<Whole> = fc.record({
  reasoning: fc.option(someText, { nil: "" }),
  text: fc.option(someText, { nil: "" }),
  calls: fc.uniqueArray(call, { maxLength: 3, selector: ({ id }) => id }),
});

function deltasOf({ reasoning, text, calls }: Whole): Delta[] {
  return [
    ...(reasoning === "" ? [] : [{ kind: "reasoning", text: reasoning } as const]),
    ...(text === "" ? [] : [{ kind: "text", text } as const]),
    ...calls.map(({ id, name, arguments: given }, index) => ({ kind: "tool_call", index, call: { id, name }, arguments: given }) as const),
  ]; // prettier-ignore
}

/** The same output in pieces, as an engine might tell it. */
function cut(deltas: readonly Delta[], sizes: readonly number[]): Delta[] {
  const pieces: Delta[] = [];
  let next = 0;
  for (const delta of deltas) {
    let rest: readonly Delta[] = [delta];
    while (rest.length > 0) {
      const size = Math.max(1, sizes[next++ % sizes.length] ?? 1);
      const behind = after(rest, size);
      pieces.push(firstOf(rest[0]!, size));
      rest = behind;
    }
  }
  return pieces;
}

function firstOf(delta: Delta, size: number): Delta {
  if (lengthOf(delta) <= size) return delta;
  if (delta.kind === "tool_call")
    return { ...delta, arguments: delta.arguments.slice(0, size - (delta.call === undefined ? 0 : 1)) };
  return delta.kind === "embedding" ? delta : { ...delta, text: delta.text.slice(0, size) };
}

function ended(output: Whole, attempt: number): TaskSnapshot {
  const task = aCompletedTask();
  const attempts = Array.from({ length: attempt }, () => task.attempts[0]!);
  return { ...task, attempts, result: { ...task.result!, ...contentOf(deltasOf(output)) } };
}

function eventsIn(pieces: Iterable<string>): ResponseEvent[] {
  return [...pieces].flatMap(responseEventsOf);
}

/** All that a reader gets that is there from the beginning. */
function live(pieces: readonly Delta[], task: TaskSnapshot, attempt: number, facts = FACTS): ResponseEvent[] {
  const reader = new ResponseReader(facts);
  const output = new Output();
  const events = eventsIn(reader.lacking(null));
  for (const piece of pieces) {
    const before = output.length;
    output.add(piece);
    const next = reader.next(piece, before);
    events.push(...eventsIn(next === null ? reader.lacking({ attempt, output: output.deltas }) : [next]));
  }
  return [...events, ...eventsIn(reader.rest(task))];
}

/** What an event is about, and how much of the item's words a reader has with it. */
function standing(events: readonly ResponseEvent[]): Map<number, string> {
  const lengths = new Map<string, number>();
  return new Map(
    events.map(({ sequence_number: number, type, item_id: id, item, delta }) => {
      const key = id ?? item?.id ?? "";
      if (delta !== undefined) lengths.set(key, (lengths.get(key) ?? 0) + delta.length);
      return [number, `${type} ${key} ${delta === undefined ? "" : lengths.get(key)}`];
    }),
  );
}

const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });

test("whatever the output, and however it is cut: every reader gets the same numbers for the same, and they grow", () => {
  fc.assert(
    fc.property(whole, sizes, sizes, fc.integer({ min: 1, max: 3 }), (output, ones, others, attempt) => {
      const task = ended(output, attempt);
      const deltas = deltasOf(output);
      const readers = [
        live(cut(deltas, ones), task, attempt),
        live(cut(deltas, others), task, attempt),
        eventsIn(new ResponseReader(FACTS).rest(task)),
      ];
      const said = new Map<number, string>();
      for (const events of readers) {
        const client = new ResponseClient().read(events);
        assert.equal(client.last, endNumber(attempt));
        const content = [output.reasoning, output.text, ...output.calls.map((one) => one.arguments)];
        const items = client.items.values().toArray();
        const words = items.map((item) => item.said).join("");
        assert.equal(words, content.join(""));
        for (const [number, what] of standing(events)) {
          assert.equal(said.get(number) ?? what, what);
          said.set(number, what);
        }
      }
      assert.deepEqual([...readers[0]!].map(({ type }) => type).filter((type) => !type.endsWith("delta")),
        [...readers[2]!].map(({ type }) => type).filter((type) => !type.endsWith("delta"))); // prettier-ignore
    }),
  );
});

test("whoever comes back with a number gets exactly what it lacks, while the task runs and when it has ended", () => {
  fc.assert(
    fc.property(whole, sizes, fc.integer({ min: 1, max: 3 }), fc.nat(), (output, cuts, attempt, chosen) => {
      const task = ended(output, attempt);
      const deltas = deltasOf(output);
      const all = live(cut(deltas, cuts), task, attempt);
      const leaving = chosen % all.length;
      const last = all[leaving]!.sequence_number;
      const had = all.slice(0, leaving + 1);
      const late = new ResponseClient().read(had);
      if (late.ended === null) late.read(eventsIn(new ResponseReader(FACTS, last).rest(task)));
      assert.deepEqual(late.items, new ResponseClient().read(all).items);
      const now = { attempt, output: deltas };
      // An answer that says nothing has no number while it runs.
      if (deltas.length === 0) return;
      if (last > highestNumber({ id: ID, background: true, last }, task, false, now)) {
        const saysNothing = output.text === "" && output.calls.length === 0;
        assert.ok(isOfEnd(all[leaving]!, saysNothing));
      } else {
        const coming = new ResponseReader(FACTS, last);
        const meanwhile = eventsIn(coming.lacking(now));
        const other = new ResponseClient()
          .read(had)
          .read(meanwhile)
          .read(eventsIn(coming.rest(task)));
        assert.deepEqual(other.items, late.items);
      }
    }),
  );
});

/** Whether it may have come with the end alone: it closes the last item, or the response, or is about the text of an answer without one. */
function isOfEnd({ type }: ResponseEvent, saysNothing: boolean): boolean {
  return type.endsWith(".done") || type === "response.completed" || (saysNothing && type.endsWith(".added"));
}

test("an attempt that is cut off closes what is open as incomplete, and the next one's items follow: nobody mixes two texts", () => {
  fc.assert(
    fc.property(whole, whole, sizes, fc.nat(), fc.boolean(), (first, second, cuts, chosen, comesBack) => {
      const pieces = cut(deltasOf(first), cuts);
      const given = pieces.slice(0, chosen % (pieces.length + 1));
      const output = new Output();
      let reader = new ResponseReader(FACTS);
      const client = new ResponseClient().read(eventsIn(reader.lacking(null)));
      client.read(eventsIn(reader.lacking({ attempt: 1, output: [] })));
      for (const piece of given) {
        const before = output.length;
        output.add(piece);
        const next = reader.next(piece, before);
        client.read(eventsIn(next === null ? reader.lacking({ attempt: 1, output: output.deltas }) : [next]));
      }
      const listed = client.items.size;
      // The server was killed: nothing of that attempt is known any more.
      if (comesBack) reader = new ResponseReader(FACTS, client.last);
      const task = ended(second, 2);
      const events = eventsIn(reader.lacking({ attempt: 2, output: deltasOf(second) }));
      // A number that was given out in the second attempt says how many items there were in the first.
      const leaving = events[chosen % Math.max(1, events.length)];
      if (comesBack && leaving !== undefined && leaving.sequence_number >= inProgressNumber(2, 0)) {
        const upTo = events.filter(({ sequence_number: number }) => number <= leaving.sequence_number);
        client.read(upTo);
        reader = new ResponseReader(FACTS, leaving.sequence_number);
        client.read(eventsIn(reader.rest(task)));
      } else client.read(events).read(eventsIn(reader.rest(task)));
      const items = [...client.items.entries()];
      assert.ok(items.slice(0, listed).every(([, item]) => !item.isOpen));
      assert.deepEqual(items.map(([index]) => index), items.map((_, index) => index)); // prettier-ignore
      const words = items.slice(listed).map(([, item]) => item.said);
      assert.equal(
        words.join(""),
        [second.reasoning, second.text, ...second.calls.map((one) => one.arguments)].join(""),
      );
      assert.equal(client.last, endNumber(2));
    }),
  );
});

test("numbers can be read back, and those of usual tasks are below 2^31", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 16 }),
      fc.constantFrom("reasoning" as const, "message" as const, "function_call" as const),
      fc.nat({ max: 20 }),
      fc.nat({ max: 20 }),
      fc.nat({ max: 200_000 }),
      (attempt, kind, index, base, position) => {
        const place = { kind, index, base };
        const [delta, done] = (["delta", "done"] as const).map((stage) => itemNumber(attempt, place, stage, position));
        assert.deepEqual(
          { ...placeOf(delta!), rest: 0 },
          { attempt, isEnd: false, items: base + index + 1, open: kind, rest: 0 },
        );
        assert.deepEqual(
          { ...placeOf(done!), rest: 0 },
          { attempt, isEnd: false, items: base + index + 1, open: null, rest: 0 },
        );
        assert.ok(delta! < done! && done! < endNumber(attempt) && endNumber(attempt) < 2 ** 31);
        assert.ok(placeOf(endNumber(attempt)).isEnd);
        assert.equal(placeOf(inProgressNumber(attempt, base)).items, base);
      },
    ),
  );
});

test("numbers grow beyond what is usual: hundreds of items, and millions of characters", () => {
  const places = Array.from({ length: 300 }, (_, index) => ({ kind: "function_call" as const, index, base: 0 }));
  const numbers = places.flatMap((place) => {
    const start = 100_000 * place.index;
    return [
      itemNumber(1, place, "added", start),
      itemNumber(1, place, "delta", start + 100_000),
      itemNumber(1, place, "done", start + 100_000),
    ];
  });
  for (const [index, number] of numbers.entries()) if (index > 0) assert.ok(number > numbers[index - 1]!, `${index}`);
  assert.ok(numbers.at(-1)! < endNumber(1));
});
