/** The log's lines about tasks. */
import { sentenceOf } from "../reasons.ts";
import { shownGpuId, type Task } from "../task.ts";

export function acceptedLine({ id, user, batchId, estimatedTokens }: Task): object {
  return { task: id, user, batch: batchId, estimatedTokens };
}

export function placedLine(task: Task): object {
  const { id, gpuId, placement } = task;
  return { task: id, gpu: gpuId, reason: placement && sentenceOf(placement.reason, placement.gpuId) };
}

export function endLine(task: Task): object {
  const { result, error } = task;
  return {
    task: task.id,
    gpu: shownGpuId(task),
    ...(result && { tokens: result.completionTokens, seconds: result.executionTime }),
    ...(error && { code: error.code, reason: error.sentence }),
  };
}
