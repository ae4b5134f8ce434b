/**
 * Gives work a signal that aborts after `ms` milliseconds, or when `outer` does. Unlike that of `AbortSignal.timeout`, its timer keeps
 * the process alive, and it is gone when the work is.
 */
export async function withLimit<T>(
  ms: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const abort = (): void => limit.abort();
  const timer = setTimeout(abort, ms);
  outer.addEventListener("abort", abort);
  if (outer.aborted) abort();
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", abort);
  }
}
