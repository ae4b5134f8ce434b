/** What tasks are made of: by what their text says, the simulated engine does something to them. */
import { textOf } from "../src/output.ts";
import { completionOf } from "../src/request.ts";
import { type SimulatedFailure } from "../src/engine/engine.ts";
import { SimulatedEngine } from "../src/engine/simulated/simulated.ts";
import { simulatedEngine } from "../test/helpers/devices.ts";
import { type Dice } from "./dice.ts";

/** `crash` kills its worker; `oom` finds too little memory everywhere, `oom0` on GPU 0; `deaf` cannot be canceled. */
export type Kind = "plain" | "crash" | "oom" | "oom0" | "error" | "deaf";

const SCRIPT = {
  crash: { kind: "crash", after_tokens: 5 },
  oom: { kind: "out_of_memory", after_tokens: 3 },
  oom0: { kind: "out_of_memory", gpu_id: 0, after_tokens: 3 },
  error: { kind: "error", after_tokens: 4 },
  deaf: { kind: "ignore_cancel", after_tokens: 2 },
} as const satisfies Record<Exclude<Kind, "plain">, SimulatedFailure>;

/** For `engine.simulated.failures`. */
export const FAILURES: readonly SimulatedFailure[] = Object.entries(SCRIPT).map(([kind, failure]) => ({
  ...failure,
  when_text_contains: `[${kind}]`,
}));

/** The failure that such a task ends with unless it is stopped before; null: it is to be completed. */
export const FATE: Readonly<Record<Kind, "poison" | "out_of_memory" | "model_error" | null>> = {
  plain: null,
  crash: "poison",
  oom: "out_of_memory",
  oom0: null,
  error: "model_error",
  deaf: null,
};

/** Tokens; the shortest has more than any of the failures waits for. */
const SHORTEST = 8;
const LONGEST = 120;
/** Seconds. */
const LONG_TIMEOUT = 5 * 86_400;

/** One task as it is asked for. */
export interface Item {
  readonly kind: Kind;
  readonly text: string;
  readonly maxLength: number;
  readonly priority: "high" | "normal" | "low";
  /** Seconds; null: it may take any time. */
  readonly timeoutSeconds: number | null;
}

export function newItem(dice: Dice, kind: Kind): Item {
  const mark = kind === "plain" ? "" : ` [${kind}]`;
  return {
    kind,
    text: `Tell me about number ${dice.between(0, 1_000_000)}${mark} please`,
    maxLength: dice.between(SHORTEST, LONGEST),
    priority: dice.weigh([
      [1, "high"],
      [4, "normal"],
      [1, "low"],
    ]),
    timeoutSeconds: dice.weigh([
      [8, null],
      [1, dice.between(2, 40) / 10],
      [1, LONG_TIMEOUT],
    ]),
  };
}

/** Whether that much time can be up: of five days only a clock can tell so that was set. */
export function mayTimeOut({ timeoutSeconds }: Item): boolean {
  return timeoutSeconds !== null && timeoutSeconds < LONG_TIMEOUT;
}

/** Tokens: more than any of the tasks needs. */
const CONTEXT = 32_768;

/** The text that a task gets if nothing interferes. */
export async function fullText({ text, maxLength }: Pick<Item, "text" | "maxLength">): Promise<string> {
  let generated = "";
  await new SimulatedEngine(simulatedEngine({ context: CONTEXT }), 0).generate({
    request: completionOf(text, { maxTokens: maxLength, temperature: 0 }),
    signal: new AbortController().signal,
    begin: () => {},
    emit: (delta) => (generated += textOf(delta)),
  });
  return generated;
}
