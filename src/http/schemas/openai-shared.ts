/** Fields that the bodies of OpenAI's API share. */
import { type TSchema, Type } from "../../common/type.ts";
import type { Config } from "../../config/config.ts";
import { PRIORITIES } from "../../task.ts";
import { oneOf, orNull, TaskType } from "./common.ts";
import { gpuOptions, modelField } from "./submissions.ts";

export type Settings = Pick<Config, "limits" | "gpu" | "tasks">;

/** Fields of ours, which every body takes. */
export function sharedFields({ gpu: { multi_gpu } }: Settings) {
  return {
    model: modelField,
    gpu_options: gpuOptions(multi_gpu),
    priority: oneOf(PRIORITIES, { default: "normal", description: "Among the caller's own tasks." }),
    task_type: TaskType({ default: "text_generation", description: "The strategy task_specific looks it up" }),
  };
}

/** A list, a page at a time. */
export function pageSchema<Item extends TSchema>(item: Item) {
  return Type.Object({
    object: oneOf(["list"]),
    data: Type.Array(item),
    first_id: orNull<string>("string"),
    last_id: orNull<string>("string"),
    has_more: Type.Boolean({ description: "Whether a list `after` the last of these has any." }),
  });
}

export function noList(allowed: string) {
  return Type.Array(Type.Unknown(), { maxItems: 0, unsupported: true, allowed, description: "Only an empty list." });
}

/** A field that would change the answer and cannot be honoured. */
export function nothing(allowed: string) {
  return Type.Null({ unsupported: true, allowed, description: "Only null." });
}

export function only<const Value>(type: string, values: readonly Value[], allowed: string) {
  return Type.Unsafe<Value>({ type, enum: values, unsupported: true, allowed });
}
