/** The colours of the theme for canvases, which cannot read variables: asked of the browser once for each theme. */
import { computed } from "@preact/signals";
import { isDark } from "./theme.js";

const NAMES = /** @type {const} */ ([
  "surface",
  "raised",
  "text",
  "muted",
  "line",
  "accent",
  "on-accent",
  "queued",
  "running",
  "completed",
  "failed",
  "canceled",
]);

/** @typedef {Readonly<Record<(typeof NAMES)[number], string>>} Colors */

/** As `color()` of CSS. @type {import("@preact/signals").ReadonlySignal<Colors>} */
export const colors = computed(() => {
  isDark();
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = NAMES.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  });
  probe.remove();
  return Object.fromEntries(found);
});
