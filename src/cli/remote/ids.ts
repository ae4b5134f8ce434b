/**
 * Ids of tasks as people see and type them. Those of one moment begin alike (UUIDv7: the time comes first), so what is shown of one that
 * does not fit is its end, and an end is as good as a beginning where one is asked for.
 */
import { AltLasError } from "../../errors.ts";
import type { TasksAnswer } from "../../http/schemas/tasks.ts";
import { shown } from "../../common/validation.ts";
import { ask, type Remote } from "./client.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Characters of a whole id. */
export const WHOLE_ID = 36;
/** Characters of an end at least: two in four thousand million are the same. */
const LEAST = 8;
/** Characters that somebody has to give at least. */
const LEAST_GIVEN = 4;
/** The latest tasks, among which a part of an id is looked for: one answer of the API. */
const RECENT = 1000;

const ELLIPSIS = "…";

/** Each id by its end, as long as tells all of these apart. */
export function endsOf(ids: readonly string[]): string[] {
  const different = new Set(ids).size;
  const ends = (length: number): string[] => ids.map((id) => id.slice(-length));
  let length = LEAST;
  while (length < WHOLE_ID && new Set(ends(length)).size < different) length++;
  return length < WHOLE_ID ? ends(length).map((end) => ELLIPSIS + end) : [...ids];
}

/** One id by its end. */
export function endOf(id: string): string {
  return endsOf([id])[0]!;
}

/**
 * The ids that are meant. A whole one is taken as it is; the beginning or the end of one, with or without "…", or both around it, must
 * fit one of the latest tasks that the caller may see.
 * @throws {AltLasError} `invalid_input`: none is meant, or several; what `ask` throws
 */
export async function idsMeant(remote: Remote, given: readonly string[]): Promise<string[]> {
  const wanted = given.map((text) => text.trim().toLowerCase());
  if (wanted.every((text) => UUID.test(text))) return wanted;
  const { tasks } = (await ask(remote, `tasks?limit=${RECENT}`, "tasks")) as TasksAnswer;
  const known = Object.keys(tasks);
  return wanted.map((text, at) => (UUID.test(text) ? text : theOne(given[at]!, text, known)));
}

function theOne(given: string, text: string, known: readonly string[]): string {
  const [head = "", tail] = text.split(/…|\.\.\./);
  const characters = text.replace(/[^0-9a-f]/g, "").length;
  if (!/^[0-9a-f-]*$/.test(head + (tail ?? "")) || characters < LEAST_GIVEN)
    refuse(
      `A task's id is a UUID; ${LEAST_GIVEN} or more of its first or last characters are enough. Got ${shown(given)}.`,
    );
  const fits = (id: string): boolean =>
    tail === undefined ? id.startsWith(head) || id.endsWith(head) : id.startsWith(head) && id.endsWith(tail);
  const [first, ...others] = known.filter(fits);
  if (first === undefined)
    refuse(`None of your latest tasks (${RECENT} at most) has ${shown(given)} in its id: give the whole id.`);
  if (others.length > 0) {
    const some = endsOf([first, ...others])
      .slice(0, 4)
      .join(", ");
    refuse(
      `${shown(given)} fits ${others.length + 1} tasks: ${some}${others.length > 3 ? ", …" : ""}. Give more of it.`,
    );
  }
  return first;
}

function refuse(sentence: string): never {
  throw new AltLasError("invalid_input", sentence);
}
