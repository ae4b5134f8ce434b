/** A sentence that says how something went, such as a refusal in the server's words. */
import { html } from "htm/preact";

/**
 * @param {{ kind: "bad" | "good" | "plain", text: string }} props bad: it is read out at once
 */
export function Notice({ kind, text }) {
  return html`<p class="notice ${kind}" role=${kind === "bad" ? "alert" : "status"}>${text}</p>`;
}
