/** Rules between keys, which a schema cannot say. */
import { type EngineKind, engineTraits, kindsThat } from "../engine/kinds.ts";
import { checkBudgets } from "./budgets-checks.ts";
import { deviceEntries, isRemote, type PlacedEntry, urlsOf } from "./devices.ts";
import { finding, type Finding } from "./findings.ts";
import { checkCluster } from "./cluster-checks.ts";
import { checkModels } from "./models-checks.ts";
import { checkSignOn } from "./oidc-checks.ts";
import type { Config } from "./schema.ts";
import { shown } from "../common/validation.ts";
import { checkProxies, checkServer, checkWebhooks } from "./server-checks.ts";

/** Rules between keys, which a schema cannot say. */
export function checkTogether(config: Config): Finding[] {
  return [
    ...checkStrategies(config),
    ...checkServer(config),
    ...checkProxies(config),
    ...checkWebhooks(config),
    ...checkUsers(config),
    ...checkCallers(config),
    ...checkSignOn(config),
    ...checkStore(config),
    ...checkCluster(config),
    ...checkBudgets(config),
    ...checkDevices(config),
    ...checkModels(config),
  ];
}

function* checkStrategies({ gpu: { multi_gpu } }: Config): Iterable<Finding> {
  const { default_strategy, strategies } = multi_gpu;
  if (strategies.includes(default_strategy)) return;
  const path = ["gpu", "multi_gpu", "default_strategy"];
  const listing = ["gpu", "multi_gpu", "strategies"];
  yield finding(path, `is ${default_strategy}, which gpu.multi_gpu.strategies does not list.`, listing);
}

function* checkUsers({ auth: { users, enabled, anonymous_user: anonymous } }: Config): Iterable<Finding> {
  const names = users.map(({ name }) => name);
  const twice = new Set(names.filter((name, index) => names.indexOf(name) < index));
  for (const name of twice) yield finding(["auth", "users"], `names ${name} twice.`);
  if (enabled || anonymous === undefined) return;
  const sentence = `is ${anonymous}, but auth.enabled is false, with which everybody is an admin.`;
  yield finding(["auth", "anonymous_user"], sentence, ["auth", "enabled"]);
}

/** Names are compared composed: what stands here in another form would hold for nobody, and nobody would see why. */
function* checkCallers({ callers }: Config): Iterable<Finding> {
  for (const kind of ["users", "teams", "keys"] as const)
    for (const name of Object.keys(callers[kind]))
      if (name.normalize("NFC") !== name)
        yield finding(
          ["callers", kind, name],
          `has letters that are made of several characters; write ${shown(name.normalize("NFC"))}.`,
        );
}

function* checkStore({ store: { path, url } }: Config): Iterable<Finding> {
  if (url === undefined) return;
  if (path !== undefined)
    yield finding(["store", "path"], `is ${path}, but store.url is set, too: tasks are in one place.`);
  if (!URL.canParse(url)) yield finding(["store", "url"], "is no address; a password in it has to be percent-encoded.");
}

const ENGINE_KIND = ["engine", "kind"];
const ENGINE_URL = ["engine", "url"];
const DEVICES = ["gpu", "devices"];

/** One finding for each entry at most: what is wrong with its names and its engine is the same mistake more often than not. */
function* checkDevices(config: Config): Iterable<Finding> {
  const entries = deviceEntries(config);
  for (const placed of entries) {
    const found = checkNames(placed) ?? (isRemote(placed.entry, config) ? checkRemote : checkEntry)(config, placed);
    if (found !== null) yield found;
  }
  const { kind, url } = config.engine;
  if (url !== undefined && !asksServer(kind) && !entries.some(({ entry }) => isRemote(entry, config)))
    yield finding(ENGINE_URL, needlessUrl(kind), ENGINE_KIND, DEVICES);
}

function asksServer(kind: EngineKind): boolean {
  return engineTraits(kind).computes === "elsewhere";
}

function needlessUrl(kind: EngineKind): string {
  return `is there, but engine.kind is ${kind}; only ${kindsThat(({ computes }) => computes === "elsewhere")} asks a server.`;
}

function checkNames({ path, entry: { gpu, gpus } }: PlacedEntry): Finding | null {
  if (gpu !== undefined && gpus !== undefined)
    return finding(path, "has both gpu and gpus; only one of them may be there.");
  const names = (gpus ?? []).map(fullName);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  return twice === undefined ? null : finding([...path, "gpus"], `names ${twice} twice.`);
}

function checkRemote(config: Config, { path, entry }: PlacedEntry): Finding | null {
  const kind = entry.engine?.kind ?? config.engine.kind;
  const own = entry.engine?.kind === undefined ? ["engine"] : [...path, "engine"];
  const name = entry.gpu ?? entry.gpus?.[0];
  if (name !== undefined && name !== "auto") {
    const why = `but its engine.kind is ${kind}, whose server has its own GPU`;
    return finding(path, `names ${name}, ${why}; leave ${name} out.`, ENGINE_KIND);
  }
  if (urlsOf(entry, config).length > 0) return null;
  const wanted = `engine.kind ${kind} needs the address of a server, like http://10.0.0.5:8000`;
  return finding([...own, "url"], `is missing; ${wanted}.`, ENGINE_KIND, ENGINE_URL, path);
}

/** The device of an entry must go with `gpu.enabled` and with the engine. */
function checkEntry(config: Config, { path, entry }: PlacedEntry): Finding | null {
  const name = entry.gpu ?? entry.gpus?.[0];
  const kind = entry.engine?.kind ?? config.engine.kind;
  const standIn = /^(cpu|simulated):/.exec(String(name))?.[1];
  const refuse = (sentence: string, at = path): Finding => finding(at, sentence, path, ENGINE_KIND, ["gpu", "enabled"]);
  const pretends = engineTraits(kind).computes === "nowhere";
  if (standIn === "cpu" && pretends)
    return refuse(`names ${name}, but its engine is ${kind}; use "simulated:N" or a GPU.`);
  if (standIn === "simulated" && entry.engine?.kind !== undefined && !pretends)
    return refuse(`names ${name}, but its engine.kind is ${kind}; a simulated device has only the simulated engine.`);
  if (entry.engine?.url !== undefined) return refuse(needlessUrl(kind), [...path, "engine", "url"]);
  const kvCache = checkKvCache(config, { path, entry });
  if (kvCache !== null) return kvCache;
  if (name === undefined) return refuse("needs gpu, or gpus for several that hold one model.");
  const isOff = !config.gpu.enabled && standIn === undefined && name !== "auto";
  return isOff ? refuse(`names ${name}, but gpu.enabled is false.`) : null;
}

function checkKvCache({ engine }: Config, { path, entry }: PlacedEntry): Finding | null {
  const own = entry.engine?.kv_cache_type;
  const type = own ?? engine.kv_cache_type;
  const flashAttention = entry.engine?.flash_attention ?? engine.flash_attention;
  if (flashAttention !== false || type === "auto" || type === "f16") return null;
  const where = own === undefined ? ["engine"] : [...path, "engine"];
  const sentence = `is ${type}, but flash_attention is false, without which there is only f16.`;
  return finding([...where, "kv_cache_type"], sentence, path, ["engine", "flash_attention"]);
}

/** The same for 0 and for gpu:0. */
function fullName(name: string | number): string {
  return typeof name === "number" ? `gpu:${name}` : name;
}
