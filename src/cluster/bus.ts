/**
 * The way between servers and agents: NATS (nats-bus.ts), or in tests this process.
 *
 * Promises that every bus keeps:
 *  1. Messages of one sender to one subject arrive in order, and each is a copy. A message arrives as a whole or not at all, however large.
 *  2. Messages may be lost, and may come twice.
 *  3. No event is told within a call.
 *  4. While it is down nothing is sent, and nothing is kept for later.
 *  5. A message that is no JSON object is not told.
 */
export interface Bus {
  readonly isUp: boolean;
  /** The addresses of the brokers, with commas between them, without what is secret. */
  readonly at: string;
  /** @param nobody called when it is known that nobody listens there */
  send(subject: string, message: object, nobody?: () => void): void;
  /**
   * @param subject its last part may be `*`
   * @param heard gets the last part of the subject, too
   * @param most bytes of a message; a larger one is not told, and takes no memory
   * @returns what ends it
   */
  listen(subject: string, heard: (message: object, last: string) => void, most?: number): () => void;
  /** @returns what ends it */
  watch(events: BusEvents): () => void;
  /** All that was sent goes out first. */
  close(): Promise<void>;
}

export interface BusEvents {
  /** It is up again. */
  up(): void;
  /** It is down, and tries to come up by itself. */
  down(): void;
}
