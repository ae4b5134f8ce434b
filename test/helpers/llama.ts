/** The llama engine under test. */
import { type EngineInfo, type EngineOptions, type Tuning } from "../../src/engine/engine.ts";
import { LlamaEngine } from "../../src/engine/llama/llama.ts";
import { type Pace } from "../../src/engine/llama/prefill.ts";
import { LLAMA, opened } from "./engines.ts";

/** What is not as in `LLAMA`. */
export interface Changes extends Omit<Partial<EngineOptions>, "tuning"> {
  readonly tuning?: Partial<Tuning>;
  readonly pace?: Pace;
}

/** Lets `use` look at a llama engine of its own while it is open, and tells what was found out while loading. */
export async function withLlama(
  use: (engine: LlamaEngine) => Promise<void>,
  { tuning, pace, ...changes }: Changes = {},
): Promise<EngineInfo> {
  return opened(new LlamaEngine({ ...LLAMA, ...changes, tuning: { ...LLAMA.tuning, ...tuning } }, pace), use);
}

/** Loads a llama engine, and tells what was found out. */
export async function llamaInfo(changes: Changes = {}): Promise<EngineInfo> {
  return withLlama(async () => {}, changes);
}
