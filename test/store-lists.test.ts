/* Every store does what is promised of lists and sweeps. */
import { exerciseTaskLists } from "./kits/task-lists.ts";
import { STORES } from "./helpers/store.ts";

for (const [name, make] of Object.entries(STORES)) {
  exerciseTaskLists(name, make);
}
