/** Has texts of callers turned into tokens without the names that a llama.cpp server finds in any text: see llama/user-tokens.ts. */
import { roomBehind } from "../answer-length.ts";
import { APART } from "../llama/tokenizer.ts";
import type { UserTokens } from "../llama/user-tokens.ts";
import { type Frame, framed, type Tokenize } from "./frame.ts";

/** Parts that the server is asked for at once. */
const AT_ONCE = 8;

/**
 * @param context tokens of prompt and answer together: a text of more parts is not asked for
 * @throws {EngineFailure} when a text is turned into tokens: `prompt_too_long`
 */
export function cutting(
  tokenize: Tokenize,
  { userTokens, frame, context }: { userTokens: UserTokens; frame: () => Promise<Frame>; context: number },
): Tokenize {
  return async (text, how) => {
    const parts = how.special ? [text] : userTokens.parts(text);
    if (parts.length === 1) return tokenize(text, how);
    roomBehind(parts.length, context);
    const around = await frame();
    const apart = around.apart ?? [];
    const [first = "", ...rest] = parts;
    const alone = { isWhole: false, special: false };
    const tokens = [...(await tokenize(first, alone))];
    for (let at = 0; at < rest.length; at += AT_ONCE) {
      const group = rest.slice(at, at + AT_ONCE);
      const asked = group.map((part) => tokenize(around.apart === null ? part : APART + part, alone));
      for (const found of await Promise.all(asked)) tokens.push(...found.slice(apart.length));
    }
    return how.isWhole ? framed(tokens, around) : tokens;
  };
}
