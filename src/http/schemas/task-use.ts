/** Cost of a task, and times of its parts. */
import { Type, type Static } from "../../common/type.ts";
import { orNull } from "./common.ts";

export const TimingView = Type.Object(
  {
    queued: Type.Number({
      description:
        "From the submission to the start of the last attempt. While it waits: so far. If it ended while it waited: to its end.",
    }),
    prompt: orNull<number>("number", {
      description: "From the start of the last attempt to its first output: reading the prompt.",
    }),
    first_token: orNull<number>("number", {
      description: "From the submission to that first output: what a user sees as the time to the first token.",
    }),
    generation: orNull<number>("number", { description: "From the first output to the last. While it runs: so far." }),
  },
  { description: "Seconds; null: it has not come so far, or an earlier version ran it." },
);
export type TimingView = Static<typeof TimingView>;

export const UsageView = Type.Object(
  {
    prompt_tokens: orNull<number>("integer", { description: "null: the server behind the GPU did not tell." }),
    completion_tokens: Type.Integer(),
    cached_tokens: orNull<number>("integer", {
      description: "Of prompt_tokens, those that the GPU's KV cache held already; null: not told.",
    }),
    gpu_seconds: orNull<number>("number", {
      description:
        "Its share of the time of the model that ran it. The time of each step is shared by the tokens that the tasks there got in it; tokens of a prompt count in the step in which it begins. Where none got a token, all share alike. null: an earlier version ran it.",
    }),
    energy_joules: orNull<number>("number", {
      description:
        "The same share of what the card took meanwhile, which several busy models on it share alike; null: nobody measures its power.",
    }),
  },
  {
    description:
      "What it has cost so far, all attempts together, however they ended: so prompt_tokens may be more than those of the result. Absent until it has run.",
  },
);
export type UsageView = Static<typeof UsageView>;
