/* Every store does what is promised of lists and sweeps. */
import { STORES } from "./helpers/store.ts";
import { LIST_KITS } from "./kits/every.ts";

for (const [name, make] of Object.entries(STORES)) for (const exercise of LIST_KITS) exercise(name, make);
