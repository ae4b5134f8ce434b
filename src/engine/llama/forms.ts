/** Which texts are right where an answer's form is asked for, in the grammar of llama.cpp. */
import { type AnswerFormat } from "../../request.ts";
import { EngineFailure } from "../failures.ts";

const ANY_OBJECT = `root ::= object
object ::= "{}" | "{" space member ("," space member)* space "}"
member ::= string ":" space value
value ::= object | array | string | number | "true" | "false" | "null"
array ::= "[]" | "[" space value ("," space value)* space "]"
string ::= "\\"" ([^"\\\\\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\\""
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})?
space ::= (" " | "\\n" [ \\t]{0,20})?
`;

/** @throws {EngineFailure} `unsupported` */
export function grammarOf(format: AnswerFormat): string {
  if (format.kind === "json") return ANY_OBJECT;
  throw new EngineFailure("unsupported", "The embedded engine cannot hold an answer to a schema.");
}
