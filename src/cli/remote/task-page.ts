/** One task as a page: all that `GET /task/<id>` tells. */
import { said } from "../../words/terminal.ts";
import type { TaskView } from "../../http/schemas/tasks.ts";
import { wallTime } from "../../common/clock.ts";
import { hanging, table, wrapped } from "../table.ts";
import { unfitness } from "./answer-form.ts";
import { jsonText, legible, legibleText } from "../../common/legible.ts";
import type { Listed, Look } from "./tasks.ts";
import { linesOfCalls } from "./calls.ts";
import { painted, paintedStatus } from "./terminal.ts";
import { between, clockOf, tookWords, whenOf } from "./times.ts";

type Fact = readonly [name: string, text: string];

const LABELS = 13;

/** Fields that have a line, a table or a sentence of their own; whatever else an answer has is shown as it is. */
const TOLD = new Set<string>([
  ..."task_id user status result error error_code created_at started_at finished_at strategy task_type model kind".split(
    " ",
  ),
  ..."priority timeout_seconds deadline_at batch_id retry_of webhook_url attempts placement waiting gpu_id".split(" "),
  ..."request timing usage".split(" "),
]);

/** @param withText also the text, which is shown already where it was followed */
export function taskPage(task: Listed, look: Look, withText = true): string {
  const { columns } = look;
  const shown = legible(task);
  const facts = [...factsOfState(shown, look), ...factsOfRequest(shown), ...factsOfRun(shown)];
  const lines = facts.map(([name, text]) => hanging(said(name).padEnd(LABELS), said(text), columns));
  const parts = [
    lines.join("\n"),
    requestPart(task, look),
    placementPart(shown, look),
    attemptsPart(shown, look),
    ...(withText ? textParts(task, look) : []),
    unfitPart(task, look),
  ];
  return parts.filter((part) => part !== null).join("\n\n");
}

function factsOfState(task: Listed, { colour, now = wallTime() }: Look): Fact[] {
  const { status, error, error_code, waiting, created_at, started_at, finished_at } = task;
  const waited = between(created_at, started_at);
  const ran = between(started_at, finished_at);
  return [
    ["Task", task.task_id],
    ["Status", paintedStatus(status, colour)],
    ...(error === undefined ? [] : [["", `${error} (${error_code ?? "no code"})`] as const]),
    ...(waiting === undefined ? [] : waitFacts(waiting, now)),
    ...(task.user === undefined ? [] : [["User", task.user] as const]),
    ["Submitted", momentOf(created_at, now)],
    ["Started", started_at === null ? "-" : momentOf(started_at, now) + afterWords(waited)],
    ["Ended", finished_at === null ? "-" : momentOf(finished_at, now) + afterWords(ran)],
  ];
}

/** Like "14:03:10 (12 s ago)". */
function momentOf(at: string, now: number): string {
  const clock = clockOf(at, now);
  const when = whenOf(at, now);
  return clock.startsWith(when) ? clock : `${clock} (${when})`;
}

function afterWords(seconds: number | null): string {
  return seconds === null ? "" : said(`, after ${tookWords(seconds)}`);
}

function waitFacts({ reason, sentence, since, ahead }: NonNullable<TaskView["waiting"]>, now: number): Fact[] {
  const before = ahead === 0 ? "" : ` ${ahead} of the same user ${ahead === 1 ? "comes" : "come"} before it.`;
  return [["Waits", `${sentence}${said(before)} (${reason}, ${said(`since ${whenOf(since, now)}`)})`]];
}

function factsOfRequest(task: Listed): Fact[] {
  const { strategy, task_type, model, kind, priority, deadline_at, batch_id, retry_of, webhook_url } = task;
  const others = Object.entries(task).filter(([name]) => !TOLD.has(name));
  return [
    ...optional("Model", model),
    ["Type", kind === undefined ? task_type : `${task_type}, ${kind}`],
    ["Strategy", strategy],
    ...(priority === "normal" ? [] : [["Priority", priority] as const]),
    ...optional("Deadline", deadline_at === null ? null : clockOf(deadline_at)),
    ...optional("Batch", batch_id),
    ...optional("Retry of", retry_of),
    ...optional("Webhook", webhook_url),
    ...(others.length === 0
      ? []
      : [["Settings", others.map(([name, value]) => `${name} ${plain(value)}`).join(", ")] as const]),
  ];
}

function optional(name: string, value: string | null | undefined): Fact[] {
  return value === undefined || value === null ? [] : [[name, value]];
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : jsonText(value);
}

