/** The names of models, to which Ollama adds `:latest` where they have no tag. */
import { modelMeant, type ModelStatus } from "../../gpu/models.ts";

const LATEST = ":latest";

/** The name with a tag. */
export function tagged(name: string): string {
  return hasTag(name) ? name : name + LATEST;
}

/** A tag stands behind the last slash. */
function hasTag(name: string): boolean {
  return name.includes(":", name.lastIndexOf("/") + 1);
}

/**
 * The name that the server knows a model by. `name` and `name:latest` are the same, unless each of them is a model's own; what no model is
 * called stays as it is.
 */
export function nameMeant(asked: string, models: readonly ModelStatus[]): string {
  const name = asked.toWellFormed();
  const other = name.endsWith(LATEST) ? name.slice(0, -LATEST.length) : tagged(name);
  const isKnown = (one: string): boolean => modelMeant(one, models) !== undefined;
  return other !== name && !isKnown(name) && isKnown(other) ? other : name;
}
