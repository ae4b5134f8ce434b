/** Rules between keys, which a schema cannot say. */
import { AltLasError } from "../errors.ts";
import { fieldName } from "../validation.ts";
import { deviceEntries, isRemote, type PlacedEntry, urlsOf } from "./devices.ts";
import { type Config } from "./schema.ts";

/** Throws what is wrong with the value at a path. */
type Refuse = (path: readonly (string | number)[], sentence: string) => never;

/** Rules between keys, which a schema cannot say. */
export function checkTogether(config: Config, where: (path: readonly (string | number)[]) => string): void {
  const refuse: Refuse = (path, sentence) => {
    throw new AltLasError("bad_config", `${where(path)}${fieldName(path, "")} ${sentence}`);
  };
  const { default_strategy, strategies } = config.gpu.multi_gpu;
  if (!strategies.includes(default_strategy)) {
    refuse(
      ["gpu", "multi_gpu", "default_strategy"],
      `is ${default_strategy}, which gpu.multi_gpu.strategies does not list.`,
    );
  }
  checkDevices(config, refuse);
  const { cert, key } = config.server.tls;
  if ((cert === undefined) !== (key === undefined)) {
    refuse(["server", "tls"], "needs both cert and key, or neither.");
  }
  const names = config.auth.users.map((user) => user.name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) refuse(["auth", "users"], `names ${twice} twice.`);
  if (!config.auth.enabled && !isLoopback(config.server.host)) {
    refuse(
      ["auth", "enabled"],
      `is false, which is honoured only on a loopback address; server.host is ${config.server.host}.`,
    );
  }
}

function checkDevices(config: Config, refuse: Refuse): void {
  const entries = deviceEntries(config);
  for (const { path, entry } of entries) {
    const { gpu, gpus } = entry;
    if (gpu !== undefined && gpus !== undefined) refuse(path, "has both gpu and gpus; only one of them may be there.");
    const names = (gpus ?? []).map(fullName);
    const twice = names.find((name, index) => names.indexOf(name) < index);
    if (twice !== undefined) refuse([...path, "gpus"], `names ${twice} twice.`);
    if (isRemote(entry, config)) checkRemote(config, { path, entry }, refuse);
    else checkEntry(config, { path, entry }, refuse);
  }
  const { kind, url } = config.engine;
  if (url !== undefined && kind !== "openai" && !entries.some(({ entry }) => isRemote(entry, config)))
    refuse(["engine", "url"], `is there, but engine.kind is ${kind}; only openai asks a server.`);
}

function checkRemote(config: Config, { path, entry }: PlacedEntry, refuse: Refuse): void {
  const own = entry.engine?.kind === undefined ? ["engine"] : [...path, "engine"];
  const name = entry.gpu ?? entry.gpus?.[0];
  if (name !== undefined && name !== "auto")
    refuse(path, `names ${name}, but its engine.kind is openai, whose server has its own GPU; leave ${name} out.`);
  if (urlsOf(entry, config).length === 0)
    refuse([...own, "url"], "is missing; engine.kind openai needs the address of a server, like http://10.0.0.5:8000.");
}

/** What an entry names must go with `gpu.enabled` and with the engine. */
function checkEntry(config: Config, { path, entry }: PlacedEntry, refuse: Refuse): void {
  const name = entry.gpu ?? entry.gpus?.[0];
  const kind = entry.engine?.kind ?? config.engine.kind;
  const standIn = /^(cpu|simulated):/.exec(String(name))?.[1];
  if (standIn === "cpu" && kind === "simulated") {
    refuse(path, `names ${name}, but its engine is simulated; use "simulated:N" or a GPU.`);
  }
  if (standIn === "simulated" && (entry.engine?.kind ?? "simulated") !== "simulated") {
    refuse(path, `names ${name}, but its engine.kind is ${kind}; a simulated device has only the simulated engine.`);
  }
  if (entry.engine?.url !== undefined) {
    refuse([...path, "engine", "url"], `is there, but engine.kind is ${kind}; only openai asks a server.`);
  }
  checkKvCache(config, { path, entry }, refuse);
  if (name === undefined) return refuse(path, "needs gpu, or gpus for several that hold one model.");
  if (!config.gpu.enabled && standIn === undefined && name !== "auto") {
    refuse(path, `names ${name}, but gpu.enabled is false.`);
  }
}

function checkKvCache({ engine }: Config, { path, entry }: PlacedEntry, refuse: Refuse): void {
  const own = entry.engine?.kv_cache_type;
  const type = own ?? engine.kv_cache_type;
  const flashAttention = entry.engine?.flash_attention ?? engine.flash_attention;
  if (flashAttention !== false || type === "auto" || type === "f16") return;
  const where = own === undefined ? ["engine"] : [...path, "engine"];
  refuse([...where, "kv_cache_type"], `is ${type}, but flash_attention is false, without which there is only f16.`);
}

/** The same for 0 and for gpu:0. */
function fullName(name: string | number): string {
  return typeof name === "number" ? `gpu:${name}` : name;
}

/** Whether only this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
