/** The questions to a thread that looks at schemas, and its answers. */
import type { Inexact } from "../grammar/expansion.ts";
import type { Note } from "../grammar/notes.ts";

/** A schema as JSON, and what is wanted of it. */
export type Question =
  /** Whether it can be compiled. */
  | { readonly kind: "compile"; readonly schema: string }
  /** Whether a text matches it. */
  | { readonly kind: "check"; readonly schema: string; readonly text: string };

/** The result of compiling a schema. */
export type Verdict =
  | {
      readonly fits: true;
      /** The parts of it that a grammar cannot say; empty: a grammar says all of it. */
      readonly inexact: readonly Inexact[];
      /** Parts that are no fault of the schema, and were hardly meant. */
      readonly notes: readonly Note[];
    }
  | {
      readonly fits: false;
      /** The part that is at fault, as a JSON pointer. */
      readonly pointer: string;
      /** A sentence, as it stands behind a colon. */
      readonly why: string;
    };

/** Sent once, before all replies: it takes questions. */
export interface Ready {
  readonly kind: "ready";
}

export type Reply =
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  /** A sentence about what does not match; null: all does. */
  | { readonly kind: "checked"; readonly mismatch: string | null };
