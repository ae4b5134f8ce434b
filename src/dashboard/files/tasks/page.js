/** The tasks: their list, or one of them. */
import { html } from "htm/preact";
import { TaskList } from "./list.js";
import { OneTask } from "./task.js";

/** @param {import("../pages.js").PageProps} props */
export function TasksPage({ rest, query }) {
  return rest === "" ? html`<${TaskList} query=${query} />` : html`<${OneTask} key=${rest} id=${rest} />`;
}
