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
export const Place = z.object({ city: z.string().max(20), days: z.number().int().min(1).max(7) });
export const WEATHER = "21 degrees";
export const TOOL = { name: "get_weather", description: "Tells the weather of a city for some days." };

export const ABOUT = [MESSAGES[0], { role: "user", content: "Tell me about a person." }];
/** Names the tool: the simulated model calls what is named. */
export const ASKING = [MESSAGES[0], { role: "user", content: "Ask get_weather for Paris, and tell me what it says." }];
/** More than any answer needs. */
export const ENOUGH = 600;

/** @param steps for models that call tools */
export async function reportForms(forms, steps) {
  await report(process.env.HAS_TOOLS === "1" ? { ...forms, ...steps } : forms);
}
