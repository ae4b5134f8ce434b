/* The steps in which a store forgets a user. */

/** In the place of users that were forgotten, in sums of usage. No user can have this name. */
export const FORGOTTEN_USER = "(forgotten)";

export interface ForgetOptions {
  readonly user: string;
  /** Where the step before has ended; 0: there was none. */
  readonly from: number;
  /** No server runs on the store: tasks and batches that have not ended are removed, too. */
  readonly isAlone: boolean;
}

/** Counts of the rows that one step has removed. */
export interface ForgetStep {
  readonly tasks: number;
  readonly batches: number;
  /** Remembered answers to requests with an `Idempotency-Key`. */
  readonly answers: number;
  /** Sums of usage that have another name now. */
  readonly usageRows: number;
  /** Where the next step goes on; null: nothing is left. */
  readonly next: number | null;
}
