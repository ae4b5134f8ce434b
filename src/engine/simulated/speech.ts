/** What a simulated model has to say to a request. */
import { type Request } from "../../request.ts";
import { type Source, wordsFrom } from "./source.ts";
import { WORDS } from "./words.ts";

/** @param text all that the request says */
export function sourceOf(_request: Request, text: string): Source {
  return wordsFrom((text.length + text.charCodeAt(0) + text.charCodeAt(text.length - 1)) % WORDS.length || 0);
}
