/* Every store does what is promised of the whole, and of tasks. */
import { STORES } from "./helpers/store.ts";
import { TASK_KITS } from "./kits/every.ts";

for (const [name, make] of Object.entries(STORES)) for (const exercise of TASK_KITS) exercise(name, make);
