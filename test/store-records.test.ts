/* Every store does what is promised of batches, webhooks, idempotency keys and usage. */
import { exerciseBatches } from "./kits/batches.ts";
import { exerciseOutbox } from "./kits/outbox.ts";
import { exerciseIdempotency } from "./kits/idempotency.ts";
import { exerciseUsage } from "./kits/usage.ts";
import { STORES } from "./helpers/store.ts";

for (const [name, make] of Object.entries(STORES)) {
  exerciseBatches(name, make);
  exerciseOutbox(name, make);
  exerciseIdempotency(name, make);
  exerciseUsage(name, make);
}
