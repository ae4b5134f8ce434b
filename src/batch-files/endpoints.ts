/** The endpoints of lines of a batch, as the feeder and the writer of results see them: the API's own rooms know the rest. */
import type { Request } from "../request.ts";
import type { BatchFile } from "../store/batch-files.ts";
import type { StrategyName, TaskInput } from "../task.ts";
import type { ListedSnapshot } from "../tasks/task-api.ts";

/** The task that the body of a line asks for. */
export interface LineInput {
  readonly input: Omit<TaskInput, "note">;
  readonly strategy: StrategyName;
  /** Set: it runs there or nowhere. */
  readonly pinnedGpuId: number | null;
  /** Facts of the body that the answer needs and its task does not have; JSON. Absent: none. */
  readonly kept?: unknown;
}

/** The answer of a line, as its own call would have had it. */
export interface LineAnswer {
  readonly status: number;
  readonly body: object;
}

/** A line that has ended. */
export interface EndedLine {
  readonly task: ListedSnapshot;
  readonly kept: unknown;
  /** The request of its task; null: the task was removed meanwhile. */
  readonly request: () => Promise<Request | null>;
}

export interface LineEndpoint {
  /**
   * @param body an object; it may be changed
   * @param batch with the priority of lines that have none of their own
   * @throws {AltLasError} it is refused: `invalid_input`, `unsupported`, …
   */
  readonly inputOf: (
    body: object,
    batch: Pick<BatchFile, "user" | "team" | "priority" | "keyName" | "models">,
  ) => Promise<LineInput>;
  readonly answerOf: (line: EndedLine) => Promise<LineAnswer>;
}

/** The words of a refusal for the user of a batch, and their status. */
export type AnswerOfRefusal = (failure: {
  readonly code: string;
  readonly sentence: string;
  readonly param: string | null;
}) => LineAnswer;

export interface LineEndpoints {
  /** By their paths, like `/v1/embeddings`. */
  readonly byPath: ReadonlyMap<string, LineEndpoint>;
  readonly refused: AnswerOfRefusal;
  /** As JSON that whoever splits a file into lines takes for one. */
  readonly asLine: (value: object) => string;
}
