/** What fetching a model works with. */
import { type Format, type Tools } from "./download.ts";
import { type LockTimes } from "./file-lock.ts";

export interface FetchTools extends Tools {
  readonly lockTimes: LockTimes;
  readonly environment: NodeJS.ProcessEnv;
  /** Is told, in one sentence, when it goes another way than was asked. */
  readonly note: (sentence: string) => void;
}

export const GGUF: Format = { magic: "GGUF", name: "a GGUF file" };
