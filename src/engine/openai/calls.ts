/**
 * The calls of tools in a chat's answer: `tool_calls` of a delta or of a message, or the older `function_call`
 * (https://platform.openai.com/docs/api-reference/chat-streaming). Servers tell them in many ways: in pieces or whole, several in one event,
 * without an index or with 0 for each, with an id in each piece or in none, with arguments as an object.
 */
import { isObject, textIn, valueIn } from "../../common/json-values.ts";
import type { ToolCallDelta } from "../../output.ts";
import { newToolCallId } from "../tool-call-id.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { WholeCharacters } from "../upstream/whole-characters.ts";

/** UTF-16 units; a longer id is replaced by one of ours. */
const LONGEST_ID = 256;

/** A call that is still being told. */
interface OpenCall {
  readonly name: string;
  /** As the server has told them; null: it does not. */
  readonly index: number | null;
  id: string | null;
  /** So far. */
  arguments: string;
  readonly characters: WholeCharacters;
}

/** A piece as it was told. */
interface Piece {
  readonly index: number | null;
  readonly id: string | null;
  readonly name: string | null;
  readonly arguments: string;
}

/** Makes pieces of calls that come one behind the other of what a server tells, in its order. */
export class Calls {
  readonly #ids = new Set<string>();
  #open: OpenCall | null = null;

  /** Calls that have begun. */
  get count(): number {
    return this.#ids.size;
  }

  /** The name of the first one. */
  firstName: string | null = null;

  /**
   * Takes in what one event tells. @param told `tool_calls`, or a `function_call` in a list
   * @throws {UpstreamError} it makes no sense
   */
  take(told: readonly unknown[]): ToolCallDelta[] {
    return told.flatMap((one, place) => this.#take(pieceIn(one), place));
  }

  /** The rest, when nothing comes any more. @param isCut whether the last one may lack its end */
  end(isCut: boolean): ToolCallDelta[] {
    const call = this.#open;
    if (call === null) return [];
    this.#open = null;
    const rest = call.characters.end(isCut);
    // Of a tool without parameters some servers tell nothing, which is no JSON.
    const piece = !isCut && call.arguments === "" ? "{}" : rest;
    return piece === "" ? [] : [{ kind: "tool_call", index: this.count - 1, arguments: piece }];
  }

  #take(piece: Piece, place: number): ToolCallDelta[] {
    const call = this.#open;
    if (call === null || this.#begins(call, piece, place)) return [...this.end(false), this.#begin(piece)];
    if (call.index !== null && piece.index !== null && piece.index < call.index) {
      if (piece.arguments === "") return [];
      throw new UpstreamError(null, "it went on with a call of a tool behind which it had begun another");
    }
    call.id ??= piece.id;
    call.arguments += piece.arguments;
    const whole = call.characters.add(piece.arguments);
    return whole === "" ? [] : [{ kind: "tool_call", index: this.count - 1, arguments: whole }];
  }

  /** @param place of the piece in its event */
  #begins(call: OpenCall, { index, id, name, arguments: args }: Piece, place: number): boolean {
    if (index !== null && call.index !== null && index !== call.index) return index > call.index;
    if (id !== null && call.id !== null) return id !== call.id;
    if (index === null && place > 0) return true;
    if (name === null) return false;
    return name !== call.name || (index === null && args !== "" && valueIn(call.arguments) !== undefined);
  }

  #begin({ index, id, name, arguments: args }: Piece): ToolCallDelta {
    if (name === null) throw new UpstreamError(null, "it told a call of a tool without the tool's name");
    this.firstName ??= name;
    const isUsable = id !== null && id.length <= LONGEST_ID && id.isWellFormed() && !this.#ids.has(id);
    const own = isUsable ? id : newToolCallId();
    this.#ids.add(own);
    const characters = new WholeCharacters();
    this.#open = { name, index, id, arguments: args, characters };
    const call = { id: own, name: name.toWellFormed() };
    return { kind: "tool_call", index: this.count - 1, call, arguments: characters.add(args) };
  }
}

function pieceIn(told: unknown): Piece {
  const { index, id, type, function: inside, ...rest } = isObject(told) ? told : {};
  const isCall = isObject(told) && ["", "function", undefined, null].includes(type as string | null | undefined);
  const { name, arguments: args } = isObject(inside) ? inside : rest;
  const text = argumentsIn(args);
  if (!isCall || text === null) throw nonsense(told);
  const isPlace = typeof index === "number" && Number.isSafeInteger(index) && index >= 0;
  return { index: isPlace ? index : null, id: textIn(id), name: textIn(name), arguments: text };
}

/** null: they are neither text nor an object. */
function argumentsIn(value: unknown): string | null {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  return isObject(value) ? JSON.stringify(value) : null;
}

function nonsense(told: unknown): UpstreamError {
  return new UpstreamError(null, `it told a call of a tool that makes no sense: ${JSON.stringify(told).slice(0, 100)}`);
}
