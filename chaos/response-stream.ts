/** Reads the events of a response in the background to its end, over however many connections and lives of the server that takes. */
import { type ResponseView } from "../src/http/schemas/response-answers.ts";
import { type Api, type Flow } from "./api.ts";
import { fullText } from "./kinds.ts";
import { type TaskRecord } from "./ledger.ts";
import { type StreamParts } from "./stream.ts";

/** The parts of an event that are looked at. */
interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly output_index?: number;
  readonly delta?: string;
  readonly item?: { readonly status: string };
  readonly response?: ResponseView;
}

const ENDS: ReadonlySet<string> = new Set(["response.completed", "response.incomplete", "response.failed"]);

export class ResponseStream {
  readonly #parts: StreamParts;
  readonly #task: TaskRecord;
  #number = -1;
  /** The text of each item, and how those that were closed had ended. */
  readonly #texts: string[] = [];
  readonly #closed: string[] = [];
  #final: ResponseView | null = null;

  constructor(parts: StreamParts, task: TaskRecord) {
    this.#parts = parts;
    this.#task = task;
  }

  /** @param pieces after which the reader leaves and comes back: that many each time */
  async follow(pieces: number): Promise<void> {
    for (let flow = await this.#connect(); flow !== "refused"; flow = await this.#connect()) {
      if (this.#parts.leave.aborted) return;
      if (flow !== null) await this.#read(flow, pieces);
      if (this.#final !== null) return this.#compare(this.#final);
    }
  }

  async #connect(): Promise<Flow | "refused" | null> {
    const { api, report, leave } = this.#parts;
    const { id, user } = this.#task;
    const after = this.#number < 0 ? "" : `&starting_after=${this.#number}`;
    const path = `${responsePath(id)}?stream=true${after}`;
    const flow = await api.open(user, "GET", path, { signal: leave });
    if (flow === null || flow.response.status === 200) return flow;
    const answer = await flow.response.text();
    // A server that stops sends its readers away.
    if (flow.response.status === 503 && flow.life.doomed) return null;
    const sentence = `the events of response ${id} were answered with ${flow.response.status} behind ${this.#number}`;
    report.check("kept", this.#task.removal !== "no" && flow.response.status === 404, sentence, answer);
    return "refused";
  }

  async #read({ response, life }: Flow, pieces: number): Promise<void> {
    const { api, leave } = this.#parts;
    let text = "";
    let left = pieces;
    try {
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const blocks = text.split("\n\n");
        text = blocks.pop()!;
        for (const block of blocks) this.#take(block);
        if (this.#final !== null || --left <= 0) return;
      }
    } catch (error) {
      if (!leave.aborted) await this.#expectDeath(api, life, error);
      return;
    }
    await this.#expectDeath(api, life, "it was closed");
  }

  async #expectDeath(api: Api, life: Flow["life"], error: unknown): Promise<void> {
    // Removing the task ends its streams.
    if (this.#task.removal === "no") await api.expectDeath(life, `the events of response ${this.#task.id}`, error);
  }

  #take(block: string): void {
    const data = /^data: (.*)$/m.exec(block)?.[1];
    if (block.startsWith(":") || data === undefined) return;
    const {
      type,
      sequence_number: number,
      output_index: index,
      delta,
      item,
      response,
    } = JSON.parse(data) as ResponseEvent;
    // A server that stops says so, and has no number of its own for it.
    if (type === "error") return;
    const { report } = this.#parts;
    const sentence = `event ${number} of response ${this.#task.id} came behind ${this.#number}`;
    report.check("numbers", number > this.#number, sentence, data);
    this.#number = number;
    if (type === "response.output_text.delta") this.#texts[index!] = (this.#texts[index!] ?? "") + delta!;
    if (type === "response.output_item.done") this.#closed[index!] = item!.status;
    if (ENDS.has(type)) this.#final = response!;
  }

  /** All items but the last are void, and that one is the whole text, once. */
  async #compare(final: ResponseView): Promise<void> {
    const { report } = this.#parts;
    const { id, item } = this.#task;
    const seen = { texts: this.#texts, closed: this.#closed, final };
    const voided = this.#closed.slice(0, -1).every((status) => status === "incomplete");
    const text = this.#texts.at(-1) ?? "";
    // Of a response that has failed no text is kept.
    const same = final.status === "failed" || text === textOf(final);
    report.check("stream", voided && same, `response ${id} was told as ${JSON.stringify(text)}`, seen);
    const isWhole = final.incomplete_details?.reason === "max_output_tokens";
    const full = await fullText(item);
    report.check("text", isWhole ? text === full : full.startsWith(text), `response ${id} has another text`, seen);
  }
}

export function responsePath(taskId: string): string {
  return `/v1/responses/resp_${taskId.replaceAll("-", "")}`;
}

/** What an id of OpenAI's API has of the task's or batch's own. */
export function plainId(id: string): string {
  const digits = id.slice(id.indexOf("_") + 1);
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function textOf({ output }: ResponseView): string {
  const items = output as readonly { readonly content?: readonly { readonly text?: string }[] }[];
  return items.flatMap(({ content = [] }) => content.map(({ text = "" }) => text)).join("");
}
