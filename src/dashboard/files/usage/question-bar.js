/** Which time is looked at, and what is told apart. It stands in the address. */
import { html } from "htm/preact";
import { t, tCode } from "../core/i18n.js";
import { go, href } from "../core/router.js";
import { role } from "../core/session.js";
import { BY, dayBefore, dayOf, MEASURES } from "./question.js";

const SPANS = [7, 30, 90];

/** @typedef {import("./question.js").Question} Question */

/** @param {{ question: Question, children: import("preact").ComponentChildren }} props */
export function QuestionBar({ question, children }) {
  const { from, to, by, measure } = question;
  const today = dayOf(new Date());
  const onChange = (/** @type {{ currentTarget: HTMLFormElement }} */ { currentTarget }) => {
    const given = Object.fromEntries(Array.from(new FormData(currentTarget), ([name, value]) => [name, String(value)]));
    go(href("usage", "", { ...question, ...given }));
  };
  return html`<form
    class="filters"
    aria-label=${t("tasks.filters")}
    onChange=${onChange}
    onSubmit=${(/** @type {SubmitEvent} */ event) => event.preventDefault()}
  >
    <label>${t("usage.from")} <input name="from" type="date" value=${from} /></label>
    <label>${t("usage.to")} <input name="to" type="date" value=${to} /></label>
    <${Choice} name="by" label=${t("usage.by")} value=${by} options=${offered()} area="usageBy" />
    <${Choice} name="measure" label=${t("usage.measure")} value=${measure} options=${MEASURES} area="measure" />
    <span class="spans">
      ${SPANS.map((days) => {
        const span = { ...question, from: dayBefore(today, days - 1), to: today };
        const isOn = span.from === from && to === today;
        return html`<a key=${days} href=${href("usage", "", span)} aria-current=${isOn ? "true" : undefined}
          >${t("usage.days", { n: days })}</a
        >`;
      })}
    </span>
    ${children}
  </form>`;
}

/** A user sees its own usage only: there is nobody to tell apart. */
function offered() {
  return BY.filter((one) => role.value !== "user" || one !== "user");
}

/**
 * @param {{ name: string, label: string, value: string, options: readonly string[], area: "usageBy" | "measure" }} props
 */
function Choice({ name, label, value, options, area }) {
  return html`<label>
    ${label}
    <select name=${name} value=${value}>
      ${options.map((one) => html`<option key=${one} value=${one}>${tCode(area, one)}</option>`)}
    </select>
  </label>`;
}
