/**
 * The pages, in the order of the navigation.
 *
 * To add a page:
 *  1. Make a folder for it with a component, `files/NAME/page.js`, that takes `{ rest, query }` of its place (core/router.js) and returns
 *     html. State that outlives it, or that others read, is a signal; what is loaded once for a page is `useLoaded` (parts/loaded.js).
 *  2. Write its words in `files/words/NAME.js`, English and Turkish, name the file in words/index.js, and use them by `t("NAME.word")`. No
 *     page has a text of its own: test/dashboard-words.test.ts finds it. "nav.NAME" is its name in the navigation.
 *  3. Add it below. `for` says who sees it; the server decides by itself what it answers to whom.
 *  4. Its styles go into `files/NAME/NAME.css`, named in index.html; colours and distances are the variables of base.css.
 *  5. Its test in the browser is test/wide/browser-NAME.test.ts, on the harness test/helpers/browser.ts, which fails for anything on the
 *     console, a request to another origin, a violation of the policy, or a serious finding of axe (`page.isSound()`).
 *
 * The server is asked with core/api.js. Data that changes by itself comes from core/store.js: `gpus`, `queue`, `timeline`, and `changedTasks` for
 * whoever wants to know that a task has changed. Failures are shown as the server worded them, by parts/notice.js.
 */
import { AccountsPage } from "./accounts/page.js";
import { ApiPage } from "./api/page.js";
import { AuditPage } from "./audit/page.js";
import { GpusPage } from "./gpus/page.js";
import { ModelsPage } from "./models/page.js";
import { NowPage } from "./now/page.js";
import { PlaygroundPage } from "./playground/page.js";
import { SettingsPage } from "./settings/page.js";
import { TasksPage } from "./tasks/page.js";
import { UsagePage } from "./usage/page.js";

/**
 * @typedef {object} Page
 * @property {string} name in the address
 * @property {import("./core/i18n.js").Word} title
 * @property {readonly ("admin" | "user" | "viewer")[]} for
 * @property {import("preact").ComponentType<PageProps>} component
 */
/** @typedef {{ rest: string, query: URLSearchParams }} PageProps */

const EVERYBODY = /** @type {const} */ (["admin", "user", "viewer"]);
/** Those who may submit tasks. */
const SUBMITTERS = /** @type {const} */ (["admin", "user"]);

/** @type {readonly Page[]} */
export const PAGES = [
  { name: "now", title: "nav.now", for: EVERYBODY, component: NowPage },
  { name: "tasks", title: "nav.tasks", for: EVERYBODY, component: TasksPage },
  { name: "playground", title: "nav.playground", for: SUBMITTERS, component: PlaygroundPage },
  { name: "models", title: "nav.models", for: EVERYBODY, component: ModelsPage },
  { name: "gpus", title: "nav.gpus", for: EVERYBODY, component: GpusPage },
  { name: "usage", title: "nav.usage", for: EVERYBODY, component: UsagePage },
  { name: "settings", title: "nav.settings", for: ["admin"], component: SettingsPage },
  { name: "accounts", title: "nav.accounts", for: ["admin"], component: AccountsPage },
  { name: "audit", title: "nav.audit", for: ["admin"], component: AuditPage },
  { name: "api", title: "nav.api", for: EVERYBODY, component: ApiPage },
];
