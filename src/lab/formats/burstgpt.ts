/**
 * BurstGPT, requests to ChatGPT and GPT-4 of a campus: https://github.com/HPMLL/BurstGPT. Later files tell the session of a
 * conversation, which is taken for a caller. A request that failed there has no tokens in its answer. The models are theirs: where the
 * configuration has models, an alias says which of them stands for one of theirs.
 */
import { NOBODY, PLAIN_TYPE } from "../trace.ts";
import { secondsOf, tokensOf } from "./columns.ts";
import type { Format } from "./formats.ts";

export const burstGpt: Format = {
  name: "BurstGPT",
  columns: [
    "Timestamp",
    "Session ID",
    "Elapsed time",
    "Model",
    "Request tokens",
    "Response tokens",
    "Total tokens",
    "Log Type",
  ],
  needed: ["Timestamp", "Request tokens", "Response tokens"],
  read: (cell) => ({
    at: secondsOf("Timestamp", cell("Timestamp")),
    caller: cell("Session ID") || NOBODY,
    promptTokens: tokensOf("Request tokens", cell("Request tokens")),
    outputTokens: tokensOf("Response tokens", cell("Response tokens")),
    maxTokens: null,
    prefix: [],
    model: cell("Model") || null,
    taskType: PLAIN_TYPE,
    priority: "normal",
  }),
};
