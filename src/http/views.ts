/** Tasks, batches, webhooks and GPUs as clients see them. */
import { isoTime } from "../common/clock.ts";
import type { GpuStatus, InstanceStatus } from "../gpu/status.ts";
import type { CatalogModel } from "../models/catalog.ts";
import { numbersOf } from "../common/vectors.ts";
import { whyGone } from "../gone-texts.ts";
import { sentenceOf, wordsOf } from "../reasons.ts";
import type { LikelyToken, TokenLogprob } from "../output.ts";
import type { Request } from "../request.ts";
import type { BudgetFacts } from "../scheduler/budget-kinds.ts";
import type { CallerFacts } from "../scheduler/caller-facts.ts";
import type { TeamFacts } from "../scheduler/teams.ts";
import type { DryRun } from "../scheduler/dry-run.ts";
import type { Wait } from "../scheduler/why-waiting.ts";
import type { BatchSnapshot, ListedSnapshot, Submission, TaskSnapshot } from "../tasks/task-api.ts";
import type { Delivery } from "../store/outbox.ts";
import { type Attempt, shownGpuId, type TaskResult } from "../task.ts";
import type { SecretView } from "../webhooks/webhook-api.ts";
import { viewOfForm, viewOfMessage, viewOfToolCall } from "./form-views.ts";
import type { RunningTask } from "./server-parts.ts";
import { publicAttempt, publicFailure, publicTry } from "./public-words.ts";
import type { BatchView } from "./schemas/batches.ts";
import type { BudgetView, CallersAnswer } from "./schemas/callers.ts";
import type { GpuDetails, GpuView } from "./schemas/gpus.ts";
import type { ModelView } from "./schemas/models.ts";
import { rounded, timingOf, usageOf } from "./use-views.ts";
import type { DryRunAnswer } from "./schemas/submissions.ts";
import { viewOfSampling } from "./schemas/sampling.ts";
import type { RequestView, TaskSummary, TaskView, TokenLogprobView, WaitView } from "./schemas/tasks.ts";
import type { DeliveriesAnswer, SecretView as SecretAnswer } from "./schemas/webhooks.ts";

/**
 * @param wait why it waits; null: it does not, or that was not asked
 * @param isInside whether sentences that engines, drivers and servers elsewhere may have written are for somebody who may see inside
 */
export function viewOfTask(task: ListedSnapshot, isInside = false, wait: Wait | null = null): TaskView {
  const { result, error, batchId, retryOf, webhook, placement, timeoutSeconds } = task;
  const usage = usageOf(task);
  return {
    task_id: task.id,
    gpu_id: shownGpuId(task),
    status: task.status,
    user: task.user,
    ...(result && { result: viewOfResult(result, task.sampling.seed) }),
    ...(error && { error: isInside ? error.sentence : publicFailure(error, shownGpuId(task)), error_code: error.code }),
    ...(usage && { usage }),
    timing: timingOf(task),
    created_at: isoTime(task.createdAt),
    started_at: isoTimeOrNull(task.startedAt),
    finished_at: isoTimeOrNull(task.finishedAt),
    strategy: task.strategy,
    task_type: task.taskType,
    ...modelOf(task),
    // Nothing is drawn for vectors, and only their tasks have no tokens to generate.
    ...(task.sampling.maxTokens === 0 ? { kind: "embedding" as const } : viewOfSampling(task.sampling)),
    priority: task.priority,
    timeout_seconds: timeoutSeconds,
    deadline_at: isoTimeOrNull(timeoutSeconds === null ? null : task.createdAt + timeoutSeconds * 1000),
    ...(batchId !== null && { batch_id: batchId }),
    ...(retryOf !== null && { retry_of: retryOf }),
    ...(webhook && { webhook_url: webhook.url }),
    attempts: task.attempts.map((attempt) => viewOfAttempt(attempt, isInside)),
    ...(task.texts !== "keep" && viewOfTexts(task)),
    ...(placement && { placement: viewOfPlacement(placement) }),
    ...(wait && { waiting: viewOfWait(wait, isInside) }),
  };
}

function viewOfTexts(task: ListedSnapshot): Pick<TaskView, "texts" | "text_gone"> {
  const gone = whyGone(task);
  return { ...(task.texts !== "keep" && { texts: task.texts }), ...(gone !== null && { text_gone: gone }) };
}

export function viewOfDryRun({ gpuId, placement, wait }: DryRun, isInside: boolean): DryRunAnswer {
  return {
    gpu_id: gpuId,
    status: wait === null ? "running" : "queued",
    placement: placement && viewOfPlacement(placement),
    waiting: wait && viewOfWait(wait, isInside),
  };
}

export function viewOfCaller({ user, running, queued, share, limits }: CallerFacts): CallersAnswer["callers"][number] {
  return {
    user,
    running,
    queued,
    share,
    limits: {
      weight: limits.weight,
      max_running: limits.maxRunning,
      max_queued: limits.maxQueued,
      requests_per_minute: limits.requestsPerMinute,
      tokens_per_minute: limits.tokensPerMinute,
    },
  };
}

