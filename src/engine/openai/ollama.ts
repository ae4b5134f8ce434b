/**
 * Ollama: openai/openai.go and middleware/openai.go of ollama/ollama. It publishes neither its load nor a model's context, loads a model
 * with the first task that names it, and cuts prompts that are too long.
 */
import { nameIn } from "../upstream/figures.ts";
import { completion } from "./completions.ts";
import { ask, type Dialect } from "./dialect.ts";

export const OLLAMA: Dialect = {
  name: "Ollama",
  owner: null,
  recognize: async (upstream, listed) =>
    nameIn((await ask(upstream, "/api/version"))?.version) === null ? null : listed,
  about: async (upstream) => ({
    version: nameIn((await ask(upstream, "/api/version"))?.version),
    context: null,
    slots: null,
  }),
  ask: (order) => completion(order, { samplers: false, countsEachPiece: false }),
};
