/** The APIs of others that an operator has to switch on: what is said to their clients while they are off. */
import type { Config } from "../config/config.ts";
import { ANTHROPIC } from "./openai/envelope.ts";

const APIS = [
  {
    key: "ollama",
    whose: "Ollama's",
    path: /^\/api\/(?:chat|generate|embed|embeddings|tags|show|ps|version|pull|push|create|copy|delete)$/i,
  },
  { key: "anthropic", whose: "Anthropic's", path: ANTHROPIC },
] as const;

/** @returns a sentence about the API that a path would be of; undefined: it is of none that is off */
export function apiThatIsOff(path: string, apis: Config["api"]): string | undefined {
  const withoutV1 = path.replace(/^\/v1(?=\/)/i, "");
  for (const { key, whose, path: known } of APIS) {
    if (apis[key]) continue;
    const isOfIt = known.test(path);
    if (!isOfIt && !known.test(withoutV1)) continue;
    const longer = isOfIt ? "" : " Its paths have no /v1 before them.";
    return `${whose} API is off here; "api.${key}: true" in the configuration switches it on at the next start.${longer}`;
  }
  return undefined;
}
