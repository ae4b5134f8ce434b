/** Responses that were made before: those that a client asks for, and those that a new one goes on with. */
import type { Caller } from "../../../auth/credentials.ts";
import { shown } from "../../../common/validation.ts";
import { AltLasError } from "../../../errors.ts";
import type { Message, Request } from "../../../request.ts";
import { attemptNumber } from "../../../task.ts";
import type { TaskApi, TaskSnapshot } from "../../../tasks/task-api.ts";
import type { ResponseBody } from "../../schemas/openai.ts";
import { goneOf } from "../../task-failure.ts";
import { taskIdOfItem, taskIdOfResponse } from "./ids.ts";
import { type Referenced, referencesIn } from "./input.ts";
import { deltasOfResult, itemsOf, type PlacedItem, wordsOf } from "./items.ts";
import { readNote, type ResponseNote } from "./note.ts";

/** A response that is stored. */
export interface Stored {
  readonly task: TaskSnapshot;
  readonly note: ResponseNote;
}

/** The earlier conversation that a new response goes on with. */
export interface Earlier {
  /** The conversation before its input, without the instructions of the response before. */
  readonly messages: readonly Message[];
  readonly referenced: ReadonlyMap<string, Referenced>;
}

/** Responses that an input may refer to, and characters of their items: each is read from the store. */
const MOST_RESPONSES = 1000;
const MOST_CHARACTERS = 16 * 2 ** 20;

const NOTHING: Earlier = { messages: [], referenced: new Map() };

type Tasks = Pick<TaskApi, "get" | "notes" | "requestOf">;
type Owner = Pick<Caller, "name">;

/** A response of this user's own that is stored. @throws {AltLasError} `not_found` */
export async function responseNamed(tasks: Tasks, owner: Owner, id: string): Promise<Stored> {
  const taskId = taskIdOfResponse(id);
  const found = taskId === null ? null : await storedOf(tasks, owner, taskId);
  if (found !== null) return found;
  const hint = taskId === null ? `There is no response ${shown(id)}; an id is resp_ and 32 hexadecimal digits.` : "";
  throw new AltLasError("not_found", hint || `There is no response ${id}, or it is not stored, or somebody else's.`);
}

/** The request of a response. @throws {AltLasError} `not_found`: it was removed meanwhile */
export async function requestOfStored(tasks: Tasks, task: TaskSnapshot): Promise<Request> {
  const request = await tasks.requestOf(task);
  if (request === null) throw new AltLasError("not_found", "The response was deleted meanwhile.");
  return request;
}

/** @throws {AltLasError} `not_found`, `conflict`: the response before has not ended, or has no answer */
export async function earlierOf(
  tasks: Tasks,
  owner: Owner,
  { previous_response_id: previous, input }: Pick<ResponseBody, "previous_response_id" | "input">,
): Promise<Earlier> {
  const references = referencesIn(input);
  if (previous === undefined && references.length === 0) return NOTHING;
  const messages = previous === undefined ? [] : await conversationUpTo(tasks, owner, previous);
  return { messages, referenced: await itemsNamed(tasks, owner, references) };
}

const PREVIOUS = { param: "previous_response_id" };

async function conversationUpTo(tasks: Tasks, owner: Owner, id: string): Promise<readonly Message[]> {
  const { task, note } = await responseNamed(tasks, owner, id).catch((error: unknown): never => {
    if (!(error instanceof AltLasError) || error.code !== "not_found") throw error;
    throw new AltLasError("not_found", `previous_response_id: ${error.message}`, PREVIOUS);
  });
  const { status, result } = task;
  if (result === null) {
    const state = status === "queued" || status === "running" ? "has not ended" : `has no answer: it is ${status}`;
    const sentence = `previous_response_id: the response ${id} ${state}.`;
    throw new AltLasError("conflict", sentence, { ...PREVIOUS, details: { status } });
  }
  const request = await requestOfStored(tasks, task);
  const asked = request.kind === "chat" ? request.messages : [];
  const answer: Message = {
    role: "assistant",
    content: result.text,
    ...(result.toolCalls && { toolCalls: result.toolCalls }),
  };
  return [...asked.slice(note.instructions ? 1 : 0), answer];
}

/** @throws {AltLasError} `invalid_input`: there are too many, or they are too long */
async function itemsNamed(
  tasks: Tasks,
  owner: Owner,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Referenced>> {
  const wanted = new Set(ids);
  const responses = new Set(ids.map(taskIdOfItem).filter((id) => id !== null));
  if (responses.size > MOST_RESPONSES) throw tooMuch(`items of at most ${MOST_RESPONSES} responses`);
  const found = new Map<string, Referenced>();
  let characters = 0;
  for (const taskId of responses) {
    const stored = await storedOf(tasks, owner, taskId);
    for (const item of stored === null ? [] : itemsOfTask(stored.task)) {
      if (!wanted.has(item.id)) continue;
      characters += item.end - item.start;
      if (characters > MOST_CHARACTERS) throw tooMuch(`at most ${MOST_CHARACTERS} characters of earlier items`);
      found.set(item.id, referencedOf(item));
    }
  }
  return found;
}

function tooMuch(what: string): AltLasError {
  return new AltLasError("invalid_input", `input may refer to ${what}.`, { param: "input" });
}

function itemsOfTask({ id, attempts, result }: TaskSnapshot): readonly PlacedItem[] {
  return result === null ? [] : itemsOf(id, attemptNumber({ attempts }), deltasOfResult(result));
}

function referencedOf({ kind, call, delta }: PlacedItem): Referenced {
  if (kind === "reasoning") return null;
  if (kind === "message") return { text: wordsOf(delta) };
  return { call: { id: call!.id, name: call!.name, arguments: wordsOf(delta) } };
}

/** null: there is none, it is not stored, or it is somebody else's. @throws {AltLasError} `text_gone` */
async function storedOf(tasks: Tasks, owner: Owner, taskId: string): Promise<Stored | null> {
  const task = await tasks.get(taskId);
  if (task === null || task.user !== owner.name) return null;
  const note = readNote((await tasks.notes([task.seq])).get(task.seq));
  // Its note went with its texts.
  if (note === null && task.texts === "removed") throw goneOf(task)!;
  return note?.store === true ? { task, note } : null;
}
