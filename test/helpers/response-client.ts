/** A client of the Responses API that adds events up, and breaks where the strictest real ones do. */
import assert from "node:assert/strict";

export interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly output_index?: number;
  readonly content_index?: number;
  readonly item_id?: string;
  readonly delta?: string;
  readonly text?: string;
  readonly arguments?: string;
  readonly logprobs?: readonly object[];
  readonly item?: OutputItem;
  readonly response?: Readonly<Record<string, unknown>> & {
    readonly id: string;
    readonly status: string;
    readonly output: readonly OutputItem[];
  };
  readonly error?: { readonly code: string; readonly message: string };
}

export interface OutputItem {
  readonly id: string;
  readonly type: "reasoning" | "message" | "function_call";
  readonly status: string;
  readonly content?: readonly { readonly type: string; readonly text: string }[];
  readonly call_id?: string;
  readonly name?: string;
  readonly arguments?: string;
}

/** One block of a stream; null: it is only a comment. */
export function responseEventOf(block: string): ResponseEvent | null {
  if (block.startsWith(":")) return null;
  const [, name, data] = /^event: (\S+)\ndata: ([^\n\r]*)$/.exec(block) ?? [];
  assert.ok(data !== undefined, `no event: ${JSON.stringify(block)}`);
  const event = JSON.parse(data) as ResponseEvent;
  assert.equal(event.type, name);
  return event;
}

export function responseEventsOf(text: string): ResponseEvent[] {
  assert.ok(text === "" || text.endsWith("\n\n"), "the stream breaks off within an event");
  const blocks = text.split("\n\n").slice(0, -1);
  return blocks.map(responseEventOf).filter((event) => event !== null);
}

/** What an item says. */
export function saidBy({ type, content = [], arguments: given = "" }: OutputItem): string {
  return type === "function_call" ? given : content.map(({ text }) => text).join("");
}

interface Listed {
  readonly id: string;
  readonly type: OutputItem["type"];
  said: string;
  isOpen: boolean;
  status: string;
}

const DELTAS = {
  "response.reasoning_text.delta": "reasoning",
  "response.output_text.delta": "message",
  "response.function_call_arguments.delta": "function_call",
} as const;
const DONES = {
  "response.reasoning_text.done": "reasoning",
  "response.output_text.done": "message",
  "response.function_call_arguments.done": "function_call",
} as const;
const STATES: ReadonlySet<string> = new Set(["response.created", "response.queued", "response.in_progress"]);
const ENDS: ReadonlySet<string> = new Set(["response.completed", "response.incomplete", "response.failed"]);
const PARTS: ReadonlySet<string> = new Set(["response.content_part.added", "response.content_part.done"]);

/** Adds up what one reader gets, over all its connections. */
export class ResponseClient {
  last = -1;
  readonly items = new Map<number, Listed>();
  /** The types of all events. */
  readonly types: string[] = [];
  /** The response of the last event; null: it has not come. */
  ended: NonNullable<ResponseEvent["response"]> | null = null;

  read(events: readonly ResponseEvent[]): this {
    for (const event of events) this.take(event);
    return this;
  }

  take(event: ResponseEvent): void {
    assert.equal(this.ended, null, "an event after the end");
    assert.ok(event.sequence_number > this.last, `${event.type} has ${event.sequence_number} after ${this.last}`);
    this.last = event.sequence_number;
    this.types.push(event.type);
    if (STATES.has(event.type)) return assert.ok(event.response!.id);
    if (ENDS.has(event.type)) return this.#end(event);
    this.#ofItem(event);
  }

  /** What the items say that are not void. */
  said(): string[] {
    return [...this.items.values()].filter(({ status }) => status !== "void").map(({ said }) => said);
  }

  #ofItem(event: ResponseEvent): void {
    const index = event.output_index!;
    if (event.type === "response.output_item.added") {
      assert.ok(!this.items.has(index), `index ${index} is taken`);
      assert.ok(![...this.items.values()].some(({ id }) => id === event.item!.id), `id ${event.item!.id} is taken`);
      const { id, type } = event.item!;
      this.items.set(index, { id, type, said: "", isOpen: true, status: "in_progress" });
      return;
    }
    const item = this.items.get(index);
    assert.ok(item?.isOpen, `${event.type} for an item that is not open`);
    if (event.type === "response.output_item.done") {
      assert.equal(event.item!.id, item.id);
      item.isOpen = false;
      item.status = event.item!.status;
      item.said = saidBy(event.item!);
      return;
    }
    assert.equal(event.item_id, item.id);
    if (item.type !== "function_call") assert.equal(event.content_index, 0);
    if (PARTS.has(event.type)) return;
    const isDelta = event.type in DELTAS;
    const kind = isDelta ? DELTAS[event.type as keyof typeof DELTAS] : DONES[event.type as keyof typeof DONES];
    assert.equal(kind, item.type, event.type);
    if (isDelta) item.said += event.delta;
    else item.said = event.text ?? event.arguments!;
  }

  #end({ type, response }: ResponseEvent): void {
    this.ended = response!;
    if (type === "response.failed") return;
    const known = [...this.items.values()];
    if (type === "response.completed")
      assert.ok(
        known.every(({ isOpen }) => !isOpen),
        "it is completed, and an item is open",
      );
    for (const item of this.ended.output) {
      const same = known.find(({ id }) => id === item.id);
      if (same !== undefined) assert.equal(same.said, saidBy(item));
    }
  }
}
