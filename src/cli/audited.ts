/** Which commands leave a row in the audit log, and what it says. A command that only looks leaves none. */
import type { Command } from "commander";
import type { AuditAction } from "../audit/actions.ts";
import { hasData } from "../common/data-folder.ts";
import { messageOf } from "../errors.ts";
import { dataDirOf } from "./data-dir.ts";

/** By its words, like "users add". */
const ACTIONS: Readonly<Record<string, AuditAction>> = {
  "users add": "user.add",
  "users set": "user.change",
  "users password": "user.change",
  "users remove": "user.remove",
  "keys add": "key.add",
  "keys rotate": "key.rotate",
  "keys revoke": "key.revoke",
  pull: "model.pull",
  rm: "model.remove",
  backup: "export.backup",
  restore: "data.restore",
  compact: "data.compact",
  "store copy": "data.copy",
  sweep: "data.sweep",
  forget: "data.forget",
  reload: "config.reload",
};

/** The options that say what was done; no value of them is a secret. */
const TOLD = ["user", "name", "role", "team", "again", "scopes", "models", "expires", "overlap", "from", "to"] as const;

/**
 * Leaves the row of a command that has run.
 * @param outcome `ok`, or the code of its failure
 * @returns why there is no row of what was done, as a sentence; null: there is one, or none is wanted
 */
export async function leaveRowOf(command: Command, outcome: string): Promise<string | null> {
  const action = ACTIONS[wordsOf(command)];
  if (action === undefined) return null;
  try {
    const dataDir = dataDirOf(command).path;
    // A command that was refused must not put anything into a folder that is not ours.
    if (!hasData(dataDir)) return null;
    const { leaveRow } = await import("../audit/command-rows.ts");
    const options = command.opts() as Readonly<Record<string, unknown>>;
    const told = TOLD.flatMap((name) => toldOf(name, options[name]));
    const details = wordsOf(command) === "users password" ? "password" : told.join(", ") || null;
    leaveRow(dataDir, { action, target: targetOf(command), outcome, details });
    return null;
  } catch (error) {
    // A command that has failed changed nothing, often for the same reason, which is told already.
    return outcome === "ok" ? `The audit log has no row of this command: ${messageOf(error)}` : null;
  }
}

function toldOf(name: string, value: unknown): string[] {
  if (typeof value === "boolean") return [value ? name : `no ${name}`];
  return typeof value === "string" ? [`${name} ${value}`] : [];
}

/** An address without what may be secret in it. */
function targetOf(command: Command): string | null {
  const { name, user } = command.opts() as { readonly name?: string; readonly user?: string };
  const given = command.args[0] ?? (command.name() === "forget" ? user : name);
  return given?.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, "$1").replace(/\?.*$/s, "") ?? null;
}

function wordsOf(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null ? command.name() : `${parent.name()} ${command.name()}`;
}
