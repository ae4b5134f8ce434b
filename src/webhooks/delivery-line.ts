/** The log's line on a delivery: never its body, nor more of its URL than the host, as the rest may be secret. */
import type { Delivery } from "../store/outbox.ts";

/** With its last try. */
export function lineOf(delivery: Delivery): object {
  const { id, user, subject, event, attempts } = delivery;
  const { status = null, error = null, duration = 0 } = attempts.at(-1) ?? {};
  return {
    delivery: id,
    user,
    [event === "batch.completed" ? "batch" : "task"]: subject,
    event,
    host: hostAndPort(delivery),
    tries: attempts.length,
    status,
    ...(error !== null && { error }),
    seconds: duration / 1000,
  };
}

/** All that cannot be sent anywhere counts as one. */
export function hostAndPort({ url }: Pick<Delivery, "url">): string {
  return URL.parse(url)?.host ?? "";
}
