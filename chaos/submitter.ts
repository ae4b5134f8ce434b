/** Submits tasks, again and again until the server has answered, and tells the ledger what it was answered. */
import { setTimeout as sleep } from "node:timers/promises";
import { type BatchAnswer } from "../src/http/schemas/submissions.ts";
import { type TaskSummary, type TaskView } from "../src/http/schemas/tasks.ts";
import { STRATEGIES } from "../src/task.ts";
import { type Answer, type Api, type Asking, type Flow, type User } from "./api.ts";
import { type Dice } from "./dice.ts";
import { type Item, type Kind, newItem } from "./kinds.ts";
import { type Ledger, type Submission, type TaskRecord } from "./ledger.ts";
import { type Report } from "./report.ts";
import { plainId } from "./response-stream.ts";
import { type Shape } from "./world.ts";

/** Where responses are asked for. */
export const RESPONSES = "/v1/responses";

export interface SubmitterParts {
  readonly api: Api;
  readonly ledger: Ledger;
  readonly report: Report;
  readonly dice: Dice;
  readonly user: User;
  readonly shape: Shape;
  readonly webhookUrl: string;
  /** Makes a name that no submission before had. */
  readonly newTag: () => string;
  /** Whether there may be one more task of a kind. */
  readonly mayBe: (kind: Kind) => boolean;
  /** Aborts when there has been peace for so long that nothing may still be waited for. */
  readonly leave: AbortSignal;
}

export class Submitter {
  readonly #parts: SubmitterParts;
  readonly #dice: Dice;

  constructor(parts: SubmitterParts) {
    this.#parts = parts;
    this.#dice = parts.dice;
  }

