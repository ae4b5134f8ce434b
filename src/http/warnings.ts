/** Warnings that refuse nothing: the header `X-Warning`. */
import type { FastifyReply } from "fastify";
import type { TaskSnapshot } from "../tasks/task-api.ts";

/** Characters of a header; clients refuse answers whose headers take more than 16 KiB. */
const LONGEST = 2000;

/** Several warnings of one answer are sentences behind each other. */
export function warn(reply: FastifyReply, sentences: readonly string[]): void {
  if (sentences.length === 0) return;
  const before = reply.getHeader("x-warning");
  const all = [...(before === undefined ? [] : [String(before)]), ...sentences.map(inHeader)].join(" ");
  reply.header("x-warning", all.length <= LONGEST ? all : `${all.slice(0, LONGEST - 3)}...`);
}

/** A header has no characters but those of ASCII; the others are written as in JSON. */
function inHeader(sentence: string): string {
  return sentence.replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The mismatches of results, as warnings. */
export function mismatchesOf(tasks: readonly Pick<TaskSnapshot, "result">[]): readonly string[] {
  return tasks.flatMap(({ result }) => result?.mismatch ?? []);
}
