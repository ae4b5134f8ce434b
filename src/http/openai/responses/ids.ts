/** The ids of a response and of its items. They are made of the id of its task, so that none has to be kept. */
import { type ItemKind } from "./sequence.ts";

const PREFIXES: Readonly<Record<ItemKind, string>> = { reasoning: "rs", message: "msg", function_call: "fc" };

const RESPONSE = /^resp_([0-9a-f]{32})$/i;
const ITEM = /^(?:rs|msg|fc)_([0-9a-f]{32})_[1-9]\d*(?:_\d+)?$/;

export function responseIdOf(taskId: string): string {
  return `resp_${hexOf(taskId)}`;
}

/** @returns null: no response is called so */
export function taskIdOfResponse(id: string): string | null {
  return dashed(RESPONSE.exec(id)?.[1]);
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
  return dashed(ITEM.exec(id)?.[1]);
}

/** The id of an item of a response's input. */
export function inputIdOf(taskId: string, kind: "msg" | "fc" | "fco", index: number): string {
  return `${kind}_${hexOf(taskId)}_in${index}`;
}

function hexOf(taskId: string): string {
  return taskId.replaceAll("-", "");
}

function dashed(hex: string | undefined): string | null {
  if (hex === undefined) return null;
  return hex.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
