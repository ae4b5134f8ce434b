/* A thread that makes the grammars of an engine's answers; see answer-forms.ts. */
import { parentPort } from "node:worker_threads";
import type { AnswerFormat } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { saidOf } from "../simulated/said.ts";
import { answerGbnf } from "./answer-grammar.ts";
import { isExact } from "./form-grammar.ts";
import type { FormQuestion, FormReply } from "./questions.ts";

const port = parentPort;
if (port === null) throw new Error("thread.ts is started by answer-forms.ts");

port.on("message", (question: FormQuestion) => port.postMessage(answerTo(question), []));
port.postMessage({ kind: "ready" }, []);

/** Any error but an `EngineFailure` ends the thread, and its parent hears of it. */
function answerTo(question: FormQuestion): FormReply {
  try {
    if (question.kind === "say") {
      const { what, seed, most } = question;
      return { kind: "said", said: saidOf(what, seed, most), isExact: "format" in what && isExact(what.format) };
    }
    const { form } = question;
    return { kind: "gbnf", gbnf: answerGbnf(form), isExact: saysAll(form.format) };
  } catch (error) {
    if (error instanceof EngineFailure) return { kind: "refused", why: error.message };
    throw error;
  }
}

function saysAll(format: AnswerFormat | null): boolean {
  return format !== null && isExact(format);
}