  /** @param extra more fields of the body */
  newTask(extra: object = {}): Submission {
    const { newTag, user, webhookUrl, shape } = this.#parts;
    const tag = newTag();
    const item = this.#newItem();
    // What fails on one GPU has to be able to go to another one.
    const mayBePinned = item.kind === "plain" && this.#dice.chance(0.15);
    const pinnedGpuId = mayBePinned ? this.#dice.between(0, shape.gpus - 1) : null;
    const hasWebhook = this.#dice.chance(0.2);
    const body = {
      ...bodyOf(item, tag),
      gpu_options: { strategy: this.#dice.pick(STRATEGIES), specific_gpu_id: pinnedGpuId },
      ...(hasWebhook && { webhook_url: webhookUrl }),
      ...extra,
    };
    const key = this.#dice.chance(0.9) ? `key-${tag}` : null;
    const what = { tag, user, items: [item], isBatch: false, isWhole: false, pinnedGpuId, key, hasWebhook };
    return this.#begin({ ...what, path: "/predict", body });
  }

  /** A task that goes on in the background, by OpenAI's API. */
  newResponse(): Submission {
    const { newTag, user } = this.#parts;
    const tag = newTag();
    const item = { ...this.#newItem(), timeoutSeconds: null };
    const { text: input, maxLength: max_output_tokens, priority } = item;
    const body = { input, max_output_tokens, temperature: 0, priority, task_type: tag, background: true };
    const what = { tag, user, items: [item], isBatch: false, isWhole: false, pinnedGpuId: null, hasWebhook: false };
    return this.#begin({ ...what, key: `key-${tag}`, path: RESPONSES, body });
  }

  /** A task that proves that a GPU works. */
  newProbe(gpuId: number): Submission {
    const { newTag, user } = this.#parts;
    const tag = newTag();
    const item = { ...newItem(this.#dice, "plain"), timeoutSeconds: null };
    const body = { ...bodyOf(item, tag), gpu_options: { specific_gpu_id: gpuId } };
    const what = { tag, user, items: [item], isBatch: false, isWhole: false, pinnedGpuId: gpuId, hasWebhook: false };
    return this.#begin({ ...what, key: `key-${tag}`, path: "/predict", body });
  }

  newBatch(): Submission {
    const { newTag, user, webhookUrl } = this.#parts;
    const tag = newTag();
    const items = Array.from({ length: this.#dice.between(2, 12) }, () => this.#newItem());
    const isWhole = this.#dice.chance(0.3);
    const hasWebhook = this.#dice.chance(0.4);
    const body = {
      batch: items.map((item) => bodyOf(item, tag)),
      gpu_options: { strategy: this.#dice.pick(STRATEGIES), batch_split: !isWhole },
      ...(hasWebhook && { webhook_url: webhookUrl }),
    };
    const what = { tag, user, items, isBatch: true, isWhole, pinnedGpuId: null, key: `key-${tag}`, hasWebhook };
    return this.#begin({ ...what, path: "/batch_predict", body });
  }

  /** Sends a submission until it is answered or refused. @returns its tasks; none: it was refused, or its answer was lost */
  async submit(submission: Submission, headers: Readonly<Record<string, string>> = {}): Promise<readonly TaskRecord[]> {
    const { api, user } = this.#parts;
    for (;;) {
      // Two at once, as from a client that has lost its patience.
      const copies = submission.key !== null && this.#dice.chance(0.1) ? 2 : 1;
      const asking = askingFor(submission, headers);
      const answers = await Promise.all(
        Array.from({ length: copies }, () => api.ask(user, "POST", submission.path, asking)),
      );
      if (answers.some((answer) => answer === null || answer.unsure)) submission.unanswered = true;
      for (const answer of answers) if (answer?.status === 200) this.accept(submission, answer);
      if (submission.tasks !== null) return submission.tasks;
      if (
        !(await this.#goesOn(
          submission,
          answers.find((answer) => answer !== null),
        ))
      )
        return [];
    }
  }

  /** Sends a submission whose answer is a stream. @returns it, when it has begun; null: it was refused, or its answer was lost */
  async open(submission: Submission): Promise<{ readonly task: TaskRecord; readonly flow: Flow } | null> {
    const { api, user, ledger, leave } = this.#parts;
    for (;;) {
      const flow = await api.open(user, "POST", submission.path, { ...askingFor(submission), signal: leave });
      const id = flow?.response.headers.get("x-task-id");
      if (flow !== null && flow.response.status === 200 && typeof id === "string") {
        ledger.accepted(submission, [id], null, isReplay(flow.response.headers));
        return { task: submission.tasks![0]!, flow };
      }
      const refusal = flow === null ? null : await api.read(flow, submission.tag);
      if (refusal === null || refusal.unsure) submission.unanswered = true;
      if (!(await this.#goesOn(submission, refusal ?? undefined))) return null;
    }
  }

  /** Tells the ledger of an answer with the status 200. */
  accept(submission: Submission, { body, headers, askedAt }: Answer): void {
    const { ledger, api } = this.#parts;
    if (submission.isBatch) {
      const { tasks, batch_id } = body as BatchAnswer;
      const ids = tasks.map(({ task_id }) => task_id);
      return ledger.accepted(submission, ids, batch_id, isReplay(headers));
    }
    if (submission.path === RESPONSES)
      return ledger.accepted(submission, [plainId((body as { id: string }).id)], null, isReplay(headers));
    const answer = body as TaskSummary | TaskView;
    ledger.accepted(submission, [answer.task_id], null, isReplay(headers));
    if ("attempts" in answer) ledger.observe(answer, askedAt, api.tick());
  }

  /** Only what passes by itself may be refused. */
  expectRefusal(what: string, { status, body, headers }: Answer): void {
    const { report } = this.#parts;
    const isTemporary = (status === 503 || status === 429) && Number(headers.get("retry-after")) >= 1;
    report.check("valid", isTemporary, `${what} was answered with ${status}`, body);
    const { code = (body as { error: { code?: string } }).error.code } = body as { code?: string };
    report.check("bounded", code !== "overloaded", `${what} had to give way to clients that stall`, body);
  }

  #begin(wanted: Omit<Submission, "tasks" | "batchId" | "unanswered" | "refused">): Submission {
    const submission = { ...wanted, tasks: null, batchId: null, unanswered: false, refused: false };
    this.#parts.ledger.submissions.set(submission.tag, submission);
    return submission;
  }

  /** Whether a submission that was not accepted is to be sent again; waits a moment then. */
  async #goesOn(submission: Submission, refusal: Answer | undefined): Promise<boolean> {
    const { leave, report } = this.#parts;
    if (refusal !== undefined) this.expectRefusal(submission.tag, refusal);
    if (leave.aborted) return report.check("valid", false, `${submission.tag} is still refused`, refusal);
    if (submission.unanswered && submission.key === null) return false;
    // Who does not know whether there are tasks has to ask until it is told.
    if (!submission.unanswered && this.#dice.chance(0.3)) submission.refused = true;
    if (!submission.refused) await sleep(this.#dice.between(20, 150));
    return !submission.refused;
  }

  #newItem(): Item {
    const kind = this.#dice.weigh<Kind>([
      [80, "plain"],
      [2, "crash"],
      [2, "oom"],
      [4, "oom0"],
      [4, "error"],
      [4, "deaf"],
    ]);
    return newItem(this.#dice, this.#parts.mayBe(kind) ? kind : "plain");
  }
}

/** A submission as it is sent, every time the same. */
export function askingFor({ key, body }: Submission, headers: Readonly<Record<string, string>> = {}): Asking {
  return { body, headers: { ...headers, ...(key !== null && { "idempotency-key": key }) } };
}

function bodyOf({ text, maxLength, priority, timeoutSeconds }: Item, tag: string): object {
  return { text, max_length: maxLength, priority, timeout_seconds: timeoutSeconds, task_type: tag };
}

function isReplay(headers: Headers): boolean {
  return headers.get("idempotent-replayed") === "true";
}
