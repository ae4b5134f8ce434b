/** Batches that are made of files, which one client uploads, looks at and cancels. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer } from "./api.ts";
import { newItem } from "./kinds.ts";
import { type BatchFile, type FileLine } from "./ledger.ts";
import { checkLines, type FileBatchView, linesOf, type LinesParts, readLines } from "./file-lines.ts";
import { Submitter, type SubmitterParts } from "./submitter.ts";

/** Lines of a file. */
const FEWEST = 2;
const MOST = 40;
/** Seconds: the `completion_window`. */
const WINDOW = 86_400;
/** Batches on one page of a list. */
const PAGE = 100;
const ENDPOINTS = ["/v1/chat/completions", "/v1/responses"] as const;

export class BatchFiles {
  readonly #parts: SubmitterParts;
  readonly #submitter: Submitter;
  #mine: BatchFile[] = [];

  constructor(parts: SubmitterParts) {
    this.#parts = parts;
    this.#submitter = new Submitter(parts);
  }

  async act(): Promise<void> {
    const { dice } = this.#parts;
    await dice.weigh<() => Promise<void>>([
      [2, () => this.#begin()],
      [3, () => this.#look()],
      [1, () => this.#cancel()],
    ])();
  }

  /** Uploads a file until it is there, and has a batch made of it until there is one. */
  async #begin(): Promise<void> {
    const { ledger } = this.#parts;
    const file = this.#newFile();
    const uploaded = await this.#insist(() => this.#upload(file));
    if (uploaded === null) return;
    const fileId = (uploaded.body as { id: string }).id;
    const id = await this.#make(file, fileId);
    if (id === null) return;
    ledger.files.push({ ...file, fileId, id });
    this.#mine.push(ledger.files.at(-1)!);
  }

  #newFile(): Omit<BatchFile, "id" | "fileId"> {
    const { dice, newTag, user, mayBe } = this.#parts;
    const tag = newTag();
    const endpoint = dice.pick(ENDPOINTS);
    const lines = Array.from({ length: dice.between(FEWEST, MOST) }, (_, index): FileLine => {
      const kind = dice.weigh([
        [20, "plain"],
        [1, "oom0"],
        [1, "error"],
      ] as const);
      const customId = `${tag}-${index}`;
      const model = dice.chance(0.05) ? "nothing" : undefined;
      return { customId, model, item: { ...newItem(dice, mayBe(kind) ? kind : "plain"), timeoutSeconds: WINDOW } };
    });
    const text = lines.map((line) => `${JSON.stringify(requestOf(line, tag, endpoint))}\n`).join("");
    return { tag, user, endpoint, lines, text, cancelAsked: false };
  }

  #upload({ tag, user, text }: Pick<BatchFile, "tag" | "user" | "text">): Promise<Answer | null> {
    const body = new FormData();
    body.append("purpose", "batch");
    body.append("file", new Blob([text]), `${tag}.jsonl`);
    return this.#parts.api.ask(user, "POST", "/v1/files", { body });
  }

  /** A batch whose answer was lost may be there; then it is not made again. */
  async #make({ tag, user, endpoint }: Omit<BatchFile, "id" | "fileId">, fileId: string): Promise<string | null> {
    const { api } = this.#parts;
    let isLost = false;
    const made = await this.#insist(async () => {
      const known = isLost ? await this.#find(fileId) : null;
      if (known !== null) return known;
      const body = { input_file_id: fileId, endpoint, completion_window: "24h", metadata: { tag } };
      const answer = await api.ask(user, "POST", "/v1/batches", { body });
      isLost ||= answer === null || answer.unsure;
      return answer;
    });
    return made === null ? null : (made.body as FileBatchView).id;
  }

  /** The batch of a file as an answer; null: there is none, or the server has died meanwhile. */
  async #find(fileId: string): Promise<Answer | null> {
    const { api, user } = this.#parts;
    for (let after = ""; ;) {
      const answer = await api.ask(user, "GET", `/v1/batches?limit=${PAGE}${after}`);
      if (answer?.status !== 200) return null;
      const { data, has_more } = answer.body as { data: FileBatchView[]; has_more: boolean };
      const found = data.find(({ input_file_id }) => input_file_id === fileId);
      if (found !== undefined) return { ...answer, body: found };
      if (!has_more) return null;
      after = `&after=${data.at(-1)!.id}`;
    }
  }

  /** Asks until it is answered with 200. @returns null: nobody waits for it any more */
  async #insist(ask: () => Promise<Answer | null>): Promise<Answer | null> {
    const { leave, dice } = this.#parts;
    for (;;) {
      const answer = await ask();
      if (answer?.status === 200) return answer;
      if (answer !== null) this.#submitter.expectRefusal("a batch file", answer);
      if (leave.aborted) return null;
      await sleep(dice.between(20, 150));
    }
  }

  /** What is there of its results while it runs: each line once at most. */
  async #look(): Promise<void> {
    const file = this.#any();
    if (file === undefined) return;
    const { api, user, report } = this.#parts;
    const answer = await api.ask(user, "GET", `/v1/batches/${file.id}`);
    if (answer?.status !== 200) return;
    const view = answer.body as FileBatchView;
    const { total, completed, failed } = view.request_counts;
    const holds = completed + failed <= total && total === linesOf(file, view);
    report.check("lines", holds, `batch ${file.id} is uneven`, view);
    const parts: LinesParts = { api, report, user };
    const lines = await readLines(parts, view);
    if (lines !== null) await checkLines(parts, file, lines, 0);
  }

  async #cancel(): Promise<void> {
    const { api, user, report } = this.#parts;
    const file = this.#any();
    if (file === undefined || this.#parts.dice.chance(0.7)) return;
    file.cancelAsked = true;
    const answer = await api.ask(user, "POST", `/v1/batches/${file.id}/cancel`);
    if (answer === null || answer.status === 503) return;
    const holds = answer.status === 200 || answer.status === 409;
    report.check("valid", holds, `canceling batch ${file.id} gave ${answer.status}`, answer.body);
  }

  #any(): BatchFile | undefined {
    return this.#mine.length === 0 ? undefined : this.#parts.dice.pick(this.#mine);
  }
}

/** As it is in the file. */
function requestOf({ customId, item, model }: FileLine, tag: string, url: string): object {
  const { text, maxLength, priority } = item;
  const said = [{ role: "user", content: text }];
  const asked =
    url === ENDPOINTS[0] ? { messages: said, max_tokens: maxLength } : { input: said, max_output_tokens: maxLength };
  const body = { ...asked, model, temperature: 0, priority, task_type: tag };
  return { custom_id: customId, method: "POST", url, body };
}
