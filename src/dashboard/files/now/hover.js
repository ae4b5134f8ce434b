/** The text about the bar that is pointed at. */
import { html } from "htm/preact";
import { duration, moment, NONE, number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { serverNow } from "../core/store.js";
import { Badge } from "../parts/badge.js";
import { pointed } from "./pointing.js";

/** Pixels it takes at most. */
const WIDTH = 320;

export function Hover() {
  const at = pointed.value;
  const style = at && {
    left: `${Math.max(8, Math.min(at.x + 12, innerWidth - WIDTH - 8))}px`,
    ...(at.y > innerHeight * 0.6 ? { bottom: `${innerHeight - at.y + 14}px` } : { top: `${at.y + 16}px` }),
  };
  return html`<div id="now-hover" class="hover" role="status" hidden=${at === null} style=${style ?? {}}>
    ${at && html`<${About} bar=${at.bar} task=${at.task} />`}
  </div>`;
}

/** @param {{ bar: import("../core/timeline.js").Bar, task: import("../core/types.ts").Task | null }} props */
function About({ bar, task }) {
  return html`
    <p class="hover-head">
      <${Badge} area="status" code=${bar.status} />
      <b>${bar.user}</b>
      <span class="muted">${bar.model ?? ""}</span>
    </p>
    <${Times} bar=${bar} usage=${task?.result?.usage} />
    ${task?.placement && html`<p>${task.placement.reason}</p>`}
    ${task?.error && html`<p class="warn">${task.error}</p>`}
  `;
}

/** @param {{ bar: import("../core/timeline.js").Bar, usage: NonNullable<import("../core/types.ts").Task["result"]>["usage"] | undefined }} props */
function Times({ bar, usage }) {
  const { createdAt, startedAt, firstOutputAt, finishedAt } = bar;
  const end = finishedAt ?? serverNow();
  /** @type {[title: string, text: string][]} */
  const rows = [
    [t("now.startedAt"), moment(startedAt)],
    [t("now.waitedFor"), duration((startedAt - createdAt) / 1000)],
  ];
  if (firstOutputAt !== null) rows.push([t("now.firstToken"), duration((firstOutputAt - startedAt) / 1000)]);
  rows.push([t("now.ranFor"), duration((end - startedAt) / 1000)]);
  if (usage) {
    const values = { in: usage.prompt_tokens ?? NONE, out: number(usage.completion_tokens) };
    rows.push([t("now.tokens"), t("now.tokensInOut", values)]);
  }
  return html`<dl>
    ${rows.map(
      ([title, text]) =>
        html`<div>
          <dt>${title}</dt>
          <dd>${text}</dd>
        </div>`,
    )}
  </dl>`;
}