export function viewOfTeam({ name, running, queued, limits }: TeamFacts): CallersAnswer["teams"][number] {
  return {
    name,
    running,
    queued,
    limits: {
      max_running: limits.maxRunning,
      max_queued: limits.maxQueued,
      requests_per_minute: limits.requestsPerMinute,
      tokens_per_minute: limits.tokensPerMinute,
    },
  };
}

export function viewOfBudget({ used, reserved, resetsAt, ...budget }: BudgetFacts): BudgetView {
  return { ...budget, used: rounded(used), reserved: rounded(reserved), resets_at: isoTime(resetsAt) };
}

export function viewOfRequest(request: Request): RequestView {
  switch (request.kind) {
    case "completion": {
      const { text, raw, sampling } = request;
      return { text, ...(raw !== undefined && { raw }), ...viewOfForm(request), ...viewOfSampling(sampling) };
    }
    case "chat":
      return {
        messages: request.messages.map(viewOfMessage),
        ...viewOfForm(request),
        ...viewOfSampling(request.sampling),
      };
    case "embedding":
      return { input: [...request.inputs] };
  }
}

function viewOfWait({ reason, sentence, detail, since, ahead }: Wait, isInside: boolean): WaitView {
  const words = isInside && detail !== null ? `${sentence} ${detail}` : sentence;
  return { reason, sentence: words, since: isoTime(since), ahead };
}

/** The one that runs it or ran it; until then the one that it asks for. */
function modelOf({ model, ranModel }: Pick<ListedSnapshot, "model" | "ranModel">): { model?: string } {
  const shown = ranModel ?? model;
  return shown === null ? {} : { model: shown };
}

function viewOfAttempt(attempt: Attempt, isInside: boolean): TaskView["attempts"][number] {
  const { gpuId, startedAt, endedAt, reason, alone, unlisted } = attempt;
  const error = isInside ? attempt.error : publicAttempt(attempt);
  return {
    gpu_id: gpuId,
    started_at: isoTime(startedAt),
    ended_at: isoTimeOrNull(endedAt),
    reason,
    ...(alone === true && { alone }),
    ...(error !== undefined && { error }),
    ...(unlisted !== undefined && { unlisted }),
  };
}

/** As OpenAI's API has it. */
export function viewOfToken({ top, ...token }: TokenLogprob): TokenLogprobView {
  return { ...viewOfLikely(token), top_logprobs: top.map(viewOfLikely) };
}

function viewOfLikely({ token, logprob, bytes }: LikelyToken) {
  return { token, logprob, bytes: [...bytes] };
}

function viewOfResult(result: TaskResult, seed: number | undefined): NonNullable<TaskView["result"]> {
  const { reasoning, embeddings, toolCalls, logprobs, mismatch } = result;
  return {
    text: result.text,
    ...(reasoning !== undefined && { reasoning }),
    ...(toolCalls && { tool_calls: toolCalls.map(viewOfToolCall) }),
    ...(logprobs && { logprobs: logprobs.map(viewOfToken) }),
    ...(mismatch !== undefined && { mismatch }),
    ...(embeddings && { embeddings: embeddings.map(numbersOf) }),
    execution_time: result.executionTime,
    timestamp: isoTime(result.timestamp),
    finish_reason: result.finishReason,
    usage: {
      prompt_tokens: result.promptTokens,
      completion_tokens: result.completionTokens,
      cached_tokens: result.cachedTokens,
    },
    ...(seed !== undefined && { seed }),
  };
}

function viewOfPlacement(placement: NonNullable<TaskSnapshot["placement"]>): NonNullable<TaskView["placement"]> {
  return {
    strategy: placement.strategy,
    gpu_id: placement.gpuId,
    reason: sentenceOf(placement.reason, placement.gpuId),
    candidates: placement.candidates.map(({ gpuId, score }) => ({ gpu_id: gpuId, score })),
    others: Object.fromEntries(Object.entries(placement.others).map(([why, count]) => [wordsOf(why), count])),
    ...(placement.expectedTokens !== undefined && { expected_tokens: placement.expectedTokens }),
  };
}

export function viewOfSubmitted({ id, gpuId, status }: Submission["tasks"][number]): TaskSummary {
  return { task_id: id, gpu_id: gpuId, status };
}

export function viewOfBatch({ batch, counts, status }: BatchSnapshot): BatchView {
  const { queued, running, completed, failed, canceled } = counts;
  return {
    batch_id: batch.id,
    status,
    total: queued + running + completed + failed + canceled,
    size: batch.size,
    counts: { queued, running, completed, failed, canceled },
    // Tasks that are no longer kept had ended.
    progress: (batch.size - queued - running) / batch.size,
    created_at: isoTime(batch.createdAt),
    finished_at: isoTimeOrNull(batch.finishedAt),
  };
}

