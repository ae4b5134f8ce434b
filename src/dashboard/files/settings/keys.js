/** The configuration as a list of keys, and changes of it as a merge patch. */

/** @typedef {{ [name: string]: unknown }} Tree */

/**
 * As `GET /config` answers.
 * @typedef {object} Answer
 * @property {Tree} config
 * @property {Tree} sources
 * @property {{ key: string, value: unknown, instead_of: unknown, by: string, at: string }[]} runtime
 * @property {string[]} changeable keys; `*` stands for a name
 */

/**
 * @typedef {object} Setting
 * @property {readonly string[]} path
 * @property {string} key the same as the server writes it, like `gpu.multi_gpu.batch_split`
 * @property {unknown} value
 * @property {string} source
 */

/**
 * @param {unknown} tree
 * @param {readonly string[]} path
 */
export function valueAt(tree, path) {
  return path.reduce((/** @type {unknown} */ at, name) => (isTree(at) ? at[name] : undefined), tree);
}

/** @param {unknown} value @returns {value is Tree} */
function isTree(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The settings that can be changed, those of each name in the place of `*`.
 * @param {Answer} answer
 * @param {readonly (readonly string[])[]} added paths with names that the configuration does not have yet
 * @returns {Setting[]}
 */
export function changeableIn(answer, added) {
  const there = answer.changeable.flatMap((pattern) => expanded(pattern.split("."), answer.config));
  const settings = [...there, ...added].map((path) => settingAt(answer, path));
  return settings.filter(({ key }, index) => settings.findIndex((one) => one.key === key) === index);
}

/** @param {readonly string[]} pattern @param {Tree} config @returns {(readonly string[])[]} */
function expanded(pattern, config) {
  const star = pattern.indexOf("*");
  if (star === -1) return [pattern];
  const named = valueAt(config, pattern.slice(0, star));
  return isTree(named) ? Object.keys(named).map((name) => pattern.with(star, name)) : [];
}

/** @param {Answer} answer @param {readonly string[]} path @returns {Setting} */
function settingAt({ config, sources }, path) {
  const source = valueAt(sources, path);
  const value = valueAt(config, path) ?? null;
  return { path, key: path.join("."), value, source: typeof source === "string" ? source : "default" };
}

/**
 * All others, which count from the next start.
 * @param {Answer} answer
 * @returns {Setting[]}
 */
export function fixedIn(answer) {
  const live = answer.changeable.map((key) => key.split(".*")[0] ?? key);
  return leavesOf(answer.config)
    .map((path) => settingAt(answer, path))
    .filter(({ key }) => !live.some((one) => key === one || key.startsWith(`${one}.`)));
}

/** @param {Tree} tree @param {readonly string[]} [before] @returns {(readonly string[])[]} */
function leavesOf(tree, before = []) {
  return Object.entries(tree).flatMap(([name, value]) => {
    const path = [...before, name];
    return isTree(value) && Object.keys(value).length > 0 ? leavesOf(value, path) : [path];
  });
}

/**
 * @param {readonly (readonly [path: readonly string[], value: unknown])[]} changes null: back to what the file says
 * @returns {Tree} a merge patch (RFC 7396)
 */
export function patchOf(changes) {
  /** @type {Tree} */
  const patch = {};
  for (const [path, value] of changes) {
    let at = patch;
    for (const name of path.slice(0, -1)) at = /** @type {Tree} */ (at[name] ??= {});
    at[path.at(-1) ?? ""] = value;
  }
  return patch;
}

/** How a setting is edited. @typedef {"strategy" | "strategies" | "level" | "logged" | "switch" | "json" | "plain"} Kind */

/** @param {Setting} setting @returns {Kind} */
export function kindOf({ key, value }) {
  if (key.endsWith(".default_strategy")) return "strategy";
  if (key.endsWith(".strategies")) return "strategies";
  if (key === "log.level") return "level";
  if (key === "log.requests") return "logged";
  if (typeof value === "boolean") return "switch";
  return typeof value === "object" && value !== null ? "json" : "plain";
}

/**
 * A value as it stands in its field.
 * @param {unknown} value
 */
export function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
}

/**
 * The text of a field as a value. An empty field is null: back to what the file says. Text of the wrong kind goes on as it is: the server
 * says what it wants there.
 * @param {Kind} kind
 * @param {string} text
 * @returns {unknown}
 */
export function valueOf(kind, text) {
  const given = text.trim();
  if (given === "") return null;
  if (kind === "switch") return given === "true";
  if (kind === "strategies") return given.split(",");
  if (kind !== "json" && !/^[[{]/.test(given)) return Number.isNaN(Number(given)) ? given : Number(given);
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

/** Whose limits the parts of `callers` have. @type {Readonly<Record<string, string>>} */
const HOLDERS = { users: "user", teams: "team", keys: "key" };

/**
 * The section that a setting is shown in: its code, and whose it is.
 * @param {readonly string[]} path
 * @returns {{ code: string, name: string }}
 */
export function sectionOf([first = "", second = "", third = ""]) {
  const holder = first === "callers" ? HOLDERS[second] : undefined;
  if (holder !== undefined) return { code: holder, name: third };
  if (first === "gpu") return { code: third === "task_specific_mappings" ? "mappings" : "placement", name: "" };
  return { code: first.startsWith("models") ? "models" : first, name: "" };
}
