/** The first things that a person needs to know, on standard output, when a server has started. */
import { networkInterfaces } from "node:os";
import { basename, resolve } from "node:path";
import { type Config, engineFault, hostsOf, isExposed, isReachable } from "../config/config.ts";
import { engineTraits } from "../engine/kinds.ts";
import { basePathOf } from "../http/base-path.ts";
import { deviceTraits } from "../gpu/device-kinds.ts";
import { DEMO_MODEL, type Device } from "../gpu/inventory/devices.ts";
import type { RunningServer } from "../main.ts";
import { ALT_LAS, placeWords, shellWord, startCommand } from "../common/paste.ts";
import type { ModelEntry } from "../models/registry.ts";
import { modelParts, namesOn } from "./greeting-models.ts";
import { table } from "./table.ts";
import { keyVariable, takeKey, tryLine } from "./try-it.ts";
import { upgradeWords } from "../upgrade/upgrade.ts";
import { said } from "../words/terminal.ts";
import { VERSION } from "../common/version.ts";

/** Where a start found what it needs. */
export interface Origin {
  readonly config: Config;
  /** undefined: there was none, and the defaults hold. */
  readonly configFile: string | undefined;
  readonly dataDir: string;
  /** Sentences about data in another place than one would look for it. */
  readonly dataNotes?: readonly string[];
  /** Where the new key is, which is not shown then; left out or null: nowhere, so that it is shown. */
  readonly keyFile?: string | null;
  /** The options of the command line, like "--port" and "9000". */
  readonly given?: ReadonlyMap<string, string>;
}

/**
 * The address, where things are, what does not work with the command that mends it, the GPUs, and last the key, which is shown only once
 * and must not be scrolled away, with one command that works.
 */
export function greeting(origin: Origin, server: Omit<RunningServer, "reload" | "stop" | "lost">): string {
  const { config, dataDir, keyFile = null, given = new Map() } = origin;
  const { url, addresses, devices, models, quarantinedTo, driverNotes } = server;
  const firstKey = keyFile === null ? server.firstKey : null;
  const serving = devices.filter((device) => faultOf(device) === null);
  const parts = [places(origin, addresses), ...mending(config, devices, serving, given), ...reach(config, url)];
  if (quarantinedTo !== null)
    parts.push(
      `The task database was damaged. It was moved to ${quarantinedTo}, with all tasks, webhook secrets and idempotency keys; a new one was begun.`,
    );
  if (server.upgrade !== null) parts.push(upgradeWords(server.upgrade));
  if (server.standsBy === true)
    parts.push("Another server leads the cluster. This one passes requests on to it, and leads when that is gone.");
  parts.push(
    ...notesOf(driverNotes, devices),
    deviceTable(origin, devices, models),
    ...troubles(devices),
    ...modelParts(models),
  );
  if (config.models.length === 0 && serving.some(hasDemo))
    parts.push(
      `The demo model is served: tiny, for trying things out. For a real one: ${startCommand(given, REAL_MODEL)}`,
    );
  if (server.absentCredentials !== null)
    parts.push(
      `WARNING: ${server.absentCredentials}. To have them again, stop the server and put a copy of the file there.`,
    );
  if (keyFile !== null)
    parts.push(
      `API key of the user admin: it is in ${keyFile}, which only its owner can read. Remove the file when you have it.\n  ${takeKey(keyFile)}`,
    );
  if (firstKey !== null) parts.push(`API key of the user admin, shown only this once:\n  ${firstKey}`);
  if (serving.length > 0) parts.push(`Try it:\n  ${tryLine({ config, url, firstKey, serving, models })}`);
  if (config.auth.enabled && firstKey === null && !process.env.ALT_LAS_API_KEY && !process.env.ALT_LAS_API_KEY_FILE)
    parts.push(
      `${keyVariable()} stands for your key. For a new one: ${ALT_LAS} keys add --user NAME${placeWords(dataDir, accountsIn(origin))}`,
    );
  return `${parts.map(said).join("\n\n")}\n`;
}

/** The configuration that commands on users and keys need: it says which database has them. undefined: a file in the data directory has. */
function accountsIn({ config, configFile }: Origin): string | undefined {
  return config.store.url === undefined ? undefined : configFile;
}

/** Where everything is. */
function places({ config, configFile, dataDir, dataNotes = [] }: Origin, addresses: readonly string[]): string {
  const file = configFile === undefined ? "none, the defaults hold" : resolve(configFile);
  // A browser on Windows opens no address that stands for all.
  const here = addresses
    .find((address) => address.startsWith("http"))
    ?.replace("//0.0.0.0", "//127.0.0.1")
    .replace("//[::]", "//[::1]");
  return [
    `ALT_LAS ${VERSION} listens on ${addresses.join(", ")}`,
    ...(config.dashboard.enabled && here !== undefined ? [`Dashboard: ${here}/`] : []),
    `Configuration: ${file}`,
    `Data directory: ${resolve(dataDir)}`,
    ...dataNotes,
  ].join("\n");
}

