/** A task's time, phase by phase. */
import { html } from "htm/preact";
import { duration, rate } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { useNow } from "../parts/now.js";
import { phasesOf, speedOf } from "./phases.js";
import { hasEnded } from "./types.js";

/** @param {{ task: import("./types.js").Task }} props */
export function TimeBar({ task }) {
  const now = useNow(!hasEnded(task));
  const phases = phasesOf(task, now);
  const whole = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const firstToken = task.timing.first_token;
  const speed = speedOf(task);
  return html`<section class="panel" aria-labelledby="time">
    <h3 id="time">${t("task.time")}</h3>
    <div class="time-bar" aria-hidden="true">
      ${phases.map(({ name, share }) => html`<span key=${name} data-phase=${name} style=${{ flexGrow: String(share) }}></span>`)}
    </div>
    <ul class="legend">
      ${phases.map(
        ({ name, seconds }) =>
          html`<li key=${name} data-phase=${name}>${tCode("phase", name)} <b>${duration(seconds)}</b></li>`,
      )}
    </ul>
    <p class="note">
      ${[
        t("task.whole", { time: duration(whole) }),
        firstToken === null ? null : t("task.firstToken", { time: duration(firstToken) }),
        speed === null ? null : t("play.perSecond", { n: rate(speed) }),
      ]
        .filter((text) => text !== null)
        .join(" · ")}
    </p>
  </section>`;
}
