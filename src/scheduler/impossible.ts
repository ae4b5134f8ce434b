/** Why a task could never run: for the refusal of a new one, and for the end of one that waits in vain. */
import { atLeast, atMost } from "../common/sizes.ts";
import { AltLasError, type ErrorCode } from "../errors.ts";
import { mayServeAgain } from "../gpu/facts.ts";
import type { Need } from "../request.ts";
import type { Task, TaskError } from "../task.ts";
import { type Demand, demandOf, lackOf, mayEverDo } from "./demand.ts";
import type { Eligibility } from "./eligibility.ts";
import type { Fleet } from "./fleet.ts";
import { type Instance, leastTokens } from "./placement.ts";

/** When no GPU is usable, only an operator can mend it; a client may try again after this many seconds. */
export const NO_GPU_RETRY_SECONDS = 60;
/** Seconds after which a model that is being loaded may be known. */
const LOADING_RETRY_SECONDS = 5;

/** The engine that honours all sampling. */
const HONOURS_ALL = "engine.kind llama";

/** Where a chat template is rendered here, the syntax of its calls has to be known here, too. */
const TOOLS_BY =
  "a model whose chat template calls them in a syntax that is known here, or the server behind engine.kind openai,";

/** The abilities for which requests have a kind: the field that asks for them, what it wants, and what could do it. */
const ABILITIES: Readonly<
  Partial<Record<Need, { readonly field: string; readonly done: string; readonly by: string }>>
> = {
  completion: { field: "text", done: "continued", by: "a model that generates text" },
  chat: { field: "messages", done: "answered", by: "a model with a chat template" },
  embedding: { field: "input", done: "made into vectors", by: "an embedding model" },
  json_schema: { field: "response_format", done: "kept to", by: HONOURS_ALL },
  tools: { field: "tools", done: "called", by: TOOLS_BY },
  logprobs: { field: "logprobs", done: "told", by: HONOURS_ALL },
};

export class Impossible {
  readonly #fleet: Fleet;
  readonly #eligibility: Pick<Eligibility, "isEverPossible">;

  constructor(fleet: Fleet, eligibility: Pick<Eligibility, "isEverPossible">) {
    this.#fleet = fleet;
    this.#eligibility = eligibility;
  }

