/** Begins: signs in with what there is, and shows the shell, or the sign-in. */
import { render } from "preact";
import { html } from "htm/preact";
import { begin } from "./core/session.js";
import { Shell } from "./parts/shell.js";

const root = document.querySelector("#app");
if (root) render(html`<${Shell} />`, root);
await begin();
