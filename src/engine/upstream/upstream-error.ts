/** Why a server gave no answer, or not the one that was asked for. */
export class UpstreamError extends Error {
  /** That it answered with; null: it did not get that far, or broke off. */
  readonly status: number | null;
  /** The word with which its answer names the failure to programs; null: it has none. */
  readonly code: string | null;
  /** Seconds, as it said itself. */
  readonly retryAfter: number | undefined;
  /** Its own words, or what went wrong; part of a sentence. */
  readonly words: string;
  /** Whether there was no way to it at all, so that it got to know of nothing. */
  readonly unreached: boolean;
  /** Whether it had begun its answer, and took too long with the first piece of it. */
  readonly isLate: boolean;

  constructor(
    status: number | null,
    words: string,
    options: {
      code?: string | null;
      retryAfter?: number | undefined;
      unreached?: boolean;
      isLate?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(status === null ? words : `HTTP ${status}: ${words}`, { cause: options.cause });
    this.name = "UpstreamError";
    this.status = status;
    this.code = options.code ?? null;
    this.retryAfter = options.retryAfter;
    this.words = words;
    this.unreached = options.unreached ?? false;
    this.isLate = options.isLate ?? false;
  }
}

/** A server's words, which may lack their full stop. */
export function sentenceOf(words: string): string {
  return /[.!?…]$/.test(words) ? words : `${words}.`;
}
