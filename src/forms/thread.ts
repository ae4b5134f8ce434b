/* A thread that looks at schemas: whoever starts it must not stand still for them, and ends it when one takes too long. */
import { parentPort } from "node:worker_threads";
import { compileSchema } from "../grammar/compile.ts";
import { GRAMMAR_LIMITS, SchemaError } from "../grammar/limits.ts";
import { notesOf } from "../grammar/notes.ts";
import { checked } from "./check.ts";
import type { Question, Ready, Reply, Verdict } from "./messages.ts";

const port = parentPort;
if (port === null) throw new Error("thread.ts is started by schema-thread.ts");

port.on("message", answer);
tell({ kind: "ready" });

/** Any error that it throws ends the thread, and its parent hears of it. */
function answer(question: Question): void {
  if (question.kind === "compile") tell({ kind: "verdict", verdict: compiled(JSON.parse(question.schema)) });
  else tell({ kind: "checked", mismatch: checked(question.schema, question.text) });
}

function compiled(schema: unknown): Verdict {
  try {
    return { fits: true, inexact: compileSchema(schema, GRAMMAR_LIMITS).inexact, notes: notesOf(schema) };
  } catch (error) {
    // V8 has no other word for a recursion that is too deep: writing the grammar may be that too.
    if (error instanceof RangeError) return { fits: false, pointer: "", why: "the schema is nested too deep." };
    if (!(error instanceof SchemaError)) throw error;
    return { fits: false, pointer: error.pointer, why: error.message };
  }
}

function tell(reply: Reply | Ready): void {
  port!.postMessage(reply, []);
}
