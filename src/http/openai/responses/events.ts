/** The events of a response, in the order that clients insist on. Each is made when it can go out; none is kept. */
import { after, canCut, type Delta, wholeCharacters } from "../../../output.ts";
import { attemptNumber } from "../../../task.ts";
import type { TaskSnapshot } from "../../../tasks/task-api.ts";
import { jsonLine } from "../../json-line.ts";
import { itemIdOf } from "./ids.ts";
import {
  deltasOfResult,
  type Item,
  itemsOf,
  type ItemStatus,
  lastStatusOf,
  logprobsOf,
  partOf,
  type PlacedItem,
  viewOfItem,
  wordsOf,
} from "./items.ts";
import { CREATED, endNumber, hasBegun, inProgressNumber, itemNumber, placeOf, QUEUED, type Stage } from "./sequence.ts";
import type { ResponseView } from "../../schemas/response-answers.ts";

/** The output of an attempt that goes on. */
export interface Running {
  readonly attempt: number;
  readonly output: readonly Delta[];
}

/** The facts that the events of one response are made of. */
export interface ResponseFacts {
  readonly taskId: string;
  readonly background: boolean;
  /** The response as it is before its task has ended. */
  readonly at: (status: "queued" | "in_progress") => ResponseView;
  readonly ended: (task: TaskSnapshot) => ResponseView;
}

/** The item that a reader has open. */
interface Open {
  readonly item: Item;
  /** In the reader's list. */
  readonly outputIndex: number;
  /** The place where it stands; null: its attempt is lost. */
  readonly place: PlacedItem | null;
}

const NOTHING = -1;

/** One reader's way through the events of a response. Its state is the number of its last event, and what follows from that. */
export class ResponseReader {
  readonly #facts: ResponseFacts;
  /** Of the last event that it has. */
  #last: number;
  /** 0: it has heard of none. */
  #attempt = 0;
  /** Items of earlier attempts in its list, and all that there are. */
  #base = 0;
  #listed = 0;
  #open: Open | null = null;
  /** The position behind the last delta that it has; it counts while an item is open. */
  #offset = 0;

  /** @param last the number of the last event that the reader has; it may be of an earlier life of the server */
  constructor(facts: ResponseFacts, last = NOTHING) {
    this.#facts = facts;
    this.#last = last;
  }

  get last(): number {
    return this.#last;
  }

  /** Whether it has the last event. */
  isAtEnd(task: TaskSnapshot): boolean {
    return this.#last >= endNumber(attemptNumber(task));
  }

  /** Whatever it lacks of a task that has not ended. @param now null: no GPU has it */
  *lacking(now: Running | null): Iterable<string> {
    yield* this.#opening();
    if (now === null) return;
    yield* this.#enter(now.attempt, now.output);
    yield* this.#items(itemsOf(this.#facts.taskId, now.attempt, wholeCharacters(now.output)), null);
  }

  /** Whatever it lacks of a task that has ended. */
  *rest(task: TaskSnapshot): Iterable<string> {
    yield* this.#opening();
    const attempt = attemptNumber(task);
    const { result } = task;
    if (attempt > 0) {
      const deltas = result === null ? [] : deltasOfResult(result);
      yield* this.#enter(attempt, deltas);
      if (result !== null) yield* this.#items(itemsOf(this.#facts.taskId, attempt, deltas), lastStatusOf(result));
    }
    const response = this.#facts.ended(task);
    yield* this.#tell(endNumber(attempt), finalEvent(response), { response });
  }

