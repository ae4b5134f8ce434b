/**
 * Gathers what happens in one decoding step into one message. The engine reports a step's tokens in one go, and the ends and slots that
 * come of it before the event loop turns.
 */
import { append, type Delta, growing, type GrowingDelta } from "../../output.ts";
import type { FromWorker, StepEnd, StepPiece, StepStart } from "./messages.ts";

type GrowingPiece = GrowingDelta & Pick<StepPiece, "run"> & { tokens: number };
type StepMessage = Extract<FromWorker, { type: "step" }>;

/** Turns of the event loop that a task's first text and its end wait: until all that follows from the same step has come together. */
const AT_ONCE = 1;
/** The rest waits until the engine has begun its next step, which would have to wait while the message is written. */
const BESIDE_THE_NEXT_STEP = 2;

export class StepMessages {
  readonly #send: (message: StepMessage) => void;
  #starts: StepStart[] = [];
  /** One for each run, however many tokens it got since the last message, as long as its deltas are of one kind. */
  #pieces: GrowingPiece[] = [];
  /** The last piece of each run. */
  #lastOf = new Map<number, GrowingPiece>();
  #ends: StepEnd[] = [];
  /** Turns of the event loop until the message goes; null: there is nothing to say. */
  #turnsLeft: number | null = null;

  constructor(send: (message: StepMessage) => void) {
    this.#send = send;
  }

  /** A start goes with the next message, whenever that goes. */
  start(start: StepStart): void {
    this.#starts.push(start);
  }

  /** @param isFirst whether somebody waits for the first text of this run */
  piece(run: number, delta: Delta, tokens: number, isFirst: boolean): void {
    const earlier = this.#lastOf.get(run);
    if (earlier !== undefined && append(earlier, delta)) {
      earlier.tokens += tokens;
    } else {
      const piece: GrowingPiece = Object.assign(growing(delta), { run, tokens });
      this.#pieces.push(piece);
      this.#lastOf.set(run, piece);
    }
    this.#sendWithin(isFirst ? AT_ONCE : BESIDE_THE_NEXT_STEP);
  }

  end(end: StepEnd): void {
    this.#ends.push(end);
    this.#sendWithin(AT_ONCE);
  }

  #sendWithin(turns: number): void {
    if (this.#turnsLeft === null) setImmediate(this.#onTurn);
    this.#turnsLeft = Math.min(this.#turnsLeft ?? turns, turns);
  }

  /** A field, so that no function is made for each step. */
  readonly #onTurn = (): void => {
    this.#turnsLeft = this.#turnsLeft! - 1;
    if (this.#turnsLeft > 0) setImmediate(this.#onTurn);
    else this.#flush();
  };

  #flush(): void {
    const step: StepMessage = {
      type: "step",
      starts: this.#starts,
      pieces: this.#pieces,
      ends: this.#ends,
    };
    this.#turnsLeft = null;
    this.#starts = [];
    this.#pieces = [];
    this.#lastOf = new Map();
    this.#ends = [];
    this.#send(step);
  }
}
