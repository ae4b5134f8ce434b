/** What operators are told while a test runs. */
import { type TestContext } from "node:test";
import { OPERATOR_EVENT, type OperatorEvent } from "../../src/topics.ts";

/** Fills as events come. */
export function toldToOperators(t: TestContext): readonly OperatorEvent[] {
  const told: OperatorEvent[] = [];
  t.after(OPERATOR_EVENT.subscribe((event) => void told.push(event)));
  return told;
}

/** Short for assertions: kinds and events. */
export function briefly(events: readonly OperatorEvent[]): string[] {
  return events.map(({ kind, event }) => `${kind} ${event}`);
}
