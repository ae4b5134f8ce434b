/** How long the texts of a task are stored: what it was asked, and what came of it. */

/** From the laxest to the strictest. `until_read`: on disk until its user has read them; `never`: in memory only. */
export const TEXTS = ["keep", "until_read", "never"] as const;
export type Texts = (typeof TEXTS)[number];

/** Of a task. `removed`: its texts were to be kept until they were read, and are gone. */
export type TaskTexts = Texts | "removed";

export function strictest(...all: readonly Texts[]): Texts {
  return TEXTS[Math.max(...all.map((one) => TEXTS.indexOf(one)))]!;
}
