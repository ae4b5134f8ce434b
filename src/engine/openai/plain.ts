/**
 * A server of which nothing is known but that it speaks the protocol; OpenAI's own is one. It is asked for all that the protocol has, and
 * refuses what it cannot do in its own words.
 */
import { type Dialect, SAYS_NOTHING } from "./dialect.ts";
import { ALL_ABILITIES } from "./answer-fields.ts";
import { OPENAI_FIELDS } from "./sampling-fields.ts";

export const PLAIN: Dialect = {
  name: "An OpenAI-compatible server",
  owner: null,
  about: async () => SAYS_NOTHING,
  extras: {
    honours: OPENAI_FIELDS,
    can: { ...ALL_ABILITIES, json_schema: ["chat"] },
    // A completion without a number ends after 16 tokens.
    endless: { chat: {} },
    mostStops: 4,
  },
};