  /**
   * The event of a delta that goes on with what the reader has open; null: it needs more than that. Of a reader that is up to date the
   * whole output is not touched, which may be long.
   */
  next(delta: Delta, before: number): string | null {
    const open = this.#open;
    if (open === null || open.place === null || before !== this.#offset || delta.kind !== open.place.delta.kind)
      return null;
    if (delta.kind === "tool_call" && delta.call !== undefined) return null;
    const [whole] = wholeCharacters([delta]);
    if (whole === undefined || whole.kind === "embedding" || wordsOf(whole) === "") return "";
    this.#offset += wordsOf(whole).length;
    const number = itemNumber(this.#attempt, { ...open.place, base: this.#base }, "delta", this.#offset);
    this.#last = number;
    return eventOf(number, DELTAS[open.item.kind], deltaFields(open.item, open.outputIndex, whole));
  }

  *#opening(): Iterable<string> {
    const { background, at } = this.#facts;
    if (this.#last < CREATED)
      yield* this.#tell(CREATED, "response.created", { response: at(background ? "queued" : "in_progress") });
    if (background && this.#last < QUEUED) yield* this.#tell(QUEUED, "response.queued", { response: at("queued") });
  }

  /** Begins an attempt, whose items are others than those that the reader may have of an earlier one. */
  *#enter(attempt: number, output: readonly Delta[]): Iterable<string> {
    if (attempt === this.#attempt) return;
    if (this.#attempt === 0 && this.#last > QUEUED) this.#comeBack(attempt, output);
    if (attempt === this.#attempt) return;
    yield* this.#giveUp();
    this.#attempt = attempt;
    this.#base = this.#listed;
    this.#offset = 0;
    const response = this.#facts.at("in_progress");
    yield* this.#tell(inProgressNumber(attempt, this.#base), "response.in_progress", { response });
  }

  /** Finds out what a reader has that comes with a number. */
  #comeBack(attempt: number, output: readonly Delta[]): void {
    const { taskId } = this.#facts;
    const place = placeOf(this.#last);
    this.#attempt = place.attempt;
    this.#listed = place.items;
    this.#base = baseOf(this.#last, attempt, itemsOf(taskId, attempt, output));
    if (place.attempt !== attempt && place.open !== null) {
      const index = place.items - 1;
      const item = { kind: place.open, id: itemIdOf(taskId, place.attempt, place.open, index) };
      this.#open = { item, outputIndex: index, place: null };
    }
  }

  /** Closes an item of an attempt that was cut off, at once. Its text is void, and nothing here has kept it. */
  *#giveUp(): Iterable<string> {
    if (this.#open === null) return;
    const { item, outputIndex } = this.#open;
    this.#open = null;
    yield closing(item, outputIndex, VOID[item.kind], "incomplete")
      .map(([type, fields]) => eventOf(++this.#last, type, fields))
      .join("");
  }

  /** @param last how the last of them has ended; null: it goes on */
  *#items(items: readonly PlacedItem[], last: ItemStatus | null): Iterable<string> {
    for (const item of items) {
      const isLast = item.index === items.length - 1;
      if (this.#numberOf(item, "done") > this.#last) yield* this.#item(item, isLast ? last : "completed");
    }
  }

  /** @param status null: it goes on */
  *#item(item: PlacedItem, status: ItemStatus | null): Iterable<string> {
    const outputIndex = this.#base + item.index;
    this.#open = { item, outputIndex, place: item };
    this.#listed = outputIndex + 1;
    yield* this.#tellOf(item, "added", "response.output_item.added", {
      output_index: outputIndex,
      item: viewOfItem(item, null, "in_progress"),
    });
    if (item.kind !== "function_call")
      yield* this.#tellOf(item, "part_added", "response.content_part.added", {
        ...where(item, outputIndex),
        part: partOf(item.kind, NO_WORDS),
      });
    yield* this.#words(item, outputIndex);
    if (status === null) return;
    const stages = item.kind === "function_call" ? CALL_STAGES : TEXT_STAGES;
    for (const [index, [type, fields]] of closing(item, outputIndex, item.delta, status).entries())
      yield* this.#tellOf(item, stages[index]!, type, fields);
    this.#open = null;
  }

  *#words(item: PlacedItem, outputIndex: number): Iterable<string> {
    const given = Math.min(item.end, Math.max(item.start, this.#last - this.#numberOf(item, "delta", 0)));
    this.#offset = given;
    const isWhole = canCut([item.delta], given - item.start);
    const [rest] = after([item.delta], given - item.start - (isWhole ? 0 : 1));
    this.#offset = item.end;
    if (given === item.end || rest === undefined || rest.kind === "embedding" || wordsOf(rest) === "") return;
    yield* this.#tellOf(item, "delta", DELTAS[item.kind], deltaFields(item, outputIndex, rest));
  }

  #numberOf(item: PlacedItem, stage: Stage, position?: number): number {
    const isBegin = stage === "added" || stage === "part_added";
    return itemNumber(
      this.#attempt,
      { ...item, base: this.#base },
      stage,
      position ?? (isBegin ? item.start : item.end),
    );
  }

  #tellOf(item: PlacedItem, stage: Stage, type: string, fields: object): Iterable<string> {
    return this.#tell(this.#numberOf(item, stage), type, fields);
  }

  *#tell(number: number, type: string, fields: object): Iterable<string> {
    if (number <= this.#last) return;
    // Before it is given away: whoever takes it may take no more.
    this.#last = number;
    yield eventOf(number, type, fields);
  }
}

const NO_WORDS = { kind: "text", text: "" } as const;

/** The words that close an item whose text is void. A call is cut off, so that nobody makes it: whole arguments could be none. */
const VOID = {
  reasoning: NO_WORDS,
  message: NO_WORDS,
  function_call: { kind: "tool_call", index: 0, arguments: "{" },
} as const;

const DELTAS = {
  reasoning: "response.reasoning_text.delta",
  message: "response.output_text.delta",
  function_call: "response.function_call_arguments.delta",
} as const;

const TEXT_STAGES: readonly Stage[] = ["text_done", "part_done", "done"];
const CALL_STAGES: readonly Stage[] = ["text_done", "done"];

type Said = Parameters<typeof wordsOf>[0];

function closing(item: Item, outputIndex: number, said: Said, status: ItemStatus): [type: string, fields: object][] {
  const done: [string, object] = [
    "response.output_item.done",
    { output_index: outputIndex, item: viewOfItem(item, said, status) },
  ];
  if (item.kind === "function_call") {
    const fields = {
      item_id: item.id,
      output_index: outputIndex,
      name: item.call?.name ?? "",
      arguments: wordsOf(said),
    };
    return [["response.function_call_arguments.done", fields], done];
  }
  const here = where(item, outputIndex);
  const isText = item.kind === "message";
  return [
    [
      isText ? "response.output_text.done" : "response.reasoning_text.done",
      { ...here, text: wordsOf(said), ...(isText && { logprobs: logprobsOf(said) }) },
    ],
    ["response.content_part.done", { ...here, part: partOf(item.kind, said) }],
    done,
  ];
}

function where({ id }: Item, outputIndex: number) {
  return { item_id: id, output_index: outputIndex, content_index: 0 };
}

function deltaFields(item: Item, outputIndex: number, said: Said): object {
  const delta = wordsOf(said);
  if (item.kind === "function_call") return { item_id: item.id, output_index: outputIndex, delta };
  return { ...where(item, outputIndex), delta, ...(item.kind === "message" && { logprobs: logprobsOf(said) }) };
}

function finalEvent({ status }: ResponseView): string {
  if (status === "completed" || status === "failed") return `response.${status}`;
  // OpenAI's API has no event for what was canceled, and its clients throw at one that they do not know.
  return "response.incomplete";
}

function eventOf(number: number, type: string, fields: object): string {
  return `event: ${type}\ndata: ${jsonLine({ type, sequence_number: number, ...fields })}\n\n`;
}

/**
 * The highest number that was given out to a reader. Of an attempt that was cut off nothing is known any more, so that it may be any.
 * @param task its attempts so far
 * @param now null: no GPU has it
 */
export function highestNumber(
  { id, background, last }: { readonly id: string; readonly background: boolean; readonly last: number },
  task: Pick<TaskSnapshot, "attempts">,
  hasEnded: boolean,
  now: Running | null,
): number {
  const attempts = attemptNumber(task);
  if (hasEnded) return endNumber(attempts);
  if (now === null) return attempts > 0 ? endNumber(attempts) - 1 : background ? QUEUED : CREATED;
  const items = itemsOf(id, now.attempt, wholeCharacters(now.output));
  const base = baseOf(last, now.attempt, items);
  const open = items.at(-1);
  if (open === undefined) return inProgressNumber(now.attempt, base);
  return itemNumber(now.attempt, { ...open, base }, "delta", open.end);
}

/** The items of earlier attempts in the list of a reader that comes with a number. */
function baseOf(last: number, attempt: number, items: readonly PlacedItem[]): number {
  const place = placeOf(last);
  // The items of a first attempt are all that there are.
  if (attempt === 1 || place.attempt !== attempt) return 0;
  return Math.max(0, place.items - items.filter(({ index, start }) => hasBegun(place, index, start)).length);
}
