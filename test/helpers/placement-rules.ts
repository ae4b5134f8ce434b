/** The rules of placement told a second time, as plainly as they can be and without the scheduler's code, for tests to compare with. */
import { type FlatFacts } from "./scheduling.ts";
import { PRIORITIES, type Task } from "../../src/task.ts";

/** What waits as one: a task, or the tasks of a batch that is not to be split and has no GPU. */
export type Group = readonly Task[];

export interface Situation {
  /** As they were told last. */
  readonly gpus: readonly FlatFacts[];
  /** All there ever were. */
  readonly tasks: readonly Task[];
  readonly mappings: ReadonlyMap<string, ReadonlySet<number>>;
  /** Tasks of one user, or of one team, that may run at once. */
  readonly maxRunning: ReadonlyMap<string, number>;
  /** Tasks that were cut off and have to pause. */
  readonly resting: (task: Task) => boolean;
  /** The task for which a GPU is being emptied. */
  readonly reservedFor: (gpu: FlatFacts) => Task | null;
}

export const serves = ({ state }: FlatFacts): boolean => ["starting", "ready", "hot"].includes(state);
export const mayReturn = ({ state }: FlatFacts): boolean => !["unfit", "lost"].includes(state);

export function runningOn({ tasks }: Situation, { id }: FlatFacts): Task[] {
  return tasks.filter((task) => task.status === "running" && task.gpuId === id);
}

/** What waits and does not have to pause, oldest first. */
export function waitingGroups({ tasks, resting }: Situation): Group[] {
  const queued = tasks.filter((task) => task.status === "queued" && !resting(task));
  const groups = Map.groupBy(queued, (task) => (task.wholeBatch && task.boundTo === null ? task.batchId : task));
  return [...groups.values()].toSorted((a, b) => a[0]!.seq - b[0]!.seq);
}

/** Seconds that a task rests after more than three servers in a row that were full, and asked for no time. */
export function restsOf(attempts: Task["attempts"]): number {
  const full = attempts.slice(attempts.findLastIndex(({ reason }) => reason !== "gpu_full") + 1);
  const refusals = full.reduce((sum, { unlisted = 0 }) => sum + 1 + unlisted, 0);
  return refusals > 3 ? Math.min(2 ** (refusals - 4), 15) : 0;
}

/** Whether a GPU takes tasks and has a slot. */
export function isOpen(situation: Situation, gpu: FlatFacts): boolean {
  return gpu.state === "ready" && gpu.crowded === null && runningOn(situation, gpu).length < gpu.slots;
}

export function isAllowed({ gpus, mappings }: Situation, gpu: FlatFacts, group: Group): boolean {
  const task = group[0]!;
  if (task.boundTo !== null) return task.boundTo === gpu.id;
  const mapped = task.strategy === "task_specific" ? mappings.get(task.taskType) : undefined;
  const serving = gpus.filter((other) => mapped?.has(other.id) && serves(other) && suits(other, group));
  return serving.length === 0 || mapped!.has(gpu.id);
}

/** Whether a GPU's model is the one that each task names, if any, and can do what it asks. One that is not known yet may be. */
export function suits({ modelName, can }: FlatFacts, group: Group): boolean {
  return group.every(
    ({ model, needs }) =>
      (model === null || modelName === null || modelName === model) && needs.every((need) => can?.has(need) ?? true),
  );
}

/** Whether no GPU will ever do all that a group asks: one at least is known, and none that may return, or is known, suits it. */
export function waitsInVain({ gpus }: Situation, group: Group): boolean {
  const pinned = group[0]!.pinnedGpuId;
  const wanted = gpus.filter(({ id }) => pinned === null || id === pinned);
  return (
    wanted.some(({ can }) => can !== null) &&
    !wanted.some((gpu) => suits(gpu, group) && (gpu.can !== null || mayReturn(gpu)))
  );
}

/** Whether a GPU can hold all the texts that are to be continued; one whose model is not known yet may. */
export function holds({ context, maxTokenBytes }: FlatFacts, group: Group): boolean {
  const texts = group.filter(({ needs }) => !needs.includes("embedding"));
  return texts.every(({ size }) => context === null || Math.ceil(size / maxTokenBytes) < context);
}

