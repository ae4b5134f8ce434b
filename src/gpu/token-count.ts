/** How many tokens the prompt of a request has, before there is a task. */
import type { EngineInfo } from "../engine/engine.ts";
import type { TextRequest } from "../request.ts";

/** One that may have the model. */
interface Asked {
  readonly isLoaded: boolean;
  readonly modelName: string | null;
  readonly info: EngineInfo | null;
  /** Tasks running there. */
  readonly tasks: number;
  countTokens(request: TextRequest): Promise<number | null>;
}

/**
 * Asks the worker that has the least to do.
 * @param model null: any that can do it
 * @returns null: the model is not loaded now, or its engine cannot tell
 * @throws {AltLasError} as `TokenCounts.ask`
 */
export async function countTokens(
  instances: readonly Asked[],
  request: TextRequest,
  model: string | null,
): Promise<number | null> {
  const able = instances.filter(
    ({ isLoaded, modelName, info }) =>
      isLoaded && (model === null || modelName === model) && info?.capabilities.includes(request.kind) === true,
  );
  for (const instance of able.toSorted((a, b) => a.tasks - b.tasks)) {
    const tokens = await instance.countTokens(request);
    if (tokens !== null) return tokens;
  }
  return null;
}
