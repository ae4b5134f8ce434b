/** OpenAI's API: what clients of it send, and what they are answered. Unknown fields are allowed everywhere, as there. */
import { Type, type Static } from "typebox";
import { shared } from "./common.ts";

export const OpenAiFailure = Type.Object(
  {
    error: Type.Object({
      message: Type.String({ description: "A sentence a person can act on." }),
      type: Type.String({ description: "The kind of failure, by its status." }),
      param: Type.Unsafe<string | null>({ type: ["string", "null"], description: "The field at fault." }),
      code: Type.String({ description: "A stable name for this kind of failure." }),
    }),
  },
  {
    $id: "OpenAIError",
    examples: [
      {
        error: {
          message: "messages is missing; it must be a list.",
          type: "invalid_request_error",
          param: "messages",
          code: "invalid_input",
        },
      },
    ],
  },
);
export type OpenAiFailure = Static<typeof OpenAiFailure>;
export const OpenAiFailureRef = shared(OpenAiFailure);