/** Whether a GPU should be passed over, because another one that may return can hold the texts, and it cannot. */
export function isTooSmall(situation: Situation, gpu: FlatFacts, group: Group): boolean {
  const able = situation.gpus.filter(
    (other) => mayReturn(other) && isAllowed(situation, other, group) && suits(other, group) && holds(other, group),
  );
  return able.length > 0 && !holds(gpu, group);
}

export function hasFailedUnder(gpu: FlatFacts, group: Group): boolean {
  const ends = group.flatMap(({ attempts }) => attempts.filter(({ gpuId }) => gpuId === gpu.id));
  return ends.some(({ reason }) => ["worker_crash", "gpu_lost", "out_of_memory"].includes(reason!));
}

/** Whether the GPU failed under the group, and there is a serving one that the group is for. */
export function isExcluded(situation: Situation, gpu: FlatFacts, group: Group): boolean {
  const better = situation.gpus.filter(
    (other) =>
      serves(other) &&
      other.state !== "hot" &&
      other.crowded === null &&
      isAllowed(situation, other, group) &&
      suits(other, group) &&
      !isTooSmall(situation, other, group) &&
      !hasFailedUnder(other, group),
  );
  return better.length > 0 && hasFailedUnder(gpu, group);
}

/** Whether a worker died under a task, which therefore has to run alone. */
export function isSuspect({ attempts }: Task): boolean {
  return attempts.some(({ reason }) => reason === "worker_crash");
}

/** Whether its user or its team may have no more running. */
export function isCapped({ tasks, maxRunning }: Situation, { user, team }: Task): boolean {
  const running = tasks.filter(({ status }) => status === "running");
  const isFull = (name: string, own: Task[]): boolean => own.length >= (maxRunning.get(name) ?? Infinity);
  if (
    isFull(
      user,
      running.filter((task) => task.user === user),
    )
  )
    return true;
  return (
    team !== null &&
    isFull(
      team,
      running.filter((task) => task.team === team),
    )
  );
}

/** Whether a group may go to a GPU, however busy that is. */
export function isFor(situation: Situation, gpu: FlatFacts, group: Group): boolean {
  return (
    isAllowed(situation, gpu, group) &&
    suits(gpu, group) &&
    !isTooSmall(situation, gpu, group) &&
    !isExcluded(situation, gpu, group)
  );
}

/** Whether the first of a waiting group should run there now. */
export function couldRun(situation: Situation, gpu: FlatFacts, group: Group): boolean {
  const first = group[0]!;
  if (!isOpen(situation, gpu) || !isFor(situation, gpu, group)) return false;
  if (isCapped(situation, first)) return false;
  const running = runningOn(situation, gpu);
  const reservedFor = situation.reservedFor(gpu);
  if (isSuspect(first)) return running.length === 0 && (reservedFor === null || reservedFor === first);
  return reservedFor === null && !running.some(isSuspect);
}

/**
 * What comes next on a GPU that has a slot: of the caller with the lowest tag, what has the highest priority, lifted by one for each
 * `ageing` milliseconds of its age, and of that the oldest. Between callers with the same tag the older one comes first.
 */
export function nextOn(
  situation: Situation,
  gpu: FlatFacts,
  { tagOf, now, ageing }: { readonly tagOf: (user: string) => number; readonly now: number; readonly ageing: number },
): Group | undefined {
  const levelOf = ([task]: Group): number =>
    Math.max(0, PRIORITIES.indexOf(task!.priority) - Math.floor((now - task!.createdAt) / ageing));
  const groups = waitingGroups(situation).filter((group) => isFor(situation, gpu, group));
  const firsts = [...Map.groupBy(groups, ([task]) => task!.user).values()].map((own) =>
    own.reduce((a, b) => (levelOf(b) < levelOf(a) ? b : a)),
  );
  return firsts.toSorted((a, b) => tagOf(a[0]!.user) - tagOf(b[0]!.user) || a[0]!.seq - b[0]!.seq)[0];
}