function factsOfRun({ gpu_id, result, usage: cost, timing }: Listed): Fact[] {
  const usage = cost ?? result?.usage;
  const rate =
    result === undefined || result.execution_time <= 0 ? null : result.usage.completion_tokens / result.execution_time;
  return [
    ["GPU", gpu_id === null ? "-" : String(gpu_id)],
    ...(timing === undefined ? [] : [["Timing", timingWords(timing)] as const]),
    ...(usage === undefined ? [] : [["Tokens", tokenWords(usage, rate)] as const]),
    ...(cost === undefined ? [] : costFacts(cost)),
    ...(result === undefined ? [] : [["Finished by", result.finish_reason] as const]),
  ];
}

function timingWords({ queued, prompt, first_token, generation }: NonNullable<Listed["timing"]>): string {
  const parts = [
    ["queued", queued],
    ["prompt", prompt],
    ["first token after", first_token],
    ["generation", generation],
  ] as const;
  return parts.flatMap(([name, seconds]) => (seconds === null ? [] : `${name} ${tookWords(seconds)}`)).join(", ");
}

type Tokens = Pick<NonNullable<TaskView["usage"]>, "prompt_tokens" | "completion_tokens" | "cached_tokens">;

function tokenWords({ prompt_tokens, completion_tokens, cached_tokens }: Tokens, rate: number | null): string {
  const prompt = prompt_tokens === null ? "an unknown number" : String(prompt_tokens);
  const cached = cached_tokens ? ` (${cached_tokens} from the cache)` : "";
  const speed = rate === null ? "" : `, ${Math.round(rate)} tokens/s`;
  return `${prompt} of the prompt${cached}, ${completion_tokens} generated${speed}`;
}

function costFacts({ gpu_seconds, energy_joules }: NonNullable<TaskView["usage"]>): Fact[] {
  const parts = [
    gpu_seconds === null ? null : said(`${tookWords(gpu_seconds)} of a GPU`),
    energy_joules === null ? null : `${Number(energy_joules.toPrecision(3))} J`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? [] : [["Cost", parts.join(", ")]];
}

/** The request of the task, as far as the caller may see it. */
function requestPart({ request }: Listed, { colour }: Look): string | null {
  if (request === undefined) return null;
  const { text, messages = [], input = [] } = request;
  const lines = [
    ...(text === undefined ? [] : [text]),
    ...messages.map(({ role, content }) => `${role}: ${content}`),
    ...input.map((item) => (typeof item === "string" ? item : `${item.length} tokens`)),
  ];
  return lines.length === 0 ? null : `${said("REQUEST")}\n${painted("dim", legibleText(lines.join("\n")), colour)}`;
}

function placementPart({ placement }: Listed, { columns }: Look): string | null {
  if (placement === undefined) return null;
  const { reason, strategy, candidates, others } = placement;
  const scored = candidates.map(({ gpu_id, score }) => [
    String(gpu_id),
    score === null ? "-" : String(Number(score.toFixed(3))),
  ]);
  const rest = Object.entries(others).map(
    ([why, count]) => `${count} ${count === 1 ? "GPU" : said("GPUs")}: ${said(why)}`,
  );
  return [
    said(`PLACEMENT (${strategy})`),
    wrapped(reason, "", columns),
    ...(scored.length > 1 ? [table(["GPU", "SCORE"], scored)] : []),
    ...rest.map((line) => wrapped(line, "", columns)),
  ].join("\n");
}

function attemptsPart({ attempts }: Listed, { columns, now = wallTime() }: Look): string | null {
  // A single attempt that ended well would only repeat the lines above.
  if (attempts.length === 0 || (attempts.length === 1 && attempts[0]!.reason === "completed")) return null;
  const rows = attempts.flatMap(({ gpu_id, started_at, ended_at, reason, error }) => {
    const took = between(started_at, ended_at);
    const row = [String(gpu_id), whenOf(started_at, now), took === null ? "-" : tookWords(took), reason ?? "runs"];
    return error === undefined ? [row] : [row, wrapped(error, "  ", columns)];
  });
  return table(["ATTEMPT ON GPU", "STARTED", "TOOK", "END"], rows);
}

function textParts({ result }: Listed, { colour }: Look): string[] {
  if (result === undefined) return [];
  const { text, reasoning, embeddings, tool_calls: calls = [] } = result;
  if (embeddings !== undefined)
    return [said(`${embeddings.length} vectors of ${embeddings[0]?.length ?? 0} numbers; --json prints them.`)];
  return [
    ...(reasoning === undefined || reasoning === "" ? [] : [painted("dim", legibleText(reasoning), colour)]),
    ...(text === "" ? [] : [legibleText(text)]),
    ...(calls.length === 0 ? [] : [linesOfCalls(calls)]),
  ];
}

function unfitPart({ result, request = {} }: Listed, { columns }: Look): string | null {
  const why = unfitness(request, { result }, "a larger max_length");
  return why === null ? null : wrapped(legibleText(why), "", columns);
}
