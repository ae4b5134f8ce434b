/** From what happened to what is sent. */
import { isoTime } from "../common/clock.ts";
import type { Delivery } from "../store/outbox.ts";
import type { Webhook, WebhookEvent } from "../task.ts";

/** Something that happened to a task or a batch. */
export interface Occurrence {
  /** The id of the task or batch; all that one of them tells must differ in `event` or `occurrence`. */
  readonly subject: string;
  /** The user it belongs to. */
  readonly user: string;
  readonly event: WebhookEvent;
  /** Which time, of an event that may happen again: the number of the attempt. */
  readonly occurrence: number;
  /** The facts known at that moment. */
  readonly data: object;
}

/**
 * The deliveries about it; none when nobody wants to know. The same occurrence always makes the same id, so that it is not told
 * twice after a restart.
 * @param at when that is, as it is shown @param now the same by the server's clock
 */
export function deliveriesFor(webhook: Webhook | null, about: Occurrence, at: number, now = at): Delivery[] {
  const { subject, user, event, data } = about;
  if (webhook === null || !webhook.events.includes(event)) return [];
  const body = JSON.stringify({ type: event, timestamp: isoTime(at), data });
  const state = { status: "pending", createdAt: at, nextAt: now, attempts: [] } as const;
  return [{ id: idOf(about), subject, user, event, url: webhook.url, body, ...state }];
}

/** Without full stops: they separate the parts of what is signed. */
function idOf({ subject, event, occurrence }: Occurrence): string {
  const id = `msg_${subject}_${event.replaceAll(".", "_")}`;
  return event === "task.running" ? `${id}_${occurrence}` : id;
}
