/** Calls without a prompt: they have a model loaded, or unloaded where they want to keep it alive for no time. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { AltLasError } from "../../errors.ts";
import type { ServerParts } from "../server-parts.ts";
import { warn } from "../warnings.ts";
import { nameMeant } from "./names.ts";

/** A time of nothing, in whatever unit. */
const NO_TIME = /^\s*0+(\.0*)?\s*(ns|us|µs|ms|s|m|h)?\s*$/;

interface Wish {
  readonly model: string;
  readonly keep_alive?: string | number;
}

/** @throws {AltLasError} `not_found`: there is no such model; `forbidden`: only an admin may unload one; `conflict`: a device's own model stays */
export async function loadOrUnload(
  { catalog, models, log }: ServerParts,
  request: FastifyRequest,
  reply: FastifyReply,
  { model, keep_alive = "" }: Wish,
): Promise<"load" | "unload"> {
  const { caller } = request;
  const name = nameMeant(model, models());
  const unloads = NO_TIME.test(String(keep_alive));
  if (caller.role === "admin") {
    await (unloads ? catalog.unload(name, null) : catalog.load(name, null));
    request.audit(unloads ? "model.unload" : "model.load", { target: name });
    log.info({ model: name, by: caller.name }, unloads ? "model is to be unloaded" : "model is to be loaded");
    return unloads ? "unload" : "load";
  }
  await catalog.named(name);
  if (unloads) {
    const needed = caller.scopes === null ? "the role admin" : "the role admin and a key with the scope admin";
    const sentence = `Unloading models needs ${needed}; ${caller.name} has the role ${caller.role}${caller.scopes === null ? "" : " with this key"}.`;
    throw new AltLasError("forbidden", sentence);
  }
  // Clients send this before the first prompt, and would take a refusal for the end.
  warn(reply, ["Loading models needs the role admin: this one is loaded when a prompt wants it."]);
  return "load";
}
