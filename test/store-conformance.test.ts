/* Every store does what is promised of the whole, and of tasks. */
import { exerciseStore } from "./kits/store.ts";
import { exerciseTasks } from "./kits/tasks.ts";
import { STORES } from "./helpers/store.ts";

for (const [name, make] of Object.entries(STORES)) {
  exerciseStore(name, make);
  exerciseTasks(name, make);
}
