/** Light or dark: as the system has it, unless somebody chose here. early.js applies the choice before the page is drawn. */
import { effect, signal } from "@preact/signals";
import { keptInBrowser } from "./kept.js";

const choice = keptInBrowser("theme");
const system = matchMedia("(prefers-color-scheme: dark)");

/** @param {string | null} value */
function themeNamed(value) {
  return value === "light" || value === "dark" ? value : null;
}

/** null: as the system has it. @type {import("@preact/signals").Signal<"light" | "dark" | null>} */
export const chosenTheme = signal(themeNamed(choice.get()));
const systemIsDark = signal(system.matches);
system.addEventListener("change", ({ matches }) => (systemIsDark.value = matches));

export function isDark() {
  return chosenTheme.value === null ? systemIsDark.value : chosenTheme.value === "dark";
}

/** @param {string} name `light`, `dark`; else as the system has it */
export function chooseTheme(name) {
  chosenTheme.value = themeNamed(name);
  choice.set(chosenTheme.value);
}

effect(() => {
  if (chosenTheme.value === null) delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosenTheme.value;
});
