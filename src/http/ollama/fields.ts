/** Settings of answers in requests of Ollama's API, as tasks have them; and headers that name those which come to nothing. */
import type { FastifyReply } from "fastify";
import { modelMeant } from "../../gpu/models.ts";
import { AltLasError } from "../../errors.ts";
import { type AnswerFormat, type Sampling, TO_THE_END } from "../../request.ts";
import type { TaskInput } from "../../task.ts";
import { MAX_FORM_BYTES } from "../forms.ts";
import { refuseUnfitJson } from "../given-json.ts";
import { checkLogprobs } from "../openai/logprobs.ts";
import { seedOf, settingsOf, tellIgnored as tell, unknownIn } from "../openai/fields.ts";
import { UNNAMED } from "../schemas/forms.ts";
import type { OllamaOptions, OllamaText } from "../schemas/ollama.ts";
import type { SharedFields } from "../schemas/openai.ts";
import { samplingOf } from "../schemas/sampling.ts";
import type { ServerParts } from "../server-parts.ts";
import { warn } from "../warnings.ts";
import { nameMeant } from "./names.ts";

type Known = Readonly<Record<string, unknown>>;

const NONE: ReadonlySet<string> = new Set();

/** The fields that a body may have, and those of its `options`. */
interface BodySchema {
  readonly properties: Known & { readonly options?: { readonly properties?: Known } };
}

/** Names the fields and options that are not known in `X-Ignored-Fields`. */
export function tellIgnored({ properties }: BodySchema): ReturnType<typeof tell> {
  const options = properties.options?.properties ?? {};
  return tell({ properties }, NONE, (fields) =>
    unknownIn(Object(fields["options"]) as Known, options, NONE).map((name) => `options.${name}`),
  );
}

/** The settings of a call's task. */
export function ollamaSettings(
  { models }: ServerParts,
  body: Omit<SharedFields, "model"> & { readonly model: string },
): Omit<TaskInput, "request"> {
  return settingsOf({ ...body, model: nameMeant(body.model, models()) });
}

/** @param most tokens of an answer whose request says nothing of them; undefined: as many as the context has room for */
export function ollamaSampling({ num_predict, seed, ...options }: OllamaOptions, most: number | undefined): Sampling {
  const tokens = num_predict ?? most ?? TO_THE_END;
  return samplingOf({
    ...options,
    max_length: tokens > 0 ? Math.min(tokens, TO_THE_END) : TO_THE_END,
    ...(seed !== undefined && seed >= 0 && { seed: seedOf(seed) }),
  });
}

/** The demands on the text of an answer. @throws {AltLasError} `invalid_input` */
export function wantedOf({ format, logprobs, top_logprobs: likeliest = 0 }: OllamaText): {
  readonly format?: AnswerFormat;
  readonly logprobs?: number;
} {
  if (logprobs !== true && likeliest > 0) {
    const sentence = `top_logprobs asks for ${likeliest} tokens, and needs logprobs to be true.`;
    throw new AltLasError("invalid_input", sentence, { param: "top_logprobs" });
  }
  checkLogprobs(logprobs === true ? likeliest : undefined, 1, "top_logprobs");
  const form = formatOf(format);
  return { ...(form && { format: form }), ...(logprobs === true && { logprobs: likeliest }) };
}

/** @returns undefined: any text will do */
function formatOf(given: OllamaText["format"]): AnswerFormat | undefined {
  if (given === undefined || given === "") return undefined;
  if (typeof given === "string") return { kind: "json" };
  refuseUnfitJson(given, "format", MAX_FORM_BYTES);
  return { kind: "schema", name: UNNAMED, schema: given, strict: false };
}

/** Warns of what is said in vain. */
export function warnOfNothing(
  { models }: ServerParts,
  reply: FastifyReply,
  { model, options: { num_ctx }, think }: Pick<OllamaText, "options" | "think"> & { readonly model: string },
): void {
  if (typeof think === "string") warn(reply, [`think is ${JSON.stringify(think)}, and means as much as true here.`]);
  if (num_ctx === undefined) return;
  const all = models();
  const context = modelMeant(nameMeant(model, all), all)?.context ?? null;
  if (context === num_ctx) return;
  const has = context === null ? "the one that it is served with" : `${context} tokens`;
  warn(reply, [`options.num_ctx is ${num_ctx} and changes nothing: the context of the model is ${has}.`]);
}
