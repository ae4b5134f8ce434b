/** The requests of the playground: from its form to the body of `POST /predict`. */

/**
 * The form as it stands. A field of text that is empty is not sent, so that the server's default holds.
 * @typedef {object} Form
 * @property {string} model empty: any
 * @property {"messages" | "text"} kind
 * @property {string} system
 * @property {string} prompt what is being written now: the next message of the user, or the text
 * @property {"" | "true" | "false"} raw of a text: whether it is continued as it is; empty: as the model's default has it
 * @property {string} max_length
 * @property {string} temperature
 * @property {string} top_p
 * @property {string} top_k
 * @property {string} min_p
 * @property {string} seed
 * @property {string} stop one in each line
 * @property {"" | "json_object" | "json_schema"} form that the answer must have; empty: any text
 * @property {string} schema in JSON
 * @property {string} logprobs how many of the likeliest tokens are told in the place of each; empty: none are
 * @property {string} strategy
 * @property {string} gpu an id; empty: any
 * @property {string} priority
 */

/** @typedef {{role: "user" | "assistant", content: string}} Message */

/** @type {Readonly<Form>} */
export const EMPTY_FORM = Object.freeze({
  model: "",
  kind: "messages",
  system: "",
  prompt: "",
  raw: "",
  max_length: "",
  temperature: "",
  top_p: "",
  top_k: "",
  min_p: "",
  seed: "",
  stop: "",
  form: "",
  schema: "",
  logprobs: "",
  strategy: "",
  gpu: "",
  priority: "",
});

const NUMBERS = /** @type {const} */ (["max_length", "temperature", "top_p", "top_k", "min_p", "seed", "logprobs"]);

/**
 * @param {Form} form
 * @param {readonly Message[]} conversation what was said before; of a text, nothing
 * @returns {Record<string, unknown>} the body, without `stream`
 */
export function bodyOf(form, conversation) {
  /** @type {Record<string, unknown>} */
  const body = {};
  if (form.kind === "text") body["text"] = form.prompt;
  else body["messages"] = messagesOf(form, conversation);
  if (form.model !== "") body["model"] = form.model;
  if (form.kind === "text" && form.raw !== "") body["raw"] = form.raw === "true";
  for (const name of NUMBERS) if (form[name].trim() !== "") body[name] = numberOf(form[name]);
  const stops = form.stop.split("\n").filter((line) => line !== "");
  if (stops.length > 0) body["stop"] = stops;
  if (form.form !== "") body["response_format"] = formatOf(form);
  if (form.priority !== "") body["priority"] = form.priority;
  const options = optionsOf(form);
  if (Object.keys(options).length > 0) body["gpu_options"] = options;
  return body;
}

/**
 * @param {Form} form
 * @param {readonly Message[]} conversation
 */
function messagesOf({ system, prompt }, conversation) {
  const first = system.trim() === "" ? [] : [{ role: "system", content: system }];
  return [...first, ...conversation, { role: "user", content: prompt }];
}

/**
 * Text that is no JSON goes on as it is: the server says what it wants there.
 * @param {Form} form
 */
function formatOf({ form, schema }) {
  if (form !== "json_schema") return { type: form };
  return { type: form, json_schema: { name: "answer", schema: valueOf(schema) } };
}

/**
 * The fault of the schema, before the server is asked.
 * @param {Pick<Form, "form" | "schema">} form
 * @returns {{ why: string | null } | null} why it is no JSON, null: it is empty; null in place of it all: nothing is
 */
export function schemaFault({ form, schema }) {
  if (form !== "json_schema") return null;
  if (schema.trim() === "") return { why: null };
  try {
    JSON.parse(schema);
    return null;
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) };
  }
}

/** @param {string} json @returns {unknown} */
function valueOf(json) {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** @param {Form} form */
function optionsOf({ strategy, gpu }) {
  return { ...(strategy !== "" && { strategy }), ...(gpu !== "" && { specific_gpu_id: Number(gpu) }) };
}

/**
 * Text that is no number goes on as it is: the server says what it wants there.
 * @param {string} given
 */
function numberOf(given) {
  const number = Number(given.replace(",", "."));
  return Number.isNaN(number) ? given : number;
}

/**
 * Whether a model takes messages; where nothing is known of it, it may.
 * @param {{capabilities: readonly string[] | null} | undefined} model
 */
export function canChat(model) {
  return model?.capabilities == null || model.capabilities.includes("chat");
}

/**
 * Models that only make vectors have nothing to stream.
 * @param {{capabilities: readonly string[] | null}} model
 */
export function canGenerate({ capabilities }) {
  return capabilities === null || capabilities.includes("completion") || capabilities.includes("chat");
}

/** The names of src/task.ts. */
export const STRATEGIES = ["round_robin", "least_loaded", "memory_optimized", "task_specific", "random"];
export const PRIORITIES = ["high", "normal", "low"];
