/** Says that what is shown is not live, since when, and when the next try is. */
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { moment } from "../core/format.js";
import { t } from "../core/i18n.js";
import { connection, tryNow } from "../core/connection.js";
import { begin } from "../core/session.js";
import { Notice } from "./notice.js";

export function ConnectionBar() {
  const { state, nextTryAt, liveAt } = connection.value;
  const now = useEachSecond(state === "lost");
  if (state !== "lost") return null;
  const seconds = Math.max(0, Math.ceil((nextTryAt - now) / 1000));
  return html`<div class="connection" role="alert" data-state=${state}>
    <span>${t("app.disconnected", { seconds })}</span>
    ${liveAt !== null && html`<span>${t("app.stale", { time: moment(liveAt) })}</span>`}
    <button onClick=${tryNow}>${t("app.tryNow")}</button>
  </div>`;
}

/** Where the server could not be asked who this is. @param {{ sentence: string }} props */
export function Unreachable({ sentence }) {
  return html`<main class="sign-in">
    <${Notice} kind="bad" text=${sentence} />
    <button class="primary" onClick=${() => void begin()}>${t("app.tryNow")}</button>
  </main>`;
}

/** @param {boolean} isOn @returns the time, anew each second */
function useEachSecond(isOn) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!isOn) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
  return now;
}
