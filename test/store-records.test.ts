/* Every store does what is promised of batches, of those of files, of webhooks, idempotency keys, usage, files, texts and the audit log. */
import { STORES } from "./helpers/store.ts";
import { RECORD_KITS } from "./kits/every.ts";

for (const [name, make] of Object.entries(STORES)) for (const exercise of RECORD_KITS) exercise(name, make);
