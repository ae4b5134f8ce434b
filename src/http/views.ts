/** Tasks and GPUs as clients see them. */
import { type GpuStatus } from "../gpu/status.ts";
import { type Submission, type TaskSnapshot } from "../scheduler/tasks.ts";
import { type TaskResult } from "../task.ts";
import { type GpuView, type TaskSummary, type TaskView } from "./schemas.ts";

export function viewOfTask(task: Omit<TaskSnapshot, "text">): TaskView {
  const { result, error, batchId, placement } = task;
  return {
    task_id: task.id,
    gpu_id: task.gpuId,
    status: task.status,
    ...(result && { result: viewOfResult(result) }),
    ...(error && { error: error.sentence, error_code: error.code }),
    created_at: isoTime(task.createdAt),
    started_at: isoTimeOrNull(task.startedAt),
    finished_at: isoTimeOrNull(task.finishedAt),
    strategy: task.strategy,
    task_type: task.taskType,
    ...(batchId !== null && { batch_id: batchId }),
    attempts: task.attempts.map(({ gpuId, startedAt, endedAt, reason }) => ({
      gpu_id: gpuId,
      started_at: isoTime(startedAt),
      ended_at: isoTimeOrNull(endedAt),
      reason,
    })),
    ...(placement && { placement: viewOfPlacement(placement) }),
  };
}

function viewOfResult(result: TaskResult): NonNullable<TaskView["result"]> {
  return {
    text: result.text,
    execution_time: result.executionTime,
    timestamp: isoTime(result.timestamp),
    finish_reason: result.finishReason,
    usage: { prompt_tokens: result.promptTokens, completion_tokens: result.completionTokens },
  };
}

function viewOfPlacement(placement: NonNullable<TaskSnapshot["placement"]>): NonNullable<TaskView["placement"]> {
  return {
    strategy: placement.strategy,
    gpu_id: placement.gpuId,
    reason: placement.reason,
    candidates: placement.candidates.map(({ gpuId, score }) => ({ gpu_id: gpuId, score })),
    others: { ...placement.others },
  };
}

export function viewOfSubmitted({ id, gpuId, status }: Submission["tasks"][number]): TaskSummary {
  return { task_id: id, gpu_id: gpuId, status };
}

export function viewOfGpu(gpu: GpuStatus): GpuView {
  return {
    id: gpu.id,
    name: gpu.name,
    utilization: gpu.utilization,
    memory_used: gpu.memoryUsed,
    memory_total: gpu.memoryTotal,
    task_count: gpu.taskCount,
    uuid: gpu.uuid,
    kind: gpu.kind,
    status: gpu.status,
    reason: gpu.reason,
    since: isoTime(gpu.since),
    slots: gpu.slots,
    load: gpu.load,
    model: gpu.model,
    context: gpu.context,
    restarts: gpu.restarts,
  };
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

function isoTimeOrNull(milliseconds: number | null): string | null {
  return milliseconds === null ? null : isoTime(milliseconds);
}