/** How other machines reach it, and what they risk. */
function reach({ server }: Config, url: string): string[] {
  if (!isReachable(server)) return [];
  const hosts = hostsOf(server);
  const everywhere = hosts.includes("0.0.0.0") || hosts.includes("::");
  const addresses = everywhere ? lanAddresses(hosts.includes("::")) : [];
  const { protocol, port } = new URL(url);
  const urls = addresses.map(
    (address) => `  ${protocol}//${address.includes(":") ? `[${address}]` : address}:${port}${basePathOf(server)}`,
  );
  const parts = urls.length === 0 ? [] : [`Other machines reach it at\n${urls.join("\n")}`];
  if (!isExposed(server)) return parts;
  return [
    ...parts,
    "WARNING: without TLS, keys, prompts and answers cross the network in clear text. Set server.tls.cert and server.tls.key, or put a proxy with TLS in front.",
  ];
}

function lanAddresses(withIPv6: boolean): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const reachable = all.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  return reachable.filter(({ family }) => family === "IPv4" || withIPv6).map(({ address }) => address);
}

const MODEL = { "--model": "FILE.gguf" };
/** The smallest that has a short name. */
const REAL_MODEL = { "--model": "smollm2-135m" };

function hasDemo({ engine }: Device): boolean {
  return engineTraits(engine.kind).model === "file" && engine.model === DEMO_MODEL;
}

/** Where no GPU serves, or nothing at all: the commands that change that. */
function mending(
  { cluster }: Config,
  devices: readonly Device[],
  serving: readonly Device[],
  given: ReadonlyMap<string, string>,
): string[] {
  if (cluster.nats !== undefined) return [];
  const missing = [...new Set(devices.flatMap(({ mendedBy }) => mendedBy ?? []))];
  const commands = [...missing, startCommand(given)].map((command) => `  ${command}`).join("\n");
  if (missing.length > 0 && serving.length > 0 && serving.every((device) => deviceTraits(device).isMachine))
    return [`No GPU is used yet: the CPU stands in. Stop the server (Ctrl+C), then:\n${commands}`];
  if (serving.length > 0) return [];
  if (missing.length > 0)
    return [
      `No GPU can be used yet. Stop the server (Ctrl+C), then:\n${commands}`,
      `Or serve from the CPU:\n  ${startCommand(given, { "--devices": "cpu:2" })}`,
    ];
  const fault = devices.map(({ engine }) => engineFault(engine)).find((one) => one !== null);
  if (fault?.key === "model")
    return [`${fault.sentence} Stop the server (Ctrl+C), then:\n  ${startCommand(given, MODEL)}`];
  if (fault?.key === "binary")
    return [
      `${fault.sentence} Stop the server (Ctrl+C), set engine.binary to the path of a llama-server, or engine.kind to llama, then:\n  ${startCommand(given)}`,
    ];
  return ["Nothing can be served: no GPU can be used, for the reasons below."];
}

/** A driver that is installed and lists nothing; the CPU must not take the place of its GPUs without a word. */
function notesOf(notes: readonly string[], devices: readonly Device[]): string[] {
  if (notes.length === 0) return [];
  const instead = devices.some((device) => deviceTraits(device).isMachine)
    ? " The CPU serves in the place of its GPUs, if it has any."
    : "";
  return [
    `WARNING: a GPU driver is installed and has no GPU to offer.${instead}\n${notes.map((note) => `  ${note}`).join("\n")}`,
  ];
}

function deviceTable(
  { config, configFile }: Origin,
  devices: readonly Device[],
  models: readonly ModelEntry[],
): string {
  if (config.cluster.nats !== undefined) {
    const where = configFile === undefined ? "" : ` --config ${shellWord(configFile)}`;
    return `The GPUs are those of the machines on which ${ALT_LAS} agent --join runs. They are listed by ${ALT_LAS} gpus${where}`;
  }
  const rows = devices.map((device) => [
    String(device.id),
    device.name,
    device.memoryTotal === null ? "-" : `${(device.memoryTotal / 2 ** 30).toFixed(1)} GiB`,
    String(device.slots),
    modelOf(device, models),
  ]);
  return table(["GPU", "NAME", "MEMORY", "SLOTS", "MODEL"], rows);
}

function modelOf(device: Device, models: readonly ModelEntry[]): string {
  const { unfit, mendedBy, lost, engine } = device;
  const { kind, model } = engine;
  if (lost !== null) return "not there";
  if (unfit !== null) return mendedBy === null ? "cannot be used" : "not used yet";
  const named = namesOn(device, models);
  if (named !== null) return named;
  const { model: modelIs } = engineTraits(kind);
  if (modelIs === "name") return model === "" ? "what it serves" : model;
  if (engineFault(engine) !== null) return `${basename(model)} (cannot be loaded)`;
  return modelIs === "unused" ? kind : model === DEMO_MODEL ? "demo" : basename(model);
}

/** Faults that are known before a model is loaded, shown on the first screen instead of the log alone. */
function troubles(devices: readonly Device[]): string[] {
  const broken = devices.flatMap((device) => {
    const why = faultOf(device);
    return why === null ? [] : [{ id: device.id, why }];
  });
  const byReason = Map.groupBy(broken, ({ why }) => why);
  return [...byReason].map(([why, of]) => `GPU ${of.map(({ id }) => id).join(", ")}: ${why}`);
}

function faultOf(device: Device): string | null {
  return device.lost ?? device.unfit ?? engineFault(device.engine)?.sentence ?? null;
}
