/** What the programs about forms and tools have in common; forms.py is the same for Python. */
import { z } from "zod";
import { MESSAGES, report } from "./steps.mjs";

/** Has what models and grammars find hard: a range, a choice with nothing, a list, lengths. None of it can go on for ever. */
export const Person = z.object({
  name: z.string().min(1).max(20),
  age: z.number().int().min(0).max(120),
  pet: z.enum(["cat", "dog"]).nullable(),
  tags: z.array(z.string().max(8)).max(3),
});
const Step = z.object({
  what: z.string().max(8),
  get next() {
    return Step.nullable();
  },
});
/** Has the rest of what programs ask for. */
export const Order = z.object({
  id: z.uuid(),
  at: z.iso.datetime(),
  day: z.iso.date(),
  email: z.email(),
  code: z.string().regex(/^[A-Z]{2}-\d{1,4}$/),
  shape: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("circle"), radius: z.number().positive().max(10) }),
    z.object({ kind: z.literal("box"), sides: z.array(z.number()).length(2) }),
  ]),
  count: z.number().int().multipleOf(5).nullable(),
  plan: Step,
  ip: z.union([z.ipv4(), z.literal("none")]),
});
export const Place = z.object({ city: z.string().max(20), days: z.number().int().min(1).max(7) });
/** Each gives another answer of the simulated model. */
export const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
export const WEATHER = "21 degrees";
export const TOOL = { name: "get_weather", description: "Tells the weather of a city for some days." };

export const ABOUT = [MESSAGES[0], { role: "user", content: "Tell me about a person." }];
/** Names the tool: the simulated model calls what is named. */
export const ASKING = [MESSAGES[0], { role: "user", content: "Ask get_weather for Paris, and tell me what it says." }];
/** More than any answer needs. */
export const ENOUGH = 600;

/** Runs the steps that it is told to run. */
export async function reportForms(steps) {
  await report(Object.fromEntries(process.env.STEPS.split(",").map((name) => [name, steps[name]])));
}
