/** The tools that fetching a model works with. */
import type { Format, Tools } from "../common/download.ts";
import type { Meter } from "./meter.ts";

export interface FetchTools extends Tools {
  readonly progress: Meter;
  /** Milliseconds between two looks whether another fetch of the same file has ended. */
  readonly look?: number | undefined;
  readonly environment: NodeJS.ProcessEnv;
  /** Is told, in one sentence, when it goes another way than was asked. */
  readonly note: (sentence: string) => void;
}

export const GGUF: Format = { magic: "GGUF", name: "a GGUF file" };
