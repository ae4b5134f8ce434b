/* Every store does what is promised of batches, of those of files, of webhooks, idempotency keys, usage, files, texts and the audit log. */
import { exerciseAudit } from "./kits/audit.ts";
import { exerciseBatchFiles } from "./kits/batch-files.ts";
import { exerciseBatches } from "./kits/batches.ts";
import { exerciseFiles } from "./kits/files.ts";
import { exerciseOutbox } from "./kits/outbox.ts";
import { exerciseIdempotency } from "./kits/idempotency.ts";
import { exerciseTexts } from "./kits/texts.ts";
import { exerciseUsage } from "./kits/usage.ts";
import { STORES } from "./helpers/store.ts";

for (const [name, make] of Object.entries(STORES)) {
  exerciseBatches(name, make);
  exerciseBatchFiles(name, make);
  exerciseOutbox(name, make);
  exerciseIdempotency(name, make);
  exerciseUsage(name, make);
  exerciseFiles(name, make);
  exerciseAudit(name, make);
  exerciseTexts(name, make);
}
