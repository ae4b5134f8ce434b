/** Finds the syntax of a model's calls: a conversation with calls is rendered by its chat template, and what comes out is looked at. */
import type { Message, Tool, ToolCall } from "../../request.ts";
import { messagesOf, type Habits, toolsOf } from "./conversation.ts";
import { FAMILIES, type Family } from "./families.ts";

export interface ToolSyntax extends Habits {
  readonly family: Family;
}

/** The variables of a template, beside those that it always gets. */
export interface ToolVariables {
  readonly messages: readonly object[];
  readonly tools: readonly object[];
}

/** Words that no template has. */
const [FIRST, SECOND, KEY, VALUE, TOLD, RESULT] = ["first", "second", "key", "value", "told", "result"].map(
  (word) => `alt_las_${word}`,
) as [string, string, string, string, string, string];

const VALUES = { [KEY]: VALUE, count: 7, ready: true, list: [1, "b"] };
const QUESTION: Message = { role: "user", content: "alt_las_question" };
const TOOLS: readonly Tool[] = [
  { name: TOLD, description: TOLD, parameters: { type: "object", properties: { [KEY]: { type: "string" } } } },
];

/** @param render throws where the template refuses @returns null: the template does not tell of tools, or writes calls in another way */
export function findSyntax(render: (variables: ToolVariables) => string): ToolSyntax | null {
  const attempt = (variables: ToolVariables): string => {
    try {
      return render(variables);
    } catch {
      return "";
    }
  };
  const tools = toolsOf(TOOLS);
  for (const shortIds of [false, true]) {
    for (const severalCalls of [true, false]) {
      const habits = { shortIds, severalCalls, anyArguments: true };
      const messages = messagesOf(conversation(severalCalls), habits);
      const text = attempt({ messages, tools });
      if (!text.includes(TOLD) || !text.includes(RESULT)) continue;
      const family = familyIn(text, attempt({ messages: messages.slice(0, 1), tools }), severalCalls);
      if (family === null) continue;
      const broken = messagesOf(conversation(false, RESULT), habits);
      return { ...habits, family, anyArguments: attempt({ messages: broken, tools }).includes(FIRST) };
    }
  }
  return null;
}

/** @param text the arguments; absent: values of several types */
function conversation(hasSeveral: boolean, text = JSON.stringify(VALUES)): readonly Message[] {
  const names = hasSeveral ? [FIRST, SECOND] : [FIRST];
  const calls = names.map((name): ToolCall => ({ id: `call_${name}`, name, arguments: text }));
  const answers = calls.map(({ id, name }): Message => ({ role: "tool", content: RESULT, toolCallId: id, name }));
  return [QUESTION, { role: "assistant", content: "", toolCalls: calls }, ...answers];
}

/** @param question the conversation without its calls, up to where an answer begins */
function familyIn(text: string, question: string, hasSeveral: boolean): Family | null {
  const answer = text.startsWith(question) ? text.slice(question.length) : text;
  const isFound = ({ pattern }: Family): boolean => {
    const first = new RegExp(pattern.replace("NAME", FIRST).replaceAll("KEY", KEY).replace("VALUE", VALUE), "s");
    return first.test(answer) && (!hasSeveral || answer.includes(SECOND));
  };
  return FAMILIES.find(isFound) ?? null;
}
