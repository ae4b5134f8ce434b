/**
 * Ollama: openai/openai.go and middleware/openai.go of ollama/ollama. It publishes neither its load nor a model's context, loads a model
 * with the first task that names it, and cuts prompts that are too long.
 */
import type { Capability } from "../../request.ts";
import { nameIn } from "../upstream/figures.ts";
import { type About, ask, type Dialect } from "./dialect.ts";

export const OLLAMA: Dialect = {
  name: "Ollama",
  owner: null,
  recognize: async (upstream, listed) =>
    nameIn((await ask(upstream, "/api/version"))?.version) === null ? null : listed,
  about: async (upstream, { id }) => ({
    version: nameIn((await ask(upstream, "/api/version"))?.version),
    context: null,
    slots: null,
    ...shown((await ask(upstream, "/api/show", { model: id })) ?? {}),
  }),
  extras: {
    honours: ["top_p", "seed", "presence_penalty", "frequency_penalty", "stop"],
    // It reads neither tool_choice nor parallel_tool_calls, and a form in chats alone (https://docs.ollama.com/api/openai-compatibility).
    can: { json_schema: ["chat"], logprobs: ["chat", "completion"], tools: ["auto"], alwaysParallel: true },
    endless: { chat: {}, completion: {} },
  },
};

/** The template of a model that has none. */
const NO_TEMPLATE = "{{ .Prompt }}";

function shown({ capabilities, template }: Readonly<Record<string, unknown>>): Partial<About> {
  const told = Array.isArray(capabilities) ? capabilities : [];
  const can: Capability[] = [
    ...(told.includes("completion") ? (["chat", "completion", "json_schema", "logprobs"] as const) : []),
    ...(told.includes("tools") ? (["tools"] as const) : []),
    ...(told.includes("embedding") ? (["embedding"] as const) : []),
  ];
  return {
    // Older versions tell none.
    ...(can.length > 0 && { capabilities: can }),
    ...(typeof template === "string" && { hasChatTemplate: !["", NO_TEMPLATE].includes(template.trim()) }),
  };
}
