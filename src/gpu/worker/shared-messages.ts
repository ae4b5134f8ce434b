/** The messages between the server and a process that several workers share: those of each worker, with its number. */
import type { ChannelEnd } from "./channel.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** One worker's number among all that were ever started. */
export type ToShared =
  | { readonly start: number }
  | { readonly to: number; readonly message: ToWorker }
  /** Ends that worker, whatever it is doing; its end is told. */
  | { readonly kill: number };

export type FromShared =
  | { readonly from: number; readonly message: FromWorker }
  /** That worker has ended; nothing more comes from it. */
  | { readonly from: number; readonly end: Pick<ChannelEnd, "how" | "stderr"> };
