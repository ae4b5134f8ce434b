/** One command that shows that a server works, as the first screen has it. */
import { closeSync, openSync, readSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { shellWord } from "../common/paste.ts";
import { type System, SYSTEM } from "../common/system.ts";
import { socketIn } from "../common/server-address.ts";
import { SIMULATED_CAPABILITIES } from "../engine/engine.ts";
import { engineTraits } from "../engine/kinds.ts";
import type { Device } from "../gpu/inventory/devices.ts";
import type { ModelEntry } from "../models/registry.ts";
import { tableModel } from "../models/table.ts";

/** Facts by which a first request to a server is made. */
interface Tried {
  readonly config: Config;
  readonly url: string;
  /** null: none was made by this start. */
  readonly firstKey: string | null;
  /** The devices that can serve, at least one; their models may not have been loaded yet. */
  readonly serving: readonly Device[];
  readonly models: readonly ModelEntry[];
}

/** How a shell writes the key that is in the environment. */
export function keyVariable({ hasShell }: System = SYSTEM): string {
  return hasShell ? "$ALT_LAS_API_KEY" : "$env:ALT_LAS_API_KEY";
}

/** The command by which a shell has the key in that variable. */
export function takeKey(file: string, { hasShell }: System = SYSTEM): string {
  if (hasShell) return `export ALT_LAS_API_KEY="$(cat ${shellWord(file)})"`;
  return `$env:ALT_LAS_API_KEY = Get-Content '${file.replaceAll("'", "''")}'`;
}

/**
 * A request that waits for its answer, so that one paste shows the whole thing. On Windows it is PowerShell's own command: its versions do
 * not agree on how a quote reaches a program such as curl.
 */
export function tryLine({ config, url, firstKey, serving, models }: Tried, system: System = SYSTEM): string {
  const named = models.filter(({ origin }) => origin === "config");
  const onlyVectors =
    named.length > 0 ? named.every(isForVectors) : serving.every((device) => makesVectorsAlone(device, config));
  const field = onlyVectors ? "input" : "text";
  const body = `'{"${field}": "Once upon a time"}'`;
  const bearer = config.auth.enabled ? `Bearer ${firstKey ?? keyVariable(system)}` : null;
  const { cert } = config.server.tls;
  return system.hasShell ? curlLine(url, bearer, cert, body) : powerShellLine(url, bearer, body);
}

/** curl ends the answer with a newline, which JSON has none of. */
function curlLine(url: string, bearer: string | null, cert: string | undefined, body: string): string {
  const key = bearer === null ? "" : ` -H "Authorization: ${bearer}"`;
  const trust = cert === undefined ? "" : ` --cacert ${shellWord(cert)}`;
  const socket = socketIn(url);
  const at = socket === null ? url : `--unix-socket ${shellWord(socket)} http://localhost`;
  return `curl -s -w '\\n'${trust} ${at}/api/v1/predict${key} -H "Content-Type: application/json" -H "Prefer: wait=30" -d ${body}`;
}

function powerShellLine(url: string, bearer: string | null, body: string): string {
  const key = bearer === null ? "" : `Authorization = "${bearer}"; `;
  const headers = `@{ ${key}Prefer = "wait=30" }`;
  return `Invoke-RestMethod ${url}/api/v1/predict -Method Post -Headers ${headers} -ContentType "application/json" -Body ${body}`;
}

/** Of what is yet to be fetched, the table of short names tells it. */
function isForVectors({ file, settings: { source = "" } }: ModelEntry): boolean {
  return file?.state === "there" ? sumsUp(file.path) : tableModel(source)?.purpose === "embedding";
}

function makesVectorsAlone({ id, engine }: Device, config: Config): boolean {
  const { model: modelIs } = engineTraits(engine.kind);
  if (modelIs === "file") return sumsUp(engine.model);
  if (modelIs === "name") return false;
  const mine = config.engine.simulated.models?.find(({ gpu_id = id }) => gpu_id === id);
  const { capabilities = SIMULATED_CAPABILITIES } = mine ?? {};
  return capabilities.every((capability) => capability === "embedding");
}

/** Bytes at the beginning of a GGUF file in which the architecture is described, before the vocabulary. */
const HEAD = 65_536;
/** The end of the key that says how the vectors of a text's tokens become one: a model that has it generates nothing, unless it is 0. */
const POOLING = ".pooling_type";
/** Of `enum gguf_metadata_value_type`. */
const UINT32 = 4;

/** Whether a model file is made for vectors. Only a guess at what to show: the worker reads the header in earnest. */
function sumsUp(path: string): boolean {
  const head = headOf(path);
  const at = head.indexOf(POOLING) + POOLING.length;
  if (at < POOLING.length || at + 8 > head.length) return false;
  return head.readUInt32LE(at) === UINT32 && head.readUInt32LE(at + 4) > 0;
}

function headOf(path: string): Buffer {
  const head = Buffer.alloc(HEAD);
  const file = openSync(path, "r");
  try {
    return head.subarray(0, readSync(file, head, 0, HEAD, 0));
  } finally {
    closeSync(file);
  }
}
