/** The ids of a response and of its items. They are made of the id of its task, so that none has to be kept. */
import { hexOf, uuidBehind, uuidOf } from "../../../common/uuid.ts";
import type { ItemKind } from "./sequence.ts";

const PREFIXES: Readonly<Record<ItemKind, string>> = { reasoning: "rs", message: "msg", function_call: "fc" };

const RESPONSE = "resp_";
const ITEM = /^(?:rs|msg|fc)_([0-9a-f]{32})_[1-9]\d*(?:_\d+)?$/;

export function responseIdOf(taskId: string): string {
  return RESPONSE + hexOf(taskId);
}

/** @returns null: no response is called so */
export function taskIdOfResponse(id: string): string | null {
  return uuidBehind(RESPONSE, id);
}

/**
 * The id of an item. Each attempt has others, as its items have other texts.
 * @param index of the item in its attempt
 */
export function itemIdOf(taskId: string, attempt: number, kind: ItemKind, index: number): string {
  const id = `${PREFIXES[kind]}_${hexOf(taskId)}_${attempt}`;
  return kind === "function_call" ? `${id}_${index}` : id;
}

/** @returns null: no item of a response's output is called so */
export function taskIdOfItem(id: string): string | null {
  const [, hex] = ITEM.exec(id) ?? [];
  return hex === undefined ? null : uuidOf(hex);
}

/** The id of an item of a response's input. */
export function inputIdOf(taskId: string, kind: "msg" | "fc" | "fco", index: number): string {
  return `${kind}_${hexOf(taskId)}_in${index}`;
}
