/** Holds tasks to the models that their callers' keys may ask for. */
import type { Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import type { TaskInput } from "../task.ts";
import type { TaskApi } from "../tasks/task-api.ts";

/** The part of a caller that counts. */
export type ModelLimits = Pick<Caller, "keyName" | "models">;

type Asked = Pick<TaskInput, "model" | "taskType" | "anyModel">;

/**
 * The tasks as their key may have them: those that name no model, and whose type means none that it may have, get its first one.
 * @param at names an item of a batch in sentences, like "batch[3]."; "": it is in none
 * @throws {AltLasError} `forbidden`: a model is named that it may not have
 */
export function heldTo<Input extends Asked>(
  { keyName, models }: ModelLimits,
  input: Input,
  tasks: Pick<TaskApi, "modelOf">,
  at = "",
): Input {
  if (models === null) return input;
  const model = tasks.modelOf(input);
  const names = models.map((name) => tasks.modelOf({ ...input, model: name }));
  if (model !== null && names.includes(model)) return input;
  if (input.model === null) return { ...input, model: models[0]! };
  const sentence = `${at}model must be one that the key ${keyName} may use (${models.join(", ")}); got ${shown(input.model)}.`;
  throw new AltLasError("forbidden", sentence, { param: `${at}model` });
}

/** As `heldTo`, of all items of a submission. */
export function allHeldTo(
  limits: ModelLimits,
  inputs: readonly TaskInput[],
  tasks: Pick<TaskApi, "modelOf">,
  isBatch = false,
): readonly TaskInput[] {
  if (limits.models === null) return inputs;
  return inputs.map((input, index) => heldTo(limits, input, tasks, isBatch ? `batch[${index}].` : ""));
}

/** Whether a key may ask for a model, by its name and its other names. */
export function mayAskFor({ models }: ModelLimits, names: readonly string[]): boolean {
  return models === null || models.some((model) => names.includes(model));
}
