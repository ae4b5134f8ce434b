/* Errors of PostgreSQL, in words for an operator and for clients. No sentence has a password. */
import { AltLasError, messageOf } from "../../errors.ts";
import type { Failure } from "../thread/messages.ts";
import { codeOf } from "./session.ts";

/**
 * Connections that a server takes: one writes, one keeps the lease, one hears of users and keys, and one changes them now and then; the
 * others read.
 */
export const READERS = 3;
export const CONNECTIONS = READERS + 4;

/** Names the database and no login: `postgres://host:5432/name`. */
export function shownUrl(url: string): string {
  try {
    const { protocol, host, pathname, searchParams } = new URL(url);
    const socket = searchParams.get("host");
    return `${protocol}//${decodeURIComponent(host) || socket || "localhost"}${pathname}`;
  } catch {
    return "the address in store.url";
  }
}

/** The reason in an error: where a name has several addresses, that of the first. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return messageOf(error);
}

/** Why a server cannot start on a database. @param shown of `shownUrl` */
export function openFailure(error: unknown, shown: string): AltLasError {
  if (error instanceof AltLasError) {
    // That of a missing package has a cause that names a path of this machine.
    const isSaid = error.cause === undefined || error.code === "bad_config";
    return isSaid ? error : openFailure(error.cause, shown);
  }
  const at = `PostgreSQL at ${shown}`;
  switch (codeOf(error)) {
    case "28P01":
    case "28000":
      return badConfig(`${at} refuses the user or the password in store.url: ${messageOf(error)}`);
    case "3D000":
      return badConfig(
        `${at} has no such database: ${messageOf(error)}; make it first with createdb, or change store.url`,
      );
    case "53300":
      return badConfig(
        `${at} takes no more connections: ${messageOf(error)}; ALT_LAS needs ${CONNECTIONS}, so raise max_connections or the limit of its role`,
      );
    case "42501":
      return badConfig(
        `${at} does not let this user make or use its tables: ${messageOf(error)}; its role needs CREATE on the database, or a schema of its own (store.schema)`,
      );
    // A statement that one session has prepared is there for another one, or has gone from it.
    case "42P05":
    case "26000":
      return pooled(shown);
    case "25006":
      return readOnly(shown);
    case undefined:
      return new AltLasError("store_unavailable", `${at} cannot be reached: ${reasonOf(error)}`);
    default:
      return new AltLasError("store_unavailable", `the task database on ${at} cannot be opened: ${messageOf(error)}`);
  }
}

export function readOnly(shown: string): AltLasError {
  const sentence = `PostgreSQL at ${shown} is a standby that only reads, or takes no writes: store.url has to lead to the primary`;
  return badConfig(sentence);
}

export function pooled(shown: string): AltLasError {
  const sentence = `a pooler in transaction mode stands before PostgreSQL at ${shown}: store.url has to lead to PostgreSQL itself, or to a pooler in session mode`;
  return badConfig(sentence);
}

export function badConfig(sentence: string): AltLasError {
  return new AltLasError("bad_config", sentence);
}

/** Integrity constraints and values that cannot be kept: the same transaction without one of its rows may succeed. */
const ROW_CODES = /^(?:21|22|23)/;

/** The answer to a request that has failed. Clients see it, so it names no host. */
export function failureOf(error: unknown, isWrite: boolean): Failure {
  if (error instanceof AltLasError) return { code: error.code, sentence: error.message, ofRow: false };
  const code = codeOf(error);
  return {
    code: "store_unavailable",
    sentence: `tasks could not be ${isWrite ? "written to" : "read from"} the database: ${reasonOf(error)}`,
    ofRow: isWrite && (code === undefined || ROW_CODES.test(code)),
  };
}

/** @param cause absent: it is known to be away */
export function unreachable(cause?: unknown): AltLasError {
  return new AltLasError("store_unavailable", "the task database cannot be reached; it is tried again", { cause });
}

/** A server that stops while its database is away cannot wait until that can be asked. */
export function unknown(cause: unknown): AltLasError {
  const sentence =
    "the server stops while the task database cannot be reached; it is not known whether this was stored";
  return new AltLasError("store_unavailable", sentence, { cause });
}
