/** The configuration, and its changes while the server runs. */
import { Type } from "../../common/type.ts";
import { SOURCES } from "../../config/sources.ts";
import { STRATEGIES } from "../../task.ts";
import { closed, oneOf, shared, Time, TIME_EXAMPLE } from "./common.ts";

const Whole = (description: string) => Type.Object({}, { additionalProperties: true, description });
const Anything = (description: string) => Type.Unsafe<unknown>({ description });

export const ConfigAnswer = Type.Object(
  {
    config: Whole(
      "Every key of the configuration, as it holds now. null: it has no value, or a secret one, which is never shown.",
    ),
    sources: Whole(
      `The same keys, each with where its value comes from: ${SOURCES.join(", ")}. environment: a variable that the file names; option: the command line; runtime: a change while the server ran.`,
    ),
    runtime: Type.Array(
      Type.Object({
        key: Type.String({ examples: ["gpu.multi_gpu.default_strategy"] }),
        value: Anything("What holds."),
        instead_of: Anything("What the file says, the environment or the command line; null: nothing."),
        by: Type.String({ description: "The user who set it." }),
        at: Time("When it was set."),
      }),
      {
        description: "What was set while the server ran. It holds until the file says something else than it did then.",
      },
    ),
    changeable: Type.Array(Type.String({ examples: ["gpu.multi_gpu.strategies"] }), {
      description: "The keys that PATCH /config may change; * stands for a name.",
    }),
  },
  {
    $id: "Configuration",
    title: "Configuration",
    examples: [
      {
        config: { log: { level: "debug" } },
        sources: { log: { level: "runtime" } },
        runtime: [{ key: "log.level", value: "debug", instead_of: "info", by: "ada", at: TIME_EXAMPLE }],
        changeable: ["log.level"],
      },
    ],
  },
);
export const ConfigAnswerRef = shared(ConfigAnswer);

export const ConfigPatch = Type.Unsafe<object>({
  type: "object",
  additionalProperties: true,
  title: "ConfigPatch",
  description:
    "A part of the configuration as a JSON merge patch (RFC 7396): what is named changes, null brings back what the file says, or the default, and a list changes as a whole.",
  examples: [
    { gpu: { multi_gpu: { default_strategy: "round_robin" } }, callers: { users: { bob: { max_running: 2 } } } },
  ],
});

export const StrategyRequest = closed(
  { strategy: oneOf([...STRATEGIES], { description: "The strategy of requests that name none." }) },
  { title: "StrategyRequest", examples: [{ strategy: "round_robin" }] },
);

export const SlotsRequest = closed(
  {
    max_concurrent_tasks: Type.Integer({
      minimum: 1,
      maximum: 256,
      description: "Tasks that run at once on each GPU that has no slots of its own.",
    }),
  },
  { title: "SlotsRequest", examples: [{ max_concurrent_tasks: 12 }] },
);