  /** Why a new task is refused, with this machine and this configuration; null: it is not. @param index in its batch; null: it is not named */
  refusal(task: Task, index: number | null): AltLasError | null {
    const { model, pinnedGpuId } = task;
    // An instance that is not loaded may turn out to be the model that is named, but a wrong name must not wait for that.
    const isKnown = model === null || this.#fleet.models.has(model);
    const tooLarge = this.#tooLarge(task);
    if (tooLarge !== null) return aboutField("model_too_large", `${positionIn(task, index)}${tooLarge}`);
    if (isKnown && this.#eligibility.isEverPossible(task)) return null;
    const at = positionIn(task, index);
    const wanted = this.#wanted(pinnedGpuId);
    const usable = wanted.filter(({ facts }) => mayServeAgain(facts.state));
    if (usable.length === 0) return this.#noGpu(wanted, task);
    if (!isKnown) return this.#unknownModel(at, model);
    const named = wanted.filter(({ facts }) => lackOf(facts, { model, needs: [] }) === null);
    if (named.length === 0) return unsupported(this.#otherModel(task, at));
    const able = named.filter(({ facts }) => mayServeAgain(facts.state));
    if (able.length === 0) return this.#noGpu(named, task);
    const suitable = able.filter(({ facts }) => lackOf(facts, task) === null);
    return suitable.length === 0 ? unsupported(this.#cannot(task, able, at)) : tooLong(task, suitable, at);
  }

  /**
   * Why tasks that are to run on one instance are refused although each may run by itself: they name several models, or no model can do all
   * that they ask; null: they are not.
   */
  refusalTogether(tasks: readonly Task[]): AltLasError | null {
    const demand = demandOf(tasks);
    if (demand === tasks[0]) return null;
    const names = new Set(tasks.flatMap(({ model }) => model ?? []));
    const canAll = ({ facts }: Instance): boolean => mayServeAgain(facts.state) && lackOf(facts, demand) === null;
    if (names.size <= 1 && this.#wanted(tasks[0]!.pinnedGpuId).some(canAll)) return null;
    const why = names.size > 1 ? `it names ${names.size} models` : "no GPU can do all that its items ask";
    return unsupported(`gpu_options.batch_split cannot be false for this batch: ${why}.`);
  }

  /** Why a task waits in vain: none of the GPUs that it may go to can do it; null: it does not. It may wait for GPUs that fail now. */
  inVain({ pinnedGpuId, model, needs }: Demand & Pick<Task, "pinnedGpuId">): TaskError | null {
    const demand = { model, needs };
    const tooLarge = this.#tooLarge({ model, pinnedGpuId });
    if (tooLarge !== null) return { code: "model_too_large", sentence: tooLarge };
    const failed = this.#failedToLoad({ model, pinnedGpuId });
    if (failed !== null) return { code: "model_error", sentence: failed };
    const isNamed = model === null || this.#fleet.models.has(model);
    const misnamed = (): TaskError => ({ code: "model_not_found", sentence: this.#misnamed("", model ?? "") });
    // No instance may turn out to have that model.
    if (!isNamed && this.#fleet.all.every(({ facts }) => facts.modelName !== null)) return misnamed();
    if (this.#fleet.suitableFor(demand) === null) return null;
    const wanted = this.#wanted(pinnedGpuId);
    // Models by name are known before they are loaded.
    const isKnown = wanted.some(({ facts }) => facts.can !== null || (model !== null && facts.modelName !== null));
    if (!isKnown || wanted.some(({ facts }) => mayEverDo(facts, demand))) return null;
    if (!isNamed) return misnamed();
    const named = wanted.filter(({ facts }) => lackOf(facts, { model, needs: [] }) === null);
    const task = { model, needs, pinnedGpuId };
    const sentence = named.length === 0 ? this.#otherModel(task, "") : this.#cannot(task, named, "");
    return { code: "unsupported", sentence: `No GPU is left for this task: ${sentence}` };
  }

  /**
   * Why a new task would be refused of which nothing is known but where it may go, when no GPU there has ever loaded a model; null: one has,
   * or may serve yet. A GPU that has once served may be mended.
   */
  unserved(pinnedGpuId: number | null): TaskError | null {
    const wanted = this.#wanted(pinnedGpuId);
    if (wanted.some(({ facts: { state, can } }) => mayServeAgain(state) || can !== null)) return null;
    const { code, message } = this.#noGpu(wanted, { model: null, pinnedGpuId });
    return { code, sentence: message };
  }

  /** Why the model that a task names could be loaded nowhere, with both numbers; null: it could, or is there. */
  #tooLarge({ model, pinnedGpuId }: Pick<Task, "model" | "pinnedGpuId">): string | null {
    return this.tooLargeFor(this.#named(model, pinnedGpuId), pinnedGpuId);
  }

  /**
   * Why the model of these instances fits on none of them, even with everything else unloaded, with both numbers; null: it does.
   * @param gpuId the only GPU that is wanted; null: any is
   */
  tooLargeFor(instances: readonly Instance[], gpuId: number | null): string | null {
    const lacks = instances.map((instance) => lackOfRoom(instance, this.#fleet.on(instance.gpuId)));
    if (lacks.length === 0 || lacks.includes(null)) return null;
    const least = lacks.reduce((one, other) => (one!.needed - one!.room <= other!.needed - other!.room ? one : other))!;
    const where = gpuId === null ? "no GPU has" : `GPU ${gpuId} has not`;
    const { modelName } = instances[0]!.facts;
    return `model ${modelName} needs ${atLeast(least.needed)}, and ${where} more than ${atMost(least.room)} for it.`;
  }

  /** Why the model that a task names is nowhere, and is not loaded by itself again; null: it is somewhere, or may be. */
  #failedToLoad({ model, pinnedGpuId }: Pick<Task, "model" | "pinnedGpuId">): string | null {
    const named = this.#named(model, pinnedGpuId);
    if (named.length === 0 || named.some(({ facts }) => mayServeAgain(facts.state))) return null;
    const reasons = named.map(({ gpuId, facts }) => `GPU ${gpuId}: ${facts.reason}`);
    return `The model ${model} cannot be loaded. ${reasons.join(" ")}`;
  }

  /** The instances of a model that comes and goes. */
  #named(model: string | null, pinnedGpuId: number | null): readonly Instance[] {
    if (model === null || !this.#fleet.hasGuests) return [];
    return this.#wanted(pinnedGpuId).filter(
      ({ facts: { modelName, residency, retired } }) => modelName === model && !residency.pinned && !retired,
    );
  }

  #wanted(pinnedGpuId: number | null): readonly Instance[] {
    return pinnedGpuId === null ? this.#fleet.all : this.#fleet.on(pinnedGpuId);
  }

  /** @param wanted the ones that come into question, none of which is usable */
  #noGpu(wanted: readonly Instance[], { model, pinnedGpuId }: Pick<Task, "model" | "pinnedGpuId">): AltLasError {
    const { gpuIds } = this.#fleet;
    if (pinnedGpuId !== null && !gpuIds.includes(pinnedGpuId)) {
      const ids = gpuIds.join(", ");
      const sentence = `gpu_options.specific_gpu_id must be the id of a GPU (${ids}); got ${pinnedGpuId}.`;
      return aboutField("invalid_input", sentence);
    }
    const reasons = wanted.map(({ gpuId, facts }) => `GPU ${gpuId}: ${facts.reason ?? `It is ${facts.state}.`}`);
    const what =
      pinnedGpuId !== null
        ? `GPU ${pinnedGpuId} cannot run tasks`
        : wanted.length < this.#fleet.all.length
          ? `No GPU with the model ${model} can run tasks`
          : "No GPU can run tasks";
    return new AltLasError("no_usable_gpu", [`${what}.`, ...reasons].join(" "), { retryAfter: NO_GPU_RETRY_SECONDS });
  }

  #unknownModel(at: string, model: string): AltLasError {
    const loading = this.#fleet.all.filter(({ facts }) => facts.modelName === null && facts.state === "starting");
    if (loading.length === 0) return aboutField("model_not_found", this.#misnamed(at, model));
    const ids = [...new Set(loading.map(({ gpuId }) => gpuId))];
    const who =
      ids.length === 1 ? `GPU ${ids[0]} is still loading its model` : `GPUs ${ids.join(", ")} are still loading`;
    const known = this.#names === "" ? "none is known yet" : `known are ${this.#names}`;
    const sentence = `${at}model asks for "${model}", while ${who}; ${known}. Try again in ${LOADING_RETRY_SECONDS} s.`;
    return aboutField("not_ready", sentence, LOADING_RETRY_SECONDS);
  }

  #misnamed(at: string, model: string): string {
    const known = this.#names === "" ? "none is loaded" : this.#names;
    return `${at}model must be the name of a model (${known}); got "${model}".`;
  }

  get #names(): string {
    return [...this.#fleet.models].join(", ");
  }

  /** The pinned GPU has another model than the one that is named. */
  #otherModel({ model, pinnedGpuId }: Pick<Task, "model" | "pinnedGpuId">, at: string): string {
    const has = this.#fleet.on(pinnedGpuId!).flatMap(({ facts }) => facts.modelName ?? []);
    const elsewhere = this.#fleet.all.filter(({ facts }) => facts.modelName === model).map(({ gpuId }) => gpuId);
    const ids = [...new Set(elsewhere)].join(", ");
    return `${at}model cannot be ${model} on GPU ${pinnedGpuId}, which has ${has.join(", ")}; GPU ${ids} has it.`;
  }

  /** @param able the instances that come into question, none of which can do all of it */
  #cannot(task: Demand & Pick<Task, "pinnedGpuId">, able: readonly Instance[], at: string): string {
    const isDoneByNone = (need: Need): boolean => !able.some(({ facts }) => facts.can?.has(need) ?? true);
    // Each may be able to do a part of it.
    const need = task.needs.find(isDoneByNone) ?? task.needs.at(-1)!;
    const others = this.#fleet.all.filter(
      ({ facts }) => facts.can !== null && task.needs.every((one) => facts.can!.has(one)),
    );
    const { field, done, by } = ABILITIES[need] ?? { field: need, done: "honoured", by: HONOURS_ALL };
    const who =
      task.pinnedGpuId !== null
        ? `GPU ${task.pinnedGpuId}`
        : task.model !== null
          ? `the model ${task.model}`
          : "any model here";
    const models = [...new Set(others.map(({ facts }) => facts.modelName))];
    const could = models.length === 0 ? `${by} could` : `${models.join(" or ")} can`;
    return `${at}${field} cannot be ${done} by ${who}; ${could}.`;
  }
}

function positionIn({ batchId }: Task, index: number | null): string {
  return batchId === null || index === null ? "" : `batch[${index}].`;
}

/** Bytes that a model needs, and would have with everything else unloaded; null: that is enough, or not known. */
function lackOfRoom({ card, facts }: Instance, here: readonly Instance[]): { needed: number; room: number } | null {
  const { memory: needed } = facts.residency;
  const isAway = facts.state === "cold" || facts.state === "unfit";
  if (!isAway || card.memory === null || needed === null) return null;
  const forGood = here.filter((one) => one.facts.residency.pinned && mayServeAgain(one.facts.state));
  const room = card.memory.total - forGood.reduce((sum, one) => sum + (one.facts.residency.memory ?? 0), 0);
  return needed > room ? { needed, room: Math.max(0, room) } : null;
}

/** @param sentence its first word is the field @param retryAfter seconds */
function aboutField(code: ErrorCode, sentence: string, retryAfter?: number): AltLasError {
  const [param = ""] = sentence.split(" ", 1);
  return new AltLasError(code, sentence, { param, ...(retryAfter !== undefined && { retryAfter }) });
}

function unsupported(sentence: string): AltLasError {
  return aboutField("unsupported", sentence);
}

/** @param able the instances that come into question, for all of which its text is too long */
function tooLong({ size, needs }: Task, able: readonly Instance[], at: string): AltLasError {
  const { facts } = able.reduce((a, b) => ((a.facts.context ?? 0) >= (b.facts.context ?? 0) ? a : b));
  const field = needs.map((need) => ABILITIES[need]?.field).find((name) => name !== undefined);
  return aboutField(
    "prompt_too_long",
    `${at}${field} has at least ${leastTokens(size, facts)} tokens, which leaves no room for one more in the context of ${facts.context} tokens.`,
  );
}
