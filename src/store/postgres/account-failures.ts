/* Errors of PostgreSQL, in words for those who read or change users and keys. Clients see these words, so they name no host. */
import { AltLasError, messageOf } from "../../errors.ts";
import { codeOf } from "./session.ts";

/** The connection was lost in the middle of something; its cause is why. */
export class Disconnected extends Error {}

/** @throws an error that is nobody's but ours */
export function accountsFailure(error: unknown): AltLasError {
  if (error instanceof AltLasError) return error;
  if (error instanceof Disconnected) return refusal("the database of users and keys cannot be reached", error);
  switch (codeOf(error)) {
    case undefined:
      throw error;
    case "55P03":
      return new AltLasError("conflict", "Another server or command is changing the users and keys. Try again.");
    case "25006":
      return refusal("the database of users and keys takes no writes", error);
    case "42P01":
      return refusal(
        "the database has no tables for users and keys: they come with the first start of the server",
        error,
      );
    default:
      return refusal(`the users and keys could not be read or changed: ${messageOf(error)}`, error);
  }
}

/** A commit was not answered, and the database cannot be asked what became of it. */
export function unclearChange(cause: unknown): AltLasError {
  const sentence =
    "the database of users and keys was lost in the middle of the change; it is not known whether that was made: look at the lists when it is back";
  return refusal(sentence, cause);
}

function refusal(sentence: string, cause: unknown): AltLasError {
  return new AltLasError("store_unavailable", sentence, { cause });
}