export function viewOfDelivery(delivery: Delivery, isInside: boolean): DeliveriesAnswer["webhooks"][number] {
  return {
    webhook_id: delivery.id,
    event: delivery.event,
    url: delivery.url,
    status: delivery.status,
    created_at: isoTime(delivery.createdAt),
    next_attempt_at: delivery.status === "pending" ? isoTime(delivery.nextAt) : null,
    attempts: delivery.attempts.map(({ at, status, error, duration }) => ({
      at: isoTime(at),
      status_code: status,
      error: error === null || isInside ? error : publicTry(error),
      duration: duration / 1000,
    })),
  };
}

export function viewOfSecret({ secret, createdAt, previousUntil }: SecretView): SecretAnswer {
  return { secret, created_at: isoTime(createdAt), previous_until: isoTimeOrNull(previousUntil) };
}

export function viewOfGpu(gpu: GpuStatus): GpuView {
  return {
    id: gpu.id,
    name: gpu.name,
    utilization: gpu.utilization,
    memory_used: wholeBytes(gpu.memoryUsed),
    memory_total: wholeBytes(gpu.memoryTotal),
    task_count: gpu.taskCount,
    ...(gpu.machine !== undefined && { machine: gpu.machine }),
    ...identityOf(gpu),
    kind: gpu.kind,
    status: gpu.status,
    reason: gpu.reason,
    since: isoTime(gpu.since),
    crowded: gpu.crowded && wordsOf(gpu.crowded),
    slots: gpu.slots,
    load: gpu.load,
    ...measuredOn(gpu),
    model: gpu.model,
    model_name: gpu.modelName,
    capabilities: gpu.capabilities === null ? null : [...gpu.capabilities],
    chat_template: gpu.hasChatTemplate,
    context: gpu.context,
    memory_note: gpu.memoryNote,
    device: gpu.device,
    restarts: gpu.restarts,
    instances: gpu.instances.map((one) => ({ model: one.model, ...viewOfInstance(one) })),
    settings: gpu.settings === null ? null : [...gpu.settings],
    upstream: viewOfUpstream(gpu.upstream),
  };
}

function viewOfInstance(instance: InstanceStatus) {
  return {
    state: instance.state,
    reason: instance.reason,
    memory_bytes: wholeBytes(instance.memoryBytes),
    load_seconds: instance.loadSeconds,
    last_used_at: isoTimeOrNull(instance.lastUsedAt),
    running: instance.running,
    slots: instance.slots,
    context: instance.context,
    kv_bytes_per_token: instance.kvBytesPerToken,
  };
}

export function viewOfModel(model: CatalogModel): ModelView {
  return {
    name: model.name,
    aliases: [...model.aliases],
    origin: model.origin,
    source: model.source,
    commit: model.commit,
    licence: model.licence,
    size_bytes: model.sizeBytes,
    context: model.context,
    capabilities: model.capabilities === null ? null : [...model.capabilities],
    load: model.load,
    keep_alive: model.keepAlive,
    fetch: model.fetch,
    instances: model.instances.map((one) => ({ gpu_id: one.gpuId, ...viewOfInstance(one) })),
  };
}

function viewOfUpstream(upstream: GpuStatus["upstream"]): GpuView["upstream"] {
  if (upstream === null) return null;
  const { running, waiting, kvCacheUse, slots } = upstream;
  return { running, waiting, kv_cache_use: kvCacheUse, slots };
}

/** One GPU has one name; only several that hold one model together have a list. */
function identityOf({ uuids, pciBusIds }: GpuStatus): Partial<GpuView> {
  if (uuids.length > 1) return { uuids: [...uuids], pci_bus_ids: [...pciBusIds] };
  return { uuid: uuids[0], pci_bus_id: pciBusIds[0] ?? null };
}

function measuredOn(gpu: GpuStatus) {
  return {
    temperature: gpu.temperature,
    max_temperature: gpu.maxTemperature,
    power: gpu.power,
    power_limit: gpu.powerLimit,
    energy: gpu.energy,
    throttle: gpu.throttle,
    ecc: gpu.ecc,
    xids: { ...gpu.xids },
    others_memory: gpu.othersMemory,
    others_utilization: gpu.othersUtilization,
    memory_free: wholeBytes(gpu.memoryFree),
    compute_capability: gpu.computeCapability,
  };
}

/** @param running the tasks on it that the caller may see */
export function detailsOfGpu(gpu: GpuStatus, running: readonly RunningTask[]): GpuDetails {
  return {
    ...viewOfGpu(gpu),
    pid: gpu.pid,
    processes: gpu.processes?.map((user) => ({ ...user, memory: wholeBytes(user.memory) })) ?? null,
    events: gpu.events.map(({ at, event, reason }) => ({ at: isoTime(at), event, reason })),
    running_tasks: running.map(({ id, user, startedAt }) => ({
      task_id: id,
      user,
      started_at: isoTimeOrNull(startedAt),
    })),
  };
}

/** A share of a device's memory may end in a fraction, which the schema of the answer would refuse. */
function wholeBytes(bytes: number | null): number | null {
  return bytes === null ? null : Math.round(bytes);
}

export function isoTimeOrNull(milliseconds: number | null): string | null {
  return milliseconds === null ? null : isoTime(milliseconds);
}
