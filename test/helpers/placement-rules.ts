/** The rules of placement told a second time, as plainly as they can be and without the scheduler's code, for tests to compare with. */
import { type GpuFacts } from "../../src/gpu/status.ts";
import { type Task } from "../../src/task.ts";

/** What waits as one: a task, or the tasks of a batch that is not to be split and has no GPU. */
export type Group = readonly Task[];

export interface Situation {
  /** As they were told last. */
  readonly gpus: readonly GpuFacts[];
  /** All there ever were. */
  readonly tasks: readonly Task[];
  readonly mappings: ReadonlyMap<string, ReadonlySet<number>>;
  readonly maxCrashes: number;
}

export const serves = ({ state }: GpuFacts): boolean => ["starting", "ready", "hot"].includes(state);
export const mayReturn = ({ state }: GpuFacts): boolean => !["unfit", "lost"].includes(state);

export function runningOn({ tasks }: Situation, { id }: GpuFacts): Task[] {
  return tasks.filter((task) => task.status === "running" && task.gpuId === id);
}

/** What waits, oldest first. */
export function waitingGroups({ tasks }: Situation): Group[] {
  const queued = tasks.filter(({ status }) => status === "queued");
  const groups = Map.groupBy(queued, (task) => (task.wholeBatch && task.gpuId === null ? task.batchId : task));
  return [...groups.values()].toSorted((a, b) => a[0]!.seq - b[0]!.seq);
}

/** Whether a GPU takes tasks and has a slot. */
export function isOpen(situation: Situation, gpu: GpuFacts): boolean {
  return gpu.state === "ready" && gpu.crowded === null && runningOn(situation, gpu).length < gpu.slots;
}

export function isAllowed({ gpus, mappings }: Situation, gpu: GpuFacts, [task]: Group): boolean {
  if (task!.gpuId !== null) return task!.gpuId === gpu.id;
  const mapped = task!.strategy === "task_specific" ? mappings.get(task!.taskType) : undefined;
  const serving = gpus.filter((other) => mapped?.has(other.id) && serves(other));
  return serving.length === 0 || mapped!.has(gpu.id);
}

/** Whether a GPU can hold all the texts; one whose model is not known yet may. */
export function holds({ context, maxTokenBytes }: GpuFacts, group: Group): boolean {
  return group.every(({ text }) => context === null || Math.ceil(Buffer.byteLength(text) / maxTokenBytes) < context);
}

/** Whether a GPU should be passed over, because another one that may return can hold the texts, and it cannot. */
export function isTooSmall(situation: Situation, gpu: GpuFacts, group: Group): boolean {
  const able = situation.gpus.filter(
    (other) => mayReturn(other) && isAllowed(situation, other, group) && holds(other, group),
  );
  return able.length > 0 && !holds(gpu, group);
}

export function hasFailedUnder(gpu: GpuFacts, group: Group): boolean {
  const ends = group.flatMap(({ attempts }) => attempts.filter(({ gpuId }) => gpuId === gpu.id));
  return ends.some(({ reason }) => reason === "worker_crash" || reason === "gpu_lost");
}

/** Whether the GPU failed under the group, and there is a serving one that the group is for. */
export function isExcluded(situation: Situation, gpu: GpuFacts, group: Group): boolean {
  const better = situation.gpus.filter(
    (other) =>
      serves(other) &&
      other.state !== "hot" &&
      other.crowded === null &&
      isAllowed(situation, other, group) &&
      !isTooSmall(situation, other, group) &&
      !hasFailedUnder(other, group),
  );
  return better.length > 0 && hasFailedUnder(gpu, group);
}

export function mustRunAlone({ maxCrashes }: Situation, { attempts }: Task): boolean {
  return attempts.filter(({ reason }) => reason === "worker_crash").length >= maxCrashes - 1;
}

/** Whether a group may go to a GPU, however busy that is. */
export function isFor(situation: Situation, gpu: GpuFacts, group: Group): boolean {
  return isAllowed(situation, gpu, group) && !isTooSmall(situation, gpu, group) && !isExcluded(situation, gpu, group);
}

/** Whether the first of a waiting group should run there now. */
export function couldRun(situation: Situation, gpu: GpuFacts, group: Group): boolean {
  if (!isOpen(situation, gpu) || !isFor(situation, gpu, group)) return false;
  const running = runningOn(situation, gpu);
  if (mustRunAlone(situation, group[0]!)) return running.length === 0;
  const older = waitingGroups(situation).filter(([first]) => first!.seq < group[0]!.seq);
  const isAwaited = older.some((other) => mustRunAlone(situation, other[0]!) && isFor(situation, gpu, other));
  return !isAwaited && !running.some((task) => mustRunAlone(situation, task));
}
