/** Tells those who observe the core what became of webhooks. */
import { type Delivery } from "../store/outbox.ts";
import { DELIVERY_TRIED } from "../topics.ts";

/** A try has ended. @param delivery as it is after it */
export function tellTried({ subject, event, status, attempts }: Delivery): void {
  if (!DELIVERY_TRIED.isHeard) return;
  const isOfBatch = event === "batch.completed";
  DELIVERY_TRIED.publish({
    taskId: isOfBatch ? null : subject,
    batchId: isOfBatch ? subject : null,
    seconds: attempts.at(-1)!.duration / 1000,
    isDelivered: status === "delivered",
  });
}
