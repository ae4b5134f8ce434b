/** Tasks whose texts are not stored, or only until they are read. */
import type { Logger } from "pino";
import { AltLasError, messageOf } from "../errors.ts";
import { whyGone } from "../gone-texts.ts";
import type { TaskStore } from "../store/tasks.ts";
import type { Texts } from "../texts.ts";
import type { TaskSnapshot } from "./task-api.ts";

/** @returns how long the texts of a task may be stored that is made of this one @throws {AltLasError} `text_gone` */
export function refuseUnstored(task: TaskSnapshot): Texts {
  const { texts } = task;
  if (texts !== "never" && texts !== "removed") return texts;
  throw new AltLasError("text_gone", `${whyGone({ ...task, result: null }) ?? ""} Submit it again as a new task.`);
}

/** See `TaskApi.read`. */
export function removeRead(
  tasks: readonly Pick<TaskSnapshot, "seq" | "texts">[],
  store: Pick<TaskStore, "removeTexts">,
  log: Pick<Logger, "warn">,
): void {
  const seqs = tasks.flatMap(({ seq, texts }) => (texts === "keep" ? [] : [seq]));
  if (seqs.length === 0) return;
  store.removeTexts(seqs).catch((error: unknown) => {
    const message = "texts that were read could not be removed; they are when store.unread_seconds are over";
    log.warn({ tasks: seqs.length, reason: messageOf(error) }, message);
  });
}
