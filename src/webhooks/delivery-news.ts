/** Tells those who observe the core what became of webhooks. */
import type { Delivery } from "../store/outbox.ts";
import { DELIVERY_BEGINS, DELIVERY_TRIED } from "../topics.ts";
import { hostOf } from "./address.ts";

/** A try begins. @returns headers that are to be sent with it */
export function tellBegins(delivery: Delivery): Readonly<Record<string, string>> {
  if (!DELIVERY_BEGINS.isHeard) return {};
  const { id, url, event, attempts } = delivery;
  const headers: Record<string, string> = {};
  DELIVERY_BEGINS.publish({
    ...subjectOf(delivery),
    deliveryId: id,
    event,
    host: hostOf(new URL(url)),
    attempt: attempts.length + 1,
    addHeader: (name, value) => (headers[name] = value),
  });
  return headers;
}

function subjectOf({ subject, event }: Delivery): { readonly taskId: string | null; readonly batchId: string | null } {
  return event === "batch.completed" ? { taskId: null, batchId: subject } : { taskId: subject, batchId: null };
}

/** A try has ended. @param delivery as it is after it */
export function tellTried(delivery: Delivery): void {
  if (!DELIVERY_TRIED.isHeard) return;
  const { id, status, attempts } = delivery;
  DELIVERY_TRIED.publish({
    ...subjectOf(delivery),
    deliveryId: id,
    status: attempts.at(-1)!.status,
    seconds: attempts.at(-1)!.duration / 1000,
    isDelivered: status === "delivered",
  });
}
