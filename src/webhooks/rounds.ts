/**
 * The consequences of a try. A round is all tries from a submission, or from the wish to have it sent again, until one is answered with
 * 2xx, a day of failures is over, or its endpoint is paused. Rounds are not stored: where one ends can be seen in the tries themselves.
 */
import type { Delivery, DeliveryAttempt } from "../store/outbox.ts";

/** Milliseconds. */
export interface RetryTiming {
  /** From the first failure to the next try; three times as long after each further one. */
  readonly firstPause: number;
  readonly longestPause: number;
  /** From a round's first try to its last. */
  readonly round: number;
}

const GROWTH = 3;
/** Pauses differ by up to this share, so that what failed together does not come back together. */
const JITTER = 0.1;
/** Tries that are kept. */
const KEPT = 50;
const PAUSED = "The endpoint is paused, so nothing was sent: GET /webhooks says since when.";

export interface RetryRules {
  readonly timing: RetryTiming;
  /** The server's clock. */
  readonly now: () => number;
  /** From [0, 1). */
  readonly random: () => number;
}

/** The state of a delivery after a try that has just ended. */
export function afterTry(delivery: Delivery, attempt: DeliveryAttempt, rules: RetryRules): Delivery {
  const { timing, now, random } = rules;
  const rounds = latest(roundsOf([...delivery.attempts, attempt], timing.round));
  const tried = { ...delivery, attempts: rounds.flat().slice(-KEPT) };
  const round = rounds.at(-1)!;
  const lastTry = clockOf(round[0]!) + timing.round;
  if (arrived(attempt)) return { ...tried, status: "delivered" };
  if (clockOf(attempt) >= lastTry) return { ...tried, status: "failed" };
  const pause = Math.min(timing.firstPause * GROWTH ** (round.length - 1), timing.longestPause);
  const next = now() + pause * (1 + JITTER * (2 * random() - 1));
  return { ...tried, nextAt: Math.round(Math.min(next, lastTry)) };
}

/** The state of a delivery that is due for a paused endpoint. @param clock when that is, by the server's clock @param wall by the wall clock */
export function notTried(delivery: Delivery, clock: number, wall: number): Delivery {
  // The shown time never goes backwards, whatever the wall clock does.
  const at = Math.max(wall, delivery.createdAt, delivery.attempts.at(-1)?.at ?? 0);
  const attempt: DeliveryAttempt = {
    at,
    ...(clock !== at && { clock }),
    status: null,
    error: PAUSED,
    duration: 0,
    untried: true,
  };
  return { ...delivery, status: "failed", attempts: [...delivery.attempts, attempt].slice(-KEPT) };
}

/** When it was made, by the server's clock. */
function clockOf({ at, clock = at }: DeliveryAttempt): number {
  return clock;
}

function arrived({ status }: DeliveryAttempt): boolean {
  return status !== null && status >= 200 && status < 300;
}

/** Never none for at least one try. */
function roundsOf(attempts: readonly DeliveryAttempt[], length: number): DeliveryAttempt[][] {
  const rounds: DeliveryAttempt[][] = [];
  let over = true;
  for (const attempt of attempts) {
    if (over) rounds.push([]);
    const round = rounds.at(-1)!;
    round.push(attempt);
    over = arrived(attempt) || attempt.untried === true || clockOf(attempt) >= clockOf(round[0]!) + length;
  }
  return rounds;
}

/** Leaves out whole rounds when there are too many tries: of one that is cut, nobody could see any more where it ends. */
function latest(rounds: readonly DeliveryAttempt[][]): readonly DeliveryAttempt[][] {
  let first = 0;
  while (first < rounds.length - 1 && rounds.slice(first).flat().length > KEPT) first++;
  return rounds.slice(first);
}
