/** Requests by HTTP, refusals, and webhooks. */
import { DELIVERY_TRIED, REQUEST_BEGAN, REQUEST_ENDED, REQUEST_REFUSED } from "../../topics.ts";
import type { Instruments } from "./instruments.ts";

/** @returns what ends it */
export function countRequests(instruments: Instruments): readonly (() => void)[] {
  const refusals = instruments.counter(
    "refusals_total",
    "Requests that were refused, by the codes of docs/errors.md.",
    ["code"],
  );
  const requests = instruments.counter("http_requests_total", "Requests that were answered or broken off.", [
    "route",
    "status",
  ]);
  const open = instruments.level("http_requests_open", "Requests that wait for an answer, or read along.");
  const help = "Tries to deliver a webhook.";
  const deliveries = instruments.counter("webhook_deliveries_total", help, ["result"]);
  for (const result of ["delivered", "failed"]) deliveries(0, result);
  return [
    REQUEST_REFUSED.subscribe(({ code }) => refusals(1, code)),
    REQUEST_BEGAN.subscribe(() => open(1)),
    REQUEST_ENDED.subscribe(({ route, status }) => {
      open(-1);
      requests(1, classOf(route), String(status));
    }),
    DELIVERY_TRIED.subscribe(({ isDelivered }) => deliveries(1, isDelivered ? "delivered" : "failed")),
  ];
}

/** By route. */
const classes = new Map<string | undefined, string>();

/** Routes of one thing are one class, like `predict`, `task` or `gpus`. @param route as it was registered; undefined: there is none */
function classOf(route: string | undefined): string {
  const known = classes.get(route);
  if (known !== undefined) return known;
  const [first = "", ...rest] = (route ?? "unknown").split("/").filter((part) => part !== "");
  const name = first === "api" ? (rest[1] ?? first) : first === "v1" ? "openai" : first === "" ? "root" : first;
  classes.set(route, name);
  return name;
}
