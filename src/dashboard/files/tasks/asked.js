/** A request in words: what was said, and what the answer has to be. */

/** @typedef {NonNullable<import("./types.js").Task["request"]>} Asked */

/** @param {Asked} asked @returns {string | null} null: nothing */
export function textOf({ text, messages, input }) {
  if (messages !== undefined) return messages.map(messageOf).join("\n\n");
  // An input of numbers is one of tokens.
  return text ?? input?.map((one) => (typeof one === "string" ? one : one.join(" "))).join("\n\n") ?? null;
}

/** @param {NonNullable<Asked["messages"]>[number]} message */
function messageOf({ role, content, tool_calls: calls }) {
  const said = content === "" && calls !== undefined ? [] : [content];
  return [`${role}:`, ...said, ...(calls === undefined ? [] : [JSON.stringify(calls, null, 2)])].join("\n");
}

/**
 * Its demands on the answer, by the names of the API.
 * @param {Asked} asked
 * @returns {[name: string, json: string][]} indented
 */
export function demandsOf({ response_format, tools, tool_choice }) {
  return Object.entries({ response_format, tools, tool_choice })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, JSON.stringify(value, null, 2)]);
}
