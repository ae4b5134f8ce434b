/** The filters of the list of tasks: as they stand in the page's address, and as the API takes them. */

/** The statuses, in the order of a task's life. */
export const STATUSES = /** @type {const} */ (["queued", "running", "completed", "failed", "canceled"]);

/**
 * A filter that is empty is none. Their names in the address are those of the API, so that a link can be read.
 * @typedef {object} Filters
 * @property {string} status one of STATUSES; empty: all
 * @property {string} user
 * @property {string} gpu_id
 * @property {string} batch_id
 * @property {string} task_type
 * @property {string} model
 * @property {string} since as the browser's field gives it, in local time: 2026-11-28T17:00
 * @property {string} until as since
 * @property {string} after the page: the API's `next` of the page before
 */

const NAMES = /** @type {const} */ ([
  "status",
  "user",
  "gpu_id",
  "batch_id",
  "task_type",
  "model",
  "since",
  "until",
  "after",
]);

/** @type {Readonly<Filters>} */
export const NO_FILTERS = Object.freeze({
  status: "",
  user: "",
  gpu_id: "",
  batch_id: "",
  task_type: "",
  model: "",
  since: "",
  until: "",
  after: "",
});

/**
 * @param {URLSearchParams} query of the page's address; what is unknown there is ignored
 * @returns {Filters}
 */
export function filtersOf(query) {
  const filters = { ...NO_FILTERS };
  for (const name of NAMES) filters[name] = (query.get(name) ?? "").trim();
  return filters;
}

/**
 * The same filters for the page's address. A change of any other filter than the page goes back to the first page: `next` belongs
 * to the list that it came from.
 * @param {Filters} filters
 * @param {Partial<Filters>} [changes]
 */
export function addressOf(filters, changes = {}) {
  const wanted = { ...filters, after: "", ...changes };
  const query = new URLSearchParams();
  for (const name of NAMES) if (wanted[name] !== "") query.set(name, wanted[name]);
  return query.toString();
}

/**
 * For `GET /tasks`.
 * @param {Filters} filters
 * @param {number} limit tasks to a page
 */
export function queryOf(filters, limit) {
  const query = new URLSearchParams();
  for (const name of NAMES) {
    const value = name === "since" || name === "until" ? timeOf(filters[name]) : filters[name];
    if (value !== "") query.set(name, value);
  }
  query.set("limit", String(limit));
  return query.toString();
}

/**
 * For `POST /tasks/cancel`: all that the list shows, over all its pages. Only what has not ended can be canceled.
 * @param {Filters} filters
 */
export function cancellationOf(filters) {
  /** @type {Record<string, string | number>} */
  const body = {};
  for (const name of NAMES) {
    if (name === "after" || filters[name] === "") continue;
    if (name === "gpu_id") body[name] = Number(filters[name]);
    else body[name] = name === "since" || name === "until" ? timeOf(filters[name]) : filters[name];
  }
  return body;
}

/**
 * The filters that narrow the list, beside its status and page.
 * @param {Filters} filters
 */
export function narrowedBy(filters) {
  return NAMES.filter((name) => name !== "status" && name !== "after" && filters[name] !== "");
}

/**
 * A local time as the API wants it, with its zone. Text that is no time goes on as it is, so that the server says what is wrong with it.
 * @param {string} given
 */
function timeOf(given) {
  const time = new Date(given);
  return given === "" || Number.isNaN(time.getTime()) ? given : time.toISOString();
}

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/**
 * The id that somebody pasted: of a task, or of a batch. OpenAI's names of tasks, such as `chatcmpl-0196…`, hold it without dashes.
 * @param {string} words
 * @returns {string | null} in the form of the API; null: it is no id
 */
export function idIn(words) {
  const word = words.trim().replace(/^(?:chatcmpl|cmpl|resp|batch)[-_]/, "");
  if (!UUID.test(word)) return null;
  const digits = word.replaceAll("-", "").toLowerCase();
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
